"""Checks of the stream: history by day, the snapshot against history, the dead-letter queue.

The sensor's job has no checks, because it must be quick. The job check_stream runs them every 15 minutes, and
materializing an asset by hand runs the checks of that asset.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.maintenance.snapshot import ahead_of, compare, in_history, order_of, recompute, stored_snapshot
from stock_pipeline.orchestration.evaluations import EXAMPLES, evaluation, last_written
from stock_pipeline.orchestration.partitions import DAYS
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.stream.assets import latest_prices, raw_stream_ticks, stream_prices_history
from stock_pipeline.orchestration.ui.metadata import records
from stock_pipeline.quality.finding import Finding
from stock_pipeline.quality.rejected_share import Share, counted_reasons
from stock_pipeline.query.history import Span, arrival_day, counted, price_ranges, repeated_ids
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, TIMESTAMP
from stock_pipeline.settings import Settings, variable
from stock_pipeline.trading_calendar.sessions import last_closed_session, session_times

_HUNDREDFOLD = 80.0
"""From this ratio of prices on, a wrong factor of 100 (cents for dollars) is likelier than a move of the market."""

SETTLING = timedelta(minutes=15)
"""A tick is in history before it is in the snapshot. A worker, or the next one, may take this long in between."""

_DAY = timedelta(days=1)
_PAIR = ["symbol", "event_id", "earlier_produced_at", "earlier_source", "produced_at", "source"]
Findings = Callable[["Days"], dict[date, Finding]]


@dataclass(frozen=True)
class Days:
    """Days of history with the data for their checks. Each query runs once for all days."""

    days: Sequence[date]
    lake: ObjectStore
    settings: Settings

    @cached_property
    def counts(self) -> dict[date, dict[str, int]]:
        return counted(Span.of(self.days), self.settings)

    def count(self, day: date, name: str) -> int:
        return self.counts.get(day, {}).get(name, 0)


def repeated_events(days: Days) -> dict[date, Finding]:
    """Pairs of ticks with the same symbol and event id, in two buckets of the day or of two neighbouring days. An id
    holds within its bucket of event time, so both are stored. The examples name both times and both sources.
    """
    pairs = repeated_ids(Span.of([min(days.days) - _DAY, max(days.days) + _DAY]), days.settings, EXAMPLES)
    found = {}
    for day in days.days:
        mine = pairs.filter(pc.or_(*(pc.equal(pairs[name], pa.scalar(day)) for name in ("earlier_date", "date"))))
        of_two_days = mine.group_by(["earlier_date", "date"]).aggregate([("found", "max")])
        count = pc.sum(of_two_days["found_max"]).as_py() or 0
        found[day] = Finding(
            count, mine.select(_PAIR), said=f"{count:,} pairs of ticks have one symbol and one event id"
        )
    return found


def ticks_ahead(days: Days) -> dict[date, Finding]:
    """Ticks that were stored before their own time: a producer's clock is ahead."""
    return {day: Finding(days.count(day, "ahead")) for day in days.days}


def price_steps(days: Days) -> dict[date, Finding]:
    """Symbols whose highest price of the day is more than STOCK_PIPELINE_PRICE_STEP_PERCENT above the lowest. If it is
    about 100 times the lowest or more, that is a producer's error, and the check fails.
    """
    limit = 1 + days.settings.price_step_percent / 100
    found = {}
    for day, prices in price_ranges(Span.of(days.days), days.settings).items():
        steps = pc.divide(prices["high"], prices["low"])
        wide = prices.append_column("step", steps).filter(pc.greater(steps, limit)).sort_by([("step", "descending")])
        hundredfold = pc.sum(pc.greater_equal(wide["step"], _HUNDREDFOLD)).as_py() or 0
        found[day] = Finding(wide.num_rows, wide, {"hundredfold": hundredfold}, error=hundredfold > 0)
    return found


def rejected_share(days: Days) -> dict[date, Finding]:
    """The rejected messages in the objects that arrived on the day, as a share of these and the stored ticks of the
    day; conflicts do not count. Above STOCK_PIPELINE_REJECTED_WARN_PERCENT the check warns, and above
    STOCK_PIPELINE_REJECTED_FAIL_PERCENT it fails. If a whole object was refused, it warns at least.
    """
    since = datetime.combine(min(days.days), time(), UTC)
    rejects = read_rejects(days.lake, STREAM_PRICES_HISTORY, since=since)
    came = [
        arrival_day(source, loaded)
        for source, loaded in zip(*(rejects[name].to_pylist() for name in ("source", "etl_loading_ts")), strict=True)
    ]
    found = {}
    for day in days.days:
        mine = rejects.filter(pa.array([other == day for other in came], pa.bool_()))
        found[day] = Share(counted_reasons(mine), days.count(day, "rows")).judged(days.settings)
    return found


_CHECKS: dict[str, tuple[Findings, dg.AssetCheckSeverity]] = {
    "event_ids_unique": (repeated_events, dg.AssetCheckSeverity.ERROR),
    "clocks_agree": (ticks_ahead, dg.AssetCheckSeverity.WARN),
    "price_steps": (price_steps, dg.AssetCheckSeverity.WARN),
    "rejected_share": (rejected_share, dg.AssetCheckSeverity.WARN),
}
_SPECS = {
    name: dg.AssetCheckSpec(
        name, asset=stream_prices_history.key, description=" ".join(str(find.__doc__).split()), partitions_def=DAYS
    )
    for name, (find, _) in _CHECKS.items()
}


@dg.multi_asset_check(specs=[*_SPECS.values()], can_subset=True)
def stream_prices_history_checks(
    context: dg.AssetCheckExecutionContext, buckets: Buckets
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Evaluate the selected checks for each day of the run, or for yesterday and today when the run names none."""
    asked = sorted(key.name for key in context.selected_asset_check_keys)
    with as_dagster_failures():
        days = Days(_days(context), buckets.lake, buckets.settings)
        found = {name: _CHECKS[name][0](days) for name in asked}
        for day in days.days:
            written = last_written(context.instance, stream_prices_history.key, day.isoformat())
            for name in asked:
                finding, rows = found[name].get(day, Finding(0)), days.count(day, "rows")
                yield evaluation(_SPECS[name].key, _CHECKS[name][1], finding, day.isoformat(), rows, written)
    yield from (dg.Output(None, output_name=f"{stream_prices_history.key.to_python_identifier()}_{n}") for n in asked)


@dg.asset_check(
    asset=latest_prices.key,
    description=(
        "The snapshot has the latest tick of each symbol in history: each row is a tick of history, and no tick of "
        "yesterday or today is later. No row is later than now. To compare it with all of history, materialize "
        "latest_prices."
    ),
)
def snapshot_equals_history(buckets: Buckets) -> dg.AssetCheckResult:
    now = datetime.now(UTC)
    today = now.date()
    with as_dagster_failures():
        settings, lake = buckets.settings, buckets.lake
        # In this order: history is written first. So a history that is read later must have all ticks of the snapshot.
        stored = stored_snapshot(lake)
        recent = recompute(settings, lake, Span(today - _DAY, today + _DAY))
        suspects = compare(stored, recent).suspects
        true = in_history(suspects.values(), lake)
        # Read the snapshot again: ticks that came into history meanwhile are in it by now.
        missing = compare(stored_snapshot(lake), _settled(recent, now))
    foreign = {symbol: row for symbol, row in suspects.items() if row not in true}
    ahead = ahead_of(stored, now, timedelta(seconds=settings.max_clock_skew_seconds))["symbol"].to_pylist()
    behind = missing.only_recomputed | {
        symbol: new for symbol, (old, new) in missing.differing.items() if _later(new, old)
    }
    wrong = sorted({*foreign, *behind, *ahead})
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "symbols": dg.MetadataValue.int(stored.num_rows),
        "not_in_history": dg.MetadataValue.int(len(foreign)),
        "behind_history": dg.MetadataValue.int(len(behind)),
        "ahead_of_the_clock": dg.MetadataValue.int(len(ahead)),
    }
    if wrong:
        why = ["not in history" if s in foreign else "behind" if s in behind else "ahead of the clock" for s in wrong]
        examples = pa.table({"symbol": wrong, "why": why})
        metadata["examples"] = records(examples.slice(0, EXAMPLES))
    return dg.AssetCheckResult(
        passed=not wrong,
        description=f"{len(wrong)} symbols; run refresh_latest_prices with rebuild: true" if wrong else None,
        metadata=metadata,
    )


@dg.asset_check(
    asset=latest_prices.key,
    description=(
        "Symbols without a tick since the last closed session opened. They were delisted or renamed, or nobody "
        "produces their ticks any more. So their prices in the snapshot are old."
    ),
)
def symbols_current(buckets: Buckets) -> dg.AssetCheckResult:
    with as_dagster_failures():
        rows = stored_snapshot(buckets.lake)
    opened, _ = session_times(last_closed_session(datetime.now(UTC)))
    stale = rows.filter(pc.less(rows["produced_at"], pa.scalar(opened, TIMESTAMP))).sort_by("produced_at")
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "symbols": dg.MetadataValue.int(rows.num_rows),
        "stale": dg.MetadataValue.int(stale.num_rows),
        "expected_since": dg.MetadataValue.timestamp(opened),
    }
    if stale.num_rows:
        metadata["examples"] = records(stale.select(["symbol", "produced_at", "price"]).slice(0, EXAMPLES))
    return dg.AssetCheckResult(
        passed=not stale.num_rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{stale.num_rows:,} of {rows.num_rows:,} symbols" if stale.num_rows else None,
        metadata=metadata,
    )


@dg.asset_check(
    asset=raw_stream_ticks.key,
    description="The dead-letter queue has no messages: every raw object in a notification of S3 was ingested.",
)
def dead_letters_none(buckets: Buckets) -> dg.AssetCheckResult:
    if not buckets.settings.stream_dlq_url:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{variable('stream_dlq_url')} is not set; set it to the output StreamDlqUrl of your stack",
        )
    with as_dagster_failures():
        count = buckets.dead_letters.waiting()
    return dg.AssetCheckResult(
        passed=not count,
        description=f"{count} messages failed at every try; fix the cause, then redrive the queue" if count else None,
        metadata={"messages": count},
    )


def _days(context: dg.AssetCheckExecutionContext) -> list[date]:
    if context.has_partition_key or context.has_partition_key_range:
        return [date.fromisoformat(key) for key in context.partition_keys]
    today = datetime.now(UTC).date()
    return [today - _DAY, today]


def _settled(rows: pa.Table, now: datetime) -> pa.Table:
    return rows.filter(pa.array([at < now - SETTLING for at in rows["etl_loading_ts"].to_pylist()], pa.bool_()))


def _later(new: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    """Whether a new row would replace an old one in the snapshot, by the order of `latest_prices`."""
    return order_of(new) > order_of(old)
