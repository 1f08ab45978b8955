"""Tick objects → rows: NDJSON and similar forms, of this project and of vendors (vendors.py), by columns where
possible.

Objects are read together: small ones are joined to blocks, large ones are cut into blocks (blocks.py), and blocks are
read in threads. In a block, lines of the same form are read by whole columns (columnar.py) and all others one by one
(rowwise.py). Both give the same values; only the time differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, as_numpy, booleans, strings, zeros
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.files import MAX_BYTES, Bytes, Unpacked, unpack
from stock_pipeline.parse.ticks.blocks import BLOCK, Block, Cut, Part, in_threads, joined, read_block
from stock_pipeline.parse.ticks.columnar import Layouts
from stock_pipeline.parse.ticks.columns import CORRECTIONS, NAMES, REQUIRED, TYPES
from stock_pipeline.parse.ticks.framing import like_a_document, one_record_a_line, text_of_lines
from stock_pipeline.schemas import REJECTED

MAX_REJECTED = 1_000_000
"""An object with more broken records than this, and fewer good ones, is refused whole."""

SCHEMA = pa.schema(
    [
        *(pa.field(name, TYPES[name], nullable=name not in REQUIRED) for name in NAMES),
        pa.field("place", pa.int32(), nullable=False),
    ]
)
"""The columns of ticks as they were read (`columns.Columns`), and the number of each tick in its line, from 0."""

_LONGEST_LINE = 2**31 - 2 * BLOCK  # Arrow's string offsets have 32 bits
_RECORD_BEGINS = re.compile(rb"^(?:\xef\xbb\xbf)?[ \t\r]*[\[{]", re.MULTILINE)
_ACCEPTED = "accepted is JSON in UTF-8, one object a line (NDJSON), plain or gzipped"


@dataclass(frozen=True)
class TickRows:
    """The ticks of some source objects, as they were sent.

    `table` has the schema `SCHEMA`. Its chunks are in the order of the objects and of their lines, as are the rows of a
    chunk; but chunks may overlap if lines were read in several ways. `objects` (int32) and `lines` (int64, from 1) tell
    where each row came from. `rejected` (schema `schemas.REJECTED`) and `rejected_objects` hold the records that could
    not be read, `corrections` (schema `columns.CORRECTIONS`) and `corrections_objects` the cancels and corrections.
    `skipped` counts, for each object, the known messages without a tick. `refused` has the reason of each refused
    object. `raw` gives the text of lines of one object.
    """

    table: pa.Table
    objects: Codes
    lines: Ints
    rejected: pa.Table
    rejected_objects: Codes
    corrections: pa.Table
    corrections_objects: Codes
    skipped: Ints
    refused: dict[int, str]
    raw: Callable[[int, Sequence[int]], list[str]]


def parse_tick_objects(objects: Sequence[tuple[bytes | Unpacked, str]], *, max_bytes: int = MAX_BYTES) -> TickRows:
    """The ticks of several objects, each given as its bytes and its key.

    An object given as `Unpacked` is not unpacked again: callers that read objects side by side unpack them there.

    A record without an id of its own gets one from the identity of its object and its position in it: the line and,
    from the second on, the number of the tick in the line. Key and content are the identity of an object, so a copy in
    another bucket has the same identity, however it was uploaded. An object with a JSON array, or with objects over
    several lines, is read as one record a line. An object is refused if it holds no JSON object at all, is larger than
    `max_bytes` unpacked, or consists mostly of broken records; the other objects are not affected.
    """
    reading, layouts = _Reading(objects, max_bytes), Layouts()
    for block in in_threads(lambda cut: read_block(cut, layouts), reading.cuts()):
        reading.take(block)
    return reading.finish()


@dataclass
class _Rows:
    """Tables of rows with the object and the line that each came from."""

    tables: list[pa.Table] = field(default_factory=list)
    objects: list[Codes] = field(default_factory=list)
    lines: list[Ints] = field(default_factory=list)

    def add(self, table: pa.Table, objects: Codes, lines: Ints) -> None:
        self.tables.append(table)
        self.objects.append(objects)
        self.lines.append(lines)

    def without(self, gone: Bools, schema: pa.Schema) -> tuple[pa.Table, Codes, Ints]:
        """All tables, without the rows of refused objects."""
        table = pa.concat_tables([pa.Table.from_batches([], schema), *self.tables])
        objects = np.concatenate([np.zeros(0, np.int32), *self.objects])
        lines = np.concatenate([np.zeros(0, np.int64), *self.lines])
        if not gone.any():
            return table, objects, lines
        keep = ~gone[objects]
        return table.filter(booleans(keep)), objects[keep], lines[keep]


class _Reading:
    """The state of one call: cuts the objects, and puts together what was read."""

    def __init__(self, objects: Sequence[tuple[bytes | Unpacked, str]], max_bytes: int) -> None:
        self._objects, self._max_bytes = objects, max_bytes
        self._texts: list[Bytes] = []
        self._refused: dict[int, str] = {}
        self._ticks, self._rejected, self._corrections = _Rows(), _Rows(), _Rows()
        self._digests: dict[int, str] = {}
        self._lines_read, self._good, self._bad, self._skipped = np.zeros((4, len(objects)), np.int64)

    def cuts(self) -> Iterator[Cut]:
        """The objects' lines in cuts of one block: large objects in several cuts, small ones together."""
        pieces: list[tuple[int, memoryview]] = []
        size = 0
        for index, (data, _) in enumerate(self._objects):
            text, at = self._text(index, data), 0
            self._texts.append(text)
            while at < len(text) and index not in self._refused:
                end = text.find(b"\n", at + BLOCK - size - 1) + 1 or len(text)
                if end - at > _LONGEST_LINE:
                    self._refused[index] = f"a line of more than {_LONGEST_LINE} bytes; {_ACCEPTED}"
                    break
                pieces.append((index, memoryview(text)[at:end]))
                size += end - at
                at = end
                if size >= BLOCK:
                    yield joined(pieces)
                    pieces, size = [], 0
        if pieces:
            yield joined(pieces)

    def _text(self, index: int, data: bytes | Unpacked) -> Bytes:
        """An object's records, one a line; nothing when it is refused."""
        try:
            raw = data if isinstance(data, Unpacked) else unpack(data, self._max_bytes)
            text = one_record_a_line(raw.data)
            if not _RECORD_BEGINS.search(text) and text.strip():
                raise FileRefused(f"no line of it begins like a JSON object; {_ACCEPTED}")
        except FileRefused as error:
            self._refused[index] = str(error)
            return b""
        return text

    def take(self, block: Block) -> None:
        """Take in what was read from the next block."""
        objects = np.array(block.objects, np.int32)
        shift = self._lines_read[objects] + 1 - block.first_lines
        self._lines_read[objects] += np.diff(block.first_lines, append=block.line_count)

        def origin(lines: Ints) -> tuple[Codes, Ints]:
            if len(objects) == 1:
                return np.repeat(objects, len(lines)), lines + shift[0]
            at = np.searchsorted(block.first_lines, lines, side="right") - 1
            return objects[at], lines + shift[at]

        for part in block.parts:
            owners, lines = origin(part.lines)
            self._ticks.add(self._table(part, owners, lines), owners, lines)
            self._good += np.bincount(owners, minlength=len(self._good))
        for found, into in ((block.rejected, self._rejected), (block.corrections, self._corrections)):
            for table in found:
                owners, lines = origin(as_numpy(table["line"].chunk(0), np.int64))
                into.add(table.set_column(0, table.schema.field("line"), as_arrow(lines, pa.int64())), owners, lines)
                counts = self._bad if into is self._rejected else self._good
                counts += np.bincount(owners, minlength=len(counts))
        self._skipped += np.bincount(origin(block.skipped)[0], minlength=len(self._skipped))
        for index in np.flatnonzero((self._bad > MAX_REJECTED) & (self._bad > self._good)).tolist():
            self._refused[index] = f"more than {MAX_REJECTED} broken records, and fewer good ones; {_ACCEPTED}"

    def _table(self, part: Part, owners: Codes, lines: Ints) -> pa.Table:
        ids, ticks = part.ticks.event_id, part.ticks
        if ids.null_count:
            numbers = as_arrow(lines, pa.int64()).cast(pa.string())
            if part.places is not None and part.places.any():
                places = as_arrow(part.places, pa.int32()).cast(pa.string())
                further = pc.binary_join_element_wise(numbers, places, ".")
                numbers = pc.if_else(booleans(part.places > 0), further, numbers)
            first, last = int(owners[0]), int(owners[-1])
            prefixes = strings(self._digest(index) for index in range(first, last + 1))
            prefix = prefixes.take(as_arrow(owners - np.int32(first), pa.int32()))
            ids = pc.coalesce(ids, pc.binary_join_element_wise(prefix, numbers, "-"))
        places = zeros(len(lines)) if part.places is None else as_arrow(part.places, pa.int32())
        return pa.Table.from_arrays([ids, *ticks.arrays[1:], places], schema=SCHEMA)

    def _digest(self, index: int) -> str:
        """The beginning of an object's derived event ids. Its content is hashed only if there is such an id."""
        if index not in self._digests:
            self._digests[index] = identity_digest(self._objects[index][1], self._texts[index])
        return self._digests[index]

    def finish(self) -> TickRows:
        """Everything that was read, without the objects that turned out not to hold ticks."""
        for index in np.flatnonzero((self._bad > 0) & (self._good == 0) & (self._skipped == 0)).tolist():
            text = self._texts[index]
            if like_a_document(text) or text[:4096].lstrip()[:1] not in (b"{", b"["):
                self._refused.setdefault(index, f"not one record could be read; {_ACCEPTED}")
        gone = np.zeros(len(self._objects), bool)
        gone[list(self._refused)] = True
        self._skipped[gone] = 0
        ticks = self._ticks.without(gone, SCHEMA)
        rejected, rejected_objects, _ = self._rejected.without(gone, REJECTED)
        corrections, corrections_objects, _ = self._corrections.without(gone, CORRECTIONS)
        texts = self._texts
        return TickRows(
            *ticks,
            rejected,
            rejected_objects,
            corrections,
            corrections_objects,
            self._skipped,
            self._refused,
            raw=lambda index, lines: text_of_lines(texts[index], lines),
        )


def identity_digest(key: str, text: Bytes) -> str:
    """24 hexadecimal digits of an object's identity: its key and its content, but not its bucket."""
    content = blake2b(text, digest_size=32).hexdigest()
    return blake2b(f"{key}\n{content}".encode(), digest_size=12).hexdigest()
