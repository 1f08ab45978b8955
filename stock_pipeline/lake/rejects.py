"""Rejected records: one object a source, replaced whole when its source is ingested again.

What a restatement replaced is the exception: those values exist nowhere else once the partition is written, so they are
put on record before it and stay through every later ingest of the source.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.clean import REJECTED
from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.objects import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.partitions import attempts, partition_key, swap
from stock_pipeline.schemas import REJECTED_RECORDS, Reason, Table

_MODIFIED = "source_modified"


def rejects_partition(table: Table, source: str) -> str:
    """Where a source's rejected records are kept: `table=price_by_date/<hash of the source's key>`.

    The key itself is not used: it comes from outside, and a hash holds no path, quote or markup.
    """
    return f"table={table.name}/{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def write_rejects(
    store: ObjectStore, table: Table, source: ObjectInfo, rejected: pa.Table, now: datetime, *, add: bool = False
) -> None:
    """Put a source's rejected rows (schema `clean.REJECTED`) in the place of those recorded for it before.

    Rows with the reason `replaced` stay on record; with `add` all rows do. Nothing is written when nothing changes.
    Once a later version of the source object has been recorded, only replaced values are added.
    """
    partition = rejects_partition(table, source.key)
    target = partition_key(REJECTED_RECORDS, partition)
    for _ in attempts(target):
        recorded, etag, recorded_modified = _recorded(store, target)
        modified = max(source.modified.isoformat(), recorded_modified)
        stale = recorded_modified > source.modified.isoformat()
        keep = recorded if add or stale else _replaced(recorded)
        rows = _distinct(pa.concat_tables([keep, _replaced(rejected) if stale else rejected]))
        if rows.equals(recorded):
            return
        data = encode(_as_table(rows, table, source.key, now), REJECTED_RECORDS, {_MODIFIED: modified})
        if swap(store, target, data, etag):
            return


def read_rejects(store: ObjectStore, table: Table, source: str | None = None) -> pa.Table:
    """The rejected records of a table, or of one source object of it (schema REJECTED_RECORDS), newest first."""
    if source is not None:
        partitions = [partition_key(REJECTED_RECORDS, rejects_partition(table, source))]
    else:
        partitions = [info.key for info in store.list(f"{REJECTED_RECORDS.prefix}table={table.name}/")]

    def rows(key: str) -> pa.Table:
        try:
            return decode(store.get(key).data, REJECTED_RECORDS)
        except ObjectNotFound:
            return REJECTED_RECORDS.schema.empty_table()

    with ThreadPoolExecutor(8) as threads:
        found = pa.concat_tables([REJECTED_RECORDS.schema.empty_table(), *threads.map(rows, partitions)])
    return found.unify_dictionaries().sort_by([("etl_loading_ts", "descending"), ("line", "ascending")])


def _recorded(store: ObjectStore, key: str) -> tuple[pa.Table, str | None, str]:
    """What is on record for a source: its rows (schema `clean.REJECTED`), their ETag and the source's own time."""
    try:
        found = store.get(key)
    except ObjectNotFound:
        return REJECTED.empty_table(), None, ""
    rows = decode(found.data, REJECTED_RECORDS, REJECTED.names).cast(REJECTED).combine_chunks()
    return rows, found.info.etag, footer(found.data).get(_MODIFIED, "")


def _replaced(rows: pa.Table) -> pa.Table:
    return rows.filter(pc.equal(rows["reason"], Reason.REPLACED.value))


def _distinct(rows: pa.Table) -> pa.Table:
    """The rows in the order of their lines, each once."""
    lines = rows["line"].to_numpy()
    if (lines[1:] > lines[:-1]).all():  # as most are, and a group of a thousand objects has a thousand of these
        return rows.combine_chunks()
    numbered = rows.append_column("at", pa.array(np.arange(rows.num_rows)))
    first = numbered.group_by(REJECTED.names, use_threads=False).aggregate([("at", "min")])["at_min"]
    rows = rows.take(np.sort(first.to_numpy()))
    return rows.take(np.argsort(rows["line"].to_numpy(), kind="stable")).combine_chunks()


def _as_table(rows: pa.Table, table: Table, source: str, now: datetime) -> pa.Table:
    def same(value: str | datetime, kind: pa.DataType) -> pa.Array:
        return pa.repeat(pa.scalar(value, kind), rows.num_rows)

    columns = {
        "target_table": same(table.name, pa.string()),
        "source": same(source, pa.string()),
        **{name: rows[name] for name in REJECTED.names},
        "etl_loading_ts": same(now, REJECTED_RECORDS.schema.field("etl_loading_ts").type),
    }
    return pa.table([columns[n] for n in REJECTED_RECORDS.schema.names], REJECTED_RECORDS.schema.names).cast(
        REJECTED_RECORDS.schema
    )
