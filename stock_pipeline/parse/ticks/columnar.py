"""The fast grammar of ticks: lines that all look alike are matched and cut by whole columns.

Producers write every line the same way: the same keys in the same order with the same spaces. That way, a layout, is
learned from a line. Its pattern (RE2, in Arrow's kernel, outside Python's lock) then tells which of all lines are
written so. As a layout has a fixed number of quotes, the positions of the quotes give the positions of all values at
once, and Arrow casts them by the column.

A pattern admits only what the slow grammar (vendors.py) reads to the same value: numbers without exponents,
printable ASCII without escapes, times that exist. Everything else is left to the slow one, line by line.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints, as_arrow, as_numpy, booleans, offsets
from stock_pipeline.parse.ticks.vendors import FINNHUB, TYPE_KEYS, Problem, Shape, read_tick, shape_of
from stock_pipeline.schemas import TIMESTAMP

WORTH = 500
"""A kernel compiles a layout's pattern anew for each block; from about so many lines on that is won back."""

MOST_LAYOUTS = 16

_SAMPLE, _SHARE = 32, 4  # a layout is kept if it is that of at least 4 of 32 lines of a block
_TEXT = r"[!#-\[\]-~]+"
_ANY_TEXT = r"[ !#-\[\]-~]*"
_NUMBER = r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?"
_ANY_NUMBER = r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,39})?"
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
_NOTHING = r"[^\s\S]"
_EPOCH = r"(?:[1-9][0-9]{9,17}|1[0-9]{18})"
_YEAR = r"(?:199[0-9]|20[0-9]{2}|21[0-9]{2})"
_LEAP_YEAR = r"(?:199[26]|2[01](?:[02468][48]|[13579][26]|[2468]0)|2000)"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_TIME = re.compile(r"([^.]{19})(\.[0-9]{1,9})?(Z|\+00:00)?")

_OPEN = re.compile(r"[ \t]*\{")
_PAIR = re.compile(
    r'([ \t]*"([ !#-\[\]-~]+)"[ \t]*:[ \t]*)("[ !#-\[\]-~]*"|-?[0-9][0-9.]*|true|false|null)([ \t]*)([,}])'
)
_CLOSE = re.compile(r"[ \t]*\r?\n")

Reader = Callable[[pa.StringArray], pa.Array]


@dataclass(frozen=True)
class Columns:
    """Ticks by column; `event_id` is null where the message has none, `symbol` is as it came."""

    event_id: pa.StringArray
    symbol: pa.StringArray
    price: pa.DoubleArray
    size: pa.DoubleArray
    produced_at: pa.TimestampArray

    @property
    def arrays(self) -> tuple[pa.Array, ...]:
        return self.event_id, self.symbol, self.price, self.size, self.produced_at


@dataclass(frozen=True)
class _Field:
    """Where a value lies in its line: from some bytes after a quote to some bytes before the next, or the end."""

    key: str
    read: Reader
    after: tuple[int, int]
    before: tuple[int | None, int]


@dataclass(frozen=True)
class Layout:
    """One way of writing a tick's line: its pattern, the number of quotes in it, and where the values lie."""

    shape: Shape
    pattern: str
    quotes: int
    fields: tuple[_Field, ...]

    def matches(self, lines: pa.BinaryArray) -> Bools:
        """Which of the lines (each with its newline) are written so."""
        found = pc.match_substring_regex(lines, pattern=self.pattern)
        bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
        flags: Bools = np.unpackbits(bits, bitorder="little")[found.offset : found.offset + len(found)].view(bool)
        return flags

    def read(self, lines: pa.BinaryArray, so: Bools) -> Columns:
        """The values of those lines that are written so."""
        values = self._cut(lines, so)
        shape, count = self.shape, int(so.sum())
        none = pa.nulls(count, pa.string())
        produced_at = values[shape.time]
        ids = values.get(shape.id, none) if shape.id else none
        if shape.vendor and shape.id in values:
            day = (produced_at.cast(pa.date32()).cast(pa.string()),) if shape.daily else ()
            scope = (values.get(key, "") for key in shape.scope)
            ids = pc.binary_join_element_wise(shape.vendor, *scope, *day, ids, ":")
        size = values.get(shape.size, pa.nulls(count, pa.float64()))
        return Columns(ids, values[shape.symbol], values[shape.price], size, produced_at)

    def _cut(self, lines: pa.BinaryArray, so: Bools) -> dict[str, pa.Array]:
        ends = offsets(lines)
        data = np.frombuffer(lines.buffers()[2], np.uint8)[: ends[-1]]
        quotes = data == ord('"')
        quotes[: ends[0]] = False
        # The other lines are between those that are read, and so are their quotes. They are few (see `Layouts.read`).
        for start, end in _runs(~so):
            quotes[ends[start] : ends[end]] = False
        at = np.flatnonzero(quotes).reshape(-1, self.quotes)
        bounds = np.empty((len(at), 2 * len(self.fields)), np.int32)
        for n, field in enumerate(self.fields):
            (first, skip), (last, back) = field.after, field.before
            np.add(at[:, first], skip, out=bounds[:, 2 * n], casting="unsafe")
            if last is None:
                np.subtract(ends[1:][so], back, out=bounds[:, 2 * n + 1])
            else:
                np.subtract(at[:, last], back, out=bounds[:, 2 * n + 1], casting="unsafe")
        # The bounds of all values, in their order, are the offsets of an array over the same bytes in which every
        # other text is a value and the ones between are what separates them.
        pieces = pa.Array.from_buffers(
            pa.string(), max(bounds.size - 1, 0), [None, pa.py_buffer(bounds), pa.py_buffer(data)]
        )
        firsts = np.arange(0, bounds.size, bounds.shape[1], dtype=np.int32)
        return {
            field.key: field.read(pieces.take(as_arrow(firsts + np.int32(2 * n), pa.int32())))
            for n, field in enumerate(self.fields)
        }


def _runs(flags: Bools) -> list[tuple[int, int]]:
    """Where runs of true begin and end."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


class Layouts:
    """The layouts that were seen so far; blocks of one call share it, in threads."""

    def __init__(self) -> None:
        self._known: dict[str, Layout] = {}
        self._lock = threading.Lock()

    def read(self, lines: pa.BinaryArray) -> tuple[list[tuple[Ints, Columns]], Ints]:
        """What can be read by layouts, as (positions of the lines, their ticks), and the positions of all other lines.

        Layouts that many of the lines have are learned on the way.
        """
        read: list[tuple[Ints, Columns]] = []
        left = np.arange(len(lines))
        tried: set[str] = set()
        while len(lines) >= WORTH:
            fresh = [layout for pattern, layout in self._known.items() if pattern not in tried]
            fresh = fresh or [layout for layout in self._learn(lines) if layout.pattern not in tried]
            if not fresh:
                break
            for layout in fresh:
                if len(lines) < WORTH:
                    break
                tried.add(layout.pattern)
                so = layout.matches(lines)
                count = int(so.sum())
                if not count:
                    continue
                if 2 * count > len(so):  # most of them: then the text is not copied to be without the others
                    read.append((left[so], layout.read(lines, so)))
                else:
                    read.append((left[so], layout.read(lines.filter(booleans(so)), np.ones(count, bool))))
                lines, left = lines.filter(booleans(~so)), left[~so]
        return read, left

    def _learn(self, lines: pa.BinaryArray) -> list[Layout]:
        step = max(len(lines) // _SAMPLE, 1)
        found = [learn(lines[n].as_py()) for n in range(0, len(lines), step)]
        seen = Counter(layout for layout in found if layout)
        with self._lock:
            for layout, times in seen.most_common():
                if times >= _SHARE and len(self._known) < MOST_LAYOUTS:
                    self._known.setdefault(layout.pattern, layout)
        return [layout for layout in seen if layout.pattern in self._known]


def learn(line: bytes) -> Layout | None:
    """The layout of a line (with its newline) that holds one tick; None when it is not written simply enough."""
    try:
        message = orjson.loads(line)
        text = line.decode("ascii")
    except ValueError:
        return None
    shape = shape_of(message) if isinstance(message, dict) else None
    if shape is None or shape is FINNHUB or isinstance(read_tick(message, shape), Problem):
        return None
    found = _OPEN.match(text)
    if not found:
        return None
    building, keys, mark = _Building(found[0]), [], ","
    while mark == ",":
        at = found.end()
        if not (found := _PAIR.match(text, at)):
            return None
        before, key, value, after, mark = found.groups()
        keys.append(key)
        building.literal += before
        if not building.add(key, value, shape):
            return None
        building.literal += after + mark
    end = _CLOSE.fullmatch(text, found.end())
    if not end or len(set(keys)) < len(keys):
        return None
    return building.finish(shape, end[0])


class _Building:
    """A layout while it is put together, from left to right."""

    def __init__(self, literal: str) -> None:
        self.literal = literal  # text since the last value, the same in every line
        self._pattern = "^"
        self._quotes = 0
        self._fields: list[_Field] = []
        self._open: tuple[str, Reader, tuple[int, int]] | None = None

    def add(self, key: str, value: str, shape: Shape) -> bool:
        """Take the next value; False when it cannot be read by column."""
        quoted = value.startswith('"')
        inner = value.strip('"')
        wanted = {shape.symbol, shape.price, shape.size, shape.time, shape.id, *shape.scope}
        if key in TYPE_KEYS or value == "null":  # what tells the shape and what is absent are part of the layout
            self.literal += value
            return True
        pattern, read, suffix = _column(key, inner, quoted, shape) if key in wanted else _unread(inner, quoted)
        if not re.fullmatch(pattern, inner.removesuffix(suffix)):
            return False
        quote = '"' if quoted else ""
        self.literal += quote
        self._value(key, pattern, read)
        self.literal = suffix + quote
        return True

    def _value(self, key: str, pattern: str, read: Reader | None) -> None:
        self._end_literal()
        self._pattern += pattern
        if read:
            self._open = (key, read, (self._quotes - 1, self._since_quote))

    def _end_literal(self, line_end: bool = False) -> None:
        if self._open:
            quote = self.literal.find('"')
            before = (None, len(self.literal)) if line_end and quote < 0 else (self._quotes, quote)
            self._fields.append(_Field(*self._open, before))
            self._open = None
        self._pattern += re.escape(self.literal)
        self._quotes += self.literal.count('"')
        self._since_quote = len(self.literal) - self.literal.rfind('"')

    def finish(self, shape: Shape, end: str) -> Layout:
        """The layout, once all values are in."""
        self.literal += end
        self._end_literal(line_end=True)
        return Layout(shape, self._pattern + "$", self._quotes, tuple(self._fields))


def _unread(value: str, quoted: bool) -> tuple[str, None, str]:
    """The pattern of a value that nobody wants."""
    return _ANY_TEXT if quoted else "(?:true|false)" if value in ("true", "false") else _ANY_NUMBER, None, ""


def _column(key: str, value: str, quoted: bool, shape: Shape) -> tuple[str, Reader, str]:
    """The pattern of a wanted value, what reads a column of them, and a suffix that is part of the layout."""
    if key == shape.symbol:
        return _TEXT, _text, ""
    if key in (shape.price, shape.size):
        return _NUMBER, _number, ""
    if key != shape.time:  # the id and what it is unique within
        return (_TEXT if quoted else _WHOLE), _text, ""
    if not quoted:
        return _EPOCH, _epoch, ""
    if not (form := _TIME.fullmatch(value)):
        return _NOTHING, _text, ""
    digits = 9 if len(form[2] or "") > 7 else 6
    return rf"{_DAY}[T ]{_CLOCK}(?:\.[0-9]{{1,{digits}}})?", _nanos if digits == 9 else _micros, form[3] or ""


def _text(texts: pa.StringArray) -> pa.Array:
    return texts


def _number(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.float64())


def _micros(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.timestamp("us")).cast(TIMESTAMP)


def _nanos(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.timestamp("ns")).cast(pa.timestamp("us"), safe=False).cast(TIMESTAMP)


def _epoch(texts: pa.StringArray) -> pa.Array:
    number = as_numpy(texts.cast(pa.int64()), np.int64)
    micros = np.select(
        [number < 10**11, number < 10**14, number < 10**17], [number * 10**6, number * 10**3, number], number // 1000
    )
    return as_arrow(micros, TIMESTAMP)
