"""Columns of a key → dense integers, and the order of rows by them.

Every key column becomes dense integer codes (a symbol its rank, a date its offset in days), and the codes of a row are
packed into one integer. Where the packed range would be far larger than the number of rows, it is made dense first.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints, as_numpy, concatenated, truths, valid
from stock_pipeline.lake.hashing import factorize

_DENSE_SLACK = 16
"""A lookup array may be this many times longer than the rows it serves; beyond, keys are made dense by sorting."""


def packed_keys(existing: pa.Table, incoming: pa.Table, columns: tuple[str, ...]) -> tuple[Ints, Ints, int]:
    """The key of each row as one integer in [0, span), equal keys having equal integers in both tables."""
    rows = existing.num_rows
    both = pa.concat_tables([existing.select(columns), incoming.select(columns)])
    packed, span = pack(both, columns, ordered=False)
    if span > _DENSE_SLACK * max(len(packed), 1024):
        distinct, packed = np.unique(packed, return_inverse=True)
        span = len(distinct)
    return packed[:rows], packed[rows:], span


def pack(rows: pa.Table, columns: tuple[str, ...], *, ordered: bool = True) -> tuple[Ints, int]:
    """One integer in [0, span) a row, equal rows having equal integers, by these columns.

    Null is allowed among numbers, where it is least, and among booleans, where it is as true.

    When `ordered`, sorting the integers sorts the rows: strings by their code points, dates and timestamps by time.
    Without it strings are numbered as they come, which spares sorting a million of them.
    """
    packed, span = np.zeros(rows.num_rows, np.int64), 1
    for name in columns:
        codes, distinct = ranks(rows.column(name), ordered)
        if span * max(distinct, 1) >= 2**62:  # make room: no more codes than there are distinct prefixes and values
            prefixes, packed = np.unique(packed, return_inverse=True)
            values, codes = np.unique(codes, return_inverse=True)
            span, distinct = len(prefixes), len(values)
        packed *= distinct
        packed += codes
        span *= max(distinct, 1)
    return packed, span


def ranks(column: pa.ChunkedArray, ordered: bool = True) -> tuple[Ints, int]:
    """The rank of each value (unless `ordered`, any number of its own), and the number of ranks."""
    if not len(column):
        return np.zeros(0, np.int64), 0
    if pa.types.is_string(column.type) and not ordered:
        return factorize(column)
    if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
        if not pa.types.is_dictionary(column.type):
            # As one piece: encoded chunk by chunk, each would bring a dictionary of all the distinct values so far.
            column = pa.chunked_array([column.combine_chunks().dictionary_encode()])
        encoded = column.unify_dictionaries()
        values = encoded.chunk(0).dictionary
        if not ordered:
            return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks], dtype=np.int64), len(values)
        ranks = np.empty(len(values), np.int64)
        ranks[pc.array_sort_indices(values).to_numpy()] = np.arange(len(values))
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        return ranks[codes], len(values)
    if column.null_count or pa.types.is_boolean(column.type):
        return _ranks_with_nulls(column)
    width = np.int32 if column.type.bit_width == 32 else np.int64
    numbers = np.concatenate([as_numpy(chunk, width) for chunk in column.chunks], dtype=np.int64)
    numbers -= numbers.min()
    return numbers, int(numbers.max()) + 1


def _ranks_with_nulls(column: pa.ChunkedArray) -> tuple[Ints, int]:
    """The same of numbers or booleans of which some are missing: those rank lowest, but a missing boolean as true."""
    there = valid(column)
    if not there.any():
        return np.zeros(len(column), np.int64), 1
    if pa.types.is_boolean(column.type):
        return np.where(there, truths(column), 1).astype(np.int64), 2
    found = np.zeros(len(column), np.int64)
    width = np.int32 if pa.types.is_int32(column.type) else np.int64
    numbers = concatenated(column, width)[there].astype(np.int64)
    numbers -= numbers.min()
    found[there] = numbers + 1
    return found, int(numbers.max()) + 2


def stable_order(packed: Ints, span: int) -> Ints:
    """The order that sorts integers in [0, span), equal ones staying in their order.

    With each row's place packed below its integer no two are equal, and they are sorted as they are, in vector
    registers: a million in 5 ms, where a stable argsort takes 86 ms unless there are long runs in order.
    """
    places = max(len(packed) - 1, 0).bit_length()
    if span.bit_length() + places > 62:
        return np.argsort(packed, kind="stable")
    both = packed << places
    both |= np.arange(len(packed))
    both.sort()
    both &= (1 << places) - 1
    return both
