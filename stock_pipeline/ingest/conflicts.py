"""The records of rows that met other values in the table.

The record of a conflict holds the row as it came. Conflicts that have one cause (see `rescaled`) share one record, that
of the last of their rows.
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
from stock_pipeline.schemas import RECORDED, Reason, Table

LINES = 20
"""At most this many lines about conflicts with one cause go into a receipt. The records have all of them."""


@dataclass(frozen=True)
class Met:
    """Rows that met other values. `at` are their positions in the group, `rows` the rows, `stored` the stored rows that
    they met.
    """

    at: Ints
    rows: pa.Table
    stored: pa.Table

    @classmethod
    def of(cls, merged: Merged, incoming: pa.Table, chosen: Ints) -> Met:
        """The stored rows that a merge of the rows `chosen` of a group met."""
        rows = incoming.take(as_arrow(merged.conflicts.astype(np.int64), pa.int64()))
        return cls(chosen[merged.conflicts], rows, merged.conflicting)

    @classmethod
    def joined(cls, parts: Sequence[Met]) -> Met:
        """The stored rows that several merges of a group met, in the order of the group."""
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at, kind="stable")
        rows, stored = (pa.concat_tables([getattr(part, n) for part in parts]).take(order) for n in ("rows", "stored"))
        return cls(at[order], rows, stored)

    def where(self, chosen: Bools) -> Met:
        """Some of them."""
        mask = booleans(chosen)
        return Met(self.at[chosen], self.rows.filter(mask), self.stored.filter(mask))


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
    """The report on conflicts, by the source in the group that caused them.

    `rows` are all rows of the group. `owners` has the number of each row's source. `agreed` marks rows that another
    source stored with the same values.
    """
    found = runs(Compared(rows, owners, agreed, met.at, met.stored), table)
    said = {int(met.at[run.rows[-1]]): run.said for run in found}
    within = np.concatenate([np.zeros(0, np.int64), *(met.at[run.rows[:-1]] for run in found)])
    records = recorded(met.where(~np.isin(met.at, within)), owners, table, raw, said)
    lines = _lines(found, owners[met.at])
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
        lines, places, texts = raw(owner, met.at[mine])
        columns = {
            "line": pa.array(lines),
            "place": places,
            "reason": pa.repeat(Reason.CONFLICT.value, len(mine)),
            "detail": detail.take(mine),
            "raw": pa.array(texts, pa.string()),
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
    """Stored rows as CSV in the order of the table's key and value columns, for the record of what was removed."""
    columns = [pc.coalesce(rows[n].cast(pa.string()), pa.scalar("")) for n in (*table.key, *_told(table))]
    return pc.binary_join_element_wise(*columns, ",").to_pylist() if rows.num_rows else []
