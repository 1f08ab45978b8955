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
import pyarrow.compute as pc

from stock_pipeline.arrow import Codes, Ints, as_arrow, booleans, microseconds, nulls, repeated, strings
from stock_pipeline.ingest.conflicts import Met, recorded, told
from stock_pipeline.ingest.entries import CHANGES, Entries
from stock_pipeline.ingest.progress import note_progress, read_progress
from stock_pipeline.ingest.sources import SourceObject, receipt_of, records_of
from stock_pipeline.lake.merge import Merged
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.partitions import merge_into_partition
from stock_pipeline.lake.rejected_records import add_rejects, read_rejects, write_rejects
from stock_pipeline.lake.sorted_rows import for_takes
from stock_pipeline.lake.transforms import Transform
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import RECORDED, TIMESTAMP, Reason, Table

Outcomes = npt.NDArray[np.int8]

NOT_YET = -1
"""The outcome of a row when no time was left for its partition."""

_WRITERS = 4
"""How many partitions are merged at a time. Most of a write is waiting for S3."""

WIDE = 256
"""A group with more partitions than this is wide. Each of its partitions has few rows, so more are merged at a time,
and the progress is remembered.
"""

_WIDE_WRITERS = 16

_RECORDERS = 16
"""How many sources' rejected records are looked up at a time. It is only waiting."""


@dataclass(frozen=True)
class MergedGroup:
    """The result of a group of sources.

    `receipts` has one receipt for each source, and is empty when time ran out before the last partition. `outcomes` has
    the outcome of each row (values of `Outcome`, or `NOT_YET`). `met` has, for rows that were not inserted, the stored
    rows that hold their keys. `note` records how far a stopped group came; call it when everything else is done with
    the merged rows.
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
    go_on: Callable[[], bool] = lambda: True,
) -> MergedGroup:
    """Merge a group of sources into a table, record what was not stored, and account for every row.

    `rows` are the good rows of all sources in their order, with provenance (see `with_provenance`). `transform` gives
    the partition of each row as an index into a list of names; partitions are merged side by side. With `replace` the
    group must be one source, because a restatement must see the result of the one before it. `then` is called when all
    partitions are merged, before the rows that are not stored are recorded.

    `go_on` is called before each partition except the first. When it returns False, committed partitions stay, and
    there are no receipts. The same call, made again, does the rest.
    """
    codes, names = transform(rows)
    if len(names) > 1:
        rows = for_takes(rows)
    entries = Entries(group, codes, names, replace=replace)
    merging = _Merging(group, rows, table, lake, now, replace, go_on, entries)
    wide = len(names) > WIDE
    left = merging.go_on_after(codes, names) if wide else np.arange(len(codes))
    found, chosen = _split(codes, names, left)
    merging.first = found[0] if found else ""
    with ThreadPoolExecutor(_WIDE_WRITERS if wide else _WRITERS) as threads:
        list(threads.map(merging.merge_partition, found, chosen))
    if merging.stopped:
        return MergedGroup([], merging.outcomes, merging.met, lambda: merging.note(codes, names) if wide else None)
    then()
    merging.tell()
    records = [records_of(source) for source in group]

    def record(first: int) -> None:
        for source, found in zip(group[first::_RECORDERS], records[first::_RECORDERS], strict=True):
            if source.info.etag:
                write_rejects(lake, table, source.info, found, now, ingested=source.ingested)

    with ThreadPoolExecutor(_RECORDERS) as threads:
        list(threads.map(record, range(_RECORDERS)))
    receipts = [receipt_of(source, table, now) for source in group]
    return MergedGroup(receipts, merging.outcomes, merging.met, lambda: None)


class _Merging:
    """The partitions of one group that are being merged, and the outcomes of its rows so far."""

    def __init__(
        self,
        group: Sequence[SourceObject],
        rows: pa.Table,
        table: Table,
        lake: ObjectStore,
        now: datetime,
        replace: bool,
        go_on: Callable[[], bool],
        entries: Entries,
    ) -> None:
        self._group, self._rows, self._table, self._lake, self._now = group, rows, table, lake, now
        self._replace, self._go_on = replace, go_on
        sizes = [source.rows for source in group]
        self._starts, self._owners = np.cumsum([0, *sizes]), np.repeat(np.arange(len(group), dtype=np.int32), sizes)
        self._agreed = np.zeros(rows.num_rows, bool)
        self._disputed: list[Met] = []
        self._accounts = Lock()
        self.outcomes: Outcomes = np.full(rows.num_rows, NOT_YET, np.int8)
        self.met: list[pa.Table] = []
        self.stopped = False
        self.first = ""
        self.entries = entries

    def merge_partition(self, partition: str, chosen: Ints) -> None:
        """Merge the rows at some positions into a partition, and account for them."""
        if not self._may_begin(partition):
            return
        incoming = self._rows if len(chosen) == self._rows.num_rows else self._rows.take(as_arrow(chosen, pa.int64()))

        def record_replaced(merged: Merged) -> None:
            # On record before the commit: once the partition is written, the replaced values exist nowhere else.
            found = Met.of(merged, incoming, chosen)
            raw = self._origins
            for records in recorded(found.where(found.replaced), self._owners, self._table, raw).values():
                add_rejects(self._lake, self._table, self._group[0].info, records, self._now)

        merged = merge_into_partition(
            self._lake, self._table, partition, incoming, replace=self._replace,
            before_commit=record_replaced if self._replace else None,
            log=lambda merged, before: self.entries.after(partition, self._owners[chosen], merged, before),
        )  # fmt: skip
        self._account(partition, chosen, merged, incoming)

    def _origins(self, owner: int, at: Ints) -> tuple[Ints, pa.Int32Array, list[str]]:
        cleaned = self._group[owner].cleaned
        assert cleaned
        rows = at - self._starts[owner]
        lines = cleaned.lines[rows]
        return lines, cleaned.places(rows), cleaned.raw(lines.tolist())

    def tell(self) -> None:
        """Make the records of rows that met other values."""
        if self._disputed:
            met = Met.joined(self._disputed)
            found = told(met, self._rows, self._owners, self._agreed, self._table, self._origins)
            for owner, conflicts in found.items():
                self._group[owner].conflicts = conflicts
            kept_out = met.at[~met.replaced]
            for owner in np.unique(self._owners[kept_out]).tolist():
                mine = kept_out[self._owners[kept_out] == owner]
                cleaned = self._group[owner].cleaned
                assert cleaned
                self._group[owner].disputed = cleaned.lines[mine - self._starts[owner]]

    def go_on_after(self, codes: Ints, names: list[str]) -> Ints:
        """Account for the rows that earlier calls have merged, and return the positions of the rows that are left.

        Those rows count as duplicates, as at any second delivery; the conflicts among them are on record.
        """
        done = np.zeros(len(codes), bool)
        for owner, source in enumerate(self._group):
            until = read_progress(self._lake, self._table, source.info) if source.rows else ""
            merged = np.flatnonzero(np.array([name <= until for name in names]))
            mine = np.flatnonzero((self._owners == owner) & np.isin(codes, merged))
            if len(mine):
                self._take_over(source, mine - self._starts[owner])
                counts = np.bincount(codes[mine], minlength=len(names))
                source.partitions |= {names[code]: int(counts[code]) for code in np.flatnonzero(counts)}
            done[mine] = True
        self.outcomes[done] = Outcome.DUPLICATE
        return np.flatnonzero(~done)

    def _take_over(self, source: SourceObject, rows: Ints) -> None:
        assert source.cleaned
        known = read_rejects(self._lake, self._table, source.info.key)
        lines = as_arrow(np.unique(source.cleaned.lines[rows]), pa.int64())
        is_conflict = pc.equal(known["reason"].cast(pa.string()), Reason.CONFLICT.value)
        conflicts = known.filter(pc.and_(is_conflict, pc.is_in(known["line"], lines)))
        source.earlier.append(conflicts.select(RECORDED.names).cast(RECORDED))
        source.outcomes[Outcome.CONFLICT] += conflicts.num_rows
        source.outcomes[Outcome.DUPLICATE] += len(rows) - conflicts.num_rows

    def note(self, codes: Ints, names: list[str]) -> None:
        """Note how far each source came, and record the rows that met other values."""
        missing = np.unique(codes[self.outcomes == NOT_YET])
        first = min(names[code] for code in missing)
        until = max((name for name in names if name < first), default="")
        self.tell()
        for source in self._group if until else ():
            if source.rows:
                conflicts = [source.conflicts.records] if source.conflicts else []
                records = pa.concat_tables([RECORDED.empty_table(), *conflicts])
                add_rejects(self._lake, self._table, source.info, records, self._now)
                note_progress(self._lake, self._table, source.info, until)

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
            if merged.met.num_rows:
                self.met.append(merged.met)
            if len(merged.conflicts):
                self._disputed.append(Met.of(merged, incoming, chosen))
            for owner in np.flatnonzero(counts.any(axis=1)).tolist():
                group[owner].outcomes += counts[owner]
                if self._replace and counts[owner][list(CHANGES)].any():
                    group[owner].restated = self._now.isoformat()
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
