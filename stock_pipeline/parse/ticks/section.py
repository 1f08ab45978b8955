"""A head, an item or a tail of a layout while it is built: its pattern, and where its values begin and end."""

from __future__ import annotations

import re

from stock_pipeline.parse.ticks.cells import Kind, Reader
from stock_pipeline.parse.ticks.layout import TAIL, Bound, Cell, Part
from stock_pipeline.parse.ticks.shapes import Path

_Place = tuple[int | None, int, bool]
"""Where a value begins or ends: bytes from a mark of its section, or from its edge; and whether it is after a list of
codes.
"""


class Unlearnable(Exception):
    """The line is not simple enough."""


class Section:
    """A head, an item or a tail while it is built, from left to right."""

    def __init__(self, name: str, marks: str) -> None:
        self._name, self._kinds = name, marks
        self._pattern = ""
        self._counts = [0]  # marks; a second number counts those after a list of codes
        self._literal = ""  # the text since the last value, which is the same in every line
        self._open: tuple[Path, Reader, _Place] | None = None
        self._cells: list[tuple[Path, Reader, _Place, _Place]] = []
        self.since: int | None = 0  # bytes since the last mark, or the section's begin; None if lines differ
        self.before: int | None = None  # bytes before the first mark, if they are the same in every line
        self._fixed = True  # so far

    def text(self, literal: str) -> None:
        """Add text that is the same in every line."""
        self._literal += literal

    def value(self, path: Path, kind: Kind, listed: bool = False) -> None:
        """Add a value. It is read if it has a reader. A `listed` value may hold any number of marks."""
        self._flush()
        self._pattern += kind.pattern
        if kind.reader:
            if self.since is None or (len(self._counts) > 1 and not self._counts[1]):
                raise Unlearnable
            mark = self._counts[-1] - 1 if self._counts[-1] else None
            self._open = (path, kind.reader, (mark, self.since, len(self._counts) > 1))
        if listed:
            if len(self._counts) > 1:
                raise Unlearnable
            self._counts.append(0)
        self.since, self._fixed = None, False

    def _flush(self, at_end: bool = False) -> None:
        """Add the text since the last value to the pattern. Its first mark, or the section's end, ends the value."""
        literal, self._literal = self._literal, ""
        places = [n for n, letter in enumerate(literal) if letter in self._kinds]
        if self._open:
            if not places and not at_end:
                raise Unlearnable
            behind = len(self._counts) > 1
            end = (self._counts[-1], -places[0], behind) if places else (None, -len(literal), behind)
            self._cells.append((*self._open, end))
            self._open = None
        self._pattern += re.escape(literal)
        if places:
            if self._fixed and self.before is None:
                self.before = (self.since or 0) + places[0]
            self.since = len(literal) - places[-1]
        elif self.since is not None:
            self.since += len(literal)
        self._counts[-1] += len(places)

    def part(self) -> Part:
        """The section, once it is whole."""
        self._flush(at_end=True)
        return Part(self._pattern, self._counts[0], self._counts[1] if len(self._counts) > 1 else None)

    def cells(self) -> list[Cell]:
        """The values that are read, once the section is whole."""
        return [Cell(path, read, self._bound(start), self._bound(end)) for path, read, start, end in self._cells]

    def _bound(self, place: _Place) -> Bound:
        mark, shift, behind = place
        if mark is not None and (behind or self._name == TAIL):  # counted from the end
            mark -= self._counts[-1]
        return Bound(self._name, mark, shift)
