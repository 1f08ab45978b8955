"""The slow way to read ticks: one line at a time, whatever is in it.

A line holds a message, an array of messages, or several of these without a newline between them (a delivery stream
joins records this way when they do not end in newlines). Each may have a byte order mark. A message holds one trade or
several. A message that cannot be read is rejected with its reason and its place in the line. If one of several joined
messages is broken, only that one is rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from stock_pipeline.arrow import Codes, Ints, as_arrow, strings
from stock_pipeline.parse.ticks.columns import CORRECTIONS, NAMES, Columns, columns_of
from stock_pipeline.parse.ticks.corrections import Correction, is_correction, read_correction
from stock_pipeline.parse.ticks.framing import MAX_RECORD, shown, split_records
from stock_pipeline.parse.ticks.trades import Tick, form_of, kind_of, read_trades, unknown
from stock_pipeline.parse.ticks.values import Problem
from stock_pipeline.parse.ticks.vendors import FORMS
from stock_pipeline.schemas import REJECTED, Reason

_FLUSH = 32 * 1024  # Python objects are held for at most this many rows
_MARK = b"\xef\xbb\xbf"


class LineReader:
    """Reads lines one by one and gathers their ticks as columns.

    `read` holds, in the order of the lines, (number of the line, place in it, ticks); `rejected` the tables of
    `schemas.REJECTED`, `corrections` those of `columns.CORRECTIONS`, and `skipped` the lines of known messages without
    a trade, once for each. A place is the number of a trade in its line, from 0; a message without a trade has a place
    too.
    """

    def __init__(self) -> None:
        self.read: list[tuple[Ints, Codes, Columns]] = []
        self.rejected: list[pa.Table] = []
        self.corrections: list[pa.Table] = []
        self.skipped: list[int] = []
        self._refusals: list[tuple[int, int, str, str, str]] = []
        self._corrections: list[tuple[Any, ...]] = []
        self._lines: list[int] = []
        self._places: list[int] = []
        # All values in one list, tick by tick: the garbage collector would walk over a list of tuples again and again.
        self._values: list[Any] = []

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Read (number, text) of each line. Blank lines are ignored."""
        for number, line in lines:
            text = line.strip()
            if text.startswith(_MARK):  # files with marks that were joined
                text = text.removeprefix(_MARK).strip()
            if len(text) <= MAX_RECORD:
                try:
                    message = orjson.loads(text)
                except orjson.JSONDecodeError as broken:
                    self._joined(number, text, broken)
                else:
                    self._value(number, 0, message, text)
            else:
                self._joined(number, text)
            if len(self._lines) >= _FLUSH or len(self._refusals) >= _FLUSH:
                self.flush()
        self.flush()

    def flush(self) -> None:
        """Turn the gathered values into columns."""
        if self._lines:
            columns = columns_of([self._values[n :: len(NAMES)] for n in range(len(NAMES))])
            self.read.append((np.array(self._lines), np.array(self._places, np.int32), columns))
            for values in (self._lines, self._places, self._values):
                values.clear()
        if self._refusals:
            self.rejected.append(rejections(self._refusals))
            self._refusals.clear()
        if self._corrections:
            self.corrections.append(_corrections(self._corrections))
            self._corrections.clear()

    def _joined(self, number: int, text: bytes, broken_whole: orjson.JSONDecodeError | None = None) -> None:
        """Read a line that is not one JSON value: it is blank, several joined values, or broken. `broken_whole` is the
        decoder's error.

        A broken value has a place too, so that the values after it keep their places and ids if it can be read one day.
        """
        place = 0
        for piece in split_records(text) if text else ():
            try:
                if len(piece) > MAX_RECORD:
                    problem = f"{len(piece)} bytes, where {MAX_RECORD} are the limit"
                    place = self._refuse(number, place, Problem(Reason.LINE_TOO_LONG, problem), piece)
                    continue
                if broken_whole and len(piece) == len(text):
                    raise broken_whole  # no values are joined: the line need not be read again
                message = orjson.loads(piece)
            except orjson.JSONDecodeError as broken:
                too_large = "infinity" in broken.msg  # 1e999 is valid JSON, but too large for a double
                reason = Reason.NOT_FINITE if too_large else Reason.MALFORMED_JSON
                place = self._refuse(number, place, Problem(reason, broken.msg), piece)
            else:
                place = self._value(number, place, message, piece)

    def _value(self, number: int, place: int, value: Any, text: bytes) -> int:
        """Read a JSON value, whose first trade is the `place`-th of its line; returns the next place.

        An array of objects or of arrays holds messages, unless it is a message itself. Any other array is a message.
        """
        if type(value) is not list:
            return self._message(number, place, value, text)
        if not value:
            self.skipped.append(number)
            return place
        messages = {type(element) for element in value}
        if (dict not in messages and messages != {list}) or FORMS.knows(value):
            return self._message(number, place, value, text)
        for message in value:
            place = self._message(number, place, message, text)
        return place

    def _message(self, number: int, place: int, message: Any, text: bytes) -> int:
        if type(message) is not dict and type(message) is not list:
            problem = Problem(Reason.MALFORMED_JSON, f"a JSON {kind_of(message)} where an object is expected")
            return self._refuse(number, place, problem, text)
        shape = form_of(message)
        if shape is None:
            return self._no_trade(number, place, message, text)
        ticks = read_trades(message, shape)
        if ticks is None:
            return self._refuse(number, place, unknown(message), text)
        if not ticks:
            self.skipped.append(number)
            return place + 1
        for tick in ticks:
            place = self._tick(number, place, tick, text)
        return place

    def _no_trade(self, number: int, place: int, message: Any, text: bytes) -> int:
        if is_correction(message):
            correction: Correction | Problem = read_correction(message)
            if isinstance(correction, Problem):
                return self._refuse(number, place, correction, text)
            self._corrections.append((number, place, *correction))
        elif FORMS.other_of(message):
            self.skipped.append(number)
        else:
            return self._refuse(number, place, unknown(message), text)
        return place + 1

    def _tick(self, number: int, place: int, tick: Tick | Problem, text: bytes) -> int:
        if isinstance(tick, Problem):
            return self._refuse(number, place, tick, text)
        self._lines.append(number)
        self._places.append(place)
        self._values += tick
        return place + 1

    def _refuse(self, number: int, place: int, problem: Problem, text: bytes) -> int:
        self._refusals.append((number, place, problem.reason.value, problem.detail, shown(text)))
        return place + 1


def rejections(rows: Sequence[tuple[int, int, str, str | None, str]]) -> pa.Table:
    """Rows (line, place, reason, detail, raw) in the schema of rejected rows."""
    lines, places, *texts = zip(*rows, strict=True)
    numbers = [as_arrow(np.array(lines, np.int64), pa.int64()), as_arrow(np.array(places, np.int32), pa.int32())]
    return pa.table([*numbers, *map(strings, texts)], schema=REJECTED)


def _corrections(rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = []
    for field, values in zip(CORRECTIONS, zip(*rows, strict=True), strict=True):
        storage = pa.int64() if pa.types.is_timestamp(field.type) else field.type
        storage = pa.int32() if pa.types.is_date(field.type) else storage
        columns.append(_built(storage, values).view(field.type))
    return pa.table(columns, schema=CORRECTIONS)


def _built(type_: pa.DataType, values: Sequence[Any]) -> pa.Array:
    if pa.types.is_string(type_):
        return strings(values)
    missing = np.array([value is None for value in values])
    numbers = np.array([0 if value is None else value for value in values], type_.to_pandas_dtype())
    return as_arrow(numbers, type_, missing)
