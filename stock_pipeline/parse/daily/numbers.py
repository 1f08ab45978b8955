r"""Cells → numbers, a column at a time: an optimistic cast first, and only what it does not take by pattern.

A number is written with digits, an optional sign, a decimal mark (see `decimal_mark`) and an exponent. Around and in it
are taken: blanks, currency signs (`$12.30`, `-$0.5`, `10,50 €`), thousands (`4,787,699`, `12,34,567`, `1 234`,
`1'234`), and in volumes a size (`12.34M`, `567.8K`, `1.2B`). Blank, `null`, `none`, `NaN`, `N/A`, `-` and the like are
missing values. `inf` is a number here, though not a finite one: refusing it is a rule, and rules are in `clean`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Floats, Ints, as_arrow, as_numpy, bitmap, booleans, offsets
from stock_pipeline.parse.daily.decimal_mark import NOTHING, Evidence, Mark, evidence, matches

_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NOT_FINITE = r"^(?i)[+-]?(inf|infinity)$"
_MISSING = r"^(?i)[ \t]*(|-|--|null|none|nan|-nan|nil|na|n/a|n\.a\.|#n/a|#n/a n/a|<na>|\\n)[ \t]*$"

_SPACES = " \u00a0\u202f\u2009\u2007"  # blank, no-break, narrow no-break, thin and figure space
_GAPS = _SPACES + "'\u2019"
_SIGNS = "€£¥₹₩₽₺₪฿₫₱"
_CODES = (
    "USD|EUR|GBP|INR|JPY|CHF|CAD|AUD|HKD|CNY|KRW|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|SGD|NZD|TRY|RUB|THB|TWD|IDR|MYR|"
    "PHP|ILS|Rs|kr|zł|Kč|Fr"
)
_DOLLARS = "(?:US|C|CA|A|AU|HK|NZ|S|SG|R|MX|NT)?[$]"
_FORMULA = r'^="([^"]*)"$'
_CURRENCY_BEFORE = rf"^([+-]?)(?:[{_SIGNS}]|{_DOLLARS}|(?:{_CODES})\.?)[{_SPACES}]*([+-]?[0-9.,])"
_CURRENCY_BEHIND = rf"([0-9.,])[{_SPACES}]*(?:[{_SIGNS}]|(?:{_CODES})\.?)$"
_SPACED = rf"^[+-]?[0-9]{{1,3}}([{_GAPS}][0-9]{{3}})+([.,][0-9]*)?$"
_SIZED = rf"^([+-]?[0-9][0-9.,]*)[{_SPACES}]?(?:{{0}})$"
_SIZES = {"[kK]": "e3", "[mM]|[mM][nN]|[mM]io\\.?": "e6", "[bB]|[bB][nN]|[mM]rd\\.?": "e9", "[tT]|[tT][nN]": "e12"}

_DIGITS = np.zeros(256, bool)
_DIGITS[list(b"0123456789.")] = True


@dataclass(frozen=True)
class Cells:
    """A column of one block after the cast: `values` (float64), and the rows (`odd`) whose text could not be cast."""

    values: Floats
    odd: Ints
    texts: pa.StringArray


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    `values` is float64, NaN where a cell is `missing` (None when none is) or bad. `bad` are the rows, ascending, whose
    text (`bad_texts`) is not a number. Numbers that are infinite in the file, or too large, are infinite here.
    """

    values: Floats
    missing: Bools | None
    bad: Ints
    bad_texts: list[str]


def read_cells(column: pa.StringArray, *, cast: bool = True) -> Cells:
    """Cast the plain numbers of a block's column. With `cast=False` every cell is read by its pattern."""
    if cast:
        try:
            values = as_numpy(column.cast(pa.float64()), np.float64)
            odd = np.flatnonzero(~np.isfinite(values))
        except pa.ArrowInvalid:
            values, odd = _cast_digits(column)
    else:
        values, odd = np.full(len(column), np.nan), np.arange(len(column))
    return Cells(values, odd, column.take(as_arrow(odd, pa.int64())) if len(odd) else column.slice(0, 0))


def _cast_digits(column: pa.StringArray) -> tuple[Floats, Ints]:
    """Cast the cells that consist of digits and a point. The other rows are odd, and NaN."""
    ends = offsets(column)
    data = np.frombuffer(column.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]]
    strange = np.flatnonzero(~_DIGITS[data]) + ends[0]
    plain = np.diff(ends) > 0
    plain[np.searchsorted(ends, strange, side="right") - 1] = False
    try:
        values = _cast_where(column, plain)
    except pa.ArrowInvalid:  # 1.2.3, or a lone point
        plain &= matches(column, _PLAIN)
        values = _cast_where(column, plain)
    plain &= np.isfinite(values)
    values[~plain] = np.nan
    return values, np.flatnonzero(~plain)


def _cast_where(column: pa.StringArray, wanted: Bools) -> Floats:
    _, ends, data = column.buffers()
    masked = pa.Array.from_buffers(pa.string(), len(column), [bitmap(wanted), ends, data], offset=column.offset)
    return as_numpy(masked.cast(pa.float64()), np.float64).copy()  # to be written into


def tidy(texts: pa.StringArray, *, price: bool) -> pa.StringArray:
    """Numbers without blanks, signs of currency and other characters around and between their digits. Point, comma and
    sign stay.

    Currency signs belong to prices: a volume with one is an amount of money. A size belongs to volumes, and becomes an
    exponent.
    """
    texts = pc.utf8_trim(texts, characters=" \t")
    if not matches(texts, r"[^0-9.,+\-].*[0-9]|[0-9].*[^0-9.,+\-]").any():
        return texts
    if matches(texts, "^=").any():
        texts = pc.utf8_trim(pc.replace_substring_regex(texts, pattern=_FORMULA, replacement=r"\1"), characters=" \t")
    if price:
        if matches(texts, rf"[^0-9.,+\-eE{_GAPS}]").any():
            texts = pc.replace_substring_regex(texts, pattern=_CURRENCY_BEFORE, replacement=r"\1\2")
            texts = pc.replace_substring_regex(texts, pattern=_CURRENCY_BEHIND, replacement=r"\1")
    elif matches(texts, "[A-Za-z.]$").any():
        for size, exponent in _SIZES.items():
            pattern = _SIZED.replace("{0}", size)
            texts = pc.replace_substring_regex(texts, pattern=pattern, replacement=rf"\1{exponent}")
    spaced = matches(texts, _SPACED)
    if spaced.any():
        texts = _where(spaced, pc.replace_substring_regex(texts, pattern=f"[{_GAPS}]", replacement=""), texts)
    return texts


def proofs(texts: pa.StringArray, *, price: bool) -> Evidence:
    """What cells prove about the decimal mark."""
    if not len(texts):
        return NOTHING
    marked = matches(texts, "[0-9][.,]|[.,][0-9]")
    return evidence(tidy(texts.filter(booleans(marked)), price=price)) if marked.any() else NOTHING


def read_numbers(cells: Cells, mark: Mark, *, price: bool = True, unit: int = 1) -> Numbers:
    """The numbers of a block's column, once the decimal mark is known: the odd cells are read by pattern.

    `unit` multiplies all of them.
    """
    values, odd = cells.values, cells.odd
    if not len(odd):
        return Numbers(_in_units(values, unit), None, odd, [])
    if not values.flags.writeable:
        values = values.copy()
    missing = np.zeros(len(values), bool)
    is_missing = matches(cells.texts, _MISSING)
    texts = _with_a_point(tidy(cells.texts, price=price), mark)
    not_finite, plain = matches(texts, _NOT_FINITE), matches(texts, _PLAIN)
    read = np.full(len(odd), np.nan)
    if plain.any():
        read = _cast_where(texts, plain)
        read[~plain] = np.nan
    read[not_finite] = np.inf
    values[odd], missing[odd] = read, is_missing
    bad = np.flatnonzero(~(is_missing | not_finite | plain))
    return Numbers(_in_units(values, unit), missing, odd[bad], cells.texts.take(as_arrow(bad, pa.int64())).to_pylist())


def _in_units(values: Floats, unit: int) -> Floats:
    """The values times a unit. A result that is whole except for the rounding of doubles is made whole."""
    if unit == 1:
        return values
    with np.errstate(all="ignore"):  # infinite times anything stays infinite
        times = values * unit
        whole = np.rint(times)
        return np.where(np.abs(times - whole) <= 1e-9 * np.abs(whole), whole, times)


def _with_a_point(texts: pa.StringArray, mark: Mark) -> pa.StringArray:
    """Numbers with their thousands joined and a point as the decimal mark. A text that is not such a number does not
    become one.
    """
    if mark is Mark.NONE:
        for thousands in (",", "."):
            texts = _joined(texts, thousands, decimal=None)
        return texts
    if mark is Mark.POINT:
        return _joined(texts, ",", decimal=".")
    with_point = matches(texts, r"\.")
    texts = _joined(texts, ".", decimal=",")
    # A point must separate thousands: with the comma as the decimal mark, 10.5 is not a number.
    strange = with_point & matches(texts, r"\.")
    texts = pc.replace_substring(texts, pattern=",", replacement=".", max_replacements=1)
    return (
        _where(strange, pc.replace_substring_regex(texts, pattern="^", replacement="?"), texts)
        if strange.any()
        else texts
    )


def _joined(texts: pa.StringArray, thousands: str, decimal: str | None) -> pa.StringArray:
    end = rf"(\{decimal}[0-9]*)?" if decimal else ""
    groups = rf"([0-9]{{1,3}}(\{thousands}[0-9]{{3}})+|[0-9]{{1,2}}(\{thousands}[0-9]{{2}})+\{thousands}[0-9]{{3}})"
    grouped = matches(texts, rf"^[+-]?{groups}{end}([eE][+-]?[0-9]+)?$")
    if not grouped.any():
        return texts
    return _where(grouped, pc.replace_substring(texts, pattern=thousands, replacement=""), texts)


def _where(mask: Bools, then: pa.StringArray, otherwise: pa.StringArray) -> pa.StringArray:
    if not mask.any():
        return otherwise
    return pc.if_else(pa.Array.from_buffers(pa.bool_(), len(mask), [None, bitmap(mask)]), then, otherwise)
