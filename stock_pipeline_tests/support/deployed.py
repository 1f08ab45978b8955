"""A Dagster as it stays in AWS: three processes of `serve`, PostgreSQL, logs in a bucket, each run a task of ECS."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support import postgres
from stock_pipeline_tests.support.ecs import Ecs, Task
from stock_pipeline_tests.support.local_aws import Stack, eventually

PATIENCE = 500.0  # seconds: several processes start one after the other, on a machine that may be busy
LOGS = "dagster-logs"
PARTS = ("code", "webserver", "daemon")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Deployed:
    """The processes, each with a home of its own, as containers have it."""

    environ: Mapping[str, str]
    folder: Path
    ui_port: int = field(default_factory=free_port)
    code_port: int = field(default_factory=free_port)
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    starts_again: list[str] = field(default_factory=list)

    def start(self, *parts: str) -> None:
        for part in parts:
            command = [sys.executable, "-m", "stock_pipeline", "serve", part, "--port", str(self.ui_port),
                       "--code-port", str(self.code_port)]  # fmt: skip
            with self.log(part).open("ab") as log:
                self.parts[part] = subprocess.Popen(
                    command, env={**self.environ, "DAGSTER_HOME": str(self.folder / part)}, stdout=log, stderr=log,
                    start_new_session=True,
                )  # fmt: skip

    def log(self, part: str) -> Path:
        return self.folder / f"{part}.log"

    def kill(self, part: str) -> None:
        """SIGKILL to a part with all that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self.parts[part].pid, signal.SIGKILL)
        self.parts[part].wait()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """While the block runs, a part that has ended is started again, as ECS and systemd do."""
        over = threading.Event()

        def keep() -> None:
            while not over.wait(1):
                for part in [part for part, process in self.parts.items() if process.poll() is not None]:
                    self.starts_again.append(part)
                    self.start(part)

        keeper = threading.Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def stop(self) -> None:
        for part in self.parts:
            self.kill(part)
        self.parts.clear()

    @property
    def memory(self) -> dict[str, int]:
        """The resident bytes of each part, with the processes that it has started."""
        found = {}
        for part, process in self.parts.items():
            top = psutil.Process(process.pid)
            found[part] = sum(each.memory_info().rss for each in (top, *top.children(recursive=True)))
        return found

    @property
    def cpu(self) -> float:
        """The seconds of CPU that all parts have taken, with the processes that they have started."""
        tops = [psutil.Process(process.pid) for process in self.parts.values()]
        every = [each.cpu_times() for top in tops for each in (top, *top.children(recursive=True))]
        return sum(t.user + t.system + t.children_user + t.children_system for t in every)

    def tail(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in self.folder.glob("*.log"))


@dataclass
class Place:
    """All that a test drives."""

    stack: Stack
    ecs: Ecs
    deployed: Deployed
    history: postgres.Server

    @property
    def dagster(self) -> Dagster:
        return Dagster(f"http://127.0.0.1:{self.deployed.ui_port}")

    def ticks(self) -> dict[str, Any]:
        if any(process.poll() is not None for process in self.deployed.parts.values()):
            raise AssertionError(self.deployed.tail())
        if not self.dagster.answers():
            return {}
        return {name: ticks for name, (ticks, _) in self.dagster.signs().ticks.items() if ticks}

    def kill_a_run(self) -> None:
        """SIGKILL to the process of a run that is under way, as soon as there is one."""
        assert eventually(lambda: self._under_way, within=PATIENCE), self.deployed.tail()
        os.killpg(self._under_way[0].process.pid, signal.SIGKILL)

    def without_history(self, seconds: float) -> None:
        """SIGKILL to the database, which is back after some time."""
        self.history.kill()
        time.sleep(seconds)
        self.history.start()

    @property
    def _under_way(self) -> list[Task]:
        return [task for task in [*self.ecs.tasks.values()] if task.process.poll() is None]

    def brings_in(self, symbol: str) -> bool:
        """Whether the sensor and a run in ECS bring in a file that is dropped now."""
        body = f"symbol,date,close\n{symbol},2024-03-01,10\n".encode()
        self.stack.staging.put(f"daily_prices/uploads/{symbol}.csv", body)

        def stored() -> bool:
            rows = read_partition(self.stack.lake, PRICE_BY_DATE, "year=2024")
            return rows is not None and symbol in rows["symbol"].to_pylist()

        return eventually(stored, within=PATIENCE)

    def logged(self) -> list[str]:
        return [each["Key"] for each in self.stack.s3.list_objects_v2(Bucket=LOGS).get("Contents", [])]


@contextmanager
def everything(stack: Stack, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Place]:
    port = free_port()
    base = {**stack.aws.environ(), **settings, "STOCK_PIPELINE_HOME": str(folder)}
    base = {name: value for name, value in base.items() if not name.startswith("DAGSTER_")}
    environ = {
        **base,
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(port),
        "DAGSTER_POSTGRES_DB": "postgres",
        "DAGSTER_POSTGRES_USER": "dagster",
        "DAGSTER_POSTGRES_PASSWORD": "any",  # pragma: allowlist secret
        "DAGSTER_POSTGRES_SSLMODE": "prefer",
        "DAGSTER_LOGS_BUCKET": LOGS,
        "DAGSTER_ECS_CLUSTER": "dagster",
        "DAGSTER_ECS_TASK_DEFINITION": "stock-pipeline-main-run",
        "DAGSTER_ECS_SUBNETS": "subnet-1",
        "DAGSTER_ECS_SECURITY_GROUPS": "sg-1",
    }
    stack.s3.create_bucket(Bucket=LOGS)
    with ExitStack() as opened:
        # PostgreSQL's own user must be able to enter the folder, and tests' folders are private.
        folder_of_server = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="stock-pipeline-")))
        history = opened.enter_context(postgres.server(folder_of_server, port))
        run_home = {"DAGSTER_HOME": str(folder / "run")}
        Path(run_home["DAGSTER_HOME"]).mkdir()
        ecs = Ecs("stock-pipeline-main-run", {**environ, **run_home}, folder / "run.log")
        ecs.environ = {**ecs.environ, "AWS_ENDPOINT_URL_ECS": ecs.url}
        opened.enter_context(ecs)
        deployed = Deployed({**environ, "AWS_ENDPOINT_URL_ECS": ecs.url}, folder)
        opened.callback(deployed.stop)
        yield Place(stack, ecs, deployed, history)
