"""The paths of the local AWS, and the locks of its processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
        """The packages that Lambda functions import, with one folder for each distinct requirement file."""
        return self.home / "functions"

    @property
    def objects(self) -> Path:
        """The S3 objects. Only these stay when the local AWS ends."""
        return self.home / "aws" / "s3"

    @property
    def temporary(self) -> Path:
        return self.home / "tmp"

    @property
    def log(self) -> Path:
        """The output of the emulator and its functions since the last start."""
        return self.home / "aws.log"

    @property
    def state(self) -> Path:
        """The state of the running emulator, for other commands. Written once the stack is deployed."""
        return self.home / "state.json"

    @property
    def start_lock(self) -> Path:
        """Held while a process starts, joins or leaves the emulator, so that only one does so at a time."""
        return self.home / "start.lock"

    @property
    def instance_lock(self) -> Path:
        """Held by the emulator while it lives. The kernel frees the lock, however the process ends."""
        return self.home / "instance.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by all users of the emulator. The emulator waits for the exclusive lock, and ends when it has it."""
        return self.home / "users.lock"

    @property
    def install_lock(self) -> Path:
        return self.home / "install.lock"


def locked(path: Path, operation: int) -> int | None:
    """A descriptor that holds a lock on a file (`fcntl.LOCK_…`), or None if LOCK_NB is given and the lock is taken.

    Closing the descriptor frees the lock, and so does the end of the process. Child processes do not inherit it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LocalAwsError(
            f"cannot write {path} ({error.strerror}); set STOCK_PIPELINE_HOME to a folder that you can write to"
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


def private(path: Path) -> BinaryIO:
    """A new, empty file that only this user can read, in place of the one that may be there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def keep_private(folder: Path) -> None:
    """Make a folder, and let only this user into it. The files in it may be older than this rule.

    Raises LocalAwsError when the folder cannot be made, or belongs to somebody else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise LocalAwsError(
            f"cannot keep {folder} private ({error.strerror}); set STOCK_PIPELINE_HOME to a folder of your own"
        ) from error


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a file's exclusive lock for the length of the block. Waits for the lock as long as it takes."""
    descriptor = locked(path, fcntl.LOCK_EX)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds a file's exclusive lock."""
    descriptor = locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False
