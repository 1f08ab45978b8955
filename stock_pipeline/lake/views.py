"""Columns that hold their writer's view at one moment. Of all views of a key, the one that was written last stays.

For example, a vendor's adjusted close of a day changes with each dividend. So such columns are never compared. The
stored row of a key has the latest view of any row of that key that came, whether that row was stored, a duplicate or a
conflict. Of two views written at the same moment the greater one, by its columns, stays. A row without a view gives
none. The stored view is thus the greatest of a set, so it does not depend on the order of arrival or on repetitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints, as_arrow
from stock_pipeline.lake.comparing import as_mask, plain, same_at
from stock_pipeline.schemas import Table, View


@dataclass(frozen=True)
class Renewal:
    """Rows that take the view of another row of their key. `rows` and `givers` are their positions in one table.

    `differs` marks where this changes a value of the view, and not only the time when it was written.
    """

    view: View
    rows: Ints
    givers: Ints
    differs: Bools


def renewals(rows: pa.Table, table: Table, candidates: Ints, holders: Ints) -> list[Renewal]:
    """The renewed views of keys. The row at `candidates[i]` has the key that the row at `holders[i]` holds."""
    found = (_renewal(rows, view, candidates, holders) for view in table.views if len(candidates))
    return [renewal for renewal in found if len(renewal.rows)]


def renewed(rows: pa.Table, found: Sequence[Renewal], place: Ints) -> pa.Table:
    """The rows with their views. `place` gives the position of each row of the renewals among these rows."""
    for renewal in found:
        source = np.arange(rows.num_rows)
        source[place[renewal.rows]] = renewal.givers
        for name in (*renewal.view.columns, renewal.view.written_at):
            at = rows.schema.get_field_index(name)
            column = rows.column(name).combine_chunks().take(as_arrow(source, pa.int64()))
            rows = rows.set_column(at, rows.schema.field(at), column)
    return rows


def _renewal(rows: pa.Table, view: View, candidates: Ints, holders: Ints) -> Renewal:
    names = (view.written_at, *view.columns)
    has_one = np.zeros(len(candidates), bool)
    for name in view.columns:
        has_one |= as_mask(pc.is_valid(_at(rows, name, candidates)))
    candidates, holders = candidates[has_one], holders[has_one]
    differ = ~same_at(rows, candidates, rows, holders, names)
    candidates, holders = candidates[differ], holders[differ]
    # The views of each key, with its present one, in the order in which they were written.
    held = np.unique(holders)
    key, row = np.concatenate([held, holders]), np.concatenate([held, candidates])
    order = np.lexsort([*(_ordinals(_at(rows, name, row)) for name in reversed(names)), key])
    last = order[np.append(np.diff(key[order]) != 0, True)] if len(order) else order
    last = last[row[last] != key[last]]
    changed = ~same_at(rows, row[last], rows, key[last], view.columns)
    return Renewal(view, key[last], row[last], changed)


def _ordinals(column: pa.ChunkedArray) -> Ints:
    """Integers that sort as the values do, null before all of them."""
    found = np.unique(plain(column).to_numpy(), return_inverse=True)[1]
    return np.where(as_mask(pc.is_valid(column)), found + 1, 0)


def _at(rows: pa.Table, name: str, places: Ints) -> pa.ChunkedArray:
    return rows.column(name).take(as_arrow(places, pa.int64()))
