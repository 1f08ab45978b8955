"""Rows and their order. A sorted copy is made only on request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from stock_pipeline.arrow import Ints


@dataclass(frozen=True)
class Sorted:
    """Rows and their order. A sorted copy of all rows is made only on request."""

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
        """All rows in their order."""
        return self.rows.take(self.order)

    def pieces(self, size: int) -> Iterator[pa.Table]:
        """All rows in their order, `size` at a time."""
        rows = for_takes(self.rows)
        for start in range(0, len(self.order), size):
            yield rows.take(self.order[start : start + size])


def for_takes(rows: pa.Table) -> pa.Table:
    """The same rows in one chunk. Otherwise Arrow searches the chunk of each row, and joins chunks of texts at each
    take.
    """
    return rows.combine_chunks()
