"""The launcher tells runs whose process is there from those whose process is gone."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus

from stock_pipeline.orchestration.launcher import SameMachineRunLauncher


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that `dev` runs on."""
    text = resources.files("stock_pipeline").joinpath("orchestration/dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def started_run(instance: dg.DagsterInstance, pid: int | None) -> dg.DagsterRun:
    run = instance.add_run(dg.DagsterRun("a_job", status=dg.DagsterRunStatus.STARTED))
    instance.report_engine_event("Launched.", run)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
        instance.report_engine_event("Executing steps in another process.", run, EngineEventData.in_process(1))
    return run


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = instance.run_launcher
    assert isinstance(launcher, SameMachineRunLauncher)
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


def test_a_run_is_gone_when_its_process_is(instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]) -> None:
    run = started_run(instance, sleeper.pid)
    assert status(instance, run) is WorkerStatus.RUNNING
    sleeper.kill()
    while sleeper.poll() is None:  # killed, and then also reaped
        time.sleep(0.01)
    assert status(instance, run) is WorkerStatus.NOT_FOUND


def test_a_killed_process_that_nobody_has_reaped_is_gone(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes]
) -> None:
    run = started_run(instance, sleeper.pid)
    sleeper.kill()
    deadline = time.monotonic() + 30
    while (found := status(instance, run)) is WorkerStatus.RUNNING and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found is WorkerStatus.NOT_FOUND


def test_another_process_with_the_same_number_is_not_the_run(
    instance: dg.DagsterInstance, sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        before = time.time() - 60
        patch.setattr(time, "time", lambda: before)
        run = started_run(instance, sleeper.pid)
    assert status(instance, run) is WorkerStatus.NOT_FOUND


def test_a_run_that_has_not_said_which_process_it_is_counts_as_running(instance: dg.DagsterInstance) -> None:
    assert status(instance, started_run(instance, None)) is WorkerStatus.RUNNING
