"""Arrow to numpy and back, without a copy and without importing pandas.

pyarrow imports pandas, where it is installed, the first time a value goes through `pa.array`, `pa.scalar` or
`Array.to_numpy`: a quarter of a second that no processing function needs. These few functions share buffers instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stock_pipeline.schemas import TIMESTAMP

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


_NOTHING = np.zeros(1 << 16, np.uint8)


def as_numpy(array: pa.Array, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The values of a fixed-width array (not bool) as they are in memory. Null slots hold arbitrary values."""
    values: npt.NDArray[Any] = np.frombuffer(array.buffers()[1] or b"", dtype=dtype)
    return values[array.offset : array.offset + len(array)]


def as_arrow(values: npt.NDArray[Any], type_: pa.DataType, missing: Bools | None = None) -> pa.Array:
    """An array over the values of a numpy array; null where `missing`."""
    valid = None if missing is None or not missing.any() else bitmap(~missing)
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(np.ascontiguousarray(values))])


def booleans(values: Bools) -> pa.Array:
    """A boolean array, for filters."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bitmap(values)])


def bitmap(values: Bools) -> pa.Buffer:
    """Arrow's bits, least significant first, as a validity buffer."""
    return pa.py_buffer(np.packbits(values, bitorder="little"))


def offsets(strings: pa.Array) -> Codes:
    """Where each value of a string array begins and ends in its data buffer: n + 1 positions."""
    ends: Codes = np.frombuffer(strings.buffers()[1], dtype=np.int32)
    return ends[strings.offset : strings.offset + len(strings) + 1]


def strings(values: Iterable[str | None]) -> pa.StringArray:
    """A string array of Python strings."""
    builder = pa.lib.StringBuilder()
    builder.append_values(list(values))
    return builder.finish()


def repeated(moment: datetime, times: int) -> pa.Array:
    """A timestamp array (microseconds, UTC) that repeats one moment."""
    return as_arrow(np.full(times, microseconds(moment), np.int64), TIMESTAMP)


def microseconds(moment: datetime) -> int:
    """A moment as Arrow keeps it: microseconds since the epoch, in UTC."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def taken(rows: pa.Table, places: Ints) -> pa.Table:
    """The rows at some places, ascending, batch by batch. Arrow's own `take` first joins all chunks of a table."""
    batches, start = [], 0
    for batch in rows.to_batches():
        first, last = np.searchsorted(places, [start, start + len(batch)])
        batches.append(batch.take(as_arrow(places[first:last] - start, pa.int64())))
        start += len(batch)
    return pa.Table.from_batches(batches, rows.schema)


def unified(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary column with one dictionary for all chunks. Arrow makes a new one even where all are equal already,
    and that takes as long as to encode all distinct texts again.
    """
    chunks = column.chunks
    if all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks[1:]):
        return column
    return column.unify_dictionaries()


def nulls(column: pa.ChunkedArray) -> Bools:
    """Where a column is null."""
    parts = [np.zeros(0, bool)]
    for chunk in column.chunks:
        missing = np.zeros(len(chunk), bool)
        if chunk.null_count:
            bits = np.frombuffer(chunk.buffers()[0], np.uint8)
            missing = ~np.unpackbits(bits, bitorder="little")[chunk.offset : chunk.offset + len(chunk)].astype(bool)
        parts.append(missing)
    return np.concatenate(parts)


def valid(column: pa.ChunkedArray) -> Bools:
    """Where a column has values."""
    return ~nulls(column) if column.null_count else np.ones(len(column), bool)


def concatenated(column: pa.ChunkedArray, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """The values of a fixed-width column (not bool) as one array. Null slots hold arbitrary values."""
    return np.concatenate([np.zeros(0, dtype), *(as_numpy(chunk, dtype) for chunk in column.chunks)])


def truths(column: pa.ChunkedArray) -> Bools:
    """The values of a boolean column. Null slots hold arbitrary values."""
    bits = [np.unpackbits(np.frombuffer(c.buffers()[1] or b"", np.uint8), bitorder="little") for c in column.chunks]
    parts = [part[chunk.offset :][: len(chunk)] for part, chunk in zip(bits, column.chunks, strict=True)]
    return np.concatenate([np.zeros(0, bool), *parts]).astype(bool)


def nothing(type_: pa.DataType, count: int) -> pa.Array:
    """An array of nulls. All of them share the same few bytes of zeros."""
    global _NOTHING
    if len(_NOTHING) < 8 * (count + 1):
        _NOTHING = np.zeros(16 * (count + 1), np.uint8)
    zeros = pa.py_buffer(_NOTHING)
    if pa.types.is_dictionary(type_):
        indices = nothing(pa.int32(), count)
        return pa.DictionaryArray.from_arrays(indices, strings([]), safe=False)
    buffers = [zeros, zeros, zeros] if pa.types.is_string(type_) else [zeros, zeros]
    return pa.Array.from_buffers(type_, count, buffers, null_count=count)


def zeros(count: int) -> pa.Int32Array:
    """An array of zeros. All of them share the same few bytes."""
    return pa.Array.from_buffers(pa.int32(), count, [None, nothing(pa.int32(), count).buffers()[1]])
