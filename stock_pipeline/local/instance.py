"""Starts, finds, shares and stops the emulator of one root.

Three locks (see `folders.py`) hold the state. They stay right however a process ends:

- The emulator holds the instance lock exactly as long as it lives. So a stale file or a reused process id does no harm.
- All users share the users' lock. The emulator ends itself once it gets that lock alone, that is, when the last user
  has left or was killed.
- Starting, joining and leaving need the start lock, so only one of them happens at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stock_pipeline.deploy.stack import settings_of
from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local.emulator import spawn, wait_until_ready
from stock_pipeline.local.environment import ensure_environment
from stock_pipeline.local.folders import LocalFolders, default_root, exclusive, is_held, keep_private, locked, private
from stock_pipeline.local.gateway.files import finish_interrupted_writes
from stock_pipeline.local.stack import (
    REGION,
    client,
    deploy,
    give_buckets_their_names,
    new_key,
    parameters_of_environment,
)
from stock_pipeline.progress import Say

_STOP_WITHIN = 12.0  # seconds
_POLL = 0.02
_HOSTS_HERE = "127.0.0.1,localhost"


@dataclass
class LocalAws:
    """A running local AWS with the stack deployed to it.

    `endpoint` is its address, and `key` is its access key and secret key, new at each start: it answers nobody else.
    `env` has the environment variables by which boto3 and the settings find it. `ui` is the address of its Dagster UI,
    if there is one.
    """

    root: Path
    pid: int
    endpoint: str
    processor: str
    stage: str
    outputs: dict[str, str]
    key: str = field(repr=False)
    ui: str | None = None
    _users: int | None = field(default=None, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            # Nothing of the user's real AWS may get in: no profile, no role, no address of a service.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **settings_of(self.outputs),
        }

    def client(self, service: str) -> Any:
        """A boto3 client of this AWS, whatever the environment says."""
        return client(service, self.endpoint, self.key)

    def environ(self, base: Mapping[str, str] = os.environ) -> dict[str, str]:
        """A whole environment for a child process: `base`, with this AWS in place of any other."""
        kept = {name: value for name, value in base.items() if not name.startswith("AWS_")}
        for name in ("NO_PROXY", "no_proxy"):
            kept[name] = ",".join(filter(None, [kept.get(name), _HOSTS_HERE]))
        return kept | self.env

    def activate(self) -> None:
        """Make this process use this AWS: changes `os.environ` as `environ` does."""
        wanted = self.environ()
        for name in set(os.environ) - set(wanted):
            del os.environ[name]
        os.environ.update(wanted)

    def announce(self, ui: str) -> None:
        """Record the address of the Dagster UI for processes that find this instance."""
        self.ui = ui
        _write_state(self)

    def stop(self) -> None:
        """End the emulator and every process in it, even if others use it. Does nothing when it has ended already."""
        folders = LocalFolders(self.root)
        if self._is_alive():
            folders.state.unlink(missing_ok=True)  # first: later it might be the file of the next emulator
            _signal(os.kill, self.pid, signal.SIGTERM)
            if not _ends(folders):
                _signal(os.killpg, self.pid, signal.SIGKILL)
                _ends(folders)
        if self._process:
            self._process.wait(_STOP_WITHIN)
        self._let_go()

    def leave(self) -> None:
        """Stop using the emulator. The last user to leave stops it."""
        folders = LocalFolders(self.root)
        with exclusive(folders.start_lock):
            self._let_go()
            alone = locked(folders.users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if alone is not None:
                self.stop()
                os.close(alone)
            elif is_held(folders.users_lock):  # the emulator was faster: it is ending
                _ends(folders)

    def _is_alive(self) -> bool:
        if self._process:
            return self._process.poll() is None
        found = running(self.root)
        return found is not None and found.pid == self.pid

    def _let_go(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None


def running(root: Path | None = None) -> LocalAws | None:
    """The local AWS that runs for a root, or None. It may end at any time; `local_aws` keeps it alive while in use."""
    folders = LocalFolders(root or default_root())
    if not folders.state.is_file() or not is_held(folders.instance_lock):
        return None
    try:
        state: dict[str, Any] = json.loads(folders.state.read_text())
        return LocalAws(root=folders.root, **state)
    except (OSError, ValueError, TypeError):  # removed at this moment, or written by another version
        return None


def start(
    root: Path | None = None,
    *,
    processor: str = "dagster",
    stage: str = "local",
    parameters: Mapping[str, str] | None = None,
    installed: Path | None = None,
    enforce_iam: bool = False,
    on_progress: Say | None = None,
) -> LocalAws:
    """Start the local AWS of a root, deploy the stack to it and return it. End it with `stop()`.

    It also ends by itself once this process and all other users are gone. `processor` is who consumes arrivals (dagster
    or lambda). `parameters` are more parameters of the template; symbols and seed come from the environment's settings.
    `installed` is a root whose installed packages are used (by default the same one). With `enforce_iam`, a role may do
    only what its policies allow, as in AWS; `env` has the credentials of the account's owner.

    Raises LocalAwsError when one runs already, or, with the end of the log, when it does not become ready.
    """
    folders = LocalFolders(root or default_root())
    with exclusive(folders.start_lock):
        other = running(folders.root)
        if other:
            raise LocalAwsError(f"a local AWS runs for {folders.root} already ({other.endpoint}, process {other.pid}); "
                                "use that one, or stop it with Ctrl-C where it was started")  # fmt: skip
        tools = ensure_environment(installed or folders.root, on_progress)
        wanted = {"Processor": processor, **parameters_of_environment(), **(parameters or {})}
        return _launch(folders, tools, stage, wanted, enforce_iam)


@contextmanager
def local_aws(
    root: Path | None = None,
    *,
    processor: str | None = None,
    stage: str = "local",
    parameters: Mapping[str, str] | None = None,
    installed: Path | None = None,
    on_progress: Say | None = None,
) -> Iterator[LocalAws]:
    """The local AWS of a root for the length of a block: the one that runs, or a new one.

    A new one ends with its last user. One that `start` started goes on until `stop`. Raises LocalAwsError as `start`
    does, and when one runs with another processor than `processor`.
    """
    folders = LocalFolders(root or default_root())
    aws = _join(folders)
    if aws is None:
        try:
            aws = start(folders.root, processor=processor or "dagster", stage=stage, parameters=parameters,
                        installed=installed, on_progress=on_progress)  # fmt: skip
        except LocalAwsError:
            aws = _join(folders)  # another process started one at the same moment
            if aws is None:
                raise
    try:
        if processor and aws.processor != processor:
            raise LocalAwsError(f"the local AWS at {aws.endpoint} runs with the processor {aws.processor}, not "
                                f"{processor}; stop it with Ctrl-C where it was started")  # fmt: skip
        yield aws
    finally:
        aws.leave()


def _join(folders: LocalFolders) -> LocalAws | None:
    """Become a user of the running emulator, or return None if none runs. Waits for one that is ending."""
    if not folders.state.is_file():
        return None
    with exclusive(folders.start_lock):
        users = locked(folders.users_lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if users is None:  # the emulator holds it: it is ending
            _ends(folders)
            return None
        aws = running(folders.root)
        if aws is None:
            os.close(users)
            return None
        aws._users = users
        return aws


def _launch(
    folders: LocalFolders, tools: LocalFolders, stage: str, parameters: dict[str, str], enforce_iam: bool
) -> LocalAws:
    """Start the emulator and deploy to it. If that fails, nothing is left running. Needs the start lock."""
    if not _ends(folders):  # an emulator that was told to end may need some time
        raise LocalAwsError(f"a local AWS of {folders.root} runs, but its {folders.state.name} is gone; end the "
                            "programs that use it, and it ends as well")  # fmt: skip
    folders.state.unlink(missing_ok=True)
    shutil.rmtree(folders.temporary, ignore_errors=True)  # what functions left there when they were killed
    for folder in (folders.home, folders.objects, folders.temporary):
        keep_private(folder)
    finish_interrupted_writes(folders.objects)
    give_buckets_their_names(folders.objects)
    users = locked(folders.users_lock, fcntl.LOCK_SH)
    key = new_key()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        process = spawn(folders, tools, listening, port, key, enforce_iam=enforce_iam)
    aws = LocalAws(folders.root, process.pid, f"http://127.0.0.1:{port}", parameters["Processor"], stage, {}, key,
                   _users=users, _process=process)  # fmt: skip
    try:
        wait_until_ready(process, port, folders)
        aws.outputs = deploy(aws.endpoint, key, tools, stage=stage, parameters=parameters)
        _write_state(aws)
    except BaseException:
        _signal(os.killpg, process.pid, signal.SIGKILL)
        aws.stop()
        raise
    return aws


def _ends(folders: LocalFolders) -> bool:
    """Whether the emulator ends in time."""
    deadline = time.monotonic() + _STOP_WITHIN
    while is_held(folders.instance_lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True


def _signal(send: Any, target: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        send(target, number)


def _write_state(aws: LocalAws) -> None:
    """Write the state for other processes in one step, so that they read all of it or nothing."""
    path = LocalFolders(aws.root).state
    shown = ("pid", "endpoint", "processor", "stage", "outputs", "key", "ui")
    draft = path.with_suffix(".new")
    with private(draft) as file:
        file.write(json.dumps({name: getattr(aws, name) for name in shown}, indent=1).encode())
    draft.replace(path)
