"""Run cases by number: `python -m stock_pipeline_tests.fuzz --cases 100000 --seed 1`, or one file with `--file`."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from pathlib import Path

from stock_pipeline_tests.fuzz.laws import check
from stock_pipeline_tests.fuzz.mutations import make_case

KINDS = ("daily", "ticks")
FOUND = Path(".local/fuzz")
TRIES = 3000  # to make a failing case smaller


def failure(kind: str, data: bytes, number: int = 0) -> str | None:
    """What is wrong with a case, in a line; None when all laws hold."""
    try:
        check(kind, data, number)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def smallest(kind: str, data: bytes, number: int) -> bytes:
    """A part of a failing case that fails in the same way (the same kind of error), as short as it is found."""
    error, size, tries = _kind_of(failure(kind, data, number)), max(len(data) // 2, 1), 0
    while size:
        at = 0
        while at < len(data) and tries < TRIES:
            shorter = data[:at] + data[at + size :]
            tries += 1
            if _kind_of(failure(kind, shorter, number)) == error:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _kind_of(error: str | None) -> str | None:
    return error and error.partition(":")[0]


def run(cases: int, seed: int, first: int = 0) -> int:
    """Run so many cases of each kind from a number on; returns the exit status."""
    started, outcomes = time.monotonic(), Counter[str]()
    for number in range(first, first + cases):
        for kind in KINDS:
            data = make_case(kind, seed, number)
            try:
                outcomes[f"{kind} {check(kind, data, number)}"] += 1
            except Exception as error:
                return _told(kind, data, seed, number, f"{type(error).__name__}: {error}")
        if (number + 1 - first) % 5000 == 0 or number + 1 == first + cases:
            done = number + 1 - first
            rate = 2 * done / (time.monotonic() - started)
            counts = ", ".join(f"{count:,} {name}" for name, count in sorted(outcomes.items()))
            print(f"{2 * done:,} of {2 * cases:,} cases, {rate:,.0f} a second: {counts}", flush=True)
    return 0


def _told(kind: str, data: bytes, seed: int, number: int, error: str) -> int:
    FOUND.mkdir(parents=True, exist_ok=True)
    small = smallest(kind, data, number)
    file = FOUND / f"{kind}-{hashlib.sha256(small).hexdigest()[:12]}"
    file.write_bytes(small)
    print(f"case {number} of seed {seed}, {kind}: {error}\n{len(small)} of its {len(data)} bytes: {small[:500]!r}")
    print(f"again: {sys.executable} -m stock_pipeline_tests.fuzz --seed {seed} --first {number} --cases 1")
    print(f"   or: {sys.executable} -m stock_pipeline_tests.fuzz --kind {kind} --file {file}")
    return 1


def main() -> int:
    arguments = argparse.ArgumentParser(prog="fuzz")
    arguments.add_argument("--cases", type=int, default=10_000, help="half of them CSV, half JSON lines")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--first", type=int, default=0, help="number of the first case")
    arguments.add_argument("--kind", choices=KINDS, default="daily")
    arguments.add_argument("--file", type=Path, help="check this file alone")
    given = arguments.parse_args()
    if given.file:
        error = failure(given.kind, given.file.read_bytes())
        print(error or "all laws hold")
        return int(error is not None)
    return run(max(given.cases // 2, 1), given.seed, given.first)


if __name__ == "__main__":
    sys.exit(main())
