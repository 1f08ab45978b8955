"""Merges a group of cleaned source objects into a table, and accounts for every row.

It is the same for every table. The caller gives what differs: how an object is read, and the partition of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stock_pipeline.arrow import Codes, Ints, as_arrow, booleans, microseconds, nulls, repeated, strings
from stock_pipeline.ingest.conflicts import Met, told
from stock_pipeline.ingest.entries import Entries
from stock_pipeline.ingest.progress import Progress, note_progress, nothing, read_progress
from stock_pipeline.ingest.sources import SourceObject, receipt_of, records_of
from stock_pipeline.lake.merge import Merged
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.partitions import merge_into_partition
from stock_pipeline.lake.rejected_records import write_rejects
from stock_pipeline.lake.sorted_rows import for_takes
from stock_pipeline.lake.transforms import Transform
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import RECORDED, TIMESTAMP, Table

Outcomes = npt.NDArray[np.int8]

NOT_YET = -1
"""The outcome of a row when no time was left for its partition."""

_WRITERS = 4
"""How many partitions are merged at a time. Most of a write is waiting for S3."""

WIDE = 256
"""A group with more partitions than this is wide: each has few rows, so more are merged at a time (_WIDE_WRITERS)."""
_WIDE_WRITERS = 16

_RECORDERS = 16  # how many sources' rejected records are looked up at a time; it is only waiting


@dataclass(frozen=True)
class MergedGroup:
    """The result of a group of sources.

    `receipts` has one receipt for each source, and is empty when time ran out before the last partition. `outcomes` has
    the outcome of each row (values of `Outcome`, or `NOT_YET`). `met` has, for rows that were not inserted, the stored
    rows that hold their keys, if the caller asked to keep them. `note` records how far a stopped group came, and
    removes what earlier calls noted of a group that is done; call it when everything else is done with the merged rows.
    """

    receipts: list[Receipt]
    outcomes: Outcomes
    met: list[pa.Table]
    note: Callable[[], None]

    def stored(self, rows: pa.Table) -> pa.Table:
        """The rows of the group as the table has them now. Some were stored before, with other provenance."""
        inserted = self.outcomes == Outcome.INSERTED
        return rows if inserted.all() else pa.concat_tables([rows.filter(booleans(inserted)), *self.met])


def merge_group(
    group: Sequence[SourceObject],
    rows: pa.Table,
    table: Table,
    transform: Transform,
    lake: ObjectStore,
    now: datetime,
    *,
    replace: bool = False,
    then: Callable[[], None] = lambda: None,
    go_on: Callable[[], bool] | None = None,
    keep_met: bool = False,
) -> MergedGroup:
    """Merge a group of sources into a table, record what was not stored, and account for every row.

    `rows` are the good rows of all sources in their order, with provenance (see `with_provenance`). `transform` gives
    the partition of each row as an index into a list of names; partitions are merged side by side. With `replace` the
    group must be one source, because a restatement must see the result of the one before it. `then` is called when all
    partitions are merged, before rows are recorded. `keep_met` keeps the stored rows that `MergedGroup.stored` needs.

    `go_on` is for callers whose time is limited. It is called before each partition except the first. If it returns
    False, committed partitions stay, and there are no receipts. The same call again does the rest (see `MergedGroup`).
    """
    codes, names = transform(rows)
    if len(names) > 1:
        rows = for_takes(rows)
    entries = Entries(group, codes, names, now if replace else None)
    merging = _Merging(group, rows, table, lake, now, replace, go_on, keep_met, entries)
    wide = len(names) > WIDE
    may_stop = go_on is not None and len(names) > 1
    left = merging.go_on_after(codes, names) if may_stop else np.arange(len(codes))
    found, chosen = _split(codes, names, left)
    merging.first = found[0] if found else ""
    with ThreadPoolExecutor(_WIDE_WRITERS if wide else _WRITERS) as threads:
        list(threads.map(merging.merge_partition, found, chosen))
    if merging.stopped:
        return MergedGroup([], merging.outcomes, merging.met, lambda: merging.note(codes, names))
    then()
    merging.tell()
    _record(group, table, lake, now)
    while merging.settle():
        merging.tell()
        _record(group, table, lake, now)
    receipts = [receipt_of(source, table, now) for source in group]
    return MergedGroup(receipts, merging.outcomes, merging.met, merging.forget)


def _record(group: Sequence[SourceObject], table: Table, lake: ObjectStore, now: datetime) -> None:
    """Write the rejected records of each source."""
    records = [records_of(source) for source in group]

    def record(first: int) -> None:
        for source, found in zip(group[first::_RECORDERS], records[first::_RECORDERS], strict=True):
            if source.info.etag:
                write_rejects(lake, table, source.info, found, now, ingested=source.ingested)

    with ThreadPoolExecutor(_RECORDERS) as threads:
        list(threads.map(record, range(_RECORDERS)))


class _Merging:
    """The partitions of one group that are being merged, and the outcomes of its rows so far."""

    def __init__(
        self, group: Sequence[SourceObject], rows: pa.Table, table: Table, lake: ObjectStore, now: datetime,
        replace: bool, go_on: Callable[[], bool] | None, keep_met: bool, entries: Entries,
    ) -> None:  # fmt: skip
        self._group, self._rows, self._table, self._lake, self._now = group, rows, table, lake, now
        self._replace, self._go_on, self._keep_met = replace, go_on or (lambda: True), keep_met
        sizes = [source.rows for source in group]
        self._starts, self._owners = np.cumsum([0, *sizes]), np.repeat(np.arange(len(group), dtype=np.int32), sizes)
        self._agreed = np.zeros(rows.num_rows, bool)
        self._disputed: dict[str, Met] = {}
        self._accounts = Lock()
        self.outcomes: Outcomes = np.full(rows.num_rows, NOT_YET, np.int8)
        self.met: list[pa.Table] = []
        self.stopped = False
        self.first = ""
        self.entries = entries
        self._resumed: list[ObjectInfo] = []

    def merge_partition(self, partition: str, chosen: Ints) -> None:
        """Merge the rows at some positions into a partition, and account for them."""
        if not self._may_begin(partition):
            return
        incoming = self._rows if len(chosen) == self._rows.num_rows else self._rows.take(as_arrow(chosen, pa.int64()))
        log = self.entries.log(partition, self._owners[chosen])
        merged = merge_into_partition(self._lake, self._table, partition, incoming, replace=self._replace, log=log)
        self._account(partition, chosen, merged, incoming)

    def _origins(self, owner: int, at: Ints) -> tuple[Ints, pa.Int32Array, list[str]]:
        cleaned = self._group[owner].cleaned
        assert cleaned
        rows = at - self._starts[owner]
        lines = cleaned.lines[rows]
        return lines, cleaned.places(rows), cleaned.raw(lines.tolist())

    def tell(self) -> None:
        """Make the records of rows that met other values."""
        for source in self._group:
            source.conflicts, source.disputed = None, source.disputed[:0]
        if self._disputed:
            met = Met.joined(list(self._disputed.values()))
            found = told(met, self._rows, self._owners, self._agreed, self._table, self._origins)
            for owner, conflicts in found.items():
                self._group[owner].conflicts = conflicts
            for owner in np.unique(self._owners[met.at]).tolist():
                mine = met.at[self._owners[met.at] == owner]
                cleaned = self._group[owner].cleaned
                assert cleaned
                self._group[owner].disputed = cleaned.lines[mine - self._starts[owner]]

    def settle(self) -> bool:
        """Judge rows that met other values once more. Returns whether an outcome changed, so that records are wrong.

        While they were put on record, a restatement may have stored their values, perhaps of the same source. Whoever
        writes records last must have seen the table as it was after the restatement.
        """
        if not self._table.revisions or self._replace:
            return False
        changed = False
        for partition, met in [(name, met) for name, met in self._disputed.items() if len(met.at)]:
            log = self.entries.log(partition, self._owners[met.at])
            merged = merge_into_partition(self._lake, self._table, partition, met.rows, log=log)
            if (merged.outcome == Outcome.CONFLICT).all():
                continue
            changed = True
            self.outcomes[met.at], self._agreed[met.at] = merged.outcome, merged.agreed
            self._disputed[partition] = Met.of(merged, met.rows, met.at)
            for owner, outcome in zip(self._owners[met.at].tolist(), merged.outcome.tolist(), strict=True):
                self._group[owner].outcomes[Outcome.CONFLICT] -= 1
                self._group[owner].outcomes[outcome] += 1
        return changed

    def go_on_after(self, codes: Ints, names: list[str]) -> Ints:
        """Account for the rows that earlier calls have merged, and return the positions of the rows that are left.

        Those rows count as duplicates, as at any second delivery, except for the conflicts that the calls have noted.
        """
        done = np.zeros(len(codes), bool)
        noted = read_progress(self._lake, self._table, [source.info for source in self._group])
        for owner, (source, progress) in enumerate(zip(self._group, noted, strict=True)):
            if not progress.until:
                continue
            self._resumed.append(source.info)
            merged = np.flatnonzero(np.array([name <= progress.until for name in names]))
            mine = np.flatnonzero((self._owners == owner) & np.isin(codes, merged))
            self._take_over(source, mine - self._starts[owner], progress.conflicts)
            counts = np.bincount(codes[mine], minlength=len(names))
            source.partitions |= {names[code]: int(counts[code]) for code in np.flatnonzero(counts)}
            done[mine] = True
        self.outcomes[done] = Outcome.DUPLICATE
        return np.flatnonzero(~done)

    def _take_over(self, source: SourceObject, rows: Ints, conflicts: pa.Table) -> None:
        assert source.cleaned
        places = set(zip(source.cleaned.lines[rows].tolist(), source.cleaned.places(rows).to_pylist(), strict=True))
        theirs = zip(conflicts["line"].to_pylist(), conflicts["place"].to_pylist(), strict=True)
        conflicts = conflicts.filter(booleans(np.array([place in places for place in theirs], bool)))
        source.earlier.append(conflicts)
        source.outcomes[Outcome.CONFLICT] += conflicts.num_rows
        source.outcomes[Outcome.DUPLICATE] += len(rows) - conflicts.num_rows

    def note(self, codes: Ints, names: list[str]) -> None:
        """Note how far each source came, and which of its rows met other values."""
        missing = np.unique(codes[self.outcomes == NOT_YET])
        first = min(names[code] for code in missing)
        until = max((name for name in names if name < first), default="")
        self.tell()

        def note(source: SourceObject) -> None:
            own = [source.conflicts.records] if source.conflicts else []
            conflicts = pa.concat_tables([RECORDED.empty_table(), *source.earlier, *own])
            note_progress(self._lake, self._table, source.info, Progress(until, conflicts))

        with ThreadPoolExecutor(_RECORDERS) as threads:
            list(threads.map(note, [source for source in self._group if source.rows and until]))

    def forget(self) -> None:
        """Let the notes of these sources say nothing any more. A later ingest of them must look at every partition."""
        for info in self._resumed:
            note_progress(self._lake, self._table, info, nothing())

    def _may_begin(self, partition: str) -> bool:
        """The first partition is always merged. Otherwise a call without any time would never make progress."""
        with self._accounts:
            self.stopped = self.stopped or (partition != self.first and not self._go_on())
            return partition == self.first or not self.stopped

    def _account(self, partition: str, chosen: Ints, merged: Merged, incoming: pa.Table) -> None:
        group, kinds = self._group, len(Outcome)
        self.outcomes[chosen], self._agreed[chosen] = merged.outcome, merged.agreed
        cells = self._owners[chosen] * np.int32(kinds) + merged.outcome
        counts = np.bincount(cells, minlength=len(group) * kinds).reshape(len(group), kinds)
        with self._accounts:
            if self._keep_met:
                self.met.append(merged.met())
            if len(merged.conflicts):
                self._disputed[partition] = Met.of(merged, incoming, chosen)
            for owner in np.flatnonzero(counts.any(axis=1)).tolist():
                group[owner].outcomes += counts[owner]
                group[owner].partitions[partition] = int(counts[owner].sum())


def with_provenance(
    good: pa.Table, sources: Sequence[str], owners: Codes, table: Table, now: datetime, written: Sequence[datetime] = ()
) -> pa.Table:
    """Good rows in the schema of the table: `owners` says for each row which of the sources it came from.

    `written` says when each source was written, for the views of the table. A column that no parser fills is null.
    """
    source = pa.DictionaryArray.from_arrays(as_arrow(owners, pa.int32()), strings(sources), safe=False)
    columns = {name: good[name] for name in good.column_names}
    columns |= {"source": source, "etl_loading_ts": repeated(now, good.num_rows)}
    for view in table.views if written else ():
        missing = np.all([nulls(good[name]) for name in view.columns], axis=0)
        moments = np.array([microseconds(moment) for moment in written], np.int64)[owners]
        columns[view.written_at] = as_arrow(moments, TIMESTAMP, missing)
    rows = [columns[f.name] if f.name in columns else pa.nulls(good.num_rows, f.type) for f in table.schema]
    return pa.Table.from_arrays(rows, schema=table.schema)


def _split(codes: Ints, names: list[str], left: Ints) -> tuple[list[str], list[Ints]]:
    """The rows at some positions, by partition, in their order. Partitions without rows are left out."""
    codes = codes if len(left) == len(codes) else codes[left]
    counts = np.bincount(codes, minlength=len(names))
    order = left if len(names) == 1 else left[np.argsort(codes, kind="stable")]
    rows = np.split(order, np.cumsum(counts)[:-1]) if names else []
    return [name for name, count in zip(names, counts, strict=True) if count], [r for r in rows if len(r)]
