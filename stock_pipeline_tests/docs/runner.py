"""Runs the steps of a page as a reader would: one shell after another in a fresh copy of the checkout.

The copy has no data, and shares with this checkout only what is installed: the virtual environment and what the local
AWS runs on. What a step exports and the folder that it changes into hold for the next.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from stock_pipeline_tests.docs.pages import ROOT, Step, commands_of, looks_like
from stock_pipeline_tests.support.local_aws import eventually

_INSTALLED = ("venv", "functions", "sam")  # in .local: what the local AWS, the functions and the deployment run on
_INTERRUPTED = (130, -signal.SIGINT)
_STEP_WITHIN = 240.0  # seconds
_READY_WITHIN = 180.0
_ENDS_WITHIN = 90.0
_DROPPED = ("AWS_", "STOCK_PIPELINE_", "DAGSTER_", "MAKE", "MFLAGS", "ARGS", "PYTEST_", "GIT_", "COV_")

_TRACEBACK = re.compile(r'Traceback \(most recent call last\):\s*\n\s+File "')
"""What Python prints. The first line alone is also a broken message of the made-up stream: `rejects list` shows it."""


class Failed(AssertionError):
    """A step did not do what its page says."""


class Reader:
    """Follows a page in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self._state, self._cwd = folder / "stock-pipeline", folder / "state", folder / "cwd"
        self._folder = folder
        self._background: list[tuple[Step, subprocess.Popen[bytes], Path]] = []
        self._output = ""
        _copy(self.checkout)
        self._state.touch()
        self._cwd.write_text(str(self.checkout))
        (folder / "home").mkdir()
        self._environ = {
            **{n: v for n, v in os.environ.items() if not n.startswith(_DROPPED)},
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.checkout),  # before the editable install of this checkout
            "PYTHONUNBUFFERED": "1",
            "HOME": str(folder / "home"),
            "NO_COLOR": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{f"GIT_{who}_{what}": "reader" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self._shell("git init --quiet && git add --all && git commit --quiet --message start")

    def follow(self, steps: Sequence[Step]) -> None:
        """Take the steps in order, and end what they have left running. Raises Failed."""
        try:
            for step in steps:
                self._take(step)
            for each in reversed(self._background):
                self._end(*each)
        finally:
            for _, process, _ in self._background:
                _kill(process)
            self._background.clear()

    def _take(self, step: Step) -> None:
        if step.kind == "background":
            self._start(step)
        elif step.kind == "output":
            if not looks_like(step.text, self._output):
                raise Failed(f"{step}\nThe page shows\n{step.text}\nand what came was\n{self._output}")
        elif step.kind == "apply":
            change = self._folder / "change.diff"
            change.write_text(step.text)
            self._run(step, f"git apply {shlex.quote(str(change))}")
        elif step.kind == "python":
            script = self._folder / "block.py"
            script.write_text(step.text)
            self._run(step, f"python {shlex.quote(str(script))}")
        elif step.seconds is not None:
            for command in commands_of(step.text):
                self._run(step, command, step.seconds)
        elif step.kind in {"run", "prepare"}:
            self._run(step, step.text, answer=step.answer)

    def _run(self, step: Step, text: str, seconds: float | None = None, answer: str = "") -> None:
        status, self._output = self._shell(text, seconds, answer)
        # One that was just about to end by itself is interrupted at its end, and its status says so.
        wanted = {step.status, *_INTERRUPTED} if seconds else {step.status}
        if status not in wanted or _TRACEBACK.search(self._output):
            raise Failed(f"{step}\nended with status {status}, not {step.status}:\n{text}\n{self._output}")

    def _popen(self, text: str, output: Path, answer: str = "") -> subprocess.Popen[bytes]:
        state, cwd = shlex.quote(str(self._state)), shlex.quote(str(self._cwd))
        script = (
            f'set -a; source {state}; cd "$(cat {cwd})"; set -euo pipefail\n'
            f"trap 'status=$?; export -p > {state}; pwd > {cwd}; exit $status' EXIT\n{text}\n"
        )
        typed = self._folder / "typed"
        typed.write_text(f"{answer}\n" if answer else "")
        with output.open("wb") as file, typed.open("rb") as keys:
            return subprocess.Popen(
                ["bash", "-c", script], env=self._environ, stdin=keys, stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip

    def _shell(self, text: str, seconds: float | None = None, answer: str = "") -> tuple[int, str]:
        output = self._folder / "output"
        process = self._popen(text, output, answer)
        try:
            if seconds:  # counted from the first thing that it says: how long it takes to start is the machine's affair
                eventually(lambda: output.stat().st_size or process.poll() is not None, within=_READY_WITHIN)
            process.wait(seconds or _STEP_WITHIN)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_ENDS_WITHIN)
            if not seconds:
                raise Failed(f"does not end:\n{text}\n{output.read_text()}") from None
        finally:
            _kill(process)
        return process.returncode, output.read_text(errors="replace")

    def _start(self, step: Step) -> None:
        output = self._folder / f"background-{len(self._background)}"
        process = self._popen(f"exec {step.text.strip()}", output)
        self._background.append((step, process, output))
        began = time.monotonic()
        eventually(
            lambda: step.until in output.read_text(errors="replace") or process.poll() is not None,
            within=_READY_WITHIN,
        )
        if step.until not in output.read_text(errors="replace"):
            raise Failed(
                f"{step}\nhas not said {step.until!r} for {time.monotonic() - began:.0f} s:\n{output.read_text()}"
            )

    def _end(self, step: Step, process: subprocess.Popen[bytes], output: Path) -> None:
        if process.poll() is not None:
            raise Failed(f"{step}\nended by itself, with status {process.returncode}:\n{output.read_text()}")
        os.killpg(process.pid, signal.SIGINT)
        try:
            status = process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            raise Failed(f"{step}\nis not ended by Ctrl-C:\n{output.read_text()}") from None
        # make does what it is told as well: it ends by the interrupt, once what it runs has ended
        if status and not (step.text.startswith("make ") and status == -signal.SIGINT):
            raise Failed(f"{step}\nends with status {status} on Ctrl-C:\n{output.read_text()}")


def _copy(checkout: Path) -> None:
    """Copy what git knows or would take; times are kept, so that make sees nothing as out of date."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    (checkout / ".local").mkdir()
    for name in _INSTALLED:
        if (ROOT / ".local" / name).exists():
            (checkout / ".local" / name).symlink_to(ROOT / ".local" / name)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
