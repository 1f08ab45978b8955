"""The metadata that a run shows for the days that it changed, and for the snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partition_key, read_partition
from stock_pipeline.lake.transforms import SNAPSHOT, day_of, day_partition
from stock_pipeline.maintenance.snapshot import Comparison
from stock_pipeline.orchestration.ui import charts
from stock_pipeline.orchestration.ui.metadata import (
    PREVIEW_ROWS,
    Metadata,
    chart,
    column_schema,
    preview,
    receipts_metadata,
    records,
    seconds_of,
    stored_by,
)
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY

TICK_COLUMNS = column_schema(STREAM_PRICES_HISTORY)
LATEST_COLUMNS = column_schema(LATEST_PRICES)

_READERS = 8
_SECOND = 1_000_000  # microseconds
_DRAWN = ["symbol", "produced_at", "price"]
_SHOWN = [name for name in STREAM_PRICES_HISTORY.schema.names if name != "source"]


@dataclass(frozen=True)
class _Written:
    """What a run wrote into one history object: how late each tick came (in microseconds), and its price."""

    lags: Ints
    new: pa.Table
    newest: pa.Table


def day_reports(lake: ObjectStore, receipts: Sequence[Receipt]) -> dict[date, Metadata]:
    """What ingests (of Dagster or Lambda) did with the ticks of each day that they changed.

    This reads only the history objects that the ingests wrote, so its cost depends on the ingests and not on the day.
    Counts of receipts are over whole sources, with all their days. Each day shows the sources without a stored tick.
    """
    buckets: dict[date, set[str]] = defaultdict(set)
    for receipt in receipts:
        for partition in receipt.partitions:
            buckets[day_of(partition)].add(partition)
    reports: dict[date, Metadata] = {}
    with ThreadPoolExecutor(_READERS) as threads:
        for day, names in sorted(buckets.items()):
            own = [r for r in receipts if not r.partitions or not names.isdisjoint(r.partitions)]
            written = list(threads.map(lambda name, own=own: _written(lake, name, own), sorted(names)))
            reports[day] = _day_report(lake, day, written, own)
    return reports


def empty_day(lake: ObjectStore, day: date) -> Metadata:
    """The report of a day without raw objects."""
    return _day_report(lake, day, [], [])


def snapshot_report(rows: pa.Table, lake: ObjectStore, receipts: Sequence[Receipt]) -> Metadata:
    """The snapshot as it is, newest ticks first, and how many of its ticks are from the given ingests."""
    span = pc.min_max(rows["produced_at"]).as_py()
    times = {
        name: dg.MetadataValue.timestamp(at)
        for name, at in (("newest_tick", span["max"]), ("oldest_tick", span["min"]))
        if at
    }
    ages = (datetime.now(UTC).timestamp() * _SECOND - rows["produced_at"].cast(pa.int64()).to_numpy()) / _SECOND
    return {
        **chart("chart_age", charts.lags, ages, "age of the latest price of each symbol"),
        "dagster/row_count": dg.MetadataValue.int(rows.num_rows),
        **({"freshness_lag_seconds": dg.MetadataValue.float(round(float(ages.min()), 3))} if len(ages) else {}),
        "updated": dg.MetadataValue.int(stored_by(receipts, rows).num_rows),
        **times,
        "preview": preview(rows, LATEST_COLUMNS, by="produced_at"),
        "dagster/column_schema": dg.MetadataValue.table_schema(LATEST_COLUMNS),
        "dagster/uri": dg.MetadataValue.text(f"s3://{lake.bucket}/{partition_key(LATEST_PRICES, SNAPSHOT)}"),
    }


def comparison_report(difference: Comparison) -> Metadata:
    """How the stored snapshot and the recomputed one differed before the merge."""
    counts: Mapping[str, int] = {
        "only_in_snapshot": len(difference.only_stored),
        "only_in_history": len(difference.only_recomputed),
        "differing": len(difference.differing),
    }
    metadata: dict[str, dg.MetadataValue[Any]] = {name: dg.MetadataValue.int(n) for name, n in counts.items()}
    if not difference.equal:
        metadata["differences"] = records(difference.examples().slice(0, PREVIEW_ROWS))
    return metadata


def _written(lake: ObjectStore, partition: str, receipts: Sequence[Receipt]) -> _Written:
    rows = read_partition(lake, STREAM_PRICES_HISTORY, partition)
    if rows is None:
        rows = STREAM_PRICES_HISTORY.schema.empty_table()
    new = stored_by(receipts, rows)
    produced, stored = (new[name].cast(pa.int64()).to_numpy() for name in ("produced_at", "etl_loading_ts"))
    newest = rows.select(_SHOWN).sort_by([("produced_at", "descending")]).slice(0, PREVIEW_ROWS)
    return _Written(stored - produced, new.select(_DRAWN), newest)


def _day_report(lake: ObjectStore, day: date, written: Sequence[_Written], receipts: Sequence[Receipt]) -> Metadata:
    lags = np.concatenate([part.lags for part in written]) if written else np.zeros(0, np.int64)
    newest = pa.concat_tables([STREAM_PRICES_HISTORY.schema.empty_table().select(_SHOWN), *(w.newest for w in written)])
    new = pa.concat_tables([STREAM_PRICES_HISTORY.schema.empty_table().select(_DRAWN), *(w.new for w in written)])
    metadata: dict[str, dg.MetadataValue[Any]] = {
        **chart("chart_prices", charts.prices, new, "produced_at", "price"),
        **chart("chart_arrival_lag", charts.lags, lags / _SECOND, "from the trade to the table"),
        "inserted": dg.MetadataValue.int(len(lags)),
        "symbols": dg.MetadataValue.int(pc.count_distinct(new["symbol"].cast(pa.string())).as_py()),
    }
    if len(lags):
        metadata["arrival_lag_median_seconds"] = dg.MetadataValue.float(round(float(np.median(lags)) / _SECOND, 3))
        metadata["arrival_lag_max_seconds"] = dg.MetadataValue.float(round(float(lags.max()) / _SECOND, 3))
    prefix = f"{STREAM_PRICES_HISTORY.prefix}{day_partition(day)}/"
    return metadata | {
        **receipts_metadata(receipts),
        "preview": preview(newest, TICK_COLUMNS, by="produced_at"),
        "dagster/column_schema": dg.MetadataValue.table_schema(TICK_COLUMNS),
        "dagster/uri": dg.MetadataValue.text(f"s3://{lake.bucket}/{prefix}"),
        "seconds": seconds_of(receipts),
    }
