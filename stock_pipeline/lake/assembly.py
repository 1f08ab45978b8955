"""The rows of a merge, put together: completed rows and renewed views in their places, all in the table's order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Ints, booleans
from stock_pipeline.lake.completion import Completed
from stock_pipeline.lake.packing import pack, stable_order
from stock_pipeline.lake.sorted_rows import Sorted
from stock_pipeline.lake.views import Renewal, renewed
from stock_pipeline.schemas import Table


def put_together(
    parts: list[pa.Table], number: int, completed: Completed, base: Ints, found: Sequence[Renewal] = ()
) -> tuple[pa.Table, Ints]:
    """The rows of all parts (`number`), with the completed rows behind them and with renewed views; and the place of
    each row of the parts: those at `base` are where they are completed.
    """
    if completed.changed.any():
        parts = [*parts, completed.rows.filter(booleans(completed.changed))]
    rows = pa.concat_tables(parts)
    place = np.arange(number)
    place[base] = np.arange(number, rows.num_rows)
    return renewed(rows, found, place), place


def in_order(rows: pa.Table, table: Table, place: Ints, keep: Bools) -> Sorted:
    """The rows to keep, in the order of the table's columns."""
    packed, span = pack(rows.select(table.sort), table.sort)
    if len(packed) == len(keep) and keep.all():
        return Sorted(rows, stable_order(packed, span))
    kept = place[keep]
    return Sorted(rows, kept[stable_order(packed[kept], span)])
