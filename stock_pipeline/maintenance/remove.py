"""Removes the rows of a source that were never true, and keeps them on record.

Examples are a vendor's file that was wrong as a whole, or ticks of a producer whose clock or prices were wrong. First
the rows go on record, with the reason `removed`; they stay there whatever is ingested later. Then each object of the
table is swapped under compare-and-swap for one without these rows. Last, the snapshot is built again from what is left.
After a stop in between, run it again: rows on record already are not recorded twice.

The raw object stays in staging. A person may ingest it again; that brings the rows back. A row that several sources
gave is in the table once, with the source that came first. If that is the removed source, the row goes too, until one
of the others is ingested again.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import ObjectNotFound, StockPipelineError
from stock_pipeline.ingest.conflicts import as_text
from stock_pipeline.lake.contents import own_partitions
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import (
    attempts,
    commit,
    partition_key,
    read_logged,
    read_partition,
    write_revisions,
)
from stock_pipeline.lake.rejected_records import add_rejects, mark_removed, read_rejects
from stock_pipeline.lake.revisions import taken_out
from stock_pipeline.lake.transforms import day_partition
from stock_pipeline.maintenance.snapshot import rebuild
from stock_pipeline.query import sql
from stock_pipeline.schemas import (
    PRICE_BY_DATE,
    RECORDED,
    STREAM_PRICES_HISTORY,
    TABLES,
    TRADE_CORRECTIONS,
    Reason,
    Table,
)
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, RAW_TICKS

_READERS = 8


@dataclass(frozen=True)
class Found:
    """The rows of one source: how many are in each (table, partition), and how many were removed before."""

    source: str
    table: Table
    partitions: dict[tuple[str, str], int]
    removed_before: int

    @property
    def rows(self) -> int:
        return sum(self.partitions.values())


def find_source(source: str, lake: ObjectStore, settings: Settings) -> Found:
    """Where the rows of a source are. `source` is the key of a staging object, with or without `s3://bucket/`.

    Raises StockPipelineError when the key is not the key of a raw object, and when no row in the tables or on record
    comes from it.
    """
    key = source.removeprefix("s3://").partition("/")[2] if source.startswith("s3://") else source
    table = _table_of(key)
    counts: dict[tuple[str, str], int] = {}
    for part in _tables(table):
        names = _candidates(part, key, lake, settings)
        with ThreadPoolExecutor(_READERS) as threads:
            found = list(threads.map(lambda name, part=part: _count(lake, part, name, key), names))
        counts |= {(part.name, name): rows for name, rows in zip(names, found, strict=True) if rows}
    recorded = read_rejects(lake, table, key)["reason"].cast(pa.string()).to_pylist()
    if not counts and Reason.REMOVED not in recorded:
        raise StockPipelineError(
            f"no row of {table.name} comes from {key}, so nothing is removed; its column `source` has the keys that do"
        )
    return Found(key, table, counts, recorded.count(Reason.REMOVED))


def remove_source(
    found: Found, staging: ObjectStore, lake: ObjectStore, settings: Settings, *, now: datetime | None = None
) -> int:
    """Remove the rows of a source from its tables, with a record of each. Returns how many were removed.

    `found` is the result of `find_source`. For ticks, the snapshot is then built again from history. A second call
    removes nothing more. Raises MergeContention or StoreUnavailable when the work could not be done: call again with
    the same arguments to finish it.
    """
    started = now or datetime.now(UTC)
    info = _info(found.source, staging, started)
    removed = 0
    etags = {version.etag for version in staging.versions(info.key) if version.key == info.key}
    mark_removed(lake, found.table, info.key, sorted({*etags, info.etag} - {""}), started)
    for table, name in found.partitions:
        removed += _taken_out(lake, TABLES[table], name, info, found.table, started)
    if found.table is STREAM_PRICES_HISTORY:
        rebuild(settings, lake, now)
    return removed


def _taken_out(lake: ObjectStore, table: Table, name: str, source: ObjectInfo, target: Table, now: datetime) -> int:
    """Swap one object of a table for one without the rows of a source. The rows go on record first, because afterwards
    they exist nowhere else.
    """
    for _ in attempts(partition_key(table, name)):  # pragma: no branch - it ends by raising
        rows, etag, log = read_logged(lake, table, name)
        if rows is None:
            return 0
        mine = pc.equal(rows["source"].cast(pa.string()), source.key)
        gone = rows.filter(mine)
        if not gone.num_rows:
            return 0
        add_rejects(lake, target, source, _recorded(gone, table), now)
        if table.revisions:
            write_revisions(lake, table, name, taken_out(gone, now, table))
        if commit(lake, table, name, rows.filter(pc.invert(mine)), etag, log.without(source.key)):
            return int(gone.num_rows)
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def _recorded(gone: pa.Table, table: Table) -> pa.Table:
    """The rows in the form of records, with their line numbers where the table has them."""
    number = gone.num_rows
    columns = {
        "symbol": gone["symbol"].cast(pa.string()),
        "date": gone[table.time].cast(pa.date32()),
        "stored": pa.repeat(False, number),
        "line": gone["line"].cast(pa.int64()).fill_null(0) if "line" in gone.column_names else pa.repeat(0, number),
        "place": gone["place"] if "place" in gone.column_names else pa.nulls(number, pa.int32()),
        "reason": pa.repeat(Reason.REMOVED.value, number),
        "detail": pa.repeat(f"taken out of {table.name}, as its source was never true", number),
        "raw": pa.array(as_text(gone, table), pa.string()),
    }
    return pa.table({name: columns[name] for name in RECORDED.names}).cast(RECORDED)


def _table_of(key: str) -> Table:
    for prefix, table in ((RAW_DAILY_PRICES, PRICE_BY_DATE), (RAW_TICKS, STREAM_PRICES_HISTORY)):
        if key.startswith(prefix):
            return table
    raise StockPipelineError(
        f"{key} is not the key of a raw object: these begin with {RAW_DAILY_PRICES} or {RAW_TICKS}, as in the column "
        "`source` of the tables"
    )


def _tables(table: Table) -> tuple[Table, ...]:
    """The tables that a source of this table writes to. Cancels and corrections come before the trades."""
    return (TRADE_CORRECTIONS, table) if table is STREAM_PRICES_HISTORY else (table,)


def _candidates(table: Table, key: str, lake: ObjectStore, settings: Settings) -> list[str]:
    """The partitions that may hold rows of a source. For history, SQL finds the days: it reads only one column."""
    if table is not STREAM_PRICES_HISTORY:
        return own_partitions(lake, table)
    days = sql("SELECT DISTINCT year, month, day FROM stream_prices_history WHERE source = ?", [key], settings=settings)
    folders = sorted(f"{day_partition(date(*row.values()))}/" for row in days.to_pylist())
    return [name for folder in folders for name in own_partitions(lake, table, folder)]


def _count(lake: ObjectStore, table: Table, name: str, key: str) -> int:
    rows = read_partition(lake, table, name, ["source"])
    return 0 if rows is None else int(pc.sum(pc.equal(rows["source"].cast(pa.string()), key)).as_py() or 0)


def _info(key: str, staging: ObjectStore, now: datetime) -> ObjectInfo:
    """The raw object as it is now, so that its record is of this version. None when the object is gone."""
    try:
        return staging.get(key).info
    except ObjectNotFound:
        return ObjectInfo(key, "", 0, now)
