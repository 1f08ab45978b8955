"""Partition objects under compare-and-swap: read, merge, and put back only if no other writer wrote in between.

One PUT is the commit. If a worker dies before the PUT, the partition stays as it was. If it dies after the PUT, the
partition is merged: the same source, delivered again, finds its rows there and adds nothing. So no writer needs to
delete, lock or compact.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pyarrow as pa

from stock_pipeline.errors import DamagedObject, MergeContention, ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.ingest_log import IngestLog
from stock_pipeline.lake.merge import Merged, merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.sorted_rows import Sorted
from stock_pipeline.schemas import TABLES, Table

TRIES = 40
_FIRST_WAIT, _LONGEST_WAIT = 0.02, 2.0  # seconds


def partition_key(table: Table, partition: str) -> str:
    """The object of a partition: (price_by_date, `year=2024`) → `price_by_date/year=2024/prices.parquet`."""
    return f"{table.prefix}{partition}{table.suffix}"


def partition_of(table: Table, key: str) -> str | None:
    """The partition whose object has this key; None for an object that the pipeline did not name."""
    inner = key.removeprefix(table.prefix)
    if inner == key or not inner.endswith(table.suffix):
        return None
    name = inner.removesuffix(table.suffix)
    return name if table.partition_names.fullmatch(name) else None


def read_partition(
    store: ObjectStore, table: Table, partition: str, columns: list[str] | None = None
) -> pa.Table | None:
    """The rows of a partition, or None when it has no object yet."""
    return _read(store, table, partition, columns, to_write=False)[0]


def read_version(
    store: ObjectStore, table: Table, partition: str, columns: list[str] | None = None
) -> tuple[pa.Table | None, str | None]:
    """A partition's rows and the ETag that `commit` must name; (None, None) when it has no object yet.

    For callers that write the object again: raises NewerSchema when that would drop what a newer version put there.
    """
    return _read(store, table, partition, columns, to_write=True)


def _read(
    store: ObjectStore, table: Table, partition: str, columns: list[str] | None, *, to_write: bool
) -> tuple[pa.Table | None, str | None]:
    key = partition_key(table, partition)
    try:
        found = store.get(key)
    except ObjectNotFound:
        return None, None
    try:
        return decode(found.data, table, key, columns, to_write=to_write), found.info.etag
    except DamagedObject as error:
        error.etag = found.info.etag
        raise


def read_logged(store: ObjectStore, table: Table, partition: str) -> tuple[pa.Table | None, str | None, IngestLog]:
    """As `read_version`, with the log of the partition's ingests."""
    key = partition_key(table, partition)
    try:
        found = store.get(key)
    except ObjectNotFound:
        return None, None, IngestLog()
    try:
        rows = decode(found.data, table, key, to_write=True)
    except DamagedObject as error:
        error.etag = found.info.etag
        raise
    return rows, found.info.etag, IngestLog.of_footer(footer(found.data))


def partitions(store: ObjectStore, table: Table, within: str = "") -> list[str]:
    """The partitions of a table that have an object, in order: `["year=2023", "year=2024"]`.

    Only names that begin with `within` are listed. Objects of other names are not the pipeline's, and are left out.
    """
    names = (partition_of(table, info.key) for info in store.list(f"{table.prefix}{within}"))
    return [name for name in names if name is not None]


def merge_into_partition(
    store: ObjectStore,
    table: Table,
    partition: str,
    incoming: pa.Table,
    *,
    replace: bool = False,
    log: Callable[[Merged, IngestLog], IngestLog] = lambda _, before: before,
) -> Merged:
    """Merge rows into a partition object and commit it, trying again whenever another writer came first.

    Rows that the merge changes go to the table of revisions first, at every try, because after the commit their values
    exist nowhere else. `log` is called at every try with the merge and the partition's log, and returns the log to
    commit. Nothing is written when the merge changes nothing.

    Raises MergeContention after `TRIES` lost races, StoreUnavailable when the store cannot be reached, and NewerSchema
    when this version would drop what a newer one wrote. Running the same merge again is always safe.
    """
    tried: Merged | None = None
    for _ in attempts(partition_key(table, partition)):  # pragma: no branch - it ends by raising
        existing, etag, before = read_logged(store, table, partition)
        merged = merge(existing, incoming, table, replace=replace)
        after = log(merged, before)
        if merged.sorted is None:
            # Own rows are there: the try before did not lose the race, only its reply was lost. Its outcomes hold.
            return tried if tried and merged.own.any() else merged
        if merged.revised is not None:
            write_revisions(store, table, partition, merged.revised)
        if commit(store, table, partition, merged.sorted, etag, after):
            return merged
        tried, incoming = merged, merged.again
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def write_revisions(store: ObjectStore, table: Table, partition: str, revised: pa.Table) -> None:
    """Put revisions on record. Call this before the commit that changes these rows, or takes them out."""
    merge_into_partition(store, TABLES[table.revisions], partition, revised)


def commit(
    store: ObjectStore,
    table: Table,
    partition: str,
    rows: pa.Table | Sorted,
    etag: str | None,
    log: IngestLog = IngestLog(),  # noqa: B008 - it is immutable
) -> bool:
    """Put a partition's rows and their log over the version `etag` (None: there is no object yet).

    Returns whether it was done; False means that another writer came first.
    """
    return swap(store, partition_key(table, partition), encode(rows, table, log.in_footer()), etag)


def swap(store: ObjectStore, key: str, data: bytes, etag: str | None) -> bool:
    """The one compare-and-swap: put `data` over the version `etag`, or where there is no object. False when it lost the
    race.
    """
    try:
        store.put(key, data, if_match=etag, if_none_match=etag is None)
    except (PreconditionFailed, ObjectNotFound):  # S3 answers If-Match with 404 when the object is gone
        return False
    return True


def attempts(key: str) -> Iterator[int]:
    """The tries of a compare-and-swap with full-jitter back-off between them; raises MergeContention at the end.

    Back-off as in Brooker, "Exponential Backoff and Jitter": a random wait below an exponentially growing bound.
    """
    for attempt in range(TRIES):
        yield attempt
        time.sleep(random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)))
    raise MergeContention(
        f"{key} was rewritten by others at each of {TRIES} tries. Nothing is lost: run this again, with fewer writers"
    )
