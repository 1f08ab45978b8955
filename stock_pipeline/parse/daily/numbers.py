"""Cells → numbers, a column at a time: an optimistic cast first, and only what it does not take by pattern.

A number is written with digits, an optional sign, point and exponent. Around it are taken: spaces, a dollar sign
(`$12.30`, `-$0.5`), thousands (`4,787,699`). Blank, `null`, `none`, `N/A`, `-` and the like are missing values. `NaN`
and `inf` are numbers here, though not finite ones: refusing them is a rule, and rules are in `clean`.

Decimal comma. In a file whose columns are separated by commas, a comma inside a number separates thousands. In other
files it is decided once for the whole file: the comma is the decimal mark when some price can only be read so (`1,5`,
`1.234,50`) and no price can only be read with a point (`1.5`); dots then separate thousands. Where neither is the case
a price such as `1,234` would be a guess, and is a bad number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Floats, Ints, as_arrow, as_numpy, bitmap, offsets

_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i)[+-]?(nan|inf|infinity)$"
_MISSING = r"^(?i)[ \t]*(|-|--|null|none|na|n/a|#n/a)[ \t]*$"
_DOLLAR = r"^([+-]?)\$ *"
_THOUSANDS = r"^[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?$"
_ONE_GROUP = r"^[+-]?[0-9]{1,3},[0-9]{3}$"
_DOT_THOUSANDS = r"^[+-]?[0-9]{1,3}(\.[0-9]{3})+(,[0-9]*)?$"
_COMMA_DECIMAL = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)?,[0-9]+$"

_DIGITS = np.zeros(256, bool)
_DIGITS[list(b"0123456789.")] = True


class Comma(Enum):
    """What a comma inside a number means in this file."""

    THOUSANDS = "it separates thousands"
    DECIMAL = "it is the decimal mark"
    UNCLEAR = "it could be either, so a price of one group (1,234) is not read"


@dataclass(frozen=True)
class Cells:
    """A column of one block after the cast: `values` (float64), and rows (`odd`) whose text it did not take."""

    values: Floats
    odd: Ints
    texts: pa.StringArray


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    `values` is float64, NaN where a cell is `missing` (None when none is) or bad. `bad` are the rows, ascending, whose
    text (`bad_texts`) is not a number. Numbers that are NaN or infinite in the file are infinite here.
    """

    values: Floats
    missing: Bools | None
    bad: Ints
    bad_texts: list[str]


def read_cells(column: pa.StringArray, *, cast: bool = True) -> Cells:
    """Cast a block's column as far as plain numbers go; `cast=False` leaves every cell to its pattern."""
    if cast:
        try:
            values = as_numpy(column.cast(pa.float64()), np.float64)
            odd = np.flatnonzero(~np.isfinite(values))
        except pa.ArrowInvalid:
            values, odd = _cast_digits(column)
    else:
        values, odd = np.full(len(column), np.nan), np.arange(len(column))
    return Cells(values, odd, column.take(as_arrow(odd, pa.int64())))


def _cast_digits(column: pa.StringArray) -> tuple[Floats, Ints]:
    """Cast the cells that consist of digits and a point; the other rows are odd, and NaN."""
    ends = offsets(column)
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    strange = np.flatnonzero(~_DIGITS[data]) + ends[0]
    plain = np.diff(ends) > 0
    plain[np.searchsorted(ends, strange, side="right") - 1] = False
    try:
        values = _cast_where(column, plain)
    except pa.ArrowInvalid:  # 1.2.3, or a lone point
        plain &= _matches(column, _PLAIN)
        values = _cast_where(column, plain)
    plain &= np.isfinite(values)
    values[~plain] = np.nan
    return values, np.flatnonzero(~plain)


def _cast_where(column: pa.StringArray, wanted: Bools) -> Floats:
    _, ends, data = column.buffers()
    masked = pa.Array.from_buffers(pa.string(), len(column), [bitmap(wanted), ends, data], offset=column.offset)
    return as_numpy(masked.cast(pa.float64()), np.float64).copy()  # to be written into


def comma_rule(separator: str, prices: Sequence[Cells]) -> Comma:
    """What a comma means in the numbers of a file with this column separator; `prices` hold all cells as odd ones."""
    if separator == ",":
        return Comma.THOUSANDS
    only_comma = only_point = False
    for cells in prices:
        texts = _tidy(cells.texts)
        thousands, dotted = _matches(texts, _THOUSANDS), _matches(texts, _DOT_THOUSANDS)
        only_comma |= bool(
            (_matches(texts, _COMMA_DECIMAL) & ~thousands).any() or (dotted & _matches(texts, ",")).any()
        )
        only_point |= bool((_matches(texts, _PLAIN) & _matches(texts, r"\.") & ~dotted).any())
        only_point |= bool((thousands & _matches(texts, r"\.")).any())
    if only_point:
        return Comma.THOUSANDS
    return Comma.DECIMAL if only_comma else Comma.UNCLEAR


def read_numbers(cells: Cells, comma: Comma, *, price: bool = True) -> Numbers:
    """The numbers of a block's column, once it is known what a comma means: the odd cells are read by pattern."""
    values, odd = cells.values, cells.odd
    if not len(odd):
        return Numbers(values, None, odd, [])
    if not values.flags.writeable:
        values = values.copy()
    missing = np.zeros(len(values), bool)
    texts = _tidy(cells.texts)
    is_missing = _matches(cells.texts, _MISSING)
    texts = _without_groups(texts, comma, price)
    not_finite, plain = _matches(texts, _NOT_FINITE), _matches(texts, _PLAIN)
    read = np.full(len(odd), np.nan)
    if plain.any():
        read = _cast_where(texts, plain)
        read[~plain] = np.nan
    read[not_finite] = np.inf
    values[odd], missing[odd] = read, is_missing
    bad = np.flatnonzero(~(is_missing | not_finite | plain))
    return Numbers(values, missing, odd[bad], cells.texts.take(as_arrow(bad, pa.int64())).to_pylist())


def _tidy(texts: pa.StringArray) -> pa.StringArray:
    texts = pc.utf8_trim(texts, characters=" \t")
    return pc.replace_substring_regex(texts, pattern=_DOLLAR, replacement=r"\1")


def _without_groups(texts: pa.StringArray, comma: Comma, price: bool) -> pa.StringArray:
    """Numbers with their thousands joined and a point as the decimal mark; what is no number stays as it is."""
    if comma is Comma.DECIMAL:
        joined = pc.replace_substring(texts, pattern=".", replacement="")
        texts = _where(_matches(texts, _DOT_THOUSANDS), joined, texts)
        pointed = pc.replace_substring(texts, pattern=",", replacement=".")
        return _where(_matches(texts, _COMMA_DECIMAL), pointed, texts)
    grouped = _matches(texts, _THOUSANDS)
    if comma is Comma.UNCLEAR and price:
        grouped &= ~_matches(texts, _ONE_GROUP)
    return _where(grouped, pc.replace_substring(texts, pattern=",", replacement=""), texts)


def _where(mask: Bools, then: pa.StringArray, otherwise: pa.StringArray) -> pa.StringArray:
    if not mask.any():
        return otherwise
    return pc.if_else(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bitmap(mask)]), then, otherwise)


def _matches(texts: pa.StringArray, pattern: str) -> Bools:
    found = pc.match_substring_regex(texts, pattern)
    bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
    flags: Bools = np.unpackbits(bits, bitorder="little")[found.offset : found.offset + len(found)].astype(bool)
    return flags
