"""The slow way of reading ticks: one line at a time, whatever is in it.

A line holds a message, an array of messages, a message with several trades under `data`, or several of these without a
newline between them, as a delivery stream joins records that end in none. What cannot be read is rejected with its
reason; a broken message among joined ones costs only itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from stock_pipeline.arrow import Ints, as_arrow, strings
from stock_pipeline.parse.ticks.columnar import Columns
from stock_pipeline.parse.ticks.framing import MAX_RECORD, shown, split_records
from stock_pipeline.parse.ticks.vendors import FINNHUB, Problem, Tick, read_tick, shape_of
from stock_pipeline.schemas import REJECTED, TIMESTAMP, Reason

_FLUSH = 32 * 1024  # Python objects are held for so many rows only


class LineReader:
    """Reads lines one by one and gathers their ticks as columns.

    `read` holds, in the order of the lines, (number of the line, number of the message in it, ticks); `rejected` the
    tables of `schemas.REJECTED`, and `skipped` the lines of messages that are no ticks on purpose, once for each.
    """

    def __init__(self) -> None:
        self.read: list[tuple[Ints, Ints, Columns]] = []
        self.rejected: list[pa.Table] = []
        self.skipped: list[int] = []
        self._refusals: list[tuple[int, str, str, str]] = []
        # A list a column: a list of tuples is what the garbage collector walks over and over.
        self._columns: tuple[list[Any], ...] = tuple([] for _ in range(7))

    def add(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Read (number, text) of each line; blank ones count as nothing."""
        for number, line in lines:
            text = line.strip()
            if len(text) <= MAX_RECORD:
                try:
                    message = orjson.loads(text)
                except orjson.JSONDecodeError as broken:
                    self._joined(number, text, broken)
                else:
                    self._messages(number, 0, message, text)
            else:
                self._joined(number, text)
            if len(self._columns[0]) >= _FLUSH or len(self._refusals) >= _FLUSH:
                self.flush()
        self.flush()

    def flush(self) -> None:
        """Turn what was gathered into columns."""
        if self._columns[0]:
            numbers, places, *values = self._columns
            self.read.append((np.array(numbers), np.array(places), _columns(*values)))
            for column in self._columns:
                column.clear()
        if self._refusals:
            self.rejected.append(rejections(self._refusals))
            self._refusals.clear()

    def _joined(self, number: int, text: bytes, broken_whole: orjson.JSONDecodeError | None = None) -> None:
        """A line that is no JSON value, for the reason `broken_whole` if it was read: blank, several joined, or broken.

        A broken one has a place too: so those behind it keep theirs, and with it their ids, when it is read one day.
        """
        place = 0
        for piece in split_records(text) if text else ():
            try:
                if len(piece) > MAX_RECORD:
                    problem = f"{len(piece)} bytes, where {MAX_RECORD} are the limit"
                    self._refuse(number, Problem(Reason.LINE_TOO_LONG, problem), piece)
                    place += 1
                    continue
                if broken_whole and len(piece) == len(text):
                    raise broken_whole  # nothing is joined: it need not be read again
                message = orjson.loads(piece)
            except orjson.JSONDecodeError as broken:
                too_large = "infinity" in broken.msg  # 1e999 is JSON, but no number that a computer has
                reason = Reason.NOT_FINITE if too_large else Reason.MALFORMED_JSON
                self._refuse(number, Problem(reason, broken.msg), piece)
                place += 1
            else:
                place = self._messages(number, place, message, piece)

    def _messages(self, number: int, place: int, value: Any, text: bytes) -> int:
        """Read a JSON value's messages, the first of them being the `place`-th of its line; returns the next place."""
        for message in value if type(value) is list else (value,):
            if type(message) is not dict:
                problem = Problem(Reason.MALFORMED_JSON, f"a JSON {_kind(message)} where an object is expected")
                self._refuse(number, problem, text)
            elif (shape := shape_of(message)) is FINNHUB:
                place = self._trades(number, place, message["data"], text)
                continue
            elif shape is None:
                self.skipped.append(number)
            else:
                self._tick(number, place, read_tick(message, shape), text)
            place += 1
        if type(value) is list and not value:
            self.skipped.append(number)
        return place

    def _trades(self, number: int, place: int, trades: Any, text: bytes) -> int:
        if type(trades) is not list or not trades:
            self.skipped.append(number)
            return place + 1
        for trade in trades:
            if type(trade) is dict:
                self._tick(number, place, read_tick(trade, FINNHUB), text)
            else:
                problem = Problem(Reason.MALFORMED_JSON, f"a JSON {_kind(trade)} where a trade is expected")
                self._refuse(number, problem, text)
            place += 1
        return place

    def _tick(self, number: int, place: int, tick: Tick | Problem, text: bytes) -> None:
        if isinstance(tick, Problem):
            self._refuse(number, tick, text)
            return
        numbers, places, ids, symbols, prices, sizes, times = self._columns
        numbers.append(number)
        places.append(place)
        ids.append(tick[0])
        symbols.append(tick[1])
        prices.append(tick[2])
        sizes.append(tick[3])
        times.append(tick[4])

    def _refuse(self, number: int, problem: Problem, text: bytes) -> None:
        self._refusals.append((number, problem.reason.value, problem.detail, shown(text)))


def rejections(rows: Sequence[tuple[int, str, str | None, str]]) -> pa.Table:
    """Rows (line, reason, detail, raw) in the schema of rejected rows."""
    lines, *texts = zip(*rows, strict=True)
    return pa.table([as_arrow(np.array(lines, np.int64), pa.int64()), *map(strings, texts)], schema=REJECTED)


def _columns(
    ids: list[str | None], symbols: list[str], prices: list[float], sizes: list[float | None], micros: list[int]
) -> Columns:
    size = np.array(sizes, np.float64)  # None becomes NaN, which no size is
    return Columns(
        strings(ids),
        strings(symbols),
        as_arrow(np.array(prices, np.float64), pa.float64()),
        as_arrow(size, pa.float64(), np.isnan(size)),
        as_arrow(np.array(micros, np.int64), TIMESTAMP),
    )


def _kind(value: Any) -> str:
    return {type(None): "null", bool: "boolean", list: "array", str: "text"}.get(type(value), "number")
