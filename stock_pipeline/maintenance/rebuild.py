"""Builds a year of `price_by_date` again from its raw objects, and swaps it in whole."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import RowsWouldBeLost
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.overlay_store import OverlayStore
from stock_pipeline.lake.partitions import (
    attempts,
    commit,
    partition_key,
    partitions,
    read_partition,
    read_version,
    write_revisions,
)
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.revisions import Became, succeeded
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS, Reason
from stock_pipeline.staging.keys import raw_keys_of_year


def rebuild_year(
    year: int,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> list[Receipt]:
    """Build a year of `price_by_date` again from the raw objects only, and swap it in whole.

    Sources are ingested in the order of their arrival. Restatements (sources with replaced values on record) replace
    again. Sources that were removed stay out. Readers see the old year until the new one is complete. Rows whose values
    do not change stay as they are; the former versions of others go to `price_revisions`. When another writer changes
    the year meanwhile, the rebuild starts over, so that the other writer's rows are in it.

    Raises RowsWouldBeLost when the stored year has rows or values from objects that are no longer in staging,
    NewerSchema when a newer version wrote it, and what `ingest_daily_prices` raises.
    """
    partition = year_partition(year)
    key = partition_key(PRICE_BY_DATE, partition)
    for _ in attempts(key):  # pragma: no branch - it ends by raising
        stored, etag = read_version(lake, PRICE_BY_DATE, partition)
        stored_from = set() if stored is None else set(pc.unique(stored["source"].cast(pa.string())).to_pylist())
        restatements, removed = _restatements(lake), _recorded_sources(lake, Reason.REMOVED)
        # A source that a person removed stays out, unless somebody has ingested it again.
        keys = [key for key in raw_keys_of_year(staging, year) if key not in removed - stored_from]
        _refuse_loss(stored_from, keys, partition)
        rebuilt = MemoryStore()
        # What it replaces on the way was replaced once already, so it is no revision.
        building = OverlayStore(lake, rebuilt, [key, partition_key(PRICE_REVISIONS, partition)])
        receipts: list[Receipt] = []
        for replace, run in itertools.groupby(keys, restatements.__contains__):
            receipts += ingest_daily_prices(
                list(run), staging=staging, lake=building, replace=replace, max_bytes=max_bytes, now=now,
                on_progress=_shifted(on_progress, len(receipts), len(keys)),
            )  # fmt: skip
        rows = read_partition(rebuilt, PRICE_BY_DATE, partition)
        _refuse_lost_values(stored, rows, partition)
        if rows is None:
            return receipts
        rows, revised = succeeded(stored, rows, PRICE_BY_DATE, now or datetime.now(UTC))
        if revised.num_rows:
            write_revisions(lake, PRICE_BY_DATE, partition, revised)
        if commit(lake, PRICE_BY_DATE, partition, rows, etag):
            return receipts
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def _refuse_loss(stored_from: set[str], keys: list[str], partition: str) -> None:
    gone = sorted(stored_from - set(keys))
    if gone:
        raise RowsWouldBeLost(
            f"{partition} holds rows from {len(gone)} raw objects that are no longer in staging ({gone[0]}, …); a "
            "rebuild would lose them. Put them back (the staging bucket keeps versions), or ingest without rebuilding"
        )


def _refuse_lost_values(stored: pa.Table | None, rebuilt: pa.Table | None, partition: str) -> None:
    """A row names only the source that completed it last. Another source may have given some of its values and be gone,
    so the values are compared.
    """
    if stored is None or rebuilt is None:
        return
    fuller = np.flatnonzero(merge(rebuilt, stored, PRICE_BY_DATE).outcome == Outcome.UPDATED)
    if len(fuller):
        row = stored.slice(int(fuller[0]), 1).to_pylist()[0]
        raise RowsWouldBeLost(
            f"{partition} holds values in {len(fuller):,} rows that no raw object in staging gives any more "
            f"({row['symbol']} {row['date']}, …); a rebuild would lose them. Put the raw objects back (the staging "
            "bucket keeps versions), or ingest without rebuilding"
        )


def _restatements(lake: ObjectStore) -> set[str]:
    """The sources that replaced stored values. Older lakes have these in the rejected records."""
    found = _recorded_sources(lake, Reason.REPLACED)
    for name in partitions(lake, PRICE_REVISIONS):
        rows = read_partition(lake, PRICE_REVISIONS, name, ["replaced_by", "change"])
        if rows is not None:
            replaced = rows.filter(pc.equal(rows["change"].cast(pa.string()), Became.REPLACED.name.lower()))
            found |= set(replaced["replaced_by"].cast(pa.string()).to_pylist())
    return found


def _recorded_sources(lake: ObjectStore, reason: Reason) -> set[str]:
    """The sources with records of this reason: `replaced` for restatements, `removed` for removed sources."""
    recorded = read_rejects(lake, PRICE_BY_DATE).select(["source", "reason"])
    found = recorded.filter(pc.equal(recorded["reason"].cast(pa.string()), reason.value))
    return set(found["source"].cast(pa.string()).to_pylist())


def _shifted(on_progress: Progress | None, done: int, total: int) -> Progress | None:
    return on_progress and (lambda more, _: on_progress(done + more, total))
