"""Reads what the lake remembers of sources (`source_memory`) from the footers of their rejected records."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.parquet import footer
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.rejected_records import rejects_partition
from stock_pipeline.lake.source_memory import Remembered, of_footer
from stock_pipeline.schemas import REJECTED_RECORDS, Table


def remembered_of(store: ObjectStore, table: Table, sources: Iterable[str]) -> dict[str, dict[str, Remembered]]:
    """What the lake remembers of several sources, by key. One listing finds those that have a record at all."""
    there = {info.key for info in store.list(f"{REJECTED_RECORDS.prefix}table={table.name}/")}
    known = [key for key in sources if partition_key(REJECTED_RECORDS, rejects_partition(table, key)) in there]
    with ThreadPoolExecutor(8) as threads:
        return dict(zip(known, threads.map(lambda key: remembered(store, table, key), known), strict=True))


def remembered(store: ObjectStore, table: Table, source: str) -> dict[str, Remembered]:
    """What the lake remembers of the versions of a source, by their ETags."""
    # A damaged record says nothing; to ingest its source names the record.
    try:
        return of_footer(footer(store.get(partition_key(REJECTED_RECORDS, rejects_partition(table, source))).data))
    except (ObjectNotFound, pa.ArrowException, OSError, ValueError):
        return {}
