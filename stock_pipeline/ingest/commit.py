"""Notification into a table: a group of judged source objects is merged, and every row of theirs is accounted for.

The same for every table: what differs (how an object is read, which partition a row belongs to) is given by `ingest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Codes, Ints, as_arrow, microseconds, nulls, repeated, strings
from stock_pipeline.clean import Cleaned
from stock_pipeline.ingest.conflicts import Met, Told, recorded, told
from stock_pipeline.lake.merge import Merged, for_takes
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.partitions import merge_into_partition
from stock_pipeline.lake.rejected_records import as_recorded, write_rejects
from stock_pipeline.lake.transforms import Transform
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import RECORDED, TIMESTAMP, Reason, Table

Outcomes = npt.NDArray[np.int8]

_WRITERS = 4
"""So many partitions are merged at a time: a write waits for S3 longer than it computes."""

_RECORDERS = 16
"""So many sources' rejected records are looked up at a time, which is waiting only."""


@dataclass
class SourceObject:
    """One source object, read and judged, on its way into a table.

    `cleaned` is None when the object was refused (`refused` says why) or was gone before it could be read (`info` then
    has no ETag). `held` is how many bytes of text are kept in memory with it, for the record of what is not stored. The
    rest is filled in by the merge: how many rows met each outcome, how many rows each partition got, and
    what is told of conflicts and replaced values.
    """

    info: ObjectInfo
    started_at: datetime
    cleaned: Cleaned | None = None
    refused: str | None = None
    held: int = 0
    outcomes: Ints = field(default_factory=lambda: np.zeros(len(Outcome), np.int64))
    partitions: dict[str, int] = field(default_factory=dict)
    conflicts: Told | None = None

    @property
    def rows(self) -> int:
        return self.cleaned.good.num_rows if self.cleaned else 0


def merge_group(
    group: Sequence[SourceObject],
    rows: pa.Table,
    table: Table,
    transform: Transform,
    lake: ObjectStore,
    now: datetime,
    *,
    replace: bool = False,
) -> tuple[list[Receipt], Outcomes]:
    """Merge a group of sources into a table, record what was not stored, and account for every row.

    `rows` are the good rows of all sources in their order, with provenance (see `with_provenance`). `transform`
    gives the partition of each row as an index into a list of names; partitions are merged side by side. With `replace`
    the group must be one source, as a restatement must see what the one before it left.

    Returns a receipt an source, and what became of each row (values of `Outcome`).
    """
    codes, names = transform(rows)
    if len(names) > 1:
        rows = for_takes(rows)
    outcomes, agreed = np.zeros(rows.num_rows, np.int8), np.zeros(rows.num_rows, bool)
    sizes = [source.rows for source in group]
    starts, owners = np.cumsum([0, *sizes]), np.repeat(np.arange(len(group), dtype=np.int32), sizes)
    met: list[Met] = []

    def origins(owner: int, at: Ints) -> tuple[Ints, pa.Int32Array, list[str]]:
        cleaned = group[owner].cleaned
        assert cleaned
        lines = cleaned.lines[at - starts[owner]]
        return lines, cleaned.places(at - starts[owner]), cleaned.raw(lines.tolist())

    def merge_partition(partition: str, chosen: Ints) -> None:
        incoming = rows if len(chosen) == rows.num_rows else rows.take(as_arrow(chosen, pa.int64()))

        def record_replaced(merged: Merged) -> None:
            # On record before the commit: once the partition is written, the replaced values exist nowhere else.
            found = Met.of(merged, incoming, chosen)
            for records in recorded(found.where(found.replaced), owners, table, origins).values():
                write_rejects(lake, table, group[0].info, records, now, add=True)

        merged = merge_into_partition(
            lake, table, partition, incoming, replace=replace, before_commit=record_replaced if replace else None
        )
        outcomes[chosen], agreed[chosen] = merged.outcome, merged.agreed
        cells = owners[chosen] * np.int32(len(Outcome)) + merged.outcome
        counts = np.bincount(cells, minlength=len(group) * len(Outcome)).reshape(len(group), len(Outcome))
        with accounts:
            for owner in np.flatnonzero(counts.any(axis=1)).tolist():
                group[owner].outcomes += counts[owner]
                group[owner].partitions[partition] = int(counts[owner].sum())
            if len(merged.conflicts):
                met.append(Met.of(merged, incoming, chosen))

    accounts = Lock()
    with ThreadPoolExecutor(_WRITERS) as threads:
        list(threads.map(merge_partition, *_split(codes, names)))
    if met:
        for owner, conflicts in told(Met.joined(met), rows, owners, agreed, table, origins).items():
            group[owner].conflicts = conflicts
    records = [_records(source) for source in group]

    def record(first: int) -> None:
        for source, found in zip(group[first::_RECORDERS], records[first::_RECORDERS], strict=True):
            if source.info.etag:
                write_rejects(lake, table, source.info, found, now)

    with ThreadPoolExecutor(_RECORDERS) as threads:
        list(threads.map(record, range(_RECORDERS)))
    return [_receipt(source, table, now) for source in group], outcomes


def with_provenance(
    good: pa.Table, sources: Sequence[str], owners: Codes, table: Table, now: datetime, written: Sequence[datetime] = ()
) -> pa.Table:
    """Good rows in the schema of the table: `owners` says for each row which of the sources it came from.

    `written` says when each source was written, for the views of the table. A column that no parser fills yet is null.
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


def _split(codes: Ints, names: list[str]) -> tuple[list[str], list[Ints]]:
    """The rows of each partition that has any, in their order."""
    counts = np.bincount(codes, minlength=len(names))
    order = np.arange(len(codes)) if len(names) == 1 else np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(counts)[:-1]) if names else []
    return [name for name, count in zip(names, counts, strict=True) if count], [r for r in rows if len(r)]


def _records(source: SourceObject) -> pa.Table:
    """What goes on record of a source (schema RECORDED): rows that are not stored, and rows stored without a value."""
    if (cleaned := source.cleaned) is None:
        row = {"line": 0, "reason": Reason.FILE_REFUSED.value, "detail": source.refused, "stored": False}
        return pa.Table.from_pylist([row], RECORDED)
    parts = [as_recorded(cleaned.rejected, stored=False), as_recorded(cleaned.notes, stored=True)]
    return pa.concat_tables([*parts, *([source.conflicts.records] if source.conflicts else [])])


def _receipt(source: SourceObject, table: Table, now: datetime) -> Receipt:
    cleaned, info, by_reason = source.cleaned, source.info, dict[str, int]()
    if cleaned and cleaned.rejected.num_rows:
        by_reason = {str(c["values"]): c["counts"].as_py() for c in pc.value_counts(cleaned.rejected["reason"])}
    count = {outcome: int(source.outcomes[outcome]) for outcome in Outcome}
    return Receipt(
        source=info.key,
        etag=info.etag,
        table=table.name,
        bytes=info.size,
        rows=cleaned.rows if cleaned else 0,
        inserted=count[Outcome.INSERTED] + count[Outcome.REPLACED],
        duplicates=count[Outcome.DUPLICATE],
        updated=count[Outcome.UPDATED],
        conflicts=count[Outcome.CONFLICT],
        rejected=dict(sorted(by_reason.items())),
        skipped=cleaned.skipped if cleaned else 0,
        replaced=count[Outcome.REPLACED],
        refused=source.refused,
        nulled=dict(sorted(cleaned.nulled.items())) if cleaned else {},
        unread=cleaned.unread if cleaned else (),
        decided=dict(cleaned.decided) if cleaned else {},
        rescaled=source.conflicts.rescaled if source.conflicts else (),
        partitions=dict(sorted(source.partitions.items())),
        started_at=source.started_at,
        loaded_at=now,
        seconds=(datetime.now(UTC) - source.started_at).total_seconds(),
    )
