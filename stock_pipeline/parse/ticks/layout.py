"""One way of writing a line of ticks: the pattern that matches it, and the positions that cut out its values by column.

A line has a head, an item for each trade, and a tail: `{"data":[` `{"p":1}` `,{"p":2}` `],"type":"trade"}`. In a line
with one trade, the item is the whole line. The lines are cut at the seams between items. A pattern (RE2, in Arrow's
kernel, outside Python's lock) describes each piece completely, so that a cut inside a text does not match. The number
of marks (quotes, or quotes and commas) in a head, an item and a tail is fixed, so the positions of the marks give the
positions of all values at once. An item may have one part with any number of marks, a list of codes. Marks before it
are counted from the item's begin, marks after it from the item's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, offsets
from stock_pipeline.parse.ticks.cells import Reader
from stock_pipeline.parse.ticks.shapes import Path, Shape

HEAD, ITEM, TAIL = "head", "item", "tail"


@dataclass(frozen=True)
class Bound:
    """A place in a line: `shift` bytes from a mark of a part (below 0: from its last one), or from the part's edge."""

    part: str
    mark: int | None
    shift: int


@dataclass(frozen=True)
class Cell:
    """A value that is read: its place in a message, its reader, and where it begins and ends in a line."""

    path: Path
    read: Reader
    start: Bound
    end: Bound


@dataclass(frozen=True)
class Part:
    """The pattern of a head, an item or a tail, and how many marks it has before and after a list of codes."""

    pattern: str = ""
    marks: int = 0
    behind: int | None = None


@dataclass(frozen=True)
class Pieces:
    """Lines cut at the seams: `bounds` are where the pieces begin and end, `firsts` the first piece of each line."""

    bounds: Codes
    firsts: Ints

    @cached_property
    def lines(self) -> Ints:
        """The line of each piece."""
        numbers = np.zeros(len(self.bounds) - 1, np.int64)
        numbers[self.firsts[1:]] = 1
        lines: Ints = np.cumsum(numbers)
        return lines

    @property
    def one_a_line(self) -> bool:
        return len(self.firsts) == len(self.bounds) - 1


@dataclass(frozen=True)
class Layout:
    """One way of writing. Two with the same pattern are equal."""

    shape: Shape
    head: Part
    item: Part
    tail: Part
    cells: tuple[Cell, ...]
    item_start: Bound
    item_end: Bound
    names: tuple[tuple[str, Path], ...]
    """Which value each role has: (role, path)."""
    marks: bytes = b'"'
    seam: bytes = b""

    @cached_property
    def pattern(self) -> str:
        """The layout of lines with one trade."""
        return f"^{self.head.pattern}{self.item.pattern}{self.tail.pattern}$"

    @cached_property
    def _piece_pattern(self) -> str:
        between = self.seam[1:-1].decode()
        return f"^(?:{self.head.pattern}|{between}){self.item.pattern}(?:{self.tail.pattern})?$"

    def matches(self, lines: pa.BinaryArray) -> Bools:
        """Which of the lines (each with its newline) have this layout."""
        good = _matching(lines, self.pattern)
        if self.seam and not good.all():
            left = np.flatnonzero(~good)
            good[left] = self._match_by_piece(lines.take(as_arrow(left, pa.int64())))
        return good

    def _match_by_piece(self, lines: pa.BinaryArray) -> Bools:
        """Which of the lines have this layout, checked piece by piece."""
        pieces = cut(lines, self.seam)
        data = lines.buffers()[2]
        array = pa.Array.from_buffers(pa.binary(), len(pieces.bounds) - 1, [None, pa.py_buffer(pieces.bounds), data])
        good = _matching(array, self._piece_pattern)
        # The line begins like a later piece, but its first piece must have the head.
        begins = np.frombuffer(data, np.uint8)[pieces.bounds[pieces.firsts]]
        good[pieces.firsts[begins == ord(",")]] = False
        flags: Bools = np.logical_and.reduceat(good, pieces.firsts)
        return flags

    def values(self, lines: pa.BinaryArray, so: Bools) -> tuple[Pieces, dict[str, pa.Array]]:
        """The values of each role in the lines with this layout, one row a trade. With a seam, all must have it."""
        marked = _Marked(self, lines, so)
        read = {cell.path: cell.read(marked.texts(cell)) for cell in self.cells}
        return marked.pieces, {role: read[path] for role, path in self.names}


def _matching(texts: pa.BinaryArray, pattern: str) -> Bools:
    found = pc.match_substring_regex(texts, pattern=pattern)
    bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
    return np.unpackbits(bits, bitorder="little")[found.offset : found.offset + len(found)].view(bool)


def cut(lines: pa.BinaryArray, seam: bytes) -> Pieces:
    """The lines, cut after the first byte of each seam."""
    ends = offsets(lines)
    data = np.frombuffer(lines.buffers()[2], np.uint8)[: ends[-1]]
    at = np.flatnonzero(data[ends[0] : len(data) - len(seam)] == seam[0]) + ends[0]
    for n, byte in enumerate(seam[1:], 1):
        at = at[data[at + n] == byte]
    places = np.searchsorted(ends, at, side="right")
    bounds = np.insert(ends, places, (at + 1).astype(np.int32))
    return Pieces(bounds, np.arange(len(lines)) + np.searchsorted(at, ends[:-1]))


class _Marked:
    """Lines with the positions of their marks."""

    def __init__(self, layout: Layout, lines: pa.BinaryArray, so: Bools) -> None:
        self._layout = layout
        ends = offsets(lines)
        self._data = np.frombuffer(lines.buffers()[2], np.uint8)[: ends[-1]]
        flags = self._data == layout.marks[0]
        for mark in layout.marks[1:]:
            flags |= self._data == mark
        flags[: ends[0]] = False
        if layout.seam:
            self.pieces = cut(lines, layout.seam)
            self._starts, self._stops = self.pieces.bounds[:-1], self.pieces.bounds[1:]
        else:
            # The other lines are between those that are read, and so are their marks. They are few (see `Layouts`).
            for start, end in _runs(~so):
                flags[ends[start] : ends[end]] = False
            self._starts, self._stops = ends[:-1][so], ends[1:][so]
            self.pieces = Pieces(np.append(self._starts, ends[-1]), np.arange(len(self._starts)))
        self._marks = np.flatnonzero(flags)
        self._rows: Ints | None = None
        if self.pieces.one_a_line and layout.item.behind is None:
            counts = layout.head.marks, layout.item.marks, layout.tail.marks
            self._rows = self._marks.reshape(-1, sum(counts))
        else:
            self._count()

    def _count(self) -> None:
        """Number the first mark of each part, and the one after its last."""
        layout, pieces = self._layout, self.pieces
        first, last = (np.searchsorted(self._marks, edges) for edges in (self._starts, self._stops))
        ends = np.append(pieces.firsts[1:], len(first)) - 1
        self._heads, self._tails = first[pieces.firsts], last[ends]
        first[pieces.firsts] += layout.head.marks
        last[ends] -= layout.tail.marks
        self._begin, self._end, self._lasts = first, last, ends

    def texts(self, cell: Cell) -> pa.StringArray:
        """The texts of a cell."""
        start, end = self._at(cell.start, False), self._at(cell.end, True)
        between = np.empty(2 * len(start), np.int32)
        between[::2], between[1::2] = start, end
        # As the offsets of an array over the same bytes: every other text is a value, the ones between are skipped.
        array = pa.Array.from_buffers(
            pa.string(), max(len(between) - 1, 0), [None, pa.py_buffer(between), pa.py_buffer(self._data)]
        )
        return array.take(as_arrow(np.arange(0, len(between), 2, dtype=np.int32), pa.int32()))

    def _at(self, bound: Bound, stop: bool) -> Ints:
        return (
            self._edge(bound.part, stop) if bound.mark is None else self._mark(bound.part, bound.mark)
        ) + bound.shift

    def _mark(self, part: str, mark: int) -> Ints:
        """Where a mark of a part is in each row."""
        if self._rows is not None:
            before = {HEAD: 0, ITEM: self._layout.head.marks, TAIL: self._rows.shape[1]}
            column: Ints = self._rows[:, before[part] + mark]
            return column
        if part == ITEM:
            base = self._begin if mark >= 0 else self._end
        else:
            base = (self._heads if part == HEAD else self._tails)[self.pieces.lines]
        marks: Ints = self._marks[base + mark]
        return marks

    def _edge(self, part: str, stop: bool) -> Ints:
        """Where a part begins or ends in each row."""
        pieces = self.pieces
        edges: Ints = (self._stops if stop else self._starts).astype(np.int64)
        if part == HEAD and not stop:
            edges = edges[pieces.firsts][pieces.lines]
        elif part == TAIL and stop:
            edges = edges[np.append(pieces.firsts[1:], len(edges)) - 1][pieces.lines]
        elif self._layout.seam:
            edges = self._item_edge(stop)
        return edges

    def _item_edge(self, stop: bool) -> Ints:
        """Where items begin or end: at the seams, and at the line's ends where the head and the tail say so."""
        firsts = self.pieces.firsts
        lasts = np.append(firsts[1:], len(self._stops)) - 1
        at, bound = (lasts, self._layout.item_end) if stop else (firsts, self._layout.item_start)
        lines_edge = (self._stops if stop else self._starts)[at].astype(np.int64)
        edges: Ints = (self._stops if stop else self._starts).astype(np.int64)
        if not stop:
            edges += len(self._layout.seam) - 2  # the seam begins with the byte before the cut
        if bound.mark is not None:
            lines_edge = self._mark(bound.part, bound.mark)[at]
        edges[at] = lines_edge + bound.shift
        return edges


def _runs(flags: Bools) -> list[tuple[int, int]]:
    """Where runs of true begin and end."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
