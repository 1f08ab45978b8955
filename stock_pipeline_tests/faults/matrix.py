"""Every request of each kind of ingest × every fault that it can meet; then pairs of faults.

An ingest is first run without faults, to learn its requests. Then it is run again for each request and each fault. A
call that failed or was killed is made again, as in production. Whatever happened, the tables must be right in the end.

In pairs, one fault stands for all faults that are the same for the pipeline. Faults that the client repairs by itself
(`RESET`, the statuses, `SLOW`) are tested alone only. `OUTAGE` stands for a cut-off reply or an outage of a read, 412
for 409, and a kill before the next request for a kill after a read.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta

from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline_tests.faults import handlers, http
from stock_pipeline_tests.faults.campaign import one_cpu
from stock_pipeline_tests.faults.hub import Stuck
from stock_pipeline_tests.faults.inputs import HEADER, OPEN, Record, Source, message
from stock_pipeline_tests.faults.verdict import judge_tables
from stock_pipeline_tests.faults.wire import POSSIBLE, Fault, WireStore
from stock_pipeline_tests.faults.world import Connect, World

Plan = Mapping[int, Fault]
"""The fault that a request meets, by its number since the ingest began."""

MOST_PAIRS = 600
"""At most so many pairs of a scenario are run, evenly spread."""

_OF_PAIRS = {
    "get": (Fault.OUTAGE, Fault.CRASH),
    "list": (Fault.OUTAGE, Fault.STALE_LIST),
    "put": (Fault.OUTAGE, Fault.OUTAGE_AFTER, Fault.REPLY_LOST, Fault.PRECONDITION, Fault.CRASH, Fault.CRASH_AFTER),
}


@dataclass(frozen=True)
class Run:
    """What a plan came to: the requests of the ingest, the faults that happened, and what was wrong then."""

    requests: list[str]
    met: list[Fault]
    problems: list[str]


def _daily(name: str, *rows: tuple[str, date, float]) -> Source:
    """A file of closing prices; its last line is a price that is no number."""
    records = [
        Record(line, f"{symbol},{day},,,,{close},", (symbol, day), (None, None, None, close, None, None))
        for line, (symbol, day, close) in enumerate(rows, 2)
    ]
    records.append(Record(len(rows) + 2, "BAD,2024-01-02,,,,x,", reason="bad_number"))
    key = f"daily_prices/uploads/{name}.csv"
    return Source(key, "\n".join([HEADER, *(r.text for r in records), ""]).encode(), tuple(records))


def _ticks(name: str, *rows: tuple[str | None, str, float, int]) -> Source:
    """An object of ticks, each some minutes after two minutes before a bucket begins; its first line is broken."""
    records = [Record(1, "{broken", reason="malformed_json")]
    for line, (event, symbol, price, minute) in enumerate(rows, 2):
        at = OPEN + timedelta(minutes=minute)
        text = message(event, symbol, price, None, at)
        records.append(Record(line, text, (symbol, event) if event else None, (symbol, price, None, at)))
    return Source(
        f"stock_stream/2024/06/03/14/{name}", "".join(r.text + "\n" for r in records).encode(), tuple(records)
    )


_LATE, _EARLY = date(2024, 1, 2), date(2023, 12, 29)
_FULL = _daily("full", ("AAPL", _LATE, 1.5), ("BRK.B", _LATE, 3.5), ("AAPL", _EARLY, 1.0))
_OTHER = _daily("a b+c", ("AAPL", _LATE, 2.5), ("BRK.B", _LATE, 3.5), ("NA", _LATE, 4.5), ("NA", _EARLY, 4.0))
_LOST = _daily("lost", ("NA", _LATE, 9.5), ("C", _LATE, 5.5), ("C", _EARLY, 5.0))
_FIRST = _ticks("first", ("e1", "AAPL", 10.5, 0), ("e2", "NA", 20.5, 3), (None, "NA", 21.5, 1))
_SECOND = _ticks(
    "ü 2", ("e1", "AAPL", 11.5, 0), ("e3", "AAPL", 12.5, 4), (None, "NA", 22.5, 1), ("e3", "AAPL", 12.5, 4)
)


def _deliver(source: Source) -> Callable[[World], None]:
    def begin(world: World) -> None:
        info = world.ledger.stage(source)
        world.keep("batch", world.serve_batch)
        world.keep("stream", world.serve_stream)
        world.notify(info)

    return begin


def _restate(world: World) -> None:
    world.ledger.stage(_OTHER)
    world.ledger.restated.add(_OTHER.key)
    world.once = False
    world.keep("restatement", lambda: world.restate(_OTHER.key, others=False))


def _rebuild(world: World) -> None:
    """A rebuild that takes in an object whose event was lost."""
    world.ledger.stage(_LOST)
    world.ledger.rebuilt = True

    def until_it_is_listed() -> None:
        while _LOST.key not in {r.source for r in rebuild_year(2024, staging=world.staging, lake=world.lake)}:
            pass  # a person sees in the receipts that a file is not among them

    def rebuild() -> None:
        world.until_done(until_it_is_listed)

    world.keep("rebuild", rebuild)


SCENARIOS: dict[str, tuple[tuple[Source, ...], Callable[[World], None]]] = {
    "daily prices into an empty lake": ((), _deliver(_FULL)),
    "daily prices over others": ((_FULL,), _deliver(_OTHER)),
    "a restatement": ((_FULL,), _restate),
    "ticks into an empty lake": ((), _deliver(_FIRST)),
    "ticks over others": ((_FIRST,), _deliver(_SECOND)),
    "a year rebuilt": ((_FULL, _OTHER), _rebuild),
}
"""What is ingested already, and the ingest that meets the faults."""

CONNECTIONS: dict[str, Connect] = {"in memory": WireStore, "S3Store": http.connect}


def run(scenario: str, plan: Plan, connect: Connect = WireStore) -> Run:
    """Run a scenario with the faults of a plan, and judge what is there in the end."""
    before, begin = SCENARIOS[scenario]
    world = World(random.Random(1), careful=True, connect=connect)
    met: list[Fault] = []
    start = 0
    with ExitStack() as stack:
        stack.callback(world.hub.close)
        stack.enter_context(world.installed())
        stack.enter_context(handlers.patched(http.waiting(world.hub)))
        for source in before:
            _deliver(source)(world)
            world.run()
        start = len(world.log.requests)

        def pick(number: int, operation: str, key: str) -> Fault | None:
            fault = plan.get(number - start)
            if fault is None or fault not in POSSIBLE[operation]:
                return None
            met.append(fault)
            return fault

        world.log.pick = pick
        try:
            begin(world)
            world.run()
        except Stuck as error:
            world.ledger.problem(str(error))
        judge_tables(world.ledger, once=world.once)
        dead = world.batch.dead + world.stream.dead
        problems = [*world.ledger.problems, *(f"dead letter: {message.body}" for message in dead)]
    return Run([operation for operation, _ in world.log.requests[start:]], met, problems)


def singles(scenario: str) -> Iterator[Plan]:
    """A plan for every request and every fault that it can meet."""
    for number, operation in enumerate(run(scenario, {}).requests):
        for fault in sorted(POSSIBLE[operation]):
            yield {number: fault}


def pairs(scenario: str) -> Iterator[Plan]:
    """A plan for every two requests and two faults: the second among the requests that follow upon the first."""
    for number, operation in enumerate(run(scenario, {}).requests):
        for fault in _OF_PAIRS[operation]:
            for then, next_operation in enumerate(run(scenario, {number: fault}).requests):
                if then > number:
                    yield from ({number: fault, then: other} for other in _OF_PAIRS[next_operation])


def run_pairs(processes: int) -> int:
    """Run all pairs of all scenarios, print what they came to, and return how many went wrong."""
    started = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(processes, one_cpu) as pool:
        wrong = 0
        for scenario, done, bad in pool.imap_unordered(_pairs_of, SCENARIOS, chunksize=1):
            wrong += len(bad)
            print(f"  {done:6,} pairs of faults in {scenario}: {len(bad)} violations", flush=True)
            for plan, problem in bad[:3]:
                print(f"    {plan}: {problem}", flush=True)
    print(f"pairs of faults: {wrong} violations, in {time.monotonic() - started:.0f} s", flush=True)
    return wrong


def _pairs_of(scenario: str) -> tuple[str, int, list[tuple[Plan, str]]]:
    """All pairs of a scenario. A rebuild makes so many requests that only some of its pairs are run."""
    done, bad = 0, []
    plans = list(pairs(scenario))
    for plan in plans[:: -(-len(plans) // MOST_PAIRS)]:
        done += 1
        if problems := run(scenario, plan).problems:
            bad.append((plan, problems[0]))
    return scenario, done, bad
