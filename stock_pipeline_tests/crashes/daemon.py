"""A Dagster daemon on an instance of SQLite or PostgreSQL, to be killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

import stock_pipeline
from stock_pipeline.local.dev.processes import Lifeline, Service, spawn

DEBIAN = Path("/usr/lib/postgresql")
SERVER_USER = "postgres"
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


@contextmanager
def postgres(folder: Path, port: int | None = None) -> Iterator[dict[str, Any]]:
    """A PostgreSQL server of its own, on a socket in a folder; gives the storage of an instance on it.

    With a port, it listens on loopback as well.

    Skips the test where there is none, but in CI, where there must be.
    """
    found = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = str(found[-1]) if found else shutil.which("initdb")
    if not initdb:
        why = "PostgreSQL is not installed: apt-get install postgresql (make crash does so when it may)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    binaries, data = Path(initdb).resolve().parent, folder / "data"
    as_user = _unprivileged(folder)
    log = (folder / "log").open("wb")
    make = [str(binaries / "initdb"), "-D", str(data), "-A", "trust", "-U", "dagster", "--no-sync", "-E", "UTF8"]
    subprocess.run(make, check=True, stdout=log, stderr=log, **as_user)
    # Without a port no TCP at all: the socket lies in a folder that only this test knows.
    where = ["-h", "127.0.0.1", "-p", str(port)] if port else ["-h", ""]
    serve = [str(binaries / "postgres"), "-D", str(data), "-k", str(folder), *where, "-F"]
    server = subprocess.Popen(serve, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **as_user)
    try:
        ready = [str(binaries / "pg_isready"), "-h", str(folder), "-q", *(["-p", str(port)] if port else [])]
        deadline = time.monotonic() + 60
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        url = f"postgresql+psycopg2://dagster@/postgres?host={folder}"
        yield {"postgres": {"postgres_url": url}}
    finally:
        server.send_signal(signal.SIGINT)  # a fast end: it does not wait for those who are connected
        server.wait(30)
        log.close()


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root, so its own user runs it then; the folder becomes that user's."""
    if os.geteuid():
        return {"cwd": folder}
    try:
        user = pwd.getpwnam(SERVER_USER)
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"cwd": folder, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
