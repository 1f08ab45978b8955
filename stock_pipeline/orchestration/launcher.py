"""Runs as processes of the machine that Dagster's daemon is on, which are known to be dead when they are.

Dagster's own launcher leaves it to the code server to notice that a run's process has ended. When the code server dies
with its runs (the machine restarts, `dev` is killed), nobody does: such a run would count as started for ever, its
partition would stay taken, and no sensor would request a run of its objects again. This launcher lets the daemon's run
monitoring look.

It is for an instance whose processes share a machine, as that of `stock-pipeline dev`. Launchers of containers, such as
EcsRunLauncher, can tell by themselves.
"""

import dagster as dg
import psutil
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus  # what a launcher has to answer with
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

_CLOCKS_DIFFER = 2.0  # seconds: the kernel knows a process's start only so well


class SameMachineRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, which in addition can tell whether a run's process is there."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """NOT_FOUND once the run's process has ended; RUNNING while it lives, or if the run never said which it is."""
        for event in self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            assert event.dagster_event
            pid = event.dagster_event.engine_event_data.metadata.get("pid")
            if pid is None:
                continue
            if _lives(int(str(pid.value)), since=event.timestamp):
                return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=str(pid.value))
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its process {pid.value} has ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING, "the run has not said which process it is")


def _lives(pid: int, since: float) -> bool:
    """Whether a process that was there at a time (seconds since the epoch) still is; another may have its number."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() < since + _CLOCKS_DIFFER and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
