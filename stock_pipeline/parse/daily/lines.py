"""Where a file's records are: the line on which each begins, and its text. Both are found only on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stock_pipeline.arrow import Ints
from stock_pipeline.parse.daily.csv_dialect import blocks, record_ends
from stock_pipeline.parse.files import Bytes


@dataclass(frozen=True)
class Lines:
    """The records of a text from the offset `start`, which is the beginning of line `first_line` (from 1).

    Records are counted from 0, blank lines included. A record is one line unless `multiline`. Then cells in quotes may
    hold line breaks, and the record's line is the one on which it begins.
    """

    text: Bytes
    start: int
    first_line: int
    multiline: bool

    def numbers(self, records: Ints) -> Ints:
        """The line on which each of these records begins."""
        if self.multiline:
            numbers: Ints = self._numbers[records]
            return numbers
        return records + self.first_line

    def texts(self, lines: Sequence[int] | Ints) -> list[str]:
        """The text of the records that begin on these lines, without their line breaks; empty if no record begins
        there.
        """
        wanted = np.asarray(lines, np.int64)
        records = np.searchsorted(self._numbers, wanted) if self.multiline else wanted - self.first_line
        there = (records >= 0) & (records < len(self._bounds) - 1)
        records = np.where(there, records, 0)
        if self.multiline:
            there &= self._numbers[records] == wanted
        begins, ends = self._bounds[records], self._bounds[records + there]
        pieces = zip(begins.tolist(), ends.tolist(), strict=True)
        return [self.text[begin:end].decode().rstrip("\r\n") for begin, end in pieces]

    def offset(self, record: int) -> int:
        """The offset at which a record begins; the end of the text if there is no such record."""
        return int(self._bounds[min(record, len(self._bounds) - 1)])

    @cached_property
    def _bounds(self) -> Ints:
        """Offsets of the beginning of every record and, at the end, of the end of the text."""
        data = np.frombuffer(self.text, np.uint8)
        ends = [record_ends(data[a:b], self.multiline) + a for a, b in blocks(self.text, self.start, self.multiline)]
        bounds = np.concatenate([[self.start], *ends]).astype(np.int64)
        return bounds if bounds[-1] == len(data) else np.append(bounds, len(data))

    @cached_property
    def _numbers(self) -> Ints:
        data = np.frombuffer(self.text, np.uint8)
        pieces = blocks(self.text, self.start, self.multiline)
        breaks = np.concatenate([[], *(np.flatnonzero(data[a:b] == ord("\n")) + a for a, b in pieces)])
        numbers: Ints = np.searchsorted(breaks, self._bounds[:-1]) + self.first_line
        return numbers
