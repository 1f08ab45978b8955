"""Where the local AWS keeps things, and the locks that its processes agree by."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE
from stock_pipeline.errors import LocalAwsError
from stock_pipeline.settings import Settings

REQUIREMENTS = CHECKOUT / "requirements" / "local-aws.txt"


def default_root() -> Path:
    """The folder whose `.local` is used: STOCK_PIPELINE_HOME, else the source tree, else the current folder."""
    home = Settings.from_env().home
    if home:
        return Path(home).expanduser().resolve()
    return CHECKOUT if TEMPLATE.is_file() else Path.cwd()


@dataclass(frozen=True)
class LocalFolders:
    """The paths below one root."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / ".local"

    @property
    def venv(self) -> Path:
        """The emulator's virtual environment."""
        return self.home / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def dependencies(self) -> Path:
        """The packages that Lambda functions import, a folder for each distinct requirement file."""
        return self.home / "functions"

    @property
    def objects(self) -> Path:
        """The S3 objects: the one thing that lasts."""
        return self.home / "aws" / "s3"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def log(self) -> Path:
        """What the emulator and the functions in it print, since its last start."""
        return self.home / "aws.log"

    @property
    def state(self) -> Path:
        """What runs, for those who come later: written once the stack is deployed."""
        return self.home / "state.json"

    @property
    def start_lock(self) -> Path:
        """Held while somebody starts, joins or leaves the emulator, so that these follow one another."""
        return self.home / "start.lock"

    @property
    def instance_lock(self) -> Path:
        """Held by the emulator for as long as it lives; the kernel lets go of it however the process ends."""
        return self.home / "instance.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by everybody who uses the emulator. It waits for the exclusive lock, and ends when it has it."""
        return self.home / "users.lock"

    @property
    def install_lock(self) -> Path:
        return self.home / "install.lock"


def locked(path: Path, operation: int) -> int | None:
    """A descriptor that holds a lock on a file (`fcntl.LOCK_…`), or None if LOCK_NB is asked for and it is taken.

    Closing the descriptor gives the lock back, and so does any end of the process. Child processes do not inherit it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalAwsError(
            f"cannot write {path} ({error.strerror}); set STOCK_PIPELINE_HOME to a folder of yours"
        ) from error
    try:
        fcntl.flock(descriptor, operation)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file's lock alone for the length of the block, waiting for it as long as it takes."""
    descriptor = locked(path, fcntl.LOCK_EX)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether somebody holds a file's lock alone."""
    descriptor = locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
