"""The fast grammar of ticks: lines of the same form are matched and cut by whole columns.

Producers write every line the same way: the same keys in the same order with the same spaces. This form is called a
layout (layout.py), and is learned from a line (learning.py). Here lines are read by their layouts, and their values
become ticks, with the same result as in trades.py, which works one by one. Lines without a layout are left for the slow
grammar.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, as_numpy, booleans, nothing, offsets, strings
from stock_pipeline.parse.ticks.cells import epoch_moments, time_and_nanos
from stock_pipeline.parse.ticks.columns import TYPES, Columns, constant
from stock_pipeline.parse.ticks.layout import Layout
from stock_pipeline.parse.ticks.learning import learn
from stock_pipeline.parse.ticks.shapes import Shape
from stock_pipeline.trading_calendar.exchange_time import session_days

WORTH = 500
"""A kernel compiles a layout's pattern again for each block. That pays from about this many lines on."""

MOST_LAYOUTS = 16

_SAMPLE, _SHARE = 32, 4  # a layout is kept if at least 4 of 32 lines of a block have it


class Read(NamedTuple):
    """Ticks that a layout read: the line of each, its place in the line (None: all are the first), and its values."""

    lines: Ints
    places: Codes | None
    ticks: Columns


class Layouts:
    """The layouts that were seen so far. The blocks of one call share it, in threads."""

    def __init__(self) -> None:
        self._known: dict[str, Layout] = {}
        self._lock = threading.Lock()

    def read(self, lines: pa.BinaryArray) -> tuple[list[Read], Ints]:
        """The ticks that can be read by layouts, and the positions of all other lines.

        New layouts that many of the lines have are learned at the same time.
        """
        read: list[Read] = []
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
                if so.any():
                    read.append(read_lines(layout, lines, left, so))
                    lines, left = lines.filter(booleans(~so)), left[~so]
        return read, left

    def _learn(self, lines: pa.BinaryArray) -> list[Layout]:
        step = max(len(lines) // _SAMPLE, 1)
        sample = lines.take(as_arrow(np.arange(0, len(lines), step), pa.int64()))
        by_pattern: dict[str, Layout] = {}
        seen = Counter[str]()
        alike = True  # lines that a layout matches need not be learned, too, unless every line is written differently
        while len(sample):
            same = np.arange(len(sample)) == 0
            if layout := learn(sample[0].as_py()):
                if alike:
                    same |= layout.matches(sample)
                    alike = len(sample) == 1 or int(same.sum()) > 1
                by_pattern.setdefault(layout.pattern, layout)
                seen[layout.pattern] += int(same.sum())
            sample = sample.filter(booleans(~same))
        with self._lock:
            for pattern, times in seen.most_common():
                if times >= _SHARE and len(self._known) < MOST_LAYOUTS:
                    self._known.setdefault(pattern, by_pattern[pattern])
        return [self._known[pattern] for pattern in seen if pattern in self._known]


def read_lines(layout: Layout, lines: pa.BinaryArray, numbers: Ints, so: Bools) -> Read:
    """The ticks of the lines (given with their numbers) that have this layout."""
    count = int(so.sum())
    if layout.seam or 2 * count <= len(so):  # otherwise the text is not copied just to drop the few other lines
        lines, numbers, so = lines.filter(booleans(so)), numbers[so], np.ones(count, bool)
    pieces, values = layout.values(lines, so)
    numbers = numbers[so]
    if pieces.one_a_line:
        return Read(numbers, None, ticks_of(layout.shape, values, count))
    at = pieces.lines
    places = np.arange(len(at)) - pieces.firsts[at]
    return Read(numbers[at], places.astype(np.int32), ticks_of(layout.shape, values, len(at)))


def ticks_of(shape: Shape, values: dict[str, pa.Array], count: int) -> Columns:
    """Ticks of this form, from the values of its messages by role; see `trades.read_trade`."""

    def given(role: str, name: str) -> pa.Array:
        return values[role] if role in values else nothing(TYPES[name], count)

    def encoded(role: str) -> pa.DictionaryArray:
        found = given(role, role)
        return found if pa.types.is_dictionary(found.type) else found.dictionary_encode()

    produced_at, nanos = time_and_nanos(values["time"])
    own_id, number = _ids(given("id", "event_id"))
    delay = nothing(pa.int64(), count)
    if "reported" in values:
        made = as_numpy(values["reported"], np.int64)
        times, _ = time_and_nanos(epoch_moments(made))
        between = as_numpy(produced_at, np.int64) - as_numpy(times, np.int64)
        delay = as_arrow(between, pa.int64(), made == 0)
    return Columns(
        event_id=_event_ids(shape, values, own_id, produced_at, nanos),
        symbol=_symbols(shape, values["symbol"]),
        price=values["price"],
        size=given("size", "size"),
        produced_at=produced_at,
        nanos=nanos,
        sequence=given("sequence", "sequence"),
        trade_number=number,
        exchange=encoded("exchange"),
        conditions=encoded("conditions"),
        tape=encoded("tape"),
        vendor=constant(shape.codes, count),
        report_delay=delay,
    )


def _ids(texts: pa.StringArray) -> tuple[pa.StringArray, pa.Int64Array]:
    """Ids, null for zeros, which mean that there is none; and as numbers those that are whole numbers of up to 18
    digits.
    """
    if texts.null_count == len(texts):
        return texts, nothing(pa.int64(), len(texts))
    bounds, null = offsets(texts), nothing(pa.string(), len(texts))
    whole = _flags(pc.ascii_is_decimal(texts)) & (np.diff(bounds) <= 18)
    zero = np.frombuffer(texts.buffers()[2], np.uint8)[bounds[:-1]] == ord("0")
    if zero.any():
        none = zero.copy()
        none[zero] = _flags(pc.match_substring_regex(texts.filter(booleans(zero)), pattern=r"^0+(?:-0+)*$"))
        if none.any():
            texts = pc.if_else(booleans(~none), texts, null)
            whole &= ~none
    if whole.all():
        return texts, texts.cast(pa.int64())
    if not whole.any():
        return texts, nothing(pa.int64(), len(texts))
    return texts, pc.if_else(booleans(whole), texts, null).cast(pa.int64())


def _flags(found: pa.BooleanArray) -> Bools:
    """A boolean array as numpy's; null is false."""
    bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
    flags: Bools = np.unpackbits(bits, bitorder="little")[found.offset : found.offset + len(found)].view(bool)
    return flags


def _symbols(shape: Shape, texts: pa.StringArray) -> pa.DictionaryArray:
    found = texts.dictionary_encode()
    if not shape.template:
        return found
    upper = strings(text.upper() for text in found.dictionary.to_pylist())
    return pa.DictionaryArray.from_arrays(found.indices, upper, safe=False)


def _event_ids(
    shape: Shape, values: dict[str, pa.Array], own_id: pa.StringArray, produced_at: pa.Array, nanos: pa.Array
) -> pa.StringArray:
    if not shape.vendor or own_id.null_count == len(own_id):
        return own_id
    parts: list[pa.Array | str] = [shape.vendor, *(values.get(f"scope{n}", "") for n in range(len(shape.scope)))]
    if shape.session:
        micros = as_numpy(produced_at, np.int64)
        days = as_arrow(session_days(micros).astype(np.int32), pa.date32()).dictionary_encode()
        names = days.dictionary.cast(pa.string()).take(days.indices)
        parts += [names, own_id, _in_nanos(micros, nanos)]
    else:
        parts.append(own_id)
    return pc.binary_join_element_wise(*parts, ":")


def _in_nanos(micros: Ints, nanos: pa.Int32Array) -> pa.StringArray:
    """Times in nanoseconds as text; one that is not that fine ends in zeros."""
    texts = as_arrow(micros, pa.int64()).cast(pa.string())
    if nanos.null_count == len(nanos):
        return pc.binary_join_element_wise(texts, "000", "")
    fine = np.where(as_numpy(nanos.is_null().cast(pa.int8()), np.int8), 0, as_numpy(nanos, np.int32))
    return pc.binary_join_element_wise(texts, pc.utf8_lpad(as_arrow(fine, pa.int32()).cast(pa.string()), 3, "0"), "")
