"""Texts that hardly repeat → numbers that tell them apart, by columns of 64-bit hashes instead of a hash table.

A million event ids take 25 ms and 24 MB so, 50 ms if some come twice; Arrow's `dictionary_encode` takes 150 ms and
holds them all once more.
The result is exact: texts of one hash are compared, and if two of them differ (by chance once in thirty million
merges of a million ids, or because somebody made them so) the hash table decides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

WORTH = 1000
"""Below so many texts it makes no difference."""

_WORD = 8  # bytes
_ODD = np.uint64(
    0x9E3779B97F4A7C15
)  # 2**64 over the golden ratio: multiplying by it spreads a bit over all higher ones
_HALF = np.uint64(32)


def factorize(texts: pa.ChunkedArray) -> tuple[Ints, int]:
    """A number in [0, n) for each text, the same for equal texts and for no others; and n. Null is not allowed."""
    if len(texts) >= WORTH and (numbers := _by_hash(texts)):
        return numbers
    # As one piece: encoded chunk by chunk, each would bring a dictionary of all the distinct texts so far.
    encoded = texts.combine_chunks().dictionary_encode()
    codes = np.frombuffer(encoded.indices.buffers()[1] or b"", np.int32)[: len(encoded)]
    return codes.astype(np.int64), len(encoded.dictionary)


def _by_hash(texts: pa.ChunkedArray) -> tuple[Ints, int] | None:
    """What `factorize` gives; None when a text is too short, or when different ones have one hash."""
    marks, start = np.empty(len(texts), np.uint64), 0
    for chunk in texts.chunks:
        found = hashes(chunk)
        if found is None:
            return None
        marks[start : start + len(found)] = found
        start += len(found)
    in_order = np.sort(marks)
    if not (in_order[1:] == in_order[:-1]).any():  # no text comes twice, as is usual: their places are their numbers
        return np.arange(len(marks)), len(marks)
    order = np.argsort(marks)
    marks = marks[order]
    differs = marks[1:] != marks[:-1]
    again, whole = np.flatnonzero(~differs), texts.combine_chunks()
    if not pc.all(pc.equal(whole.take(order[again]), whole.take(order[again + 1]))).as_py():
        return None
    numbers = np.empty(len(marks), np.int64)
    numbers[order[0]] = 0
    numbers[order[1:]] = np.cumsum(differs)
    return numbers, int(numbers[order[-1]]) + 1


def hashes(texts: pa.StringArray) -> Hashes | None:
    """A hash of each text, made of all its bytes; None when some text is shorter than eight bytes."""
    if not len(texts):
        return np.zeros(0, np.uint64)
    bounds = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    starts, lengths = bounds[:-1], np.diff(bounds)
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < _WORD:
        return None
    content = np.frombuffer(texts.buffers()[2], np.uint8)
    words: Hashes = np.ndarray(
        len(content) - _WORD + 1, np.uint64, content, strides=(1,)
    )  # at every byte, the next eight
    marks = lengths.astype(np.uint64)
    for at in range(0, longest, _WORD):
        # The last word of a text ends with it, and so may begin within the one before.
        some = slice(None) if at < shortest else np.flatnonzero(at < lengths)
        mixed = (marks[some] ^ words[starts[some] + np.minimum(at, lengths[some] - _WORD)]) * _ODD
        marks[some] = mixed ^ (mixed >> _HALF)
    return marks * _ODD
