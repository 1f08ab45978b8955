"""Dagster killed in a tick, in a run and as a whole, on SQLite and on PostgreSQL: nothing is lost, and the result is
the same.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import TickStatus

from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline_tests.crashes.daemon import Daemon
from stock_pipeline_tests.crashes.drops import Drops
from stock_pipeline_tests.crashes.gate import Gate
from stock_pipeline_tests.support.amounts import Amounts
from stock_pipeline_tests.support.local_aws import NewStack, Stack
from stock_pipeline_tests.support.postgres import postgres

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1200)]

BATCH = "daily_price_arrivals"
HIDDEN = 5  # seconds
PATIENCE = 500.0  # seconds: several processes start one after the other, and failed runs wait before their next try
LISTING = "prefix=daily_prices"
OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
FINISHED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


def soon(question: Callable[[], bool]) -> bool:
    """Whether the answer becomes yes; asked seldom, as each question costs the processes that it is about."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return answer


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    return new_stack("dagster", hidden=HIDDEN)


@pytest.fixture
def gate(stack: Stack) -> Iterator[Gate]:
    with Gate(stack.aws.endpoint) as gate:
        yield gate


@pytest.fixture(params=["sqlite", "postgres"])
def daemon(request: pytest.FixtureRequest, stack: Stack, gate: Gate, tmp_path: Path) -> Iterator[Daemon]:
    environ = {**stack.aws.environ(), "AWS_ENDPOINT_URL": gate.url, "STOCK_PIPELINE_HOME": str(tmp_path)}
    environ = {name: value for name, value in environ.items() if not name.startswith("DAGSTER_")}
    if request.param == "sqlite":
        yield from running(Daemon(tmp_path / "dagster", environ, None))
        return
    # A socket's path has about 100 characters at most, and its user must be able to enter every folder above it.
    folder = Path(tempfile.mkdtemp(prefix="stock-pipeline-"))
    try:
        with postgres(folder) as storage:
            yield from running(Daemon(tmp_path / "dagster", environ, storage))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def running(daemon: Daemon) -> Iterator[Daemon]:
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


def runs(daemon: Daemon, job: str, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    return list(daemon.instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(statuses) or None)))


def succeeded(daemon: Daemon) -> list[dg.DagsterRun]:
    return runs(daemon, "ingest_daily_prices", dg.DagsterRunStatus.SUCCESS)


def the_started_run(daemon: Daemon, job: str) -> str:
    (run,) = runs(daemon, job, dg.DagsterRunStatus.STARTED)
    return run.run_id


def test_a_dagster_that_dies_anywhere_ends_with_the_same_tables(
    daemon: Daemon, gate: Gate, stack: Stack, amounts: Amounts, capsys: pytest.CaptureFixture[str]
) -> None:
    drops = Drops(stack)
    a_daemon_killed_in_a_tick(daemon, gate, drops)
    a_tick_that_times_out(daemon, gate, drops)
    runs_killed_in_mid_merge(daemon, gate, drops)
    all_killed_at_once_in_mid_merge(daemon, gate, drops)
    for kill in range(amounts.daemon_kills):
        a_random_kill(daemon, drops, random.Random(amounts.seed + kill))

    def settled() -> bool:
        unfinished = [run for run in runs(daemon, "ingest_daily_prices") + runs(daemon, "ingest_ticks")
                      if run.status not in FINISHED]  # fmt: skip
        return not unfinished and not drops.held("StreamQueueUrl") and drops.stored_bars() == drops.bars

    assert soon(settled), daemon.tail()
    assert drops.stored_bars() == drops.bars
    assert drops.stored_ticks() == drops.ticks
    assert drops.snapshot() == drops.latest()
    assert drops.held("StreamDlqUrl") == 0
    with capsys.disabled():
        every = runs(daemon, "ingest_daily_prices") + runs(daemon, "ingest_ticks")
        failed = sum(run.status is dg.DagsterRunStatus.FAILURE for run in every)
        print(
            f"\n{type(daemon.instance.run_storage).__name__}: {daemon.starts} starts of the daemon, {len(every)} runs, "
            f"{failed} of them killed; {len(drops.bars)} bars, {len(drops.ticks)} ticks stored exactly"
        )


def a_daemon_killed_in_a_tick(daemon: Daemon, gate: Gate, drops: Drops) -> None:
    """It has listed nothing yet, or has everything but the answer of S3: nothing of the tick is committed."""
    drops.file(2023)
    with gate.holding("GET", LISTING, after=True) as held:
        held.reached()
        daemon.kill()
    daemon.start()
    assert soon(lambda: drops.stored_bars() == drops.bars), daemon.tail()


def a_tick_that_times_out(daemon: Daemon, gate: Gate, drops: Drops) -> None:
    """The evaluation goes on while its tick has failed; a later tick sees the same objects."""
    drops.file(2024)
    with gate.holding("GET", LISTING) as held:
        held.reached()
        assert soon(lambda: any(tick.status is TickStatus.FAILURE for tick in daemon.ticks(BATCH))), daemon.tail()
    (failed, *_) = (tick for tick in daemon.ticks(BATCH) if tick.status is TickStatus.FAILURE)
    assert failed.error
    assert "timed out" in failed.error.to_string() or "DEADLINE_EXCEEDED" in failed.error.to_string()
    assert not failed.run_ids
    assert soon(lambda: drops.stored_bars() == drops.bars), daemon.tail()


def runs_killed_in_mid_merge(daemon: Daemon, gate: Gate, drops: Drops) -> None:
    """Between history and the snapshot, and before a year is written; the code server sees them die."""
    drops.object()
    with gate.holding("PUT", f"/{LATEST_PRICES.prefix}") as held:
        held.reached()
        assert drops.stored_ticks() == drops.ticks, "history is written, the snapshot is not"
        assert drops.snapshot() == {}
        run = the_started_run(daemon, "ingest_ticks")
        daemon.kill_run(run)
    assert soon(lambda: drops.snapshot() == drops.latest()), daemon.tail()

    drops.file(2024)
    with gate.holding("PUT", f"/{PRICE_BY_DATE.prefix}", after=True) as held:
        held.reached()
        killed = the_started_run(daemon, "ingest_daily_prices")
        daemon.kill_run(killed)
    assert soon(lambda: any(run.tags.get("stock_pipeline/attempt") == "2" for run in succeeded(daemon))), daemon.tail()
    ended = daemon.instance.get_run_by_id(killed)
    assert ended
    assert ended.status is dg.DagsterRunStatus.FAILURE


def all_killed_at_once_in_mid_merge(daemon: Daemon, gate: Gate, drops: Drops) -> None:
    """The machine loses its power while two runs write: nobody is left who saw them end."""
    drops.file(2022)
    drops.object()
    with (
        gate.holding("PUT", f"/{PRICE_BY_DATE.prefix}year%3D2022") as bars,
        gate.holding("PUT", f"/{STREAM_PRICES_HISTORY.prefix}") as ticks,
    ):
        bars.reached()
        ticks.reached()
        orphans = [*runs(daemon, "ingest_daily_prices", dg.DagsterRunStatus.STARTED),
                   *runs(daemon, "ingest_ticks", dg.DagsterRunStatus.STARTED)]  # fmt: skip
        assert len(orphans) >= 2
        daemon.kill()
    daemon.start()

    def ended() -> bool:
        found = [daemon.instance.get_run_by_id(run.run_id) for run in orphans]
        return all(run is not None and run.status is dg.DagsterRunStatus.FAILURE for run in found)

    assert soon(ended), daemon.tail()
    assert soon(lambda: drops.stored_ticks() == drops.ticks), daemon.tail()


def a_random_kill(daemon: Daemon, drops: Drops, chance: random.Random) -> None:
    """While objects come: wherever the daemon, its code server and its runs just are."""
    drops.file(2021)
    drops.object()
    before = len(daemon.ticks(BATCH))
    assert soon(lambda: len(daemon.ticks(BATCH)) > before), daemon.tail()
    time.sleep(chance.uniform(0, 8))
    daemon.kill()
    daemon.start()
    drops.file(2023)
    drops.object()
