"""Installs what the local AWS runs on: the emulator's virtual environment and the packages of each Lambda function.

    python -m stock_pipeline.local      installs what is missing and says so

Each is installed once from a hash-pinned requirement file, and again when that file (or the Python version) changes.
The emulator pins its own botocore and runs the functions on its interpreter. It shares nothing with the project's
environment. So a dependency that a function lacks is missing here, as it would be in AWS. The functions' packages are
pruned like those that are deployed to AWS.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from stock_pipeline.deploy.dependencies import HOST, folder_of, forget_stale, install, is_installed, run
from stock_pipeline.deploy.sources import functions, requirements_of
from stock_pipeline.errors import DeployError, LocalAwsError
from stock_pipeline.extras import require
from stock_pipeline.local.folders import REQUIREMENTS, LocalFolders, default_root, exclusive
from stock_pipeline.progress import Say

_STAMP = ".installed-from"


def ensure_environment(root: Path | None = None, on_progress: Say | None = None) -> LocalFolders:
    """Install under a root what is not there yet, and return its folders.

    It takes no time if everything is there, else up to a minute, and `on_progress` gets a sentence first. Safe to call
    from several processes at once. Raises ExtraMissing; LocalAwsError, with the end of pip's output, when it fails.
    """
    require("local", "the local AWS")
    folders = LocalFolders(root or default_root())
    if not REQUIREMENTS.is_file():
        raise LocalAwsError(f"the local AWS needs the source tree: {REQUIREMENTS} is not there; run from a clone")
    with exclusive(folders.install_lock):
        wanted = {dependencies_of(name, folders): requirements_of(name) for name in functions()}
        missing = {folder: file for folder, file in wanted.items() if not is_installed(folder)}
        has_emulator = _is_current(folders.venv)
        if missing or not has_emulator:
            if on_progress:
                on_progress(f"installing the local AWS into {folders.home} (once, up to a minute)")
            try:
                _install(folders, missing, has_emulator)
            except DeployError as error:
                raise LocalAwsError(f"the local AWS cannot run: {error}") from error
            forget_stale(folders.dependencies, HOST, set(wanted))
    return folders


def dependencies_of(function: str, folders: LocalFolders) -> Path:
    """The folder with the packages that a function imports. Functions with the same requirements share a folder."""
    return folders.dependencies / folder_of(requirements_of(function), HOST)


def _install(folders: LocalFolders, missing: dict[Path, Path], has_emulator: bool) -> None:
    if not has_emulator:
        shutil.rmtree(folders.venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(folders.venv)])
    work: list[Callable[[], None]] = [] if has_emulator else [partial(_install_emulator, folders)]
    work += [partial(install, file, HOST, folder, folders.python) for folder, file in missing.items()]
    with ThreadPoolExecutor(len(work)) as threads:
        for done in [threads.submit(each) for each in work]:
            done.result()


def _install_emulator(folders: LocalFolders) -> None:
    quiet = ("--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:")
    run([str(folders.python), "-m", "pip", "install", *quiet, "-r", str(REQUIREMENTS)])
    (folders.venv / _STAMP).write_text(_identity())


def _is_current(venv: Path) -> bool:
    stamp = venv / _STAMP
    return stamp.is_file() and stamp.read_text() == _identity()


def _identity() -> str:
    """A hash that identifies the emulator's environment: of its requirement file and the Python version."""
    return hashlib.sha256(REQUIREMENTS.read_bytes() + HOST.python.encode()).hexdigest()[:16]
