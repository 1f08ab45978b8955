"""Runs many schedules in several processes, with their progress and their sum; or one schedule again."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from stock_pipeline_tests.faults.schedules import Outcome, run
from stock_pipeline_tests.faults.wire import Fault

PROCESSES = 2
SHOWN = 5
"""So many failing schedules are printed; the others are counted."""


def replay_command(seed: int) -> str:
    return f".venv/bin/python -m stock_pipeline_tests.faults --replay {seed}"


def outcomes(first: int, schedules: int, processes: int) -> Iterator[Outcome]:
    """The outcomes of so many seeds from the first on, in their order."""
    seeds = range(first, first + schedules)
    if processes == 1:
        yield from map(_without_trace, seeds)
        return
    # Started anew, not forked: Arrow's threads do not outlive a fork.
    with multiprocessing.get_context("spawn").Pool(processes, one_cpu) as pool:
        yield from pool.imap(_without_trace, seeds, chunksize=20)


def summary(done: list[Outcome]) -> str:
    """What schedules met and came to, in a few lines."""
    faults: Counter[Fault] = sum((outcome.faults for outcome in done), Counter())
    bad = sum(bool(outcome.problems) for outcome in done)
    lines = [
        f"{len(done):,} schedules: {sum(o.ingests for o in done):,} ingests, "
        f"{sum(o.requests for o in done):,} requests, {sum(o.redelivered for o in done):,} redeliveries, "
        f"{faults.total():,} faults, "
        f"{sum(o.crashes for o in done):,} workers killed, {bad} schedules with violations",
        *(f"  {count:7,}  {fault}" for fault, count in sorted(faults.items(), key=lambda item: -item[1])),
    ]
    return "\n".join(lines)


def run_schedules(first: int, schedules: int, processes: int) -> int:
    """Run and print; returns how many schedules had violations."""
    started, done, bad = time.monotonic(), list[Outcome](), 0
    for outcome in outcomes(first, schedules, processes):
        done.append(outcome)
        if outcome.problems:
            bad += 1
            if bad <= SHOWN:
                print(f"\nseed {outcome.seed}: {len(outcome.problems)} violations, first: {outcome.problems[0]}")
                print(f"  replay: {replay_command(outcome.seed)}", flush=True)
        if sys.stdout.isatty() or len(done) % 500 == 0:
            print(f"{len(done):,} of {schedules:,} schedules, {bad} with violations", end=_end(), flush=True)
    print(f"\n{summary(done)}\n  in {time.monotonic() - started:.0f} s", flush=True)
    return bad


def replay(seed: int) -> int:
    outcome = run(seed)
    print(*outcome.trace, sep="\n")
    print(*(f"VIOLATION {problem}" for problem in outcome.problems), sep="\n")
    print(summary([outcome]))
    return len(outcome.problems)


def _without_trace(seed: int) -> Outcome:
    try:
        outcome = run(seed)
    except Exception as error:  # the others go on, and this one is named
        return Outcome(seed, [f"it raised {error!r}"])
    outcome.trace.clear()
    return outcome


def one_cpu() -> None:
    """Arrow's threads cost more than they save on a few rows."""
    pa.set_cpu_count(1)


def _end() -> str:
    return "\r" if sys.stdout.isatty() else "\n"
