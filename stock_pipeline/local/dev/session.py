"""One `dev` of a root: everything it runs, from start to end.

A lock file says whether a `dev` runs; the kernel frees the lock, however the process ends. A note beside it has the
address of the UI, for other commands.
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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stock_pipeline.errors import DevError
from stock_pipeline.extras import require
from stock_pipeline.local import LocalAws, LocalFolders, default_root, local_aws, running
from stock_pipeline.local.dev.alerts import Lines, with_alerts
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.local.dev.health import Trouble, Watch
from stock_pipeline.local.dev.instance_file import instance_file
from stock_pipeline.local.dev.processes import Lifeline, Service, stop
from stock_pipeline.local.dev.services import HOST, WEBSERVER, Services
from stock_pipeline.local.disk import shortage
from stock_pipeline.local.folders import is_held, keep_private, locked, private
from stock_pipeline.progress import Say
from stock_pipeline.settings import Settings, variable

PORT = 3000
_READY_WITHIN = 120.0  # seconds
_POLL = 0.1
_WATCH = 0.5
_TAKEN = "address already in use"

# If the three services create the storages of a new home at the same time, they break them for good.
_PREPARE = """import dagster
with dagster.DagsterInstance.get() as instance:
    instance.get_runs(limit=1)
    instance.all_instigator_state()
"""


@dataclass(frozen=True)
class Note:
    """The note that a running `dev` leaves for other commands."""

    pid: int
    url: str
    processor: str


@dataclass
class Session:
    """Everything that runs in this process's `dev`. `alerts` are the lines of its alerts that are not shown yet."""

    url: str
    root: Path
    settings: Settings
    alerts: Lines
    services: dict[str, Service] = field(default_factory=dict)
    aws: LocalAws | None = None
    processes: Services | None = None

    @property
    def dagster(self) -> Dagster:
        return Dagster(self.url)

    def check(self) -> None:
        """Raise DevError if a process has ended by itself (with the end of its log) or Dagster's home is gone."""
        for service in self.services.values():
            if service.ended:
                raise DevError(
                    f"the {service.name} ended by itself (status {service.process.returncode}); the end of "
                    f"{service.log}:\n{service.tail()}"
                )
        if self.processes and (missing := _missing(self.processes.home)):
            raise DevError(f"{missing} is gone, so Dagster can keep nothing more; the tables are not in it; start "
                           "`stock-pipeline dev` again, which makes a new one")  # fmt: skip
        if self.aws and not running(self.root):
            raise DevError(f"the local AWS ended by itself; see {LocalFolders(self.root).log}")

    def serve(self, report: Say) -> None:
        """Keep watch until interrupted.

        A process that lives but does not work is started again, and `report` says why. Raises DevError when that does
        not help, or when a process ends by itself.
        """
        watch, told = Watch(self.dagster), None
        while True:
            time.sleep(_WATCH)
            self.check()
            for line in self.alerts.new():
                report(f"alert: {line}")
            if not watch.due():
                continue
            trouble, full = watch.look(), shortage(LocalFolders(self.root).home)
            if full and not told:
                report(full)
            told = full
            if trouble and not full:  # without room, a new start would not help
                self._start_again(trouble, watch, report)

    def _start_again(self, trouble: Trouble, watch: Watch, report: Say) -> None:
        assert self.processes
        watch.restarted(trouble)
        report(f"starting the {trouble.service} again: {trouble.reason}")
        stop([self.services[trouble.service]])
        self.services[trouble.service] = self.processes.start(trouble.service, _port_of(self.url))


def found(root: Path | None = None) -> Note | None:
    """The `dev` that runs for a root, or None."""
    home = LocalFolders(root or default_root()).home
    if not is_held(home / "dev.lock"):
        return None
    try:
        return Note(**json.loads((home / "dev.json").read_text()))
    except (OSError, ValueError, TypeError):  # it is still starting
        return None


@contextmanager
def session(*, port: int | None, processor: str | None, report: Say) -> Iterator[Session]:
    """Start everything and give it to the block once the UI answers. At the end of the block, everything is stopped.

    It works on the AWS that the environment names, else on a local one. `processor` is who consumes arrivals (by
    default the setting). `report` gets sentences that say what `dev` waits for. Raises DevError when a `dev` runs
    already, when the port is taken and when a process does not start; ExtraMissing when the extra `local` is not
    installed; LocalAwsError and SettingsError as the local AWS and the settings do.
    """
    require("local", "`stock-pipeline dev`")
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
        environ = with_alerts(environ, home, _url(chosen))
        settings = Settings.from_env(environ)
        made = Session(_url(chosen), root, settings, Lines(Path(settings.require("alerts_file"))), aws=aws)
        # A socket's path has about 100 characters at most, so it cannot be in the home, whose path may be longer.
        sockets = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stock-pipeline-")))
        lifeline = Lifeline()
        stack.callback(lifeline.close)
        stack.callback(lambda: stop([*made.services.values()]))
        processes = Services(_environ(environ, dagster_home), dagster_home, root, sockets / "code.sock", lifeline)
        _start(made, processes, port)
        made.processes = processes
        note = Note(os.getpid(), made.url, made.settings.processor)
        with private(home / "dev.json") as file:
            file.write(json.dumps(asdict(note)).encode())
        if aws:
            aws.announce(made.url)
        yield made


def _only_one(home: Path, stack: ExitStack) -> None:
    lock = locked(home / "dev.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
    if lock is None:
        other = found(home.parent)
        where = f"at {other.url}, process {other.pid}" if other else "and is still starting"
        raise DevError(f"`stock-pipeline dev` runs already ({where}); use that one, or stop it with Ctrl-C there")
    stack.callback(os.close, lock)
    (home / "dev.json").unlink(missing_ok=True)
    stack.callback((home / "dev.json").unlink, missing_ok=True)


def _free_port(wanted: int | None) -> int:
    """The wanted port; without one, 3000 or a free port. Raises DevError when the wanted port is taken."""
    for port in (wanted,) if wanted else (PORT, 0):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)) as server:
            free: int = server.getsockname()[1]
            return free
    raise DevError(f"port {wanted} is taken; choose another one with --port, or leave out --port")


def _prepare(dagster_home: Path, stack: ExitStack) -> subprocess.Popen[str] | None:
    """Copy the instance's configuration, and start to create its storages if they are not there yet."""
    keep_private(dagster_home.parent)
    keep_private(dagster_home)
    (dagster_home / "dagster.yaml").write_text(instance_file({}))
    if (dagster_home / "prepared").exists():
        return None
    for half_made in ("history", "schedules"):
        shutil.rmtree(dagster_home / half_made, ignore_errors=True)
    preparing = subprocess.Popen(  # noqa: S603 - this interpreter
        [sys.executable, "-c", _PREPARE], env=_environ(os.environ, dagster_home), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        umask=0o077,
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


def _missing(dagster_home: Path) -> Path | None:
    """What is missing of Dagster's home: the folder itself, its settings or its storages."""
    parts = (dagster_home, dagster_home / "dagster.yaml", dagster_home / "history", dagster_home / "schedules")
    return next((part for part in parts if not part.exists()), None)


def _environ(base: Mapping[str, str], dagster_home: Path) -> dict[str, str]:
    kept = {name: value for name, value in base.items() if not name.startswith("DAGSTER_")}
    return kept | {"DAGSTER_HOME": str(dagster_home), "PYTHONUNBUFFERED": "1"}


def _start(made: Session, processes: Services, port: int | None) -> None:
    """Start Dagster and wait until the UI answers and the definitions are loaded.

    A free port may be taken by the time the UI opens it. The UI then gets another one, unless the user chose the port.
    """
    made.services = processes.start_all(_port_of(made.url))
    deadline = time.monotonic() + _READY_WITHIN
    while problem := _problem(made, processes):
        webserver = made.services[WEBSERVER]
        if port is None and webserver.ended and _TAKEN in webserver.tail():
            made.url = _url(_free_port(None))
            made.services[WEBSERVER] = processes.webserver(_port_of(made.url))
        made.check()
        if time.monotonic() > deadline:
            logs = LocalFolders(made.root).home / "logs"
            raise DevError(f"Dagster was not ready within {_READY_WITHIN:.0f} s: {problem}; see {logs}")
        time.sleep(_POLL)


def _problem(made: Session, processes: Services) -> str | None:
    """Why Dagster is not ready yet."""
    if not made.dagster.answers():
        return "the UI does not answer"
    try:
        state = made.dagster.state()
    except DevError as error:
        return str(error)
    if state.code_server != str(processes.code_socket):
        return f"another Dagster answers at {made.url}"  # our UI will find that its port is taken
    return None if state.loaded else f"its definitions do not load: {state.error or 'the code server does not answer'}"


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
