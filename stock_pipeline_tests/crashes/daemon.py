"""A Dagster daemon on an instance of SQLite or PostgreSQL, to be killed and started again."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

import stock_pipeline
from stock_pipeline.local.dev.processes import Lifeline, Service, spawn

MONITOR_SECONDS = 2  # in the place of 15: a test does not want to wait
TICK_SECONDS = 10  # in the place of 60


@dataclass
class Daemon:
    """The daemon with the code server that it starts, in a process group of their own."""

    home: Path
    environ: Mapping[str, str]
    storage: Mapping[str, Any] | None
    starts: int = 0
    service: Service | None = None
    _lifeline: Lifeline = field(default_factory=Lifeline)

    def __post_init__(self) -> None:
        """The project's own configuration, but for the storage and for times that a test would wait for."""
        text = (Path(stock_pipeline.__file__).parent / "orchestration" / "dagster.yaml").read_text()
        settings = yaml.safe_load(text)
        settings["run_monitoring"]["poll_interval_seconds"] = MONITOR_SECONDS
        settings["freshness"] = {"enabled": False}
        if self.storage:
            settings["storage"] = self.storage
        self.home.mkdir(parents=True)
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        module = {"module_name": "stock_pipeline.definitions", "location_name": "stock_pipeline"}
        (self.home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}))
        self.instance = dg.DagsterInstance.from_config(str(self.home))
        self.instance.get_runs(limit=1)
        self.instance.all_instigator_state()  # all storages are there before the daemon is

    @property
    def log(self) -> Path:
        return self.home / "daemon.log"

    def start(self) -> None:
        assert self.service is None
        command = ["dagster._daemon", "run", "-w", str(self.home / "workspace.yaml")]
        environ = {
            **self.environ,
            "DAGSTER_HOME": str(self.home),
            "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": str(TICK_SECONDS),
            "PYTHONUNBUFFERED": "1",
        }
        self.service = spawn("daemon", command, environ=environ, log=self.log, cwd=self.home, lifeline=self._lifeline)
        self.starts += 1

    def kill(self) -> None:
        """SIGKILL to the daemon, its code server and its runs: as when the machine loses its power."""
        assert self.service
        os.killpg(self.service.process.pid, signal.SIGKILL)
        self.service.process.wait()
        self.service = None

    def stop(self) -> None:
        if self.service:
            self.kill()
        self._lifeline.close()
        self.instance.dispose()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else "no log"

    def ticks(self, sensor: str) -> list[dg._core.scheduler.instigation.InstigatorTick]:  # type: ignore[name-defined]
        """The ticks of a sensor, the newest first."""
        for state in self.instance.all_instigator_state():
            if state.instigator_name == sensor:
                return list(self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=100))
        return []

    def kill_run(self, run_id: str) -> None:
        """SIGKILL to the process of one run."""
        for event in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            assert event.dagster_event
            if pid := event.dagster_event.engine_event_data.metadata.get("pid"):
                os.kill(int(str(pid.value)), signal.SIGKILL)
                return
        raise AssertionError(f"the run {run_id} has not said which process it is")
