"""Rejected records: one object a source. When a version of the source is ingested again, its records are replaced.

The records of the other versions of a name that was used again stay. So do values that a restatement replaced and rows
that were removed: they exist nowhere else once the partition is written, so they are recorded before it, and stay on
record through every later ingest.

The footer has what the lake remembers of the versions (`source_memory`). A plain ingest without rejected rows writes
none, because the logs of the partitions name its version. `reconcile` writes one when none does.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import booleans
from stock_pipeline.errors import DamagedObject, ObjectNotFound
from stock_pipeline.lake import source_memory
from stock_pipeline.lake.ingest_log import Options
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.partitions import attempts, partition_key, partition_of, swap
from stock_pipeline.lake.recorded_rows import KEPT, as_table, distinct, of_version, once_stored, plainly
from stock_pipeline.lake.source_memory import Memory, Remembered, in_footer, of_footer
from stock_pipeline.schemas import RECORDED, REJECTED_RECORDS, Table

_LOG = logging.getLogger(__name__)

_COMPUTING = Lock()
"""A thread holds this while it computes. Records of many sources are written side by side only because each write waits
for the store. Without this lock the threads would switch at each call of Arrow, which takes longer than the work.
"""
_PAGE = 1000
"""So many objects are listed one page after the other; S3 gives as many at a time."""

_DIGITS = "0123456789abcdef"
_READERS = 16  # objects that are read at a time; it is mostly waiting


@dataclass(frozen=True)
class Ingested:
    """An ingest of a whole version: how it was told to read the source, when it restated (ISO 8601), and how many
    entries the version has now in the logs of the partitions. `partly`: it changed only some of its partitions.
    """

    options: Options = ()
    restated: str = ""
    logged: Mapping[str, int] = field(default_factory=dict)
    partly: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to remember of it."""
        return not self.options and not self.restated and not self.partly


PLAIN = Ingested()


@dataclass(frozen=True)
class _Record:
    """What is on record for a source: its rows (schema `KEPT`), the record's ETag if there is one, and the memory."""

    rows: pa.Table
    version: str | None
    memory: Memory


def rejects_partition(table: Table, source: str) -> str:
    """Where a source's rejected records are kept: `table=price_by_date/<hash of the source's key>`.

    The key itself is not used, because it comes from outside. A hash cannot contain a path, a quote or markup.
    """
    return f"table={table.name}/{hashlib.sha256(source.encode()).hexdigest()[:32]}"


def write_rejects(
    store: ObjectStore,
    table: Table,
    source: ObjectInfo,
    rejected: pa.Table,
    now: datetime,
    *,
    ingested: Ingested = PLAIN,
) -> None:
    """Record the rejected rows (schema REJECTED or RECORDED) of a version of a source that was ingested whole.

    They replace those recorded for this version before, except replaced and removed values. `ingested` is remembered.
    Nothing is written when nothing changes.
    """
    rejected = as_recorded(rejected)

    def after(before: _Record) -> _Record | None:
        nothing = not rejected.num_rows and ingested.is_plain
        if nothing and (before.version is None or source.etag not in before.memory):
            return None  # true for most sources of a stream
        mine = pc.equal(before.rows["etag"], source.etag)
        keep = pa.concat_tables([before.rows.filter(pc.invert(mine)), once_stored(before.rows.filter(mine))])
        known = before.memory.get(source.etag, Remembered())
        known = source_memory.judged(
            known, source.modified.isoformat(), ingested.logged, ingested.options, ingested.restated
        )
        rows = distinct(pa.concat_tables([keep, of_version(rejected, source.etag)]))
        return _Record(rows, None, {**before.memory, source.etag: known})

    _rewrite(store, table, source.key, after, now)


def add_rejects(store: ObjectStore, table: Table, source: ObjectInfo, records: pa.Table, now: datetime) -> None:
    """Record further rows (schema RECORDED) of a version of a source. The rows that are on record stay."""

    def after(before: _Record) -> _Record | None:
        if not records.num_rows:
            return None
        rows = distinct(pa.concat_tables([before.rows, of_version(records, source.etag)]))
        known = before.memory.get(source.etag, Remembered(source.modified.isoformat()))
        return _Record(rows, None, {**before.memory, source.etag: known})

    _rewrite(store, table, source.key, after, now)


def rewrite_rejects(
    store: ObjectStore, table: Table, source: ObjectInfo, change: Callable[[pa.Table], pa.Table], now: datetime
) -> None:
    """Change what is on record for a version of a source: `change` takes its rows (schema RECORDED) and returns those
    that are to be on record.
    """

    def after(before: _Record) -> _Record | None:
        mine = pc.equal(before.rows["etag"], source.etag)
        changed = change(before.rows.filter(mine).select(RECORDED.names))
        if before.version is None and not changed.num_rows:
            return None
        rows = pa.concat_tables([before.rows.filter(pc.invert(mine)), of_version(changed, source.etag)])
        known = before.memory.get(source.etag, Remembered(source.modified.isoformat()))
        return _Record(distinct(rows), None, {**before.memory, source.etag: known})

    _rewrite(store, table, source.key, after, now)


def mark_removed(store: ObjectStore, table: Table, key: str, etags: Iterable[str], now: datetime) -> None:
    """Remember that a person took the rows of these versions out. A later ingest of a version brings them back."""
    gone = list(etags)

    def after(before: _Record) -> _Record:
        known = {etag: before.memory.get(etag, Remembered()) for etag in gone}
        removed = {etag: replace(of, judged=True, logged={}, removed=True) for etag, of in known.items()}
        return _Record(before.rows, None, {**before.memory, **removed})

    _rewrite(store, table, key, after, now)


def as_recorded(rows: pa.Table, *, stored: bool = False) -> pa.Table:
    """Rows of the schema REJECTED as RECORDED. `stored` says whether they are in their table nevertheless."""
    if rows.schema.names == RECORDED.names:
        return rows
    known = {name: rows[name] for name in rows.schema.names}
    known["stored"] = booleans(np.full(rows.num_rows, stored))
    columns = [known[f.name] if f.name in known else pa.nulls(rows.num_rows, f.type) for f in RECORDED]
    return pa.Table.from_arrays(columns, schema=RECORDED)


def write_judged(
    store: ObjectStore, table: Table, source: ObjectInfo, logged: Mapping[str, int], now: datetime
) -> None:
    """Remember that this version of a source was judged whole, with its entries in the logs of the partitions.

    Call this after an ingest of it: the rows that the ingest rejected are on record already, and stay.
    """

    def after(before: _Record) -> _Record:
        known = before.memory.get(source.etag, Remembered(source.modified.isoformat()))
        return replace(before, memory={**before.memory, source.etag: replace(known, judged=True, logged=dict(logged))})

    _rewrite(store, table, source.key, after, now)


def read_rejects(
    store: ObjectStore, table: Table, source: str | None = None, *, since: datetime | None = None
) -> pa.Table:
    """The rejected records of a table, or of one source object of it (schema REJECTED_RECORDS), newest first.

    With `since` (UTC), only of the sources whose records were written at that time or later. A damaged object costs
    only its own records: a warning in the log names it. Raises DamagedObject when the records of `source` are damaged.
    """
    if source is not None:
        return read_objects(store, [record_key(table, source)], all_or_none=True)
    return read_objects(store, [info.key for info in record_objects(store, table, since=since)])


def record_key(table: Table, source: str) -> str:
    """The key of the object that has a source's rejected records."""
    return partition_key(REJECTED_RECORDS, rejects_partition(table, source))


def record_objects(store: ObjectStore, table: Table, *, since: datetime | None = None) -> list[ObjectInfo]:
    """The objects of the rejected records of a table, the last written first; with `since` (UTC), those since then.

    They are only listed. Their names are spread evenly, so that a long list is asked for in sixteen parts at a time.
    """
    prefix = f"{REJECTED_RECORDS.prefix}table={table.name}/"
    found = list(islice(store.list(prefix), _PAGE))
    if len(found) == _PAGE:
        last = found[-1].key
        with ThreadPoolExecutor(len(_DIGITS)) as threads:
            rest = threads.map(lambda digit: list(store.list(prefix + digit, start_after=last)), _DIGITS)
            found += [info for part in rest for info in part]
    own = [info for info in found if partition_of(REJECTED_RECORDS, info.key)]
    return sorted((i for i in own if since is None or i.modified >= since), key=lambda i: i.modified, reverse=True)


def read_objects(store: ObjectStore, keys: Iterable[str], *, all_or_none: bool = False) -> pa.Table:
    """The rows of some of the objects of rejected records (schema REJECTED_RECORDS), newest first.

    An object that is gone has none. A damaged one is left out with a warning in the log, or, with `all_or_none`, raises
    DamagedObject.
    """

    def rows(key: str) -> pa.Table:
        try:
            data = store.get(key).data
        except ObjectNotFound:
            return REJECTED_RECORDS.schema.empty_table()
        try:
            with _COMPUTING:
                return plainly(decode(data, REJECTED_RECORDS, key), of_footer(footer(data)))
        except DamagedObject as error:
            if all_or_none:
                raise
            _LOG.warning("its records are left out: %s", error)
            return REJECTED_RECORDS.schema.empty_table()

    with ThreadPoolExecutor(_READERS) as threads:
        found = pa.concat_tables([REJECTED_RECORDS.schema.empty_table(), *threads.map(rows, keys)])
    order = [("etl_loading_ts", "descending"), ("line", "ascending"), ("place", "ascending")]
    return found.unify_dictionaries().sort_by(order)


def _rewrite(
    store: ObjectStore, table: Table, source: str, after: Callable[[_Record], _Record | None], now: datetime
) -> None:
    """Swap in what a source's record is to be `after` what it was, unless that changes nothing (None, or the same)."""
    target = record_key(table, source)
    for _ in attempts(target):  # pragma: no branch - it ends by raising
        before = _recorded(store, target)
        with _COMPUTING:
            found = after(before)
        if found is None or (found.rows.equals(before.rows) and found.memory == before.memory):
            return
        with _COMPUTING:
            data = encode(as_table(found.rows, table, source, now), REJECTED_RECORDS, in_footer(found.memory))
        if swap(store, target, data, before.version):
            return


def _recorded(store: ObjectStore, key: str) -> _Record:
    try:
        found = store.get(key)
    except ObjectNotFound:
        return _Record(KEPT.empty_table(), None, {})
    with _COMPUTING:
        rows = decode(found.data, REJECTED_RECORDS, key, KEPT.names, to_write=True)  # first: it names what is damaged
        memory = of_footer(footer(found.data))
        return _Record(plainly(rows.cast(KEPT), memory).combine_chunks(), found.info.etag, memory)
