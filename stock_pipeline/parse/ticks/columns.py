"""Ticks and corrections by column: their schemas, and functions that make columns from values that were read one by
one.

A column that no message of a block has costs neither time nor memory (`arrow.nothing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import as_arrow, nothing, strings
from stock_pipeline.schemas import SYMBOL, TIMESTAMP

CORRECTIONS = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("place", pa.int32(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("exchange", pa.string(), nullable=False),
        pa.field("session", pa.date32(), nullable=False),
        pa.field("trade_number", pa.int64(), nullable=False),
        pa.field("price", pa.float64(), nullable=False),
        pa.field("size", pa.float64()),
        pa.field("produced_at", TIMESTAMP, nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("new_price", pa.float64()),
        pa.field("new_size", pa.float64()),
        pa.field("new_number", pa.int64()),
        pa.field("conditions", pa.string()),
        pa.field("tape", pa.string()),
        pa.field("vendor", pa.string()),
    ]
)
"""Messages that take a trade back: the trade is found by symbol (unchanged), exchange, session (New York),
trade_number, price and size. With `new_price` the trade is corrected, without it the trade is cancelled. `produced_at`
is the message's own time.
"""


@dataclass(frozen=True)
class Columns:
    """Ticks by column.

    `event_id` is null if the message has none. `symbol` is unchanged. `nanos` (0 to 999) are nanoseconds beyond
    `produced_at`, null if the vendor's time is not that fine. `sequence` is the venue's, `trade_number` the vendor's id
    as a number. `conditions` are the unchanged codes, joined with commas; the table of `vendor` gives their meaning.
    `report_delay` is how many microseconds after the trade it was reported.
    """

    event_id: pa.StringArray
    symbol: pa.DictionaryArray
    price: pa.DoubleArray
    size: pa.DoubleArray
    produced_at: pa.TimestampArray
    nanos: pa.Int32Array
    sequence: pa.Int64Array
    trade_number: pa.Int64Array
    exchange: pa.DictionaryArray
    conditions: pa.DictionaryArray
    tape: pa.DictionaryArray
    vendor: pa.DictionaryArray
    report_delay: pa.Int64Array

    @property
    def arrays(self) -> tuple[pa.Array, ...]:
        return tuple(getattr(self, name) for name in NAMES)


NAMES = tuple(field.name for field in fields(Columns))

TYPES: dict[str, pa.DataType] = {
    "event_id": pa.string(),
    "symbol": SYMBOL,
    "price": pa.float64(),
    "size": pa.float64(),
    "produced_at": TIMESTAMP,
    "nanos": pa.int32(),
    "sequence": pa.int64(),
    "trade_number": pa.int64(),
    "exchange": SYMBOL,
    "conditions": SYMBOL,
    "tape": SYMBOL,
    "vendor": SYMBOL,
    "report_delay": pa.int64(),
}

REQUIRED = ("event_id", "symbol", "price", "produced_at")


def constant(text: str, count: int) -> pa.DictionaryArray:
    """A column that repeats one text; nothing if the text is empty."""
    if not text:
        return nothing(SYMBOL, count)
    codes = as_arrow(np.zeros(count, np.int32), pa.int32())
    return pa.DictionaryArray.from_arrays(codes, strings([text]), safe=False)


def columns_of(ticks: Sequence[Sequence[Any]]) -> Columns:
    """Columns of values, given as one list for each column, in the order of `NAMES`."""
    return Columns(*(_column(TYPES[name], values) for name, values in zip(NAMES, ticks, strict=True)))


def _column(type_: pa.DataType, values: Sequence[Any]) -> pa.Array:
    if values.count(None) == len(values):
        return nothing(type_, len(values))
    if pa.types.is_string(type_):
        return strings(values)
    if pa.types.is_dictionary(type_):
        return strings(values).dictionary_encode()
    if pa.types.is_floating(type_):
        numbers = np.array(values, np.float64)  # None becomes NaN, which is never a price or a size
        return as_arrow(numbers, type_, np.isnan(numbers))
    missing = np.array([value is None for value in values])
    filled = [0 if value is None else value for value in values] if missing.any() else values
    return as_arrow(np.array(filled, np.int32 if type_ == pa.int32() else np.int64), type_, missing)
