"""Checks of the stream: history by day, the snapshot against history, the dead-letter queue.

None of them is in the job of the sensor, which has to be quick. The job check_stream runs them every quarter of an
hour, and materializing an asset by hand runs those of that asset.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from stock_pipeline.orchestration.evaluations import last_written
from stock_pipeline.orchestration.failures import told
from stock_pipeline.orchestration.metadata import records
from stock_pipeline.orchestration.partitions import DAYS
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.assets import latest_stream_prices, price_by_date_stream, raw_stream_ticks
from stock_pipeline.orchestration.stream.history import Span, counted
from stock_pipeline.orchestration.stream.snapshot import compare, in_history, recompute, stored_snapshot
from stock_pipeline.settings import variable

EXAMPLES = 10
SETTLING = timedelta(minutes=15)
"""A tick is in history before it is in the snapshot: so long a worker, or the one after it, may take in between."""

_DAY = timedelta(days=1)
_COUNTS = {
    "event_ids_unique": "Ticks of one day that bear the same event id, in whichever history objects of the day.",
    "clocks_agree": "Ticks that were stored before the time that they bear: a producer's clock is ahead.",
}


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(name, asset=price_by_date_stream.key, description=description, partitions_def=DAYS)
        for name, description in _COUNTS.items()
    ],
    can_subset=True,
)
def price_by_date_stream_checks(
    context: dg.AssetCheckExecutionContext, buckets: Buckets
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Evaluate the selected checks for each day of the run, or for yesterday and today when the run names none."""
    asked = sorted(key.name for key in context.selected_asset_check_keys)
    with told():
        days = _days(context)
        counts = counted(Span.of(days), buckets.settings)
        for day in days:
            found = counts.get(day, {"rows": 0, "event_ids": 0, "ahead": 0})
            wrong = {"event_ids_unique": found["rows"] - found["event_ids"], "clocks_agree": found["ahead"]}
            for name in asked:
                yield _evaluation(context.instance, name, day, found["rows"], wrong[name])
    yield from (dg.Output(None, output_name=f"{price_by_date_stream.key.to_python_identifier()}_{n}") for n in asked)


@dg.asset_check(
    asset=latest_stream_prices.key,
    description=(
        "The snapshot has the latest tick of each symbol in history: each row is a tick of history, and no tick of "
        "yesterday or today is later. Materialize latest_stream_prices to hold it against all of history."
    ),
)
def snapshot_equals_history(buckets: Buckets) -> dg.AssetCheckResult:
    now = datetime.now(UTC)
    today = now.date()
    with told():
        settings, lake = buckets.settings, buckets.lake
        # In this order: history is written first, so what the snapshot has must be found in a history read after it.
        stored = stored_snapshot(lake)
        recent = recompute(settings, lake, Span(today - _DAY, today + _DAY))
        suspects = compare(stored, recent).suspects
        true = in_history(suspects.values(), settings, lake)
        # And read again: what came into history meanwhile is by now in the snapshot too.
        missing = compare(stored_snapshot(lake), _settled(recent, now))
    foreign = {symbol: row for symbol, row in suspects.items() if row not in true}
    behind = missing.only_recomputed | {
        symbol: new for symbol, (old, new) in missing.differing.items() if _later(new, old)
    }
    wrong = sorted({*foreign, *behind})
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "symbols": dg.MetadataValue.int(stored.num_rows),
        "not_in_history": dg.MetadataValue.int(len(foreign)),
        "behind_history": dg.MetadataValue.int(len(behind)),
    }
    if wrong:
        examples = pa.table({"symbol": wrong, "why": ["not in history" if s in foreign else "behind" for s in wrong]})
        metadata["examples"] = records(examples.slice(0, EXAMPLES))
    return dg.AssetCheckResult(
        passed=not wrong,
        description=f"{len(wrong)} symbols; run refresh_latest_prices with rebuild: true" if wrong else None,
        metadata=metadata,
    )


@dg.asset_check(
    asset=raw_stream_ticks.key,
    description="No message is in the dead-letter queue: every raw object that S3 told of was worked on.",
)
def dead_letters_none(buckets: Buckets) -> dg.AssetCheckResult:
    if not buckets.settings.stream_dlq_url:
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"{variable('stream_dlq_url')} is not set; set it to the URL of your stack's StreamDlqUrl",
        )
    with told():
        count = buckets.dead_letters.waiting()
    return dg.AssetCheckResult(
        passed=not count,
        description=f"{count} messages failed at every try; mend the cause, then redrive the queue" if count else None,
        metadata={"messages": count},
    )


def _days(context: dg.AssetCheckExecutionContext) -> list[date]:
    if context.has_partition_key or context.has_partition_key_range:
        return [date.fromisoformat(key) for key in context.partition_keys]
    today = datetime.now(UTC).date()
    return [today - _DAY, today]


def _evaluation(instance: dg.DagsterInstance, name: str, day: date, rows: int, wrong: int) -> dg.AssetCheckEvaluation:
    partition = day.isoformat()
    return dg.AssetCheckEvaluation(
        asset_key=price_by_date_stream.key,
        check_name=name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR if name == "event_ids_unique" else dg.AssetCheckSeverity.WARN,
        description=f"{partition}: {wrong:,} found in {rows:,} ticks" if wrong else None,
        metadata={"rows": dg.MetadataValue.int(rows), "found": dg.MetadataValue.int(wrong)},
        partition=partition,
        target_materialization_data=last_written(instance, price_by_date_stream.key, partition),
    )


def _settled(rows: pa.Table, now: datetime) -> pa.Table:
    return rows.filter(pa.array([at < now - SETTLING for at in rows["etl_loading_ts"].to_pylist()], pa.bool_()))


def _later(new: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    """Whether a row of the snapshot would give way to another, by the order of `latest_prices`."""
    return new[3:] > old[3:]
