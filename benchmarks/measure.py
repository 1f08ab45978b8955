"""Whole processes in interleaved rounds: their CPU, wall time and peak memory, and ratios pair by pair.

A machine's speed drifts, and others use it too. So the ways of one comparison take turns, round after round. A ratio
always compares two runs of the same round. The report has the median of the ratios, with the least and the greatest.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float]


class Failed(Exception):
    """A way did not do its work, or its result differs from the others'."""


@dataclass(frozen=True)
class Run:
    """One process from its start to its end: user and system CPU seconds with its children's, wall seconds, peak
    resident MB; `said` is the JSON object on the last line of its output, if there is one."""

    cpu: float
    wall: float
    peak_mb: float
    said: dict[str, Any]


@dataclass(frozen=True)
class Way:
    """One way of doing the work. `prepare` makes everything ready before each run, off the clock.

    `rounds` limits how often a slow way is run; None means as often as the others.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None
    rounds: int | None = None


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end. Raises Failed with the end of its output when it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{text[-3000:]}")
    return Run(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, _last_object(text))


def _last_object(text: str) -> dict[str, Any]:
    last = text.strip().rsplit("\n", 1)[-1]
    try:
        said = json.loads(last)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def interleaved(ways: Sequence[Way], rounds: int) -> dict[str, list[Run]]:
    """Run all ways in turn, round after round; each way's runs in the order of the rounds."""
    runs: dict[str, list[Run]] = {way.name: [] for way in ways}
    for number in range(rounds):
        # Every other round backwards, so that no way always runs after the same other one.
        for way in ways if number % 2 == 0 else list(reversed(ways)):
            if way.rounds is None or number < way.rounds:
                way.prepare()
                runs[way.name].append(run(way.command, way.env))
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return runs


@dataclass(frozen=True)
class Spread:
    """A median with the least and greatest of its values."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def shown(self, digits: int = 2) -> str:
        if self.least == self.greatest:
            return f"{self.median:,.{digits}f}"
        return f"{self.median:,.{digits}f} ({self.least:,.{digits}f}–{self.greatest:,.{digits}f})"


def ratios(runs: Sequence[Run], base: Sequence[Run], what: Callable[[Run], float]) -> Spread:
    """The ratios of two ways' runs of the same rounds."""
    return Spread.of([what(one) / what(other) for one, other in zip(runs, base, strict=False)])
