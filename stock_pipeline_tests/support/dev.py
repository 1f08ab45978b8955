"""`stock-pipeline dev` in its own folder, started as a person starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stock_pipeline.local import LocalFolders
from stock_pipeline_tests.support.local_aws import eventually, installed

__all__ = ["installed"]

COMMAND = Path(sys.executable).with_name("stock-pipeline")
Command = Callable[..., subprocess.CompletedProcess[str]]


class Background:
    """A command that runs until it is told to stop."""

    def __init__(self, arguments: list[str], environ: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(COMMAND), *arguments], env=environ, stdout=output, stderr=output, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def says(self, text: str, *, within: float = 120.0) -> bool:
        return eventually(lambda: text in self.output or self.process.poll() is not None, within=within) and (
            text in self.output
        )

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def new_home(tmp_path: Path, installed: Path) -> Callable[[str], Path]:
    """Makes an empty home that shares what the local AWS runs on with the source tree: nothing is installed again."""

    def make(name: str) -> Path:
        mine, theirs = LocalFolders(tmp_path / name), LocalFolders(installed)
        mine.home.mkdir(parents=True)
        mine.venv.symlink_to(theirs.venv)
        mine.dependencies.symlink_to(theirs.dependencies)
        return mine.root

    return make


@pytest.fixture
def home(new_home: Callable[[str], Path]) -> Path:
    return new_home("home")


@pytest.fixture
def environ(home: Path) -> dict[str, str]:
    return environ_of(home)


def environ_of(home: Path) -> dict[str, str]:
    """This environment without what says which AWS and which home to use, but for the one given."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "STOCK_PIPELINE_", "DAGSTER_"))}
    return {**kept, "STOCK_PIPELINE_HOME": str(home)}


@pytest.fixture
def command(environ: dict[str, str]) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(COMMAND), *arguments], env=environ, capture_output=True, text=True, timeout=500)

    return run


@pytest.fixture
def background(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Background]]:
    started: list[Background] = []

    def run(*arguments: str, home: Path | None = None) -> Background:
        chosen = environ_of(home) if home else environ
        started.append(Background(list(arguments), chosen, tmp_path / f"output-{len(started)}"))
        return started[-1]

    yield run
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)


def processes_of(home: Path) -> list[str]:
    """The command lines of all processes whose environment names a home."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if str(home).encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has ended, or is not ours
                continue
    return found
