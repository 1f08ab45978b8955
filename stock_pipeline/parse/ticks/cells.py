"""The kinds of values that are read by column: for each its pattern (RE2), and the reader of a column of its texts.

A pattern accepts only texts that values.py reads to the same value. Everything else is left to the slow grammar.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints, as_arrow, as_numpy, nothing, strings
from stock_pipeline.parse.ticks.shapes import Shape
from stock_pipeline.parse.ticks.values import read_codes
from stock_pipeline.schemas import TIMESTAMP

_LETTER = r"!#-\[\]-~"  # printable ASCII except quote and backslash; a blank where it is added
_LETTER_NO_COMMA = r"!#-+\--\[\]-~"
_LETTER_NO_CLOSING = r"!#-\[^-|~"
TEXT = rf"[{_LETTER}]+"
FREE_TEXT = rf"[ {_LETTER}]*"
_SOME_TEXT = rf"[ {_LETTER}]+"
_CODE = rf'(?:"[ {_LETTER_NO_COMMA}]*"|0|[1-9][0-9]{{0,8}})'
CODES = rf"(?:{_CODE}(?:, ?{_CODE})*)?"
_EXPONENT = r"(?:[eE][+-]?[0-9]{1,2})?"
_NUMBER = r"(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?"
_ANY_NUMBER = r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,39})?"
_WHOLE = r"(?:0|[1-9][0-9]{0,17})"
_COUNTED = r"[1-9][0-9]{0,17}"
_EPOCH = r"(?:[1-9][0-9]{9,17}|1[0-9]{18})"
_YEAR = r"(?:199[0-9]|20[0-9]{2}|21[0-9]{2})"
_LEAP_YEAR = r"(?:199[26]|2[01](?:[02468][48]|[13579][26]|[2468]0)|2000)"
_DAY = (
    rf"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    rf"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_TIME = re.compile(r"([^.]{19})(\.[0-9]{1,9})?(Z|\+00:00)?")
_FRACTION = re.compile(r"([1-9][0-9]*)\.([0-9]{1,9})")
_UNITS = {10: (10**6, 9), 13: (10**3, 6), 16: (1, 3)}  # digits of an epoch: microseconds of its unit, digits to 1 ns

Reader = Callable[[pa.StringArray], pa.Array]


class Kind(NamedTuple):
    """The pattern of a value, the reader of a column of them (None: nobody needs the value), and the text that always
    ends it.
    """

    pattern: str
    reader: Reader | None = None
    suffix: str = ""


def without_commas(pattern: str) -> str:
    """The pattern of texts without a comma."""
    return pattern.replace(_LETTER, _LETTER_NO_COMMA)


def without_closing(pattern: str) -> str:
    """The pattern of texts without a closing bracket, so no seam begins in them."""
    return pattern.replace(_LETTER, _LETTER_NO_CLOSING)


def unread(value: str, quoted: bool) -> Kind:
    """The kind of a value that nobody needs."""
    if quoted:
        return Kind(FREE_TEXT)
    return Kind("(?:true|false)" if value in ("true", "false") else _ANY_NUMBER + _exponent(value))


def _exponent(value: str) -> str:
    """The pattern of an exponent, if the number in the learned line has one."""
    return _EXPONENT if "e" in value.lower() else ""


def kind_of_value(role: str, value: str, quoted: bool, shape: Shape) -> Kind | None:
    """The kind of a needed value in the form of a line; None when such values are not read by column."""
    if role == "time":
        return _kind_of_time(value, quoted)
    if role in ("price", "size"):
        return _kind_of_fixed(value) if shape.fixed and role == "price" else Kind(_NUMBER + _exponent(value), _number)
    if role in ("sequence", "reported"):
        return Kind(_WHOLE, _whole)
    if role == "id":
        return Kind(TEXT, _text) if quoted else Kind(_COUNTED, _text)
    if role == "symbol":
        return Kind(TEXT, _text) if quoted else None
    if role == "conditions":
        return Kind(_SOME_TEXT, _text) if quoted else Kind(_WHOLE, _text)
    return Kind(TEXT if quoted else _WHOLE, _text)


def _kind_of_fixed(value: str) -> Kind:
    """A price of Databento: with a point, or a whole number of 1e-9."""
    return Kind(r"(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15}", _number) if "." in value else Kind(_WHOLE, _billionths)


def _kind_of_time(value: str, quoted: bool) -> Kind | None:
    if found := _FRACTION.fullmatch(value):
        digits = len(found[1])
        if digits not in _UNITS:
            return None
        most = _UNITS[digits][1] if quoted else _UNITS[digits][1] - 3
        if not most:
            return None
        # Up to 4e9 seconds a double has this many exact digits.
        first = "[1-9]" if quoted else "[1-3]"
        return Kind(rf"{first}[0-9]{{{digits - 1}}}(?:\.[0-9]{{1,{most}}})?", _fraction(digits))
    if not quoted or value.isdigit():
        return Kind(_EPOCH, _epoch)
    if not (form := _TIME.fullmatch(value)):
        return None
    fine = len(form[2] or "") > 7
    pattern = rf"{_DAY}[T ]{_CLOCK}(?:\.[0-9]{{1,{9 if fine else 6}}})?"
    return Kind(pattern, _nanos if fine else _micros, form[3] or "")


# Readers


def _text(texts: pa.StringArray) -> pa.Array:
    return texts


def codes(texts: pa.StringArray) -> pa.DictionaryArray:
    """The codes in the brackets of lists, joined as the slow grammar joins them."""
    found = texts.dictionary_encode()
    joined = strings(read_codes(orjson.loads(f"[{inner}]")) for inner in found.dictionary.to_pylist())
    return pa.DictionaryArray.from_arrays(found.indices, joined, safe=False)


def _number(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.float64())


def _billionths(texts: pa.StringArray) -> pa.Array:
    return as_arrow(as_numpy(texts.cast(pa.float64()), np.float64) / 1e9, pa.float64())


def _whole(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.int64())


def _micros(texts: pa.StringArray) -> pa.Array:
    return texts.cast(pa.timestamp("us")).cast(TIMESTAMP)


def _nanos(texts: pa.StringArray) -> pa.Array:
    """Microseconds and nanoseconds; the latter are given where more than six digits were written."""
    number = as_numpy(texts.cast(pa.timestamp("ns")), np.int64)
    return _moments(
        number // 1000, number % 1000, as_numpy(pc.binary_length(texts), np.int32) <= len("2024-01-02T03:04:05.123456")
    )


def _epoch(texts: pa.StringArray) -> pa.Array:
    number = as_numpy(texts.cast(pa.int64()), np.int64)
    return epoch_moments(number)


def epoch_moments(number: Ints) -> pa.Array:
    """Epochs of any unit, as values.py reads them."""
    in_nanos = number >= 10**17
    micros = np.select(
        [number < 10**11, number < 10**14, ~in_nanos], [number * 10**6, number * 10**3, number], number // 1000
    )
    return _moments(micros, number % 1000, ~in_nanos) if in_nanos.any() else as_arrow(micros, TIMESTAMP)


def _fraction(digits: int) -> Reader:
    factor, most = _UNITS[digits]

    def read(texts: pa.StringArray) -> pa.Array:
        whole = as_numpy(pc.utf8_slice_codeunits(texts, 0, digits).cast(pa.int64()), np.int64)
        fraction = pc.utf8_slice_codeunits(texts, digits + 1, digits + 1 + most)
        beyond = as_numpy(pc.utf8_rpad(fraction, most, "0").cast(pa.int64()), np.int64)
        given = as_numpy(pc.binary_length(fraction), np.int32)
        return _moments(whole * factor + beyond // 1000, beyond % 1000, given <= most - 3)

    return read


def _moments(micros: Ints, nanos: Ints, coarse: Bools) -> pa.Array:
    """Times with their nanoseconds, as an array of two fields; only times where all are coarse or on the microsecond.

    A time on the microsecond has no nanoseconds, however it was written: the same moment has the same place in order.
    """
    times = as_arrow(micros, TIMESTAMP)
    coarse = coarse | (nanos == 0)
    if coarse.all():
        return times
    fine = as_arrow(nanos.astype(np.int32), pa.int32(), coarse)
    return pa.StructArray.from_arrays([times, fine], ["time", "nanos"])


def time_and_nanos(moments: pa.Array) -> tuple[pa.TimestampArray, pa.Int32Array]:
    """The two parts of the result of a reader of times."""
    if pa.types.is_struct(moments.type):
        return moments.field("time"), moments.field("nanos")
    return moments, nothing(pa.int32(), len(moments))
