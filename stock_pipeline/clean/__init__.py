"""Rows → good rows and rejected rows, each with its reason.

One module a kind of row (`daily`, `ticks`); what they share, the result and the way rejections are gathered, is here.
Nothing in this package reads or writes anything.
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
    """A table of `REJECTED` without rows, made so that it does not pull pandas in."""
    return pa.Table.from_batches([], REJECTED)


@dataclass(frozen=True)
class Cleaned:
    """One source object's rows, judged.

    `good` has the columns of the target table except `source` and `etl_loading_ts`, in the order of the input; `lines`
    (int64) numbers its rows by their line in the decoded object, from 1. `rejected` has the schema `schemas.REJECTED`.
    `skipped` counts records that are not rows of the table on purpose, such as messages of another type, and `cancels`
    those that are rows of `trade_corrections` alone. `raw` gives the text of lines as they came.

    `nulled` counts the optional values that were left out of rows of `good`, by reason, and `notes` (schema `REJECTED`)
    has a record of each such row: it is stored, and counts as no rejected one. `unread` are the names of columns that
    nobody reads, without outer blanks, and `decided` says by which evidence something was read in one of several ways
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
        """The place of some good rows (by their number) in their lines, null where a line is a row."""
        if "place" not in self.good.column_names:
            return nothing(pa.int32(), len(rows))
        return self.good["place"].take(as_arrow(rows, pa.int64())).combine_chunks().fill_null(0)

    @property
    def rows(self) -> int:
        return int(self.good.num_rows + self.rejected.num_rows + self.skipped + self.cancels)
