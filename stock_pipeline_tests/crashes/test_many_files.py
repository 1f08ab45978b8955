"""A hundred thousand files through the sensor of daily prices, under every failure of a daemon: no file is ever missed.

The sensor is the project's own, evaluated tick by tick as the daemon does it. The result of a tick is committed, or
lost with the daemon. Runs are submitted, or lost before that. They succeed, fail, or go on for a while.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import dagster as dg
import pytest

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.orchestration.batch import sensor
from stock_pipeline.orchestration.batch.run_requests import REQUESTED_AT_ONCE
from stock_pipeline.orchestration.batch.sensor import INTERVAL, daily_price_arrivals
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline_tests.support.amounts import Amounts

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

START = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
FIRST, YEARS = date(1985, 1, 1), 40
ARRIVALS = 3_000  # a tick, at most
OLD, REWRITTEN, DELETED = 5e-4, 5e-4, 2e-4  # of all arrivals
TICK_LOST, SUBMISSION_LOST, RUN_FAILS, RUN_GOES_ON = 0.1, 0.05, 0.15, 0.2
FAILED_AT_MOST = 3  # times in a row; after five the sensor gives up, and says so
MOST_TICKS = 2_000
LONGEST_CURSOR = 16_384 + 12 * REQUESTED_AT_ONCE + 200 * 2 * YEARS
"""Of fixed size, but for what is in runs: so many bytes an object, and a batch a year for first and further tries."""


@dataclass
class Staging:
    """A bucket that is only listed: objects come, are rewritten and go."""

    bucket: str = "staging"
    objects: dict[str, ObjectInfo] = field(default_factory=dict)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        return iter([self.objects[key] for key in sorted(self.objects)])

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        return self.list(prefix, start_after=start_after)

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        raise ObjectNotFound(key, "only listed here")

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        raise AssertionError("a sensor writes nothing")


class Listed(Buckets):
    """The project's resource over that bucket."""

    @property
    def staging(self) -> ObjectStore:
        return STAGING


STAGING = Staging()


@dataclass
class Daemon:
    """Evaluates the sensor, commits, submits, and loses things on the way."""

    instance: dg.DagsterInstance
    chance: random.Random
    now: float = START
    cursor: str | None = None
    taken: Counter[tuple[str, str]] = field(default_factory=Counter)
    going_on: list[tuple[dg.DagsterRun, list[tuple[str, str]]]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    longest: int = 0
    mishaps: Counter[str] = field(default_factory=Counter)

    def tick(self) -> int:
        """One tick; returns how many runs were asked for."""
        self.now += INTERVAL
        self._end_runs()
        began = time.thread_time()
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            result = daily_price_arrivals(context, buckets=Listed())
        self.seconds.append(time.thread_time() - began)
        assert isinstance(result, dg.SensorResult)
        requests = list(result.run_requests or [])
        if self.chance.random() < TICK_LOST:  # killed before the tick was committed
            self.mishaps["ticks lost"] += 1
            return len(requests)
        self.cursor = result.cursor
        self.longest = max(self.longest, len(self.cursor or ""))
        for request in requests:
            if self.chance.random() < SUBMISSION_LOST:  # killed after that, before the run was there
                self.mishaps["submissions lost"] += 1
            else:
                self._submit(request)
        return len(requests)

    def _submit(self, request: dg.RunRequest) -> None:
        config = request.run_config["ops"]["price_by_date"]["config"]
        objects = [(key, STAGING.objects[key].etag) for key in config["sources"] if key in STAGING.objects]
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        run = dg.DagsterRun("ingest_daily_prices", str(uuid4()), status=dg.DagsterRunStatus.STARTED, tags=tags)
        self.going_on.append((self.instance.add_run(run), objects))

    def _end_runs(self) -> None:
        running, self.going_on = self.going_on, []
        for run, objects in running:
            if self.chance.random() < RUN_GOES_ON:
                self.going_on.append((run, objects))
            elif self.chance.random() < RUN_FAILS and int(run.tags["stock_pipeline/attempt"]) <= FAILED_AT_MOST:
                self.mishaps["runs failed"] += 1
                self.instance.report_run_failed(run)
            else:
                self.taken.update(objects)
                event = dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name)
                self.instance.report_dagster_event(event, run.run_id)


def arrive(number: int, chance: random.Random, now: float) -> None:
    """One more object, most of them with the time of now; sometimes an older one is rewritten or deleted instead."""
    dice = chance.random()
    at = datetime.fromtimestamp(int(now), UTC)
    if STAGING.objects and dice < REWRITTEN + DELETED:
        key = chance.choice(list(STAGING.objects))
        if dice < DELETED:
            del STAGING.objects[key]
        else:
            STAGING.objects[key] = ObjectInfo(key, f"rewritten-{number}", 100, at)
        return
    if chance.random() < OLD:  # an upload in parts appears with the time at which it began
        at -= timedelta(seconds=chance.randrange(1, 3600))
    day = FIRST + timedelta(days=number % (365 * YEARS))
    key = f"daily_prices/date={day}/{number}.csv"
    STAGING.objects[key] = ObjectInfo(key, f"{number:032x}", 100, at)


def test_no_file_is_ever_missed(
    amounts: Amounts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_PROCESSOR", raising=False)
    chance = random.Random(amounts.seed)
    STAGING.objects.clear()
    with dg.DagsterInstance.ephemeral() as instance:
        daemon, arrived = Daemon(instance, chance), 0
        monkeypatch.setattr(sensor, "time", SimpleNamespace(time=lambda: daemon.now))
        quiet = 0
        while quiet < 30:  # ticks in a row: longer than the pause before a failed run's second try
            for _ in range(min(chance.randrange(ARRIVALS), amounts.files - arrived)):
                arrive(arrived, chance, daemon.now)
                arrived += 1
            asked = daemon.tick()
            quiet = 0 if asked or daemon.going_on or arrived < amounts.files else quiet + 1
            assert len(daemon.seconds) < MOST_TICKS, "the sensor does not come to an end"

    missed = {(info.key, info.etag) for info in STAGING.objects.values()} - daemon.taken.keys()
    assert not missed, f"{len(missed)} objects were never in a run that succeeded, such as {sorted(missed)[:3]}"
    assert len(daemon.taken) > 0.99 * amounts.files
    assert daemon.longest < LONGEST_CURSOR
    assert all(daemon.mishaps[name] for name in ("ticks lost", "submissions lost", "runs failed"))
    with capsys.disabled():
        print(
            f"\n{amounts.files:,} files in {len(daemon.seconds):,} ticks ({dict(daemon.mishaps)}): none missed, "
            f"{daemon.taken.total():,} handed over and done; longest cursor {daemon.longest:,} bytes; CPU of a tick "
            f"{statistics.median(daemon.seconds):.2f} s in the median, {max(daemon.seconds):.2f} s at most"
        )
