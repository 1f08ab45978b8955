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
from functools import cache
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import as_arrow, booleans
from stock_pipeline.ingest.commit import merge_group
from stock_pipeline.ingest.daily import GROUP_ROWS, groups, ingest_daily_prices, joined, read_daily_prices
from stock_pipeline.ingest.sources import SourceObject
from stock_pipeline.lake.comparing import same, same_at
from stock_pipeline.lake.ingest_log import IngestLog
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.packing import places_of
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import attempts, partition_key, read_logged, swap, write_revisions
from stock_pipeline.lake.revisions import succeeded
from stock_pipeline.lake.transforms import by_year, year_partition
from stock_pipeline.maintenance.rebuild_records import Judged, Note, Overtaken, correct_records
from stock_pipeline.maintenance.rebuild_refusals import refuse_loss, refuse_lost_values, refuse_refused
from stock_pipeline.maintenance.rebuild_steps import Step, steps_of_year
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.staging.keys import raw_versions, raw_versions_of_year, versions_of_year

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
    listed: Sequence[ObjectInfo]
    unknown: list[ObjectInfo]
    revised: pa.Table

    @property
    def differs(self) -> bool:
        """Whether a swap would change a row."""
        return bool(self.added.num_rows or self.changed.num_rows)


@dataclass(frozen=True)
class Swapped:
    """A rebuilt year whose rows and records are right; what is left is `finish`.

    `listed` are the versions of raw objects that it was made from. `noted` is the ETag of its note, `ingests` their
    number, and `changed` says whether the year was written.
    """

    year: int
    changed: bool
    ingests: int
    listed: Sequence[ObjectInfo]
    noted: str | None


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
    a stop finishes the first. For several years, see `stock_pipeline.heavy.rebuild`.
    """
    for _ in attempts(partition_key(PRICE_BY_DATE, year_partition(year))):  # pragma: no branch - it ends by raising
        rebuilt = compare_year(year, staging=staging, lake=lake, max_bytes=max_bytes, now=now, on_progress=on_progress)
        if swapped := swap_in(rebuilt, lake=lake, now=now):
            finish([swapped], staging=staging, lake=lake, max_bytes=max_bytes, now=now)
            return rebuilt.receipts
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def compare_year(
    year: int,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    listed: Sequence[ObjectInfo] | None = None,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> Rebuilt:
    """What `rebuild_year` would change, without writing anything. Raises what it would raise.

    `listed` are the versions in staging that may hold the year, in their order; without it they are listed now.
    """
    now, partition = now or datetime.now(UTC), year_partition(year)
    stored, etag, log = read_logged(lake, PRICE_BY_DATE, partition)
    versions = raw_versions_of_year(staging, year) if listed is None else listed
    seen = frozenset((info.key, info.etag) for info in versions)
    steps = steps_of_year(versions, stored, log, lake)
    building = MemoryStore()
    receipts, judged = _replayed(steps, partition, building, staging, max_bytes, now, on_progress)
    rows, _, rebuilt_log = read_logged(building, PRICE_BY_DATE, partition)
    empty = PRICE_BY_DATE.schema.empty_table()
    old, new = (empty if table is None else table for table in (stored, rows))
    at = places_of(new, old, PRICE_BY_DATE.key)
    there = at >= 0
    refuse_loss(old, ~there, partition, log, seen)
    refuse_refused(steps, receipts, judged, lake, partition)
    refuse_lost_values(old, new, partition)
    rebuilt_log = _as_logged(rebuilt_log, log)
    logged = {(entry.source, entry.etag) for entry in rebuilt_log.entries}
    unknown = [step.info for step in steps if not step.known and (step.info.key, step.info.etag) in logged]
    kept = np.flatnonzero(there)
    changed = kept[~same_at(old, kept, new, at[kept], _COMPARED)]
    is_new = np.ones(new.num_rows, bool)
    is_new[at[there]] = False
    rows, revised = succeeded(stored, new, PRICE_BY_DATE, now)
    rebuilt_log = _still_named(rebuilt_log, log, rows)
    differs = len(changed) or is_new.any() or rebuilt_log != log or not same(old, rows, _MOMENTS).all()
    data = encode(rows, PRICE_BY_DATE, rebuilt_log.in_footer()) if differs and new.num_rows else None
    before, after = old.take(as_arrow(changed, pa.int64())), new.take(as_arrow(at[changed], pa.int64()))
    return Rebuilt(
        year, receipts, new.filter(booleans(is_new)), after, before, new.num_rows, data, etag, judged, versions,
        unknown, revised,
    )  # fmt: skip


def swap_in(rebuilt: Rebuilt, *, lake: ObjectStore, now: datetime | None = None) -> Swapped | None:
    """Put a rebuilt year in the place of the stored one, and make the rejected records right. Then call `finish`.

    Returns None when another writer has changed the year since, or changes it before the records are right: compare
    again.
    """
    now, note = now or datetime.now(UTC), Note(lake, rebuilt.year)
    note.take_in(pa.concat_tables([rebuilt.added, rebuilt.changed]), rebuilt.unknown)
    partition = year_partition(rebuilt.year)
    key = partition_key(PRICE_BY_DATE, partition)
    if rebuilt.revised.num_rows:
        write_revisions(lake, PRICE_BY_DATE, partition, rebuilt.revised)
    if rebuilt.data is not None and not swap(lake, key, rebuilt.data, rebuilt.etag):
        return None
    try:
        correct_records(rebuilt.judged, note.keys, lake, now, lambda: _stands(rebuilt, lake, key))
    except Overtaken:
        return None
    return Swapped(rebuilt.year, rebuilt.data is not None, len(rebuilt.receipts), rebuilt.listed, note.etag)


def finish(
    swapped: Sequence[Swapped],
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
) -> None:
    """Ingest what rebuilds of years leave to do, once for all of them, and clear their notes.

    Of a file that nobody had ingested before, a rebuild takes only its year. And a file that came meanwhile may have
    met a value that is not stored any more.
    """
    listing = cache(lambda: raw_versions(staging))
    left: dict[ObjectInfo, None] = {}
    for one in swapped:
        unknown = Note(lake, one.year).sources
        if one.changed or unknown:
            seen = {(info.key, info.etag) for info in one.listed}
            versions = dict.fromkeys((*one.listed, *versions_of_year(listing(), one.year)))
            left |= dict.fromkeys(i for i in versions if (i.key, i.etag) in unknown or (i.key, i.etag) not in seen)
    begun = max((one.ingests for one in swapped), default=0)
    after = (now or datetime.now(UTC)) + timedelta(microseconds=begun)  # each ingest has its own time
    ordered = sorted(left, key=lambda info: (info.modified, info.key))
    ingest_daily_prices([info.named for info in ordered], staging=staging, lake=lake, max_bytes=max_bytes, now=after)
    for one in swapped:
        Note(lake, one.year).clear(one.noted)


def _stands(rebuilt: Rebuilt, lake: ObjectStore, key: str) -> bool:
    """Whether the stored year is still the rebuilt one."""
    now = lake.get(key)
    return now.info.etag == rebuilt.etag if rebuilt.data is None else now.data == rebuilt.data


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


def _still_named(rebuilt: IngestLog, log: IngestLog, rows: pa.Table) -> IngestLog:
    """The rebuilt log with the entries of versions that are gone, if rows that stay as they are name their source.

    Without them the next rebuild would take these rows for older than all logs, and their source's present version for
    the first of all.
    """
    named = set(pc.unique(rows["source"].cast(pa.string())).to_pylist()) - rebuilt.sources
    gone = [entry for entry in log.entries if entry.source in named]
    return IngestLog((*gone, *rebuilt.entries)) if gone else rebuilt


def _as_logged(rebuilt: IngestLog, log: IngestLog) -> IngestLog:
    """The rebuilt log with the entries that the stored log has for the same ingests."""
    known = {(e.source, e.etag, e.replace): e for e in log.entries}
    return IngestLog(tuple(known.get((e.source, e.etag, e.replace), e) for e in rebuilt.entries))


def unfinished(lake: ObjectStore) -> Iterator[int]:
    """The years whose rebuild was stopped between its swap and its records."""
    return Note.years(lake)
