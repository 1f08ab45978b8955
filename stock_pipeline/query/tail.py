"""The newest ticks, by GET of their objects of history: those that merges replace while somebody asks for them.

Athena cannot read an object that is replaced meanwhile, and new ticks replace the object of their time each minute. So
`read_ticks` asks Athena only for what lies before. One GET gives an object as it was before or after a merge.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.lake.layout_object import layout_to_read
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partition_of, read_partition
from stock_pipeline.lake.transforms import bucket_partition, day_of
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, TIMESTAMP

LIVE = timedelta(hours=1)
"""For this long, objects of history are expected to be replaced: ticks come late by buffers, queues and tries."""

_AHEAD = 10  # objects fetched at a time; a boto3 client keeps ten connections by default


def begin_of_tail(lake: ObjectStore, now: datetime) -> datetime:
    """When the oldest object begins that has ticks of the last hour (UTC)."""
    oldest = now - LIVE
    minutes = layout_to_read(lake, now.date()).section(oldest.date()).minutes
    midnight = datetime.combine(oldest.date(), time(), UTC)
    return midnight + (oldest - midnight) // timedelta(minutes=minutes) * timedelta(minutes=minutes)


def ticks_since(
    lake: ObjectStore,
    begin: datetime,
    first: datetime | None,
    last: datetime | None,
    symbols: Sequence[str] | None,
    schema: pa.Schema,
) -> pa.Table:
    """The ticks of the objects that begin at `begin` or later, with the columns of a schema, in no order.

    `first` and `last` (UTC, both included) and `symbols` limit them. Raises the errors of the store.
    """
    names = _names(lake, begin, last)
    columns = list(dict.fromkeys((*schema.names, "symbol", "produced_at")))
    with ThreadPoolExecutor(_AHEAD) as threads:
        found = threads.map(lambda name: read_partition(lake, STREAM_PRICES_HISTORY, name, columns), names)
        parts = [_chosen(part, first, last, symbols).select(schema.names).cast(schema) for part in found if part]
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _names(lake: ObjectStore, begin: datetime, last: datetime | None) -> list[str]:
    """The partitions from a time on, also those of ticks ahead of the clock, in the order of their times."""
    table, after = STREAM_PRICES_HISTORY, bucket_partition(begin)
    listed = [partition_of(table, info.key) for info in lake.list(table.prefix, start_after=f"{table.prefix}{after}")]
    names = [name for name in listed if name and (last is None or name[: len(after)] <= bucket_partition(last))]
    if not names:
        return []
    # After the listing: whoever stored a tick had settled its day before that.
    layout = layout_to_read(lake, max(map(_day, names)))
    return [name for name in names if layout.fits(name)]


def _day(partition: str) -> date:
    try:
        return day_of(partition)
    except ValueError:  # not a day of the calendar, so no object of ours
        return date.min


def _chosen(part: pa.Table, first: datetime | None, last: datetime | None, symbols: Sequence[str] | None) -> pa.Table:
    times = part["produced_at"]
    if first is not None:
        part = part.filter(pc.greater_equal(times, pa.scalar(first, TIMESTAMP)))
    if last is not None:
        part = part.filter(pc.less_equal(part["produced_at"], pa.scalar(last, TIMESTAMP)))
    if symbols is not None:
        part = part.filter(pc.is_in(part["symbol"].cast(pa.string()), value_set=pa.array(symbols, pa.string())))
    return part
