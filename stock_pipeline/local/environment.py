"""What the local AWS runs on: the emulator's virtual environment and the packages of each Lambda function.

    python -m stock_pipeline.local      installs what is missing and says so

Each is installed once from a hash-pinned requirement file, and again when that file (or the Python version) changes.
The emulator pins its own botocore and runs the functions on its interpreter, so neither shares anything with the
environment of the project: a dependency that a function lacks is missed here as it would be in AWS.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local.folders import REQUIREMENTS, TEMPLATE, LocalFolders, default_root, exclusive

Report = Callable[[str], None]

_STAMP = ".installed-from"
_LOG_LINES = 15
# These would lead pip, or the interpreter that it installs for, somewhere else.
_NOT_FOR_PIP = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON"}


def ensure_environment(root: Path | None = None, on_progress: Report | None = None) -> LocalFolders:
    """Install under a root what is not there yet; returns its folders.

    Takes no time when all is there, else up to a minute; `on_progress` then gets a sentence first. Safe to call from
    several processes at once. Raises LocalAwsError with the end of pip's output when it fails.
    """
    folders = LocalFolders(root or default_root())
    if not REQUIREMENTS.is_file():
        raise LocalAwsError(f"the local AWS needs the source tree: {REQUIREMENTS} is not there; run from a clone")
    with exclusive(folders.install_lock):
        wanted = {dependencies_of(name, folders): _requirements_of(name) for name in functions()}
        wanted[folders.venv] = REQUIREMENTS
        missing = {folder: file for folder, file in wanted.items() if not _is_installed(folder, file)}
        if missing:
            if on_progress:
                on_progress(f"installing the local AWS into {folders.home} (once, up to a minute)")
            _install(missing, folders, set(wanted))
    return folders


def dependencies_of(function: str, folders: LocalFolders) -> Path:
    """The folder with the packages that a function imports; functions with the same requirements share it."""
    return folders.dependencies / _identity(_requirements_of(function))


def functions() -> list[str]:
    """The names of the Lambda functions: the folders beside the template that have a handler."""
    return sorted(handler.parent.name for handler in TEMPLATE.parent.glob("*/handler.py"))


def _requirements_of(function: str) -> Path:
    return TEMPLATE.parent / function / "requirements.txt"


def _install(missing: dict[Path, Path], folders: LocalFolders, wanted: set[Path]) -> None:
    """Install each folder from its requirement file; what no longer belongs to any function goes."""
    folders.dependencies.mkdir(parents=True, exist_ok=True)
    for stale in {*folders.dependencies.iterdir(), *missing} - (wanted - set(missing)):
        shutil.rmtree(stale, ignore_errors=True)
    if folders.venv in missing:
        _run([sys.executable, "-m", "venv", str(folders.venv)])

    def install(folder: Path) -> None:
        _pip(folders, missing[folder], *(() if folder == folders.venv else ("--target", str(folder))))
        (folder / _STAMP).write_text(_identity(missing[folder]))

    with ThreadPoolExecutor(len(missing)) as threads:
        list(threads.map(install, missing))


def _is_installed(folder: Path, requirements: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text() == _identity(requirements)


def _identity(requirements: Path) -> str:
    """What an installation is known by: its requirement file and the Python version it is for."""
    try:
        content = requirements.read_bytes()
    except OSError as error:
        raise LocalAwsError(f"cannot read {requirements} ({error.strerror}); is the source tree whole?") from error
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(content + version.encode()).hexdigest()[:16]


def _pip(folders: LocalFolders, requirements: Path, *options: str) -> None:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
    _run([str(folders.python), "-m", "pip", "install", *quiet, *options, "-r", str(requirements)])


def _run(command: Iterable[str]) -> None:
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_PIP}
    done = subprocess.run(  # noqa: S603 - both commands are this module's own
        [*command], env=environ, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-_LOG_LINES:])
        raise LocalAwsError(f"installing the local AWS failed; is the package index reachable?\n{said}")
