"""When each symbol last traded, found in the objects of history themselves: what SQL says of all of history, by parts.

The result of a part is small: a row for each symbol. `moments_of` takes the results of all parts together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.progress import Progress
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, TIMESTAMP

Moments = Callable[[datetime], dict[str, datetime]]
"""Finds when each symbol last traded, until a time (UTC)."""

_READERS = 8
_COLUMNS = ["symbol", "produced_at", "sets_last", "corrects"]
_FOUND = pa.schema([("symbol", pa.string()), ("settled", TIMESTAMP), ("any", TIMESTAMP)])
"""Of a symbol, the last trade that may set the last price, and the last trade of all."""


def last_trades(
    lake: ObjectStore, names: Sequence[str], until: datetime, on_progress: Progress | None = None
) -> pa.Table:
    """The last trades until a time (UTC) in some partitions of history, for `moments_of`. A row that corrects another
    one does not count: it stands at the time of that one.

    Raises DamagedObject and StoreUnavailable.
    """

    def of(name: str) -> pa.Table:
        rows = read_partition(lake, STREAM_PRICES_HISTORY, name, _COLUMNS)
        return _FOUND.empty_table() if rows is None else _last_of(rows, until)

    found = _FOUND.empty_table()
    with ThreadPoolExecutor(_READERS) as threads:
        for done, part in enumerate(threads.map(of, names), 1):
            found = _greatest([found, part])
            if on_progress:
                on_progress(done, len(names))
    return found


def moments_of(parts: Iterable[pa.Table]) -> dict[str, datetime]:
    """When each symbol last traded, over all parts. A trade that may set the last price is preferred to a later one."""
    found = _greatest(list(parts))
    moments = pc.coalesce(found["settled"], found["any"])
    return dict(zip(found["symbol"].to_pylist(), moments.to_pylist(), strict=True))


def _last_of(rows: pa.Table, until: datetime) -> pa.Table:
    counts = pc.and_(pc.is_null(rows["corrects"]), pc.less_equal(rows["produced_at"], pa.scalar(until, TIMESTAMP)))
    rows = rows.filter(counts)
    settles = pc.fill_null(rows["sets_last"], True)
    settled = pc.if_else(settles, rows["produced_at"], pa.scalar(None, TIMESTAMP))
    columns = [rows["symbol"].cast(pa.string()), settled, rows["produced_at"]]
    return _greatest([pa.Table.from_arrays(columns, schema=_FOUND)])


def _greatest(parts: Sequence[pa.Table]) -> pa.Table:
    rows = pa.concat_tables([_FOUND.empty_table(), *parts])
    found = rows.group_by("symbol").aggregate([("settled", "max"), ("any", "max")])
    return found.select(["symbol", "settled_max", "any_max"]).rename_columns(_FOUND.names)
