"""Rejected records: one object a source, replaced whole when its source is ingested again.

Rows that were removed are the exception: they stay on record through every later ingest of the source. So do values
that a restatement replaced before there was `price_revisions`.

A record names the version of its source. A record without a row means that this version was judged whole and nothing
was rejected. An ingest does not write such a record, because the stored rows name their source. `reconcile` writes one
when no stored row does.
"""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import as_arrow, booleans, repeated, strings
from stock_pipeline.errors import DamagedObject, ObjectNotFound
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.partitions import attempts, partition_key, swap
from stock_pipeline.schemas import RECORDED, REJECTED_RECORDS, Reason, Table

_LOG = logging.getLogger(__name__)
_MODIFIED, _ETAG = "source_modified", "source_etag"

_COMPUTING = Lock()
"""A thread holds this while it computes. Records of many sources are written side by side only because each write waits
for the store. Without this lock the threads would switch at each call of Arrow, which takes longer than the work.
"""


@dataclass(frozen=True)
class _Record:
    """What is on record for a source: its rows (schema `RECORDED`), the ETag of the record, and the version of the
    source. `modified` is empty if nothing is on record.
    """

    rows: pa.Table
    version: str | None
    modified: str
    etag: str

    def is_of(self, source: ObjectInfo) -> bool:
        """Whether this version of the source, or a later one, has been judged."""
        return self.etag == source.etag or self.modified > source.modified.isoformat()


def rejects_partition(table: Table, source: str) -> str:
    """Where a source's rejected records are kept: `table=price_by_date/<hash of the source's key>`.

    The key itself is not used, because it comes from outside. A hash cannot contain a path, a quote or markup.
    """
    return f"table={table.name}/{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def write_rejects(
    store: ObjectStore, table: Table, source: ObjectInfo, rejected: pa.Table, now: datetime, *, add: bool = False
) -> None:
    """Record a source's rejected rows (schema REJECTED or RECORDED), and replace those recorded for it before.

    Rows that were stored once stay on record; with `add` all rows do. Nothing is written when nothing changes. Once a
    later version of the source object has been recorded, only such rows are added.
    """
    partition = rejects_partition(table, source.key)
    target = partition_key(REJECTED_RECORDS, partition)
    rejected = as_recorded(rejected)
    for _ in attempts(target):  # pragma: no branch - it ends by raising
        recorded = _recorded(store, target)
        if recorded.version is None and not rejected.num_rows:  # true for most sources of a stream
            return
        stale = recorded.modified > source.modified.isoformat()
        with _COMPUTING:
            keep = recorded.rows if add or stale else _once_stored(recorded.rows)
            rows = _distinct(pa.concat_tables([keep, _once_stored(rejected) if stale else rejected]))
        if rows.equals(recorded.rows):
            return
        if _put(store, target, rows, table, source, recorded, now):
            return


def as_recorded(rows: pa.Table, *, stored: bool = False) -> pa.Table:
    """Rows of the schema REJECTED as RECORDED. `stored` says whether they are in their table nevertheless."""
    if rows.schema.names == RECORDED.names:
        return rows
    known = {name: rows[name] for name in rows.schema.names}
    known["stored"] = booleans(np.full(rows.num_rows, stored))
    columns = [known[f.name] if f.name in known else pa.nulls(rows.num_rows, f.type) for f in RECORDED]
    return pa.Table.from_arrays(columns, schema=RECORDED)


def write_judged(store: ObjectStore, table: Table, source: ObjectInfo, now: datetime) -> None:
    """Record that this version of a source was judged whole, if its record does not say so yet.

    Call this after an ingest of it: the rows that the ingest rejected are on record already, and stay.
    """
    target = partition_key(REJECTED_RECORDS, rejects_partition(table, source.key))
    for _ in attempts(target):  # pragma: no branch - it ends by raising
        recorded = _recorded(store, target)
        if recorded.is_of(source) or _put(store, target, recorded.rows, table, source, recorded, now):
            return


def is_judged(store: ObjectStore, table: Table, source: ObjectInfo) -> bool:
    """Whether it is on record that this version of a source, or a later one, was judged."""
    target = partition_key(REJECTED_RECORDS, rejects_partition(table, source.key))
    return _recorded(store, target, to_write=False).is_of(source)


def read_rejects(
    store: ObjectStore, table: Table, source: str | None = None, *, since: datetime | None = None
) -> pa.Table:
    """The rejected records of a table, or of one source object of it (schema REJECTED_RECORDS), newest first.

    With `since` (UTC), only of the sources whose records were written at that time or later. A damaged object costs
    only its own records: a warning in the log names it. Raises DamagedObject when the records of `source` are damaged.
    """
    if source is not None:
        partitions = [partition_key(REJECTED_RECORDS, rejects_partition(table, source))]
    else:
        listed = store.list(f"{REJECTED_RECORDS.prefix}table={table.name}/")
        partitions = [info.key for info in listed if since is None or info.modified >= since]

    def rows(key: str) -> pa.Table:
        try:
            data = store.get(key).data
        except ObjectNotFound:
            return REJECTED_RECORDS.schema.empty_table()
        try:
            with _COMPUTING:
                return _plainly_stored(decode(data, REJECTED_RECORDS, key))
        except DamagedObject as error:
            if source is not None:
                raise
            _LOG.warning("its records are left out: %s", error)
            return REJECTED_RECORDS.schema.empty_table()

    with ThreadPoolExecutor(8) as threads:
        found = pa.concat_tables([REJECTED_RECORDS.schema.empty_table(), *threads.map(rows, partitions)])
    order = [("etl_loading_ts", "descending"), ("line", "ascending"), ("place", "ascending")]
    return found.unify_dictionaries().sort_by(order)


def _recorded(store: ObjectStore, key: str, *, to_write: bool = True) -> _Record:
    try:
        found = store.get(key)
    except ObjectNotFound:
        return _Record(RECORDED.empty_table(), None, "", "")
    with _COMPUTING:
        rows = decode(found.data, REJECTED_RECORDS, key, RECORDED.names, to_write=to_write)
        rows = _plainly_stored(rows.cast(RECORDED)).combine_chunks()
        said = footer(found.data)
    return _Record(rows, found.info.etag, said.get(_MODIFIED, ""), said.get(_ETAG, ""))


def _plainly_stored(rows: pa.Table) -> pa.Table:
    """The rows with false instead of null in `stored`: before version 2 no row with a record was stored."""
    at = rows.schema.get_field_index("stored")
    filled = rows["stored"].fill_null(False) if rows["stored"].null_count else rows["stored"]
    return rows.set_column(at, rows.schema.field(at), filled)


def _put(
    store: ObjectStore, key: str, rows: pa.Table, table: Table, source: ObjectInfo, before: _Record, now: datetime
) -> bool:
    """Swap a record in for the one before it. It then names the later of the two versions of the source."""
    read, known = (source.modified.isoformat(), source.etag), (before.modified, before.etag)
    modified, etag = known if known[0] > read[0] else read
    with _COMPUTING:
        data = encode(_as_table(rows, table, source.key, now), REJECTED_RECORDS, {_MODIFIED: modified, _ETAG: etag})
    return swap(store, key, data, before.version)


def _once_stored(rows: pa.Table) -> pa.Table:
    """The records of values that were stored once: replaced values and removed rows."""
    return rows.filter(pc.is_in(rows["reason"], strings([Reason.REPLACED.value, Reason.REMOVED.value])))


def _distinct(rows: pa.Table) -> pa.Table:
    """The rows in the order of their lines, without duplicates."""
    lines = rows["line"].to_numpy()
    if (lines[1:] > lines[:-1]).all():  # usually; a group of a thousand objects has a thousand of these
        return rows.combine_chunks()
    numbered = rows.append_column("at", pa.array(np.arange(rows.num_rows)))
    first = numbered.group_by(RECORDED.names, use_threads=False).aggregate([("at", "min")])["at_min"]
    rows = rows.take(np.sort(first.to_numpy()))
    return rows.take(np.argsort(rows["line"].to_numpy(), kind="stable")).combine_chunks()


def _as_table(rows: pa.Table, table: Table, source: str, now: datetime) -> pa.Table:
    def same(text: str) -> pa.Array:
        codes = as_arrow(np.zeros(rows.num_rows, np.int32), pa.int32())
        return pa.DictionaryArray.from_arrays(codes, strings([text]), safe=False)

    columns = {
        "target_table": same(table.name),
        "source": same(source),
        **{name: rows[name] for name in RECORDED.names},
        "reason": rows["reason"].dictionary_encode(),
        "symbol": rows["symbol"].dictionary_encode(),
        "etl_loading_ts": repeated(now, rows.num_rows),
    }
    names = REJECTED_RECORDS.schema.names
    return pa.Table.from_arrays([columns[name] for name in names], schema=REJECTED_RECORDS.schema)
