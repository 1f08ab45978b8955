"""A seed's schedule: its input, its workers, its rate of faults. The same seed always runs the same way."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from stock_pipeline.lake.layout import Layout
from stock_pipeline_tests.faults.cast import Cast
from stock_pipeline_tests.faults.hub import Stuck
from stock_pipeline_tests.faults.inputs import (
    AWKWARD,
    Source,
    daily_source,
    restatement,
    tick_source,
    twin,
    with_other_prices,
)
from stock_pipeline_tests.faults.ledger import LAYOUT, REJECTS
from stock_pipeline_tests.faults.verdict import judge_tables, rejected_rows
from stock_pipeline_tests.faults.wire import POSSIBLE, Fault
from stock_pipeline_tests.faults.world import World

RATES = (0.0, 0.05, 0.15, 0.3)
"""The share of reads that meet a fault; a schedule has one. Of writes twice as many do."""

HURRIES = (0.1, 0.1, 2, 30)
"""Within so many seconds of each other objects and their notifications come: at once, or one after the other."""

LENGTHS, SHARDS = (1, 5, 60, 720), (1, 1, 2, 3)
"""The minutes and the shards of the layouts that somebody chooses."""


@dataclass
class Outcome:
    """What a schedule came to."""

    seed: int
    problems: list[str] = field(default_factory=list)
    faults: Counter[Fault] = field(default_factory=Counter)
    crashes: int = 0
    ingests: int = 0
    requests: int = 0
    redelivered: int = 0
    trace: list[str] = field(default_factory=list)


def run(seed: int) -> Outcome:
    """Run the schedule of a seed and judge it."""
    choose, cast = random.Random(seed), Cast.of(seed)
    world = World(choose, once=not cast.restates, greed=choose.choice((1, 1, 3, 6)))
    rate, budget = choose.choice(RATES), choose.randint(20, 160 if cast.restates else 120)

    def pick(number: int, operation: str, key: str) -> Fault | None:
        if number >= budget:
            world.calm()
            return None
        if world.restating(operation, key) and choose.random() < 0.7:
            world.let_restate(key)
            return None
        if rate and world.overtakable(operation, key) and choose.random() < 0.5:
            return Fault.SLOW
        if choose.random() >= rate * (2 if operation == "put" else 1):
            return None
        # What only sending again would mend in one try is less telling than what the pipeline itself must bear.
        return choose.choice((*sorted(POSSIBLE[operation]), Fault.OUTAGE, Fault.OUTAGE, Fault.SLOW, Fault.SLOW))

    world.log.pick = pick
    if cast.daily:
        _daily(world, choose, restated=cast.restates)
    if cast.ticks:
        _ticks(world, choose)
    _operators(world, choose, cast)
    if cast.ticks:
        _layouts(world, choose, changes=cast.lays_out)
    if cast.litters:
        world.act("litterer", partial(world.litter, choose.randint(1, 4)))
    if cast.damages:
        world.act("damage", partial(world.damage, choose.randint(1, 3)))
    world.keep("reader", world.read)
    small = choose.choice(({}, {"GROUP_BYTES": 300, "GROUP_ROWS": 3, "ALONE": 120}))
    outcome = Outcome(seed)
    try:
        with world.installed(**small):
            _to_the_end(world, choose)
    except (Stuck, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        world.ledger.problem(f"{type(error).__name__}: {error}")
    finally:
        world.hub.close()
    outcome.problems = world.ledger.problems
    outcome.faults, outcome.trace = world.log.faults, world.log.trace
    outcome.crashes, outcome.ingests = world.crashes, world.ingests
    outcome.requests = len(world.log.requests)
    outcome.redelivered = world.batch.redelivered + world.stream.redelivered
    return outcome


def _daily(world: World, choose: random.Random, *, restated: bool) -> None:
    names = [f"daily_prices/uploads/{name}.csv" for name in choose.sample(AWKWARD, choose.randint(1, 3))]
    sources = [daily_source(choose, name, choose.randint(1, 5)) for name in names]
    _rewrite(world, choose, 0.8, [daily_source(choose, name, choose.randint(1, 5)) for name in names])
    for number in range(choose.choice((1, 2, 2)) if restated else 0):
        key = f"daily_prices/uploads/restated{number or ''}.csv"
        world.ledger.restated.add(key)
        other = daily_source(choose, key, choose.randint(3, 6))
        made = restatement(choose, key, sources[0]) if choose.random() < 0.7 else other
        sources.insert(choose.randint(1, len(sources)), made)
        world.act(f"restater{number}", partial(_restating, world, key))
    world.act("vendor", lambda: world.drop(sources, patience=choose.choice(HURRIES)))
    for number in range(choose.choice((1, 2, 4, 4))):
        world.keep(f"batch{number}", world.serve_batch)
    if choose.random() < 0.2:
        world.batch.send('{"Records": "no event"}')


def _operators(world: World, choose: random.Random, cast: Cast) -> None:
    """People and jobs at work on the same tables: a rebuild, a restore, a reconcile."""
    if cast.rebuilds:
        year = choose.choice((2023, 2024))
        world.act("operator", lambda: _once(world, "rebuild", lambda: world.rebuild(year)))
    if cast.reconciles:
        world.act("job", lambda: _once(world, "reconcile", world.reconcile))
    if cast.restores:
        world.ledger.restored = True
        world.act("restorer", lambda: _once(world, "restore", lambda: world.restore(by_hand=cast.by_hand)))


def _once(world: World, name: str, work: Callable[[], object]) -> None:
    """Do something once, by a worker that may be killed and then begins anew, and wait for its end."""
    done: list[bool] = []

    def all_of_it() -> None:
        work()
        done.append(True)

    world.keep(name, all_of_it)
    world.hub.pause(until=lambda: bool(done))


def _restating(world: World, key: str) -> None:
    _once(world, "restatement", lambda: world.restate(key))


def _ticks(world: World, choose: random.Random) -> None:
    names = [f"stock_stream/2024/06/03/14/{name}" for name in choose.sample(AWKWARD, choose.randint(2, 4))]
    sources = [tick_source(choose, name, choose.randint(1, 5), n) for n, name in enumerate(names)]
    if choose.random() < 0.5:
        sources[-1] = twin(max(sources[:-1], key=lambda source: source.without_id), names[-1])
    again = [tick_source(choose, name, 3, n + 10) for n, name in enumerate(names)]
    again = [with_other_prices(s) if choose.random() < 0.5 else other for s, other in zip(sources, again, strict=True)]
    _rewrite(world, choose, 0.4, again)
    world.act("firehose", lambda: world.drop(sources, patience=choose.choice(HURRIES)))
    for number in range(choose.choice((1, 2, 4, 4))):
        world.keep(f"stream{number}", world.serve_stream)
    if choose.random() < 0.2:
        world.stream.send("no event")


def _layouts(world: World, choose: random.Random, *, changes: bool) -> None:
    """Begin with some layout or with none, and let somebody change it for the days of the ticks."""
    if choose.random() < 0.5:
        first = Layout.of(choose.choice(LENGTHS), choose.choice(SHARDS))
        world.ledger.lake.put(LAYOUT, first.to_json())
    if changes:
        sections = [(choose.choice(LENGTHS), choose.choice(SHARDS)) for _ in range(choose.randint(1, 5))]
        world.act("operator", partial(world.relay, sections))


def _rewrite(world: World, choose: random.Random, share: float, again: list[Source]) -> None:
    """Let some objects come a second time under their key, with other content."""
    for source in again:
        if choose.random() < share:
            world.rewritten.add(source.key)
            world.act("rewriter", partial(world.rewrite, source))


def _to_the_end(world: World, choose: random.Random) -> None:
    world.run()
    world.calm()
    _again(world, redrive=True)
    if world.ledger.restored:
        world.keep("reconcile", partial(world.until_done, world.repair))
        world.run()
    judge_tables(world.ledger, once=world.once)
    for queue in (world.batch, world.stream):
        for message in queue.dead:
            if "no event" not in message.body:
                world.ledger.problem(f"a message ends in the dead letters: {message.body}")
    if choose.random() < 0.25 and not world.ledger.restored:
        commits = world.ledger.commits.copy()
        told = rejected_rows(world.ledger)
        world.lake.bucket = "copied-lake"  # as if all of it had been copied, and everything came once more
        _again(world, redrive=False)
        # What the lake remembers of a version may be written only now, into a record that has no rows.
        changed = [key for key in world.ledger.commits - commits if not key.startswith(REJECTS)]
        changed += [key for key, rows in rejected_rows(world.ledger).items() if rows != told.get(key, [])]
        if world.once and changed:
            world.ledger.problem(f"delivering everything once more changed {changed}")
        judge_tables(world.ledger, once=world.once)


def _again(world: World, *, redrive: bool) -> None:
    """Without faults: give dead letters another time, or everything."""
    if redrive and not (world.batch.dead or world.stream.dead):
        return
    world.batch.redrive()
    world.stream.redrive()
    if not redrive:
        for info in list(world.ledger.staging.versions("")):
            world.notify(info)
    world.keep("batch", world.serve_batch)
    world.keep("stream", world.serve_stream)
    world.run()
