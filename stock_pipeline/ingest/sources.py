"""One source object on its way into a table: what is known of it, what of it goes on record, and its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints
from stock_pipeline.clean import Cleaned
from stock_pipeline.lake.merge import Merged, differences
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import REJECTED, Reason, Table


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


def conflict_records(
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
        raw[gave_way] = as_text(merged.conflicting.take(mine[gave_way]), table)
        reasons = np.where(gave_way, Reason.REPLACED.value, Reason.CONFLICT.value)
        places = source.cleaned.places(at[mine] - (ends[owner] - source.rows))
        texts = pa.array(raw.tolist(), pa.string())
        columns = [pa.array(lines), places, pa.array(reasons.tolist()), origin.take(mine), texts]
        found[int(owner)] = pa.table(columns, REJECTED.names).cast(REJECTED)
    return found


def as_text(rows: pa.Table, table: Table) -> list[str]:
    """Stored rows as CSV in the order of the table's key and value columns, for the record of what was replaced."""
    columns = [pc.coalesce(rows[n].cast(pa.string()), pa.scalar("")) for n in (*table.key, *table.values)]
    return pc.binary_join_element_wise(*columns, ",").to_pylist() if rows.num_rows else []


def not_stored(source: SourceObject) -> pa.Table:
    """The rows of an source that go on record: what was rejected, and what met other values."""
    if cleaned := source.cleaned:
        return pa.concat_tables([cleaned.rejected, *source.conflicts])
    row = {"line": 0, "place": None, "reason": Reason.FILE_REFUSED.value, "detail": source.refused, "raw": None}
    return pa.Table.from_pylist([row], REJECTED)


def receipt_of(source: SourceObject, table: Table, now: datetime) -> Receipt:
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
        partitions=dict(sorted(source.partitions.items())),
        started_at=source.started_at,
        loaded_at=now,
        seconds=(datetime.now(UTC) - source.started_at).total_seconds(),
    )
