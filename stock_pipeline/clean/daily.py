"""The rules of daily prices: which rows are stored, and why the others are not.

A row has one reason, the first that applies in this order, which is that of `schemas.Reason`:

    ragged_row, bad_quoting     the cells are not those of the header, or cannot be told apart
    missing_symbol, bad_symbol
    missing_date, bad_date, date_out_of_range     1900-01-01 to tomorrow
    missing_price       no close; everything else may be blank
    bad_number          open, high, low, close, adj close or volume is not a number
    not_finite          one of these is NaN or infinite, or the volume is 2**53 or more
    non_positive_price  one of the prices is zero or below
    negative_volume, fractional_volume
    inconsistent_ohlc   high below open, low or close, or low above open or close; blank ones are not compared
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from stock_pipeline.clean import REJECTED, Cleaned
from stock_pipeline.parse.buffers import Bools, Codes, Floats, Ints, as_arrow, strings
from stock_pipeline.parse.daily import DailyRows
from stock_pipeline.parse.layouts import NUMBERS, PRICES
from stock_pipeline.parse.symbols import canonical
from stock_pipeline.schemas import PRICE_BY_DATE, Reason

FIRST_DATE = date(1900, 1, 1)
_LARGEST_EXACT = 2.0**53  # from here on not every whole number is a double
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class _Finding:
    """Rows (ascending) that break a rule, and what is wrong with one of them in words."""

    reason: Reason
    rows: Ints
    words: Callable[[int], str]


def clean_daily_prices(rows: DailyRows, today: date) -> Cleaned:
    """Judge the rows of a file of daily prices by the rules above; `today` is the current date (UTC)."""
    findings = _findings(rows, today)
    rejected_rows, reasons, details = _first_findings(findings)
    keep = np.ones(len(rows), bool)
    keep[rejected_rows] = False
    good = _good(rows, None if keep.all() else keep)
    good_records = rows.records if keep.all() else rows.records[keep]
    records = np.concatenate([rows.records[rejected_rows], rows.misfits.records])
    for cells in rows.misfits.cells.tolist():
        reasons.append(Reason.RAGGED_ROW if cells else Reason.BAD_QUOTING)
        details.append(f"{cells} cells, the header has {rows.width}" if cells else "the cells cannot be told apart")
    order = np.argsort(records, kind="stable")
    lines = rows.lines.numbers(records[order])
    rejected = pa.Table.from_arrays(
        [
            as_arrow(lines, pa.int64()),
            strings([reasons[i].value for i in order]),
            strings([details[i] for i in order]),
            strings(rows.lines.texts(lines)) if len(lines) else strings([]),
        ],
        schema=REJECTED,
    )
    return Cleaned(good, rows.lines.numbers(good_records), rejected, 0, rows.lines.texts)


def _findings(rows: DailyRows, today: date) -> list[_Finding]:
    """Every rule that rows break, in the order in which they count."""
    return [f for f in (*_symbol_findings(rows), *_date_findings(rows, today), *_number_findings(rows)) if len(f.rows)]


def _first_findings(findings: list[_Finding]) -> tuple[Ints, list[Reason], list[str]]:
    """The rows with a finding, ascending, each with the reason and words of the first that it has."""
    if not findings:
        return np.zeros(0, np.int64), [], []
    every = np.concatenate([f.rows for f in findings])
    owner = np.repeat(np.arange(len(findings)), [len(f.rows) for f in findings])
    rejected, first = np.unique(every, return_index=True)
    chosen = [findings[i] for i in owner[first].tolist()]
    details = [finding.words(row) for finding, row in zip(chosen, rejected.tolist(), strict=True)]
    return rejected, [finding.reason for finding in chosen], details


def _symbol_findings(rows: DailyRows) -> list[_Finding]:
    codes, texts = rows.symbols.codes, rows.symbols.texts
    missing = np.array([not text.strip() for text in texts], bool)
    bad = np.array([canonical(text) is None for text in texts], bool) & ~missing
    return [
        _Finding(Reason.MISSING_SYMBOL, _rows_of(codes, missing), lambda _: "symbol is blank"),
        _Finding(Reason.BAD_SYMBOL, _rows_of(codes, bad), lambda row: f"symbol {_short(texts[codes[row]])}"),
    ]


def _date_findings(rows: DailyRows, today: date) -> list[_Finding]:
    codes, texts, dates = rows.date_texts.codes, rows.date_texts.texts, rows.dates
    first, last = FIRST_DATE, today + timedelta(days=1)
    early_or_late = (dates.days < first.toordinal() - _EPOCH) | (dates.days > last.toordinal() - _EPOCH)

    def text(row: int) -> str:
        return _short(texts[codes[row]])

    return [
        _Finding(Reason.MISSING_DATE, _rows_of(codes, dates.missing), lambda _: "date is blank"),
        _Finding(
            Reason.BAD_DATE,
            _rows_of(codes, ~dates.known & ~dates.missing),
            lambda row: f"date {text(row)} is no date here",
        ),
        _Finding(
            Reason.DATE_OUT_OF_RANGE,
            _rows_of(codes, dates.known & early_or_late),
            lambda row: f"date {text(row)} is not within {first} and {last}",
        ),
    ]


def _rows_of(codes: Codes, wanted: Bools) -> Ints:
    return np.flatnonzero(wanted[codes]) if wanted.any() else np.zeros(0, np.int64)


def _number_findings(rows: DailyRows) -> list[_Finding]:
    fields = [f for f in NUMBERS if f in rows.numbers]
    found = [_Finding(Reason.MISSING_PRICE, np.flatnonzero(rows.numbers["close"].missing), lambda _: "close is blank")]
    found += [_bad_numbers(rows, f) for f in fields]
    found += [
        _rule(rows, Reason.NOT_FINITE, f, _not_finite(f), "{field} is NaN, infinite or too large") for f in fields
    ]
    prices = [f for f in fields if f in PRICES]
    found += [
        _rule(rows, Reason.NON_POSITIVE_PRICE, f, lambda v: v <= 0, "{field} {value:.15g} is not above zero")
        for f in prices
    ]
    if "volume" in fields:
        found.append(
            _rule(rows, Reason.NEGATIVE_VOLUME, "volume", lambda v: v < 0, "{field} {value:.15g} is below zero")
        )
        found.append(
            _rule(
                rows, Reason.FRACTIONAL_VOLUME, "volume", lambda v: v > np.floor(v), "{field} {value:.15g} is not whole"
            )
        )
    for higher, lower in (("high", "open"), ("high", "low"), ("high", "close"), ("open", "low"), ("close", "low")):
        if higher in fields and lower in fields:
            found.append(_order(rows, higher, lower))
    return found


def _bad_numbers(rows: DailyRows, field: str) -> _Finding:
    numbers = rows.numbers[field]

    def words(row: int) -> str:
        text = numbers.bad_texts[int(np.searchsorted(numbers.bad, row))]
        return f"{field} {_short(text)} is not a number"

    return _Finding(Reason.BAD_NUMBER, numbers.bad, words)


def _rule(rows: DailyRows, reason: Reason, field: str, breaks: Callable[[Floats], Bools], words: str) -> _Finding:
    values = rows.numbers[field].values
    with np.errstate(invalid="ignore"):
        broken = np.flatnonzero(breaks(values))
    return _Finding(reason, broken, lambda row: words.format(field=field, value=values[row]))


def _order(rows: DailyRows, higher: str, lower: str) -> _Finding:
    above, below = rows.numbers[higher].values, rows.numbers[lower].values
    broken = np.flatnonzero(above < below)  # a blank cell is NaN, which no comparison holds for
    words = f"{higher} {{:.15g}} is below {lower} {{:.15g}}"
    return _Finding(Reason.INCONSISTENT_OHLC, broken, lambda row: words.format(above[row], below[row]))


def _not_finite(field: str) -> Callable[[Floats], Bools]:
    # Parsing keeps NaN for cells without a number, and gives infinity for numbers that are NaN or infinite.
    return (lambda v: np.abs(v) >= _LARGEST_EXACT) if field == "volume" else np.isinf


def _good(rows: DailyRows, keep: Bools | None) -> pa.Table:
    """The rows to keep (all when None) as the table's columns, without its provenance."""
    names = [c for c in PRICE_BY_DATE.schema.names if c not in ("source", "etl_loading_ts")]
    columns = {"symbol": _symbol_column(rows, keep)}
    days = rows.dates.days[rows.date_texts.codes if keep is None else rows.date_texts.codes[keep]]
    columns["date"] = as_arrow(days, pa.date32())
    for name in names[2:]:
        columns[name] = _number_column(rows, name, keep, len(days))
    schema = pa.schema([PRICE_BY_DATE.schema.field(name) for name in names])
    return pa.Table.from_arrays([columns[name] for name in names], schema=schema)


def _symbol_column(rows: DailyRows, keep: Bools | None) -> pa.DictionaryArray:
    forms = [canonical(text) for text in rows.symbols.texts]
    distinct = sorted({form for form in forms if form is not None})
    place = {form: i for i, form in enumerate(distinct)}
    code_of = np.array([place.get(form or "", 0) for form in forms], np.int32)
    codes = rows.symbols.codes if keep is None else rows.symbols.codes[keep]
    return pa.DictionaryArray.from_arrays(as_arrow(code_of[codes], pa.int32()), strings(distinct), safe=False)


def _number_column(rows: DailyRows, name: str, keep: Bools | None, length: int) -> pa.Array:
    type_ = PRICE_BY_DATE.schema.field(name).type
    if name not in rows.numbers:
        return as_arrow(np.zeros(length), type_, np.ones(length, bool))
    numbers = rows.numbers[name]
    values, missing = (
        (numbers.values, numbers.missing) if keep is None else (numbers.values[keep], numbers.missing[keep])
    )
    if pa.types.is_integer(type_):
        values = np.where(missing, 0, values).astype(np.int64)
    return as_arrow(values, type_, missing)


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
