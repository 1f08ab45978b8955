"""Rows → good rows and rejected rows, each with its reason.

Each kind of row has a module (`daily`, `ticks`). What they share is here: the result, and how rejections are gathered.
Nothing in this package does any I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stock_pipeline.arrow import as_arrow, nothing
from stock_pipeline.schemas import REJECTED


def no_records() -> pa.Table:
    """An empty table of `REJECTED`, made in a way that does not import pandas."""
    return pa.Table.from_batches([], REJECTED)


@dataclass(frozen=True)
class Cleaned:
    """One source object's rows after cleaning.

    `good` has the columns of the target table except `source` and `etl_loading_ts`, in the order of the input; `lines`
    (int64) numbers its rows by their line in the decoded object, from 1. `rejected` has the schema `schemas.REJECTED`.
    `skipped` counts records that are not meant for the table, such as messages of another type. `cancels` counts those
    that are rows of `trade_corrections` only. `raw` gives the unchanged text of lines.

    `nulled` counts the optional values that were left out of rows of `good`, by reason, and `notes` (schema `REJECTED`)
    has a record of each such row: it is stored, and does not count as rejected. `unread` are the names of columns that
    nobody reads, without outer blanks, and `decided` names the evidence where something could be read in several ways
    (`{"dates": "spacing"}`).
    """

    good: pa.Table
    lines: npt.NDArray[np.int64]
    rejected: pa.Table
    skipped: int
    raw: Callable[[Sequence[int]], list[str]]
    cancels: int = 0
    nulled: Mapping[str, int] = field(default_factory=dict)
    notes: pa.Table = field(default_factory=no_records)
    unread: tuple[str, ...] = ()
    decided: Mapping[str, str] = field(default_factory=dict)

    def places(self, rows: npt.NDArray[np.int64]) -> pa.Array:
        """The places of some good rows (by their number) in their lines; null if a line is a row."""
        if "place" not in self.good.column_names:
            return nothing(pa.int32(), len(rows))
        return self.good["place"].take(as_arrow(rows, pa.int64())).combine_chunks().fill_null(0)

    @property
    def rows(self) -> int:
        return int(self.good.num_rows + self.rejected.num_rows + self.skipped + self.cancels)
