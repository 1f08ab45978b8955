"""Children of `dev`: whatever ends, and however, nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stock_pipeline.local.dev import processes
from stock_pipeline.local.dev.processes import Lifeline, Service, spawn, stop
from stock_pipeline_tests.support.local_aws import eventually

# A child that starts a grandchild, writes down both process ids and waits.
PARENT = """
import os, signal, subprocess, sys, time
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("hello from", sys.argv[1:], flush=True)
open(os.environ["PIDS"], "w").write(f"{os.getpid()} {grandchild.pid} ")
time.sleep(600)
"""

Start = Callable[..., Service]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    made = Lifeline()
    yield made
    made.close()


@pytest.fixture
def start(tmp_path: Path, lifeline: Lifeline) -> Iterator[Start]:
    (tmp_path / "parent.py").write_text(PARENT)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PIDS": str(tmp_path / "pids")}
    started: list[Service] = []

    def make(*arguments: str) -> Service:
        log = tmp_path / "logs" / "it.log"
        service = spawn("it", ["parent", *arguments], environ=environ, log=log, cwd=tmp_path, lifeline=lifeline)
        started.append(service)
        return service

    yield make
    stop(started)


def pids(folder: Path) -> list[int]:
    """The child's and the grandchild's, once both run."""
    file = folder / "pids"
    eventually(lambda: file.exists() and file.read_text().endswith(" "))
    return [int(pid) for pid in file.read_text().split()]


def test_a_child_runs_with_its_arguments_and_a_log(start: Start, tmp_path: Path) -> None:
    service = start("--one", "two")
    pids(tmp_path)
    assert service.tail() == "hello from ['--one', 'two']"
    assert not service.ended


def test_stopping_ends_what_a_child_started_too(start: Start, tmp_path: Path) -> None:
    service = start()
    both = pids(tmp_path)
    assert all(alive(pid) for pid in both)
    stop([service])
    assert service.ended
    assert eventually(lambda: not any(alive(pid) for pid in both))


def test_one_that_does_not_listen_is_killed(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_STOP_WITHIN", 0.3)
    service = start("--stubborn")
    both = pids(tmp_path)
    stop([service])
    assert service.process.returncode == -signal.SIGKILL
    assert eventually(lambda: not any(alive(pid) for pid in both))


def test_stopping_what_has_ended_is_nothing_to_do(start: Start, tmp_path: Path) -> None:
    service = start()
    pids(tmp_path)
    stop([service])
    stop([service])
    assert service.ended


def test_when_the_parent_is_killed_its_children_end_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    supervisor = (
        "import os, time\nfrom pathlib import Path\nfrom stock_pipeline.local.dev.processes import Lifeline, spawn\n"
        f"here = Path({str(tmp_path)!r})\n"
        "environ = {**os.environ, 'PYTHONPATH': str(here), 'PIDS': str(here / 'pids')}\n"
        "spawn('it', ['parent'], environ=environ, log=here / 'it.log', cwd=here, lifeline=Lifeline())\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", supervisor])
    both = pids(tmp_path)
    process.kill()
    process.wait()
    assert eventually(lambda: not any(alive(pid) for pid in both))
