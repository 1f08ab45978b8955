"""Starts runs as processes on the machine of Dagster's daemon, and tells the daemon when such a process has ended.

With Dagster's own launcher, only the code server notices that a run's process has ended. If the code server dies
together with its runs (the machine restarts, `dev` is killed), nothing notices it. The run would count as started for
ever, its partition would stay taken, and no sensor would request a run of its objects again. With this launcher, the
daemon's run monitoring checks the process.

It is for an instance whose processes share a machine, such as that of `stock-pipeline dev`. Launchers of containers,
such as EcsRunLauncher, have such a check already.
"""

import dagster as dg
import psutil
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus  # the return type of a launcher's check
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

_CLOCKS_DIFFER = 2.0  # seconds: the kernel's start time of a process is not more exact


class SameMachineRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with a check of whether a run's process is alive."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """NOT_FOUND once the run's process has ended; RUNNING while it lives, or if the process id is not known."""
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
    """Whether a process that ran at a time (seconds since the epoch) still runs. Another may have its id by now."""
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() < since + _CLOCKS_DIFFER and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
