"""Rows beside the order in which they are meant, taken from them only when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from stock_pipeline.arrow import Ints


@dataclass(frozen=True)
class Sorted:
    """Rows, and the order in which they are meant: a sorted copy of them all is made for those only who ask for it."""

    rows: pa.Table
    order: Ints

    @property
    def schema(self) -> pa.Schema:
        return self.rows.schema

    @property
    def num_rows(self) -> int:
        return len(self.order)

    @property
    def table(self) -> pa.Table:
        """All of them in their order."""
        return self.rows.take(self.order)

    def pieces(self, size: int) -> Iterator[pa.Table]:
        """All of them in their order, so many at a time."""
        rows = for_takes(self.rows)
        for start in range(0, len(self.order), size):
            yield rows.take(self.order[start : start + size])


def for_takes(rows: pa.Table) -> pa.Table:
    """The same rows in one chunk: else Arrow looks for the chunk of each row, and joins those of texts at each take."""
    return rows.unify_dictionaries().combine_chunks()
