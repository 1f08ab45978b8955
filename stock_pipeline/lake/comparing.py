"""Rows value by value: whether they are equal, and how they differ in words. Null equals null."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints
from stock_pipeline.schemas import Table

Places = npt.NDArray[np.int32] | Ints


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with its values in place of dictionary codes, if it has these."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def as_mask(column: pa.ChunkedArray) -> Bools:
    """A boolean column without nulls as numpy."""
    flat: Bools = column.to_numpy()
    return flat.astype(bool, copy=False)


def same_at(one: pa.Table, at: Places, other: pa.Table, there: Places, columns: tuple[str, ...]) -> Bools:
    """Whether rows of one table equal rows of another, both given by their positions."""
    if not len(at):
        return np.ones(0, bool)
    return same(one.select(columns).take(at), other.select(columns).take(there), columns)


def same(one: pa.Table, other: pa.Table, columns: tuple[str, ...]) -> Bools:
    """Row by row, whether all these columns are equal."""
    found = np.ones(one.num_rows, bool)
    for name in columns:
        a, b = (plain(t.column(name)) for t in (one, other))
        equal = pc.equal(a, b)
        if equal.null_count:
            equal = pc.if_else(pc.is_valid(equal), equal, pc.and_(pc.is_null(a), pc.is_null(b)))
        found &= as_mask(equal)
    return found


def differences(conflicting: pa.Table, rows: pa.Table, table: Table) -> pa.ChunkedArray:
    """For each row, in words, how `rows` differ from `conflicting`: `close 10.5 stored, 11.0 given; volume …`."""
    parts = []
    for name in table.values:
        there, here = (_text(t.column(name)) for t in (conflicting, rows))
        words = pc.binary_join_element_wise(f"{name} ", there, " stored, ", here, " given", "")
        differs = pa.array(~same(conflicting, rows, (name,)))
        parts.append(pc.if_else(differs, words, pa.scalar(None, pa.string())))
    return pc.binary_join_element_wise(*parts, "; ", null_handling="skip")


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.coalesce(pc.cast(column, pa.string()), pa.scalar("nothing"))
