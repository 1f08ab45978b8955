"""A child process of `dev`: it has its own process group and log, and ends with its parent and all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.local.folders import private

_TIED = Path(__file__).with_name("tied.py")
_STOP_WITHIN = 10.0  # seconds before what is left is killed
_POLL = 0.05
_LOG_LINES = 15


class Lifeline:
    """A pipe that the children read. End of file tells them that their parent is gone."""

    def __init__(self) -> None:
        self.read, self._write = os.pipe()

    def close(self) -> None:
        for descriptor in (self.read, self._write):
            os.close(descriptor)


@dataclass(frozen=True)
class Service:
    """A running child and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def tail(self) -> str:
        """The last lines that it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def spawn(
    name: str, arguments: Sequence[str], *, environ: Mapping[str, str], log: Path, cwd: Path, lifeline: Lifeline
) -> Service:
    """Start `python -m <arguments>` as the leader of a process group."""
    with private(log) as output:
        process = subprocess.Popen(  # noqa: S603 - this interpreter and modules named by this package
            [sys.executable, "-P", str(_TIED), str(lifeline.read), *arguments],
            env=dict(environ), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            pass_fds=[lifeline.read], start_new_session=True, umask=0o077,
        )  # fmt: skip
    return Service(name, process, log)


def stop(services: Sequence[Service]) -> None:
    """End the children and everything that they started. Ctrl-C meanwhile kills them at once."""
    end([service.process for service in services], _STOP_WITHIN)


def end(leaders: Sequence[subprocess.Popen[bytes]], within: float) -> None:
    """End the leaders of process groups with their groups; kill what is left after so many seconds."""
    try:
        for leader in leaders:
            _signal(leader, signal.SIGTERM)
        deadline = time.monotonic() + within
        while any(_lives(leader) for leader in leaders) and time.monotonic() < deadline:
            time.sleep(_POLL)
    finally:
        for leader in leaders:
            _signal(leader, signal.SIGKILL)
            leader.wait()


def _lives(leader: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the group is left. The call also reaps the leader."""
    leader.poll()
    try:
        os.killpg(leader.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _signal(leader: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader.pid, number)
