"""The records of rows that met other values in the table.

The record of a conflict holds the row as it came. The record of a replacement holds the replaced values, with their
source. Conflicts that have one cause (see `rescaled`) share one record, that of the last of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, booleans
from stock_pipeline.ingest.rescaled import Compared, Run, runs
from stock_pipeline.lake.comparing import differences
from stock_pipeline.lake.merge import Merged
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.schemas import RECORDED, Reason, Table

LINES = 20
"""At most this many lines about conflicts with one cause go into a receipt. The records have all of them."""


@dataclass(frozen=True)
class Met:
    """Rows that met other values. `at` are their positions in the group, `rows` the rows, `stored` the stored rows that
    they met, and `replaced` marks the rows that replaced these.
    """

    at: Ints
    rows: pa.Table
    stored: pa.Table
    replaced: Bools

    @classmethod
    def of(cls, merged: Merged, incoming: pa.Table, chosen: Ints) -> Met:
        """The stored rows that a merge of the rows `chosen` of a group met."""
        replaced = merged.outcome[merged.conflicts] == Outcome.REPLACED
        rows = incoming.take(as_arrow(merged.conflicts.astype(np.int64), pa.int64()))
        return cls(chosen[merged.conflicts], rows, merged.conflicting, replaced)

    @classmethod
    def joined(cls, parts: Sequence[Met]) -> Met:
        """The stored rows that several merges of a group met, in the order of the group."""
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at, kind="stable")
        rows, stored = (pa.concat_tables([getattr(part, n) for part in parts]).take(order) for n in ("rows", "stored"))
        return cls(at[order], rows, stored, np.concatenate([part.replaced for part in parts])[order])

    def where(self, chosen: Bools) -> Met:
        """Some of them."""
        mask = booleans(chosen)
        return Met(self.at[chosen], self.rows.filter(mask), self.stored.filter(mask), self.replaced[chosen])


@dataclass(frozen=True)
class Told:
    """The report on the conflicts of one source: rows of `schemas.RECORDED`, and a line for each cause that several of
    them share.
    """

    records: pa.Table
    rescaled: tuple[str, ...] = ()


Raw = Callable[[int, Ints], tuple[Ints, pa.Int32Array, list[str]]]
"""The line numbers, the places in the lines and the texts of rows of one source, by their ascending positions in the
group.
"""


def told(met: Met, rows: pa.Table, owners: Codes, agreed: Bools, table: Table, raw: Raw) -> dict[int, Told]:
    """The report on conflicts and replacements, by the source in the group that caused them.

    `rows` are all rows of the group. `owners` has the number of each row's source. `agreed` marks rows that another
    source stored with the same values.
    """
    disputed = met.where(~met.replaced)
    found = runs(Compared(rows, owners, agreed, disputed.at, disputed.stored), table)
    said = {int(disputed.at[run.rows[-1]]): run.said for run in found}
    within = np.concatenate([np.zeros(0, np.int64), *(disputed.at[run.rows[:-1]] for run in found)])
    records = recorded(met.where(~np.isin(met.at, within)), owners, table, raw, said)
    lines = _lines(found, owners[disputed.at])
    return {owner: Told(mine, lines.get(owner, ())) for owner, mine in records.items()}


def recorded(
    met: Met, owners: Codes, table: Table, raw: Raw, said: dict[int, str] | None = None
) -> dict[int, pa.Table]:
    """The records (schema RECORDED) of rows that met other values, by source. `said` is put before the details."""
    if not len(met.at):
        return {}
    detail = differences(met.stored, met.rows, table)
    detail = pc.binary_join_element_wise(detail, met.stored["source"].cast(pa.string()), "; stored from ")
    if said:
        told = pa.array([said.get(at) for at in met.at.tolist()], pa.string())
        detail = pc.binary_join_element_wise(told, detail, "; ", null_handling="skip")
    found = {}
    owner_of = owners[met.at]
    for owner in np.unique(owner_of).tolist():
        mine = np.flatnonzero(owner_of == owner)
        gave_way = met.replaced[mine]
        lines, places, texts = raw(owner, met.at[mine])
        shown = np.array(texts, object)
        shown[gave_way] = as_text(met.stored.take(mine[gave_way]), table)
        columns = {
            "line": pa.array(lines),
            "place": places,
            "reason": pa.array(np.where(gave_way, Reason.REPLACED.value, Reason.CONFLICT.value).tolist()),
            "detail": detail.take(mine),
            "raw": pa.array(shown.tolist(), pa.string()),
            "symbol": met.rows["symbol"].take(mine).cast(pa.string()),
            "date": met.rows[table.time].take(mine).cast(pa.date32()),
            "stored": pa.repeat(pa.scalar(False), len(mine)),
        }
        found[owner] = pa.table(columns).cast(RECORDED)
    return found


def _lines(found: Sequence[Run], owners: Codes) -> dict[int, tuple[str, ...]]:
    lines: dict[int, list[str]] = {}
    for run in found:
        lines.setdefault(int(owners[run.rows[-1]]), []).append(run.said)
    return {
        owner: (*own[:LINES], *((f"and {len(own) - LINES:,} more lines like these",) if len(own) > LINES else ()))
        for owner, own in lines.items()
    }


def _told(table: Table) -> list[str]:
    """The columns in a record of stored values besides the key: all that a source gives, in the table's order."""
    return [name for name in table.given if name not in table.key]


def as_text(rows: pa.Table, table: Table) -> list[str]:
    """Stored rows as CSV in the order of the table's key and value columns, for the record of what was replaced."""
    columns = [pc.coalesce(rows[n].cast(pa.string()), pa.scalar("")) for n in (*table.key, *_told(table))]
    return pc.binary_join_element_wise(*columns, ",").to_pylist() if rows.num_rows else []
