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

from stock_pipeline.arrow import Codes, Ints, as_arrow, repeated, strings
from stock_pipeline.clean import Cleaned
from stock_pipeline.lake.merge import Merged, Outcome, differences, for_takes
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import merge_into_partition
from stock_pipeline.lake.rejected_records import write_rejects
from stock_pipeline.lake.transforms import Transform
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import REJECTED, Reason, Table

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
    rest is filled in by the merge: how many rows met each outcome, how many rows each partition got, and the rows of
    `schemas.REJECTED` for conflicts and replaced values.
    """

    info: ObjectInfo
    started_at: datetime
    cleaned: Cleaned | None = None
    refused: str | None = None
    held: int = 0
    outcomes: Ints = field(default_factory=lambda: np.zeros(len(Outcome), np.int64))
    partitions: dict[str, int] = field(default_factory=dict)
    conflicts: list[pa.Table] = field(default_factory=list)

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
    outcomes = np.zeros(rows.num_rows, np.int8)
    sizes = [source.rows for source in group]
    ends, owners = np.cumsum(sizes), np.repeat(np.arange(len(group), dtype=np.int32), sizes)

    def merge_partition(partition: str, chosen: Ints) -> None:
        incoming = rows if len(chosen) == rows.num_rows else rows.take(as_arrow(chosen, pa.int64()))

        def record_replaced(merged: Merged) -> None:
            # On record before the commit: once the partition is written, the replaced values exist nowhere else.
            for found in _conflict_records(merged, incoming, chosen, group, ends, table).values():
                replaced = found.filter(pc.equal(found["reason"], Reason.REPLACED.value))
                write_rejects(lake, table, group[0].info, replaced, now, add=True)

        merged = merge_into_partition(
            lake, table, partition, incoming, replace=replace, before_commit=record_replaced if replace else None
        )
        conflicts = _conflict_records(merged, incoming, chosen, group, ends, table)
        outcomes[chosen] = merged.outcome
        cells = owners[chosen] * np.int32(len(Outcome)) + merged.outcome
        counts = np.bincount(cells, minlength=len(group) * len(Outcome)).reshape(len(group), len(Outcome))
        with accounts:
            for owner in np.flatnonzero(counts.any(axis=1)).tolist():
                group[owner].outcomes += counts[owner]
                group[owner].partitions[partition] = int(counts[owner].sum())
            for owner, found in conflicts.items():
                group[owner].conflicts.append(found)

    accounts = Lock()
    with ThreadPoolExecutor(_WRITERS) as threads:
        list(threads.map(merge_partition, *_split(codes, names)))
    rejected = [_not_stored(source) for source in group]

    def record(first: int) -> None:
        for source, found in zip(group[first::_RECORDERS], rejected[first::_RECORDERS], strict=True):
            if source.info.etag:
                write_rejects(lake, table, source.info, found, now)

    with ThreadPoolExecutor(_RECORDERS) as threads:
        list(threads.map(record, range(_RECORDERS)))
    return [_receipt(source, table, now) for source in group], outcomes


def with_provenance(good: pa.Table, sources: Sequence[str], owners: Codes, table: Table, now: datetime) -> pa.Table:
    """Good rows in the schema of the table: `owners` says for each row which of the sources it came from."""
    source = pa.DictionaryArray.from_arrays(as_arrow(owners, pa.int32()), strings(sources), safe=False)
    columns = {name: good[name] for name in good.column_names}
    columns |= {"source": source, "etl_loading_ts": repeated(now, good.num_rows)}
    return pa.Table.from_arrays([columns[name] for name in table.schema.names], schema=table.schema)


def _split(codes: Ints, names: list[str]) -> tuple[list[str], list[Ints]]:
    """The rows of each partition that has any, in their order."""
    counts = np.bincount(codes, minlength=len(names))
    order = np.arange(len(codes)) if len(names) == 1 else np.argsort(codes, kind="stable")
    rows = np.split(order, np.cumsum(counts)[:-1]) if names else []
    return [name for name, count in zip(names, counts, strict=True) if count], [r for r in rows if len(r)]


def _conflict_records(
    merged: Merged, incoming: pa.Table, chosen: Ints, group: Sequence[SourceObject], ends: Ints, table: Table
) -> dict[int, pa.Table]:
    """Conflicts and replaced values as rejected rows, by the source in the group that caused them.

    A conflict is recorded as it came; of a replacement the values that gave way are recorded, with their source.
    """
    found: dict[int, pa.Table] = {}
    if not len(merged.conflicts):
        return found
    replaced = merged.outcome[merged.conflicts] == Outcome.REPLACED
    detail = differences(merged.conflicting, incoming.take(merged.conflicts), table)
    origin = pc.binary_join_element_wise(detail, merged.conflicting["source"].cast(pa.string()), "; stored from ")
    at = chosen[merged.conflicts]
    owners = np.searchsorted(ends, at, side="right")
    for owner in np.unique(owners):
        mine = np.flatnonzero(owners == owner)
        source = group[owner]
        assert source.cleaned
        lines = source.cleaned.lines[at[mine] - (ends[owner] - source.rows)]
        gave_way = replaced[mine]
        raw = np.array(source.cleaned.raw(lines.tolist()), object)
        raw[gave_way] = _as_text(merged.conflicting.take(mine[gave_way]), table)
        reasons = np.where(gave_way, Reason.REPLACED.value, Reason.CONFLICT.value)
        places = source.cleaned.places(at[mine] - (ends[owner] - source.rows))
        texts = pa.array(raw.tolist(), pa.string())
        columns = [pa.array(lines), places, pa.array(reasons.tolist()), origin.take(mine), texts]
        found[int(owner)] = pa.table(columns, REJECTED.names).cast(REJECTED)
    return found


def _as_text(rows: pa.Table, table: Table) -> list[str]:
    """Stored rows as CSV in the order of the table's key and value columns, for the record of what was replaced."""
    columns = [pc.coalesce(rows[n].cast(pa.string()), pa.scalar("")) for n in (*table.key, *table.values)]
    return pc.binary_join_element_wise(*columns, ",").to_pylist() if rows.num_rows else []


def _not_stored(source: SourceObject) -> pa.Table:
    """The rows of an source that go on record: what was rejected, and what met other values."""
    if cleaned := source.cleaned:
        return pa.concat_tables([cleaned.rejected, *source.conflicts])
    row = {"line": 0, "place": None, "reason": Reason.FILE_REFUSED.value, "detail": source.refused, "raw": None}
    return pa.Table.from_pylist([row], REJECTED)


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
        conflicts=count[Outcome.CONFLICT],
        rejected=dict(sorted(by_reason.items())),
        skipped=cleaned.skipped if cleaned else 0,
        replaced=count[Outcome.REPLACED],
        refused=source.refused,
        partitions=dict(sorted(source.partitions.items())),
        started_at=source.started_at,
        loaded_at=now,
        seconds=(datetime.now(UTC) - source.started_at).total_seconds(),
    )
