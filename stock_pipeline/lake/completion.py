"""Rows of one key that have different parts of its values: which rows agree, and the complete row that they make.

Null means that a row does not know a value. Two rows agree when no value column has different values in them, and when
the row that they make keeps the table's `bounds` (no low above a high). There are three outcomes. A row that agrees and
has a missing value completes the row of its key (UPDATED). A row that agrees and has nothing new adds nothing
(DUPLICATE). A row that does not agree is left out whole (CONFLICT). So rows that agree with each other make the same
row in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints, as_arrow
from stock_pipeline.lake.comparing import as_mask, plain
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.schemas import Table


@dataclass(frozen=True)
class Completed:
    """The rows of some keys after other rows were merged into them, and what became of the other rows.

    `rows` has one row for each key. Those in `changed` have the provenance of the row that completed them last.
    `outcome` (int8, values of `Outcome`) has an entry for each of the other rows.
    """

    rows: pa.Table
    changed: Bools
    outcome: npt.NDArray[np.int8]


def complete(held: pa.Table, others: pa.Table, owner: Ints, table: Table) -> Completed:
    """Merge `others` into the rows that hold their keys, one after the other: row i into row `owner[i]` of `held`.

    Each round merges the first row of each key that adds something. This fills a null, so there are no more rounds than
    the table has nullable columns.
    """
    outcome = np.zeros(others.num_rows, np.int8)
    changed = np.zeros(held.num_rows, bool)
    left = np.arange(others.num_rows)
    while len(left):
        agree, add = _compared(held.take(owner[left]), others.take(left), table)
        outcome[left] = np.where(agree, Outcome.DUPLICATE, Outcome.CONFLICT)
        adding = left[agree & add]
        owners, at = np.unique(owner[adding], return_index=True)
        first = adding[at]
        outcome[first] = Outcome.UPDATED
        changed[owners] = True
        held = _filled(held, owners, others.take(first), table)
        until = np.full(held.num_rows, others.num_rows)
        until[owners] = first
        left = left[left > until[owner[left]]]  # rows after one that was merged are judged again
    return Completed(held, changed, outcome)


def nothing(like: pa.Table) -> Completed:
    """The result of `complete` for no rows."""
    return Completed(like.slice(0, 0), np.zeros(0, bool), np.zeros(0, np.int8))


def restated(held: pa.Table, others: pa.Table, table: Table) -> tuple[pa.Table, Bools]:
    """Rows that are to replace others, with the values of these where they have none; and whether each is consistent.

    A restatement keeps what it does not mention. If a kept value does not fit the given ones (a high below the close),
    nobody knows the true one.
    """
    columns = []
    for field in others.schema:
        here, there = others.column(field.name), held.column(field.name)
        keep = field.name in table.values and here.null_count
        columns.append(_first_of(here, there, field.type) if keep else here)
    rows = pa.Table.from_arrays(columns, schema=others.schema)
    fits = np.ones(rows.num_rows, bool)
    for upper, lower in table.bounds:
        fits &= ~as_mask(pc.fill_null(pc.less(rows.column(upper), rows.column(lower)), False))
    return rows, fits


def agreeing(one: pa.Table, other: pa.Table, table: Table) -> Bools:
    """Row by row, whether two tables of the same length agree."""
    return _compared(one, other, table)[0]


def _compared(there: pa.Table, here: pa.Table, table: Table) -> tuple[Bools, Bools]:
    """For each row, whether the two agree, and whether the second has values that the first lacks."""
    agree, add = np.ones(there.num_rows, bool), np.zeros(there.num_rows, bool)
    for name in table.values:
        a, b = (plain(rows.column(name)) for rows in (there, here))
        agree &= ~as_mask(pc.fill_null(pc.not_equal(a, b), False))
        if a.null_count:
            add |= as_mask(pc.and_(pc.is_null(a), pc.is_valid(b)))
    for upper, lower in table.bounds:
        top, bottom = (pc.coalesce(there.column(name), here.column(name)) for name in (upper, lower))
        agree &= ~as_mask(pc.fill_null(pc.less(top, bottom), False))
    return agree, add


def _filled(held: pa.Table, owners: Ints, rows: pa.Table, table: Table) -> pa.Table:
    """`held` with its nulls filled from `rows` (one for each of `owners`), and with the provenance of these."""
    if not len(owners):
        return held
    place = np.zeros(held.num_rows, np.int64)
    given = np.zeros(held.num_rows, bool)
    place[owners], given[owners] = np.arange(len(owners)), True
    places = as_arrow(place, pa.int64(), ~given)
    columns = []
    for field in held.schema:
        there = held.column(field.name)
        if field.name in table.provenance or (field.name in table.values and there.null_count):
            here = rows.column(field.name).take(places)
            first, second = (here, there) if field.name in table.provenance else (there, here)
            there = _first_of(first, second, field.type)
        columns.append(there)
    return pa.Table.from_arrays(columns, schema=held.schema)


def _first_of(first: pa.ChunkedArray, second: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    """The values of the first column, and where it has none, those of the second."""
    found = pc.coalesce(plain(first), plain(second))
    return found.dictionary_encode().cast(type_) if pa.types.is_dictionary(type_) else found
