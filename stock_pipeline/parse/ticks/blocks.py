"""Blocks of lines: small objects are joined, large ones cut, and each block is read by columns as far as possible."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, offsets
from stock_pipeline.parse.files import Bytes
from stock_pipeline.parse.ticks.columnar import Layouts
from stock_pipeline.parse.ticks.columns import Columns
from stock_pipeline.parse.ticks.framing import MAX_RECORD
from stock_pipeline.parse.ticks.rowwise import LineReader
from stock_pipeline.settings import MIB

BLOCK = 4 * MIB
"""Bytes of a block: long enough to be worth compiling a layout's pattern, short enough for the processor's cache."""

_SPACE = np.zeros(256, bool)
_SPACE[list(b" \t\n\r\x0b\x0c")] = True


@dataclass(frozen=True)
class Cut:
    """A block before it is read: whole lines of one or several objects.

    Object `objects[i]` begins (or goes on) at byte `starts[i]`. Every line ends in a newline.
    """

    data: Bytes | memoryview
    objects: list[int]
    starts: list[int]


@dataclass(frozen=True)
class Part:
    """Ticks that were read in the same way, in the order of their lines (numbered from 0 in the block).

    `places` is the number of each tick in its line; None when every tick is the first of its line.
    """

    lines: Ints
    places: Codes | None
    ticks: Columns


@dataclass(frozen=True)
class Block:
    """What was read from a cut: `first_lines[i]` is the line at which its i-th object begins, of `line_count` lines.

    `rejected` are tables of `schemas.REJECTED`, `corrections` of `columns.CORRECTIONS`, and `skipped` has a line for
    each message that is known and holds no tick.
    """

    objects: list[int]
    first_lines: Ints
    line_count: int
    parts: list[Part]
    rejected: list[pa.Table]
    corrections: list[pa.Table]
    skipped: Ints


def joined(pieces: Sequence[tuple[int, memoryview]]) -> Cut:
    """Pieces of objects (index, lines) as one cut."""
    objects = [index for index, _ in pieces]
    if len(pieces) == 1 and pieces[0][1][-1] == ord("\n"):
        return Cut(pieces[0][1], objects, [0])
    parts: list[bytes | memoryview] = []
    starts, size = [], 0
    for _, piece in pieces:
        starts.append(size)
        parts.append(piece)
        size += len(piece)
        if piece[-1] != ord("\n"):
            parts.append(b"\n")
            size += 1
    return Cut(b"".join(parts), objects, starts)


def read_block(cut: Cut, layouts: Layouts) -> Block:
    """Read the lines of a cut: lines of the same form by layouts, the others one by one."""
    data = np.frombuffer(cut.data, np.uint8)
    newlines = np.flatnonzero(data == ord("\n"))
    ends = np.zeros(len(newlines) + 1, np.int32)
    np.add(newlines, 1, out=ends[1:], casting="unsafe")
    lines = pa.Array.from_buffers(pa.binary(), len(newlines), [None, pa.py_buffer(ends), pa.py_buffer(data)])
    usual = np.flatnonzero(np.diff(ends) <= MAX_RECORD)
    by_layout, left = layouts.read(lines if len(usual) == len(lines) else lines.take(as_arrow(usual, pa.int64())))

    reader = LineReader()
    if len(left) or len(usual) < len(lines):
        others = np.ones(len(lines), bool)
        others[usual] = False
        others[usual[left]] = True
        numbers = np.flatnonzero(others)
        numbers = numbers[~_blank(lines.take(as_arrow(numbers, pa.int64())))]
        view = memoryview(cut.data)
        places = zip(numbers.tolist(), ends[numbers].tolist(), ends[numbers + 1].tolist(), strict=True)
        reader.add((n, bytes(view[start:end])) for n, start, end in places)
    return Block(
        objects=cut.objects,
        first_lines=np.searchsorted(ends, cut.starts),
        line_count=len(lines),
        parts=[Part(usual[read.lines], read.places, read.ticks) for read in by_layout]
        + [Part(*r) for r in reader.read],
        rejected=reader.rejected,
        corrections=reader.corrections,
        skipped=np.array(reader.skipped, np.int64),
    )


def _blank(lines: pa.BinaryArray) -> Bools:
    """Which lines hold only white space. A decoder would need microseconds for each of millions of lines."""
    data, starts = np.frombuffer(lines.buffers()[2] or b"", np.uint8), offsets(lines)[:-1]
    blank: Bools = np.logical_and.reduceat(_SPACE[data], starts)
    return blank


def in_threads(work: Callable[[Cut], Block], cuts: Iterator[Cut]) -> Iterator[Block]:
    """The results in order, with only a few cuts in memory at a time; a single cut is read without a thread."""
    first, second = next(cuts, None), next(cuts, None)
    if first is None or second is None:
        yield from map(work, filter(None, (first, second)))
        return
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as threads:
        waiting: deque[Future[Block]] = deque(threads.submit(work, cut) for cut in (first, second))
        for cut in cuts:
            waiting.append(threads.submit(work, cut))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
