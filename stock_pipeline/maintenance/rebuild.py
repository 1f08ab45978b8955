"""Builds a year of `price_by_date` again from its raw objects, and swaps it in whole.

The ingests that made the year are made again, in their order (`rebuild_steps`), in memory. What comes of it is compared
with the stored year. Nothing is written when a row or a value would be lost, or when a source was refused.

A note (`_rebuild/year=2024.json` under the table's prefix) lists the changed rows from before the swap until the
rejected records are right (`rebuild_records`). A rebuild that was killed in between is finished by the next one, or by
`reconcile`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, as_arrow, booleans
from stock_pipeline.errors import RowsWouldBeLost
from stock_pipeline.ingest.commit import merge_group
from stock_pipeline.ingest.daily import GROUP_ROWS, groups, ingest_daily_prices, joined, read_daily_prices
from stock_pipeline.ingest.sources import SourceObject
from stock_pipeline.lake.comparing import same
from stock_pipeline.lake.ingest_log import IngestLog
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.packing import places_of
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import attempts, partition_key, read_logged, swap, write_revisions
from stock_pipeline.lake.revisions import succeeded
from stock_pipeline.lake.transforms import by_year, year_partition
from stock_pipeline.maintenance.rebuild_records import Judged, Note, correct_records
from stock_pipeline.maintenance.rebuild_steps import Step, steps_of_year
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.staging.keys import raw_versions_of_year

_SHOWN = 3
"""So many examples are in the message of a refusal."""

_MOMENTS = tuple(view.written_at for view in PRICE_BY_DATE.views)
_COMPARED = (*PRICE_BY_DATE.values, *(name for view in PRICE_BY_DATE.views for name in view.columns))


@dataclass(frozen=True)
class Rebuilt:
    """A year as its raw objects give it, beside the stored one.

    `receipts` has a receipt for each ingest; rows of other years count as skipped in it. `added` are rows that are not
    stored. Row i of `changed` would take the place of row i of `stored`, which has other values.
    """

    year: int
    receipts: list[Receipt]
    added: pa.Table
    changed: pa.Table
    stored: pa.Table
    rows: int
    data: bytes | None
    etag: str | None
    judged: list[Judged]
    seen: frozenset[tuple[str, str]]
    unknown: list[ObjectInfo]
    revised: pa.Table

    @property
    def differs(self) -> bool:
        """Whether a swap would change a row."""
        return bool(self.added.num_rows or self.changed.num_rows)


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

    The ingests that made the year are made again in their order: former versions of an object, symbols and hints that a
    person gave, and restatements too. Rows of other years are not touched. Rows that come out as they are stored stay
    as they are, and a year that does not change is not written. Readers see the old year until the new one is complete.
    When another writer changes the year meanwhile, the rebuild starts over.

    Raises RowsWouldBeLost, with their number and examples, when stored rows or values would be lost or a source was
    refused; NewerSchema when a newer version wrote the year; and what `ingest_daily_prices` raises. A second call after
    a stop finishes the first.
    """
    for _ in attempts(partition_key(PRICE_BY_DATE, year_partition(year))):  # pragma: no branch - it ends by raising
        rebuilt = compare_year(
            year, staging=staging, lake=lake, max_bytes=max_bytes, now=now, on_progress=on_progress
        )  # fmt: skip
        if swap_in(rebuilt, staging=staging, lake=lake, max_bytes=max_bytes, now=now):
            return rebuilt.receipts
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def compare_year(
    year: int,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> Rebuilt:
    """What `rebuild_year` would change, without writing anything. Raises what it would raise."""
    now, partition = now or datetime.now(UTC), year_partition(year)
    stored, etag, log = read_logged(lake, PRICE_BY_DATE, partition)
    versions = raw_versions_of_year(staging, year)
    seen = frozenset((info.key, info.etag) for info in versions)
    steps = steps_of_year(versions, stored, log, lake)
    building = MemoryStore()
    receipts, judged = _replayed(steps, partition, building, staging, max_bytes, now, on_progress)
    rows, _, rebuilt_log = read_logged(building, PRICE_BY_DATE, partition)
    empty = PRICE_BY_DATE.schema.empty_table()
    old, new = (empty if table is None else table for table in (stored, rows))
    at = places_of(new, old, PRICE_BY_DATE.key)
    there = at >= 0
    _refuse_loss(old, ~there, partition, log, seen)
    _refuse_refused(steps, receipts, judged, lake, partition)
    _refuse_lost_values(old, new, partition)
    rebuilt_log = _as_logged(rebuilt_log, log)
    logged = {(entry.source, entry.etag) for entry in rebuilt_log.entries}
    unknown = [step.info for step in steps if not step.known and (step.info.key, step.info.etag) in logged]
    before, after = old.filter(booleans(there)), new.take(as_arrow(at[there], pa.int64()))
    changed = ~same(before, after, _COMPARED)
    is_new = np.ones(new.num_rows, bool)
    is_new[at[there]] = False
    rows, revised = succeeded(stored, new, PRICE_BY_DATE, now)
    differs = changed.any() or is_new.any() or rebuilt_log != log or not same(old, rows, _MOMENTS).all()
    data = encode(rows, PRICE_BY_DATE, rebuilt_log.in_footer()) if differs and new.num_rows else None
    mask = booleans(changed)
    return Rebuilt(
        year, receipts, new.filter(booleans(is_new)), after.filter(mask), before.filter(mask), new.num_rows, data,
        etag, judged, seen, unknown, revised,
    )  # fmt: skip


def swap_in(
    rebuilt: Rebuilt,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
) -> bool:
    """Put a rebuilt year in the place of the stored one, and make the rejected records right.

    Returns False when another writer has changed the year since: compare again.
    """
    now, note = now or datetime.now(UTC), Note(lake, rebuilt.year)
    note.take_in(pa.concat_tables([rebuilt.added, rebuilt.changed]), rebuilt.unknown)
    partition = year_partition(rebuilt.year)
    key = partition_key(PRICE_BY_DATE, partition)
    if rebuilt.revised.num_rows:
        write_revisions(lake, PRICE_BY_DATE, partition, rebuilt.revised)
    if rebuilt.data is not None and not swap(lake, key, rebuilt.data, rebuilt.etag):
        return False
    correct_records(rebuilt.judged, note.keys, lake, now)
    if rebuilt.data is not None or note.sources:
        # Of a file that nobody had ingested before, the year alone was taken. And a file that came meanwhile may have
        # met a value that is not stored any more.
        versions = dict.fromkeys((*rebuilt.unknown, *raw_versions_of_year(staging, rebuilt.year)))
        left = [i for i in versions if (i.key, i.etag) in note.sources or (i.key, i.etag) not in rebuilt.seen]
        after = now + timedelta(microseconds=len(rebuilt.receipts))  # each ingest has its own time
        ingest_daily_prices([info.named for info in left], staging=staging, lake=lake, max_bytes=max_bytes, now=after)
    note.clear()
    return True


def _replayed(
    steps: Sequence[Step],
    partition: str,
    building: ObjectStore,
    staging: ObjectStore,
    max_bytes: int,
    now: datetime,
    on_progress: Progress | None,
) -> tuple[list[Receipt], list[Judged]]:
    """Make the ingests again into an empty store; only the rows of one partition."""
    receipts: list[Receipt] = []
    judged: list[Judged] = []
    for (how, options), some in groupby(steps, lambda step: (step.replace, step.options)):
        names = [step.info.named for step in some]
        reading = read_daily_prices(names, staging, building, options, max_bytes=max_bytes, now=now)
        within = (_within(source, partition) for source in reading)
        for group in groups(within, 1 if how else GROUP_ROWS):
            moment = now + timedelta(microseconds=len(receipts))  # each ingest has its own time, as in real life
            rows = joined(group, moment)
            receipts += merge_group(group, rows, PRICE_BY_DATE, by_year, building, moment, replace=how).receipts
            judged += [Judged.of(source) for source in group]
            if on_progress:
                on_progress(len(receipts), len(steps))
            del group  # otherwise the next one is read while this one is still in memory
    return receipts, judged


def _within(source: SourceObject, partition: str) -> SourceObject:
    """A source with only its rows of one partition. The others count as skipped."""
    if (cleaned := source.cleaned) is None:
        return source
    codes, names = by_year(cleaned.good)
    present = [names[code] for code in np.unique(codes).tolist()]
    if present == [partition]:
        return source
    mine = codes == (names.index(partition) if partition in names else -1)
    after = next((name for name in present if name > partition), present[0] if present else "")
    source.cleaned = replace(
        cleaned,
        good=cleaned.good.filter(booleans(mine)),
        lines=cleaned.lines[mine],
        skipped=cleaned.skipped + int((~mine).sum()),
    )
    source.then = after
    return source


def _as_logged(rebuilt: IngestLog, log: IngestLog) -> IngestLog:
    """The rebuilt log with the entries that the stored log has for the same ingests."""
    known = {(e.source, e.etag, e.replace): e for e in log.entries}
    return IngestLog(tuple(known.get((e.source, e.etag, e.replace), e) for e in rebuilt.entries))


def _refuse_loss(
    stored: pa.Table, lost: Bools, partition: str, log: IngestLog, there: frozenset[tuple[str, str]]
) -> None:
    if not lost.any():
        return
    rows = stored.filter(booleans(lost))
    gone = sorted({entry.source for entry in log.entries if (entry.source, entry.etag) not in there})
    gone += sorted(set(pc.unique(rows["source"].cast(pa.string())).to_pylist()) - {key for key, _ in there} - set(gone))
    why = f"; versions of {len(gone)} raw objects are no longer in staging: {', '.join(gone[:_SHOWN])}" if gone else ""
    raise RowsWouldBeLost(
        f"{partition} holds {rows.num_rows:,} rows that no raw object in staging gives any more: {_examples(rows)}"
        f"{why}. Nothing was written. Put the raw objects back, or take the rows out with `stock-pipeline remove`, and "
        "then rebuild"
    )


def _refuse_refused(
    steps: Sequence[Step], receipts: Sequence[Receipt], judged: Sequence[Judged], lake: ObjectStore, partition: str
) -> None:
    """A source that was refused when it came gave no rows, so it may be refused again. No other source may."""
    found = [
        receipt
        for step, receipt, one in zip(steps, receipts, judged, strict=True)
        if receipt.refused is not None and (step.stored or not one.was_refused(lake))
    ]
    if found:
        told = "; ".join(f"{receipt.source}: {receipt.refused}" for receipt in found[:_SHOWN])
        raise RowsWouldBeLost(
            f"{len(found)} sources of {partition} were refused: {told}. Nothing was written, because a rebuild without "
            "them may lose rows. Ingest each as it is meant to be read (its symbol, its hints), or remove it"
        )


def _refuse_lost_values(stored: pa.Table, rebuilt: pa.Table, partition: str) -> None:
    """A row names only the source that completed it last. Another source may have given some of its values and be gone,
    so the values are compared.
    """
    fuller = np.flatnonzero(merge(rebuilt, stored, PRICE_BY_DATE).outcome == Outcome.UPDATED)
    if len(fuller):
        rows = stored.take(as_arrow(fuller, pa.int64()))
        raise RowsWouldBeLost(
            f"{partition} holds values in {len(fuller):,} rows that no raw object in staging gives any more "
            f"({_examples(rows)}); a rebuild would lose them. Put the raw objects back (the staging bucket keeps "
            "versions), or ingest without rebuilding"
        )


def _examples(rows: pa.Table) -> str:
    some = rows.slice(0, _SHOWN).to_pylist()
    told = ", ".join(f"{row['symbol']} {row['date']} from {row['source']}" for row in some)
    return told + (", …" if rows.num_rows > _SHOWN else "")


def unfinished(lake: ObjectStore) -> Iterator[int]:
    """The years whose rebuild was stopped between its swap and its records."""
    yield from Note.years(lake)
