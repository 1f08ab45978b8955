"""One `dev` of a root: everything it runs, from start to end.

A lock file says whether one runs (the kernel lets go of it however the process ends), and a note beside it where its UI
is, for those who come later.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import stock_pipeline
from stock_pipeline.dev.dagster import LOCATION, Dagster
from stock_pipeline.dev.processes import Lifeline, Service, spawn, stop
from stock_pipeline.errors import DevError
from stock_pipeline.local import LocalAws, LocalFolders, default_root, local_aws, running
from stock_pipeline.local.folders import is_held, locked
from stock_pipeline.settings import Settings, variable

Report = Callable[[str], None]

PORT = 3000
_READY_WITHIN = 120.0  # seconds
_POLL = 0.1
_WATCH = 0.5
_WEBSERVER = "webserver"

# The three services would all create the storages of a new home at once, and break them for good.
_PREPARE = """import dagster
with dagster.DagsterInstance.get() as instance:
    instance.get_runs(limit=1)
    instance.all_instigator_state()
"""


@dataclass(frozen=True)
class Note:
    """A running `dev`, as it leaves word of itself."""

    pid: int
    url: str
    processor: str


@dataclass
class Session:
    """What runs in this process's `dev`."""

    url: str
    root: Path
    settings: Settings
    services: list[Service] = field(default_factory=list)
    aws: LocalAws | None = None

    @property
    def dagster(self) -> Dagster:
        return Dagster(self.url)

    def check(self) -> None:
        """Raises DevError with the end of its log when a process has ended by itself."""
        for service in self.services:
            if service.ended:
                raise DevError(
                    f"the {service.name} ended by itself (status {service.process.returncode}); the end of "
                    f"{service.log}:\n{service.tail()}"
                )
        if self.aws and not running(self.root):
            raise DevError(f"the local AWS ended by itself; see {LocalFolders(self.root).log}")

    def serve(self) -> None:
        """Keep watch until interrupted; raises DevError when a process ends by itself."""
        while True:
            time.sleep(_WATCH)
            self.check()


def found(root: Path | None = None) -> Note | None:
    """The `dev` that runs for a root, or None."""
    home = LocalFolders(root or default_root()).home
    if not is_held(home / "dev.lock"):
        return None
    try:
        return Note(**json.loads((home / "dev.json").read_text()))
    except (OSError, ValueError, TypeError):  # it is only starting
        return None


@contextmanager
def session(*, port: int | None, processor: str | None, report: Report) -> Iterator[Session]:
    """Start everything and give it to the block once the UI answers; at its end, however it ends, nothing is left.

    On the AWS that the environment names, else on a local one. `processor` is who consumes arrivals (by default the
    setting). `report` is told what is being waited for. Raises DevError when one runs already, when the port is taken
    and when a process does not start; LocalAwsError and SettingsError as the local AWS and the settings do.
    """
    root = default_root()
    home = LocalFolders(root).home
    settings = Settings.from_env()
    with ExitStack() as stack:
        _only_one(home, stack)
        chosen = _free_port(port)
        dagster_home = home / (f"dagster-{settings.require('lake_bucket')}" if settings.names_buckets else "dagster")
        preparing = _prepare(dagster_home, stack)
        aws = None
        environ: Mapping[str, str] = os.environ
        if not settings.names_buckets:
            report("starting the local AWS")
            aws = stack.enter_context(local_aws(root, processor=processor or settings.processor, on_progress=report))
            environ = aws.environ()
        elif processor:
            environ = {**os.environ, variable("processor"): processor}
        report("starting Dagster")
        _wait_for(preparing, dagster_home)
        made = Session(f"http://127.0.0.1:{chosen}", root, Settings.from_env(environ), aws=aws)
        _start(made, environ, dagster_home, stack)
        _wait_until_ready(made)
        note = Note(os.getpid(), made.url, made.settings.processor)
        (home / "dev.json").write_text(json.dumps(asdict(note)))
        if aws:
            aws.announce(made.url)
        yield made


def _only_one(home: Path, stack: ExitStack) -> None:
    lock = locked(home / "dev.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        other = found(home.parent)
        where = f"at {other.url}, process {other.pid}" if other else "and is only starting"
        raise DevError(f"`stock-pipeline dev` runs already ({where}); use that one, or stop it with Ctrl-C there")
    stack.callback(os.close, lock)
    (home / "dev.json").unlink(missing_ok=True)
    stack.callback((home / "dev.json").unlink, missing_ok=True)


def _free_port(wanted: int | None) -> int:
    """The port asked for, else 3000, else any that is free. Raises DevError when the one asked for is taken."""
    for port in (wanted,) if wanted else (PORT, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
            free: int = server.getsockname()[1]
            return free
    raise DevError(f"port {wanted} is taken; choose another with --port, or leave it out for any that is free")


def _prepare(dagster_home: Path, stack: ExitStack) -> subprocess.Popen[str] | None:
    """Put the instance's configuration in place; begin to create its storages if they are not there yet."""
    dagster_home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(
        Path(stock_pipeline.__file__).parent / "orchestration" / "dagster.yaml", dagster_home / "dagster.yaml"
    )
    if (dagster_home / "prepared").exists():
        return None
    for half_made in ("history", "schedules"):
        shutil.rmtree(dagster_home / half_made, ignore_errors=True)
    preparing = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _PREPARE], env=_environ(os.environ, dagster_home), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    stack.callback(preparing.wait)
    stack.callback(preparing.kill)
    return preparing


def _wait_for(preparing: subprocess.Popen[str] | None, dagster_home: Path) -> None:
    if preparing is None:
        return
    _, said = preparing.communicate()
    if preparing.returncode:
        raise DevError(f"cannot create Dagster's storage in {dagster_home}:\n{said.strip()}")
    (dagster_home / "prepared").touch()


def _environ(base: Mapping[str, str], dagster_home: Path) -> dict[str, str]:
    kept = {name: value for name, value in base.items() if not name.startswith("DAGSTER_")}
    return kept | {"DAGSTER_HOME": str(dagster_home), "PYTHONUNBUFFERED": "1"}


def _start(made: Session, environ: Mapping[str, str], dagster_home: Path, stack: ExitStack) -> None:
    """Start the code server, the UI and the daemon at once; the other two find the code server when it is ready."""
    # A socket's path has about 100 characters at most, so it cannot lie in a folder that may be deep.
    sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stock-pipeline-")))
    code = sockets / "code.sock"
    workspace = dagster_home / "workspace.yaml"
    server = {"socket": str(code), "location_name": LOCATION}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML
    lifeline = Lifeline()
    stack.callback(lifeline.close)
    stack.callback(lambda: stop(made.services))
    address = made.url.removeprefix("http://").split(":")
    commands = {
        "code server": ["dagster", "code-server", "start", "-m", "stock_pipeline.definitions",
                        "--location-name", LOCATION, "--socket", str(code), "--log-level", "WARNING"],
        _WEBSERVER: ["dagster_webserver", "-w", str(workspace), "-h", address[0], "-p", address[1],
                     "--log-level", "warning", "--dagster-log-level", "warning", "--live-data-poll-rate", "2000"],
        "daemon": ["dagster._daemon", "run", "-w", str(workspace), "--log-level", "info"],
    }  # fmt: skip
    logs = LocalFolders(made.root).home / "logs"
    for name, arguments in commands.items():
        log = logs / f"{name.replace(' ', '-')}.log"
        made.services.append(
            spawn(name, arguments, environ=_environ(environ, dagster_home), log=log, cwd=made.root, lifeline=lifeline)
        )


def _wait_until_ready(made: Session) -> None:
    """Wait until the UI answers and the definitions are loaded."""
    deadline = time.monotonic() + _READY_WITHIN
    dagster = made.dagster
    problem = "the UI does not answer"
    while time.monotonic() < deadline:
        made.check()
        if dagster.answers():
            state = dagster.state()
            if state.loaded:
                return
            problem = f"its definitions do not load: {state.error or 'the code server does not answer'}"
        time.sleep(_POLL)
    raise DevError(
        f"Dagster was not ready within {_READY_WITHIN:.0f} s: {problem}; see {LocalFolders(made.root).home / 'logs'}"
    )
