"""Tasks for the tests of the executors, and a rebuild whose process dies. Processes of a pool import them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.heavy import rebuild as heavy
from stock_pipeline.heavy.rebuild import Year, YearDone
from stock_pipeline.maintenance import rebuild as maintenance
from stock_pipeline.progress import Progress

DIE_AT = "STOCK_PIPELINE_TESTS_DIE_AT"
"""An environment variable: `moment:folder`. A process dies at this moment of each year, once; the folder says when."""


def double(argument: int, on_progress: Progress | None) -> int:
    if on_progress:
        on_progress(argument, 10)
    return 2 * argument


def where(argument: Any, on_progress: Progress | None) -> tuple[int, int, bool]:
    """The process, its threads for computing, and whether Ctrl-C reaches it."""
    blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())
    return os.getpid(), pa.cpu_count(), not blocked


def allocator(argument: Any, on_progress: Progress | None) -> tuple[str, str]:
    """What the process takes memory by, and how many arenas it may have."""
    return pa.default_memory_pool().backend_name, os.environ["MALLOC_ARENA_MAX"]


def missing(argument: str, on_progress: Progress | None) -> None:
    raise ObjectNotFound(argument, f"{argument} is not there")


def wrong(argument: str, on_progress: Progress | None) -> None:
    raise ZeroDivisionError(argument)


def die_until(argument: tuple[str, int], on_progress: Progress | None) -> int:
    """Die at the first so many tries."""
    folder, deaths = argument
    return _die(Path(folder), deaths)


def sleep(argument: str, on_progress: Progress | None) -> None:
    """Say which process this is, and do nothing for long."""
    Path(argument, str(os.getpid())).touch()
    time.sleep(600)


def dying_rebuild(argument: Year, on_progress: Progress | None) -> YearDone | None:
    """The task of a year, whose process dies once: before its commit, after it, or after the records are right."""
    moment, _, folder = os.environ[DIE_AT].partition(":")
    mine = Path(folder, str(argument.year))
    mine.mkdir(exist_ok=True)
    done, swap, correct = heavy.swap_in, maintenance.swap, maintenance.correct_records
    with pytest.MonkeyPatch.context() as patch:
        if moment == "commit":
            patch.setattr(maintenance, "swap", lambda *a: (_die(mine, 1), swap(*a))[1])
        elif moment == "records":
            patch.setattr(maintenance, "correct_records", lambda *a: (_die(mine, 1), correct(*a)))
        else:
            patch.setattr(heavy, "swap_in", lambda *a, **k: (done(*a, **k), _die(mine, 1))[0])
        return heavy.rebuild(argument, on_progress)


def _die(folder: Path, deaths: int) -> int:
    """Die unless this process's forerunners have died so many times. Returns their number."""
    before = len(list(folder.iterdir()))
    if before < deaths:
        Path(folder, str(before)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return before
