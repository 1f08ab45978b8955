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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Codes, Floats, Ints, as_arrow, strings
from stock_pipeline.clean import Cleaned
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.header import NUMBERS, PRICES
from stock_pipeline.parse.daily.numbers import Numbers
from stock_pipeline.parse.daily.parser import Coded, DailyRows
from stock_pipeline.parse.symbols import canonical
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED, Reason

FIRST_DATE = date(1900, 1, 1)
MAX_REJECTED = 1_000_000
"""A file with more rejected rows than this, and fewer good ones, is refused whole."""

_LARGEST_EXACT = 2.0**53  # from here on not every whole number is a double
_EPOCH = date(1970, 1, 1).toordinal()

SCHEMA = pa.schema([field for field in PRICE_BY_DATE.schema if field.name not in ("source", "etl_loading_ts")])
"""The table's columns without its provenance, which is not known here."""


@dataclass(frozen=True)
class _Finding:
    """Rows of a block (ascending) that break a rule, and what is wrong with one of them in words."""

    reason: Reason
    rows: Ints
    words: Callable[[int], str]


@dataclass(frozen=True)
class _Texts:
    """The distinct texts of a column that break a rule: `breaks` by code."""

    reason: Reason
    breaks: Bools
    words: Callable[[str], str]


@dataclass(frozen=True)
class _Judged:
    """What became of a block: its good rows, their records, and records, reasons and details of the rejected."""

    good: pa.RecordBatch
    records: Ints
    rejected: Ints
    reasons: list[Reason]
    details: list[str]


def clean_daily_prices(rows: DailyRows, today: date) -> Cleaned:
    """Judge the rows of a file of daily prices by the rules above; `today` is the current date (UTC).

    Raises FileRefused when most rows break a rule and there are more than `MAX_REJECTED` of these: the file is not such
    a table, and the record of each row would be larger than the file.
    """
    forms = [canonical(text) for text in rows.symbols.texts]
    rules = _symbol_rules(rows.symbols.texts, forms), _date_rules(rows, today)
    symbols = _placed(forms)
    judged: list[_Judged] = []
    good, bad = 0, len(rows.ragged.records)
    for block in range(len(rows.records)):
        judged.append(_judge(rows, block, *rules, *symbols))
        good, bad = good + len(judged[-1].records), bad + len(judged[-1].rejected)
        if bad > max(MAX_REJECTED, good):
            raise FileRefused(
                f"more than {MAX_REJECTED:,} rows break a rule, and fewer keep them; one of them: "
                f"{judged[-1].reasons[0] if judged[-1].reasons else Reason.RAGGED_ROW}"
            )
    return Cleaned(
        good=pa.Table.from_batches([j.good for j in judged], schema=SCHEMA),
        lines=rows.lines.numbers(_joined([j.records for j in judged])),
        rejected=_rejected(rows, judged),
        skipped=0,
        raw=rows.lines.texts,
    )


def _judge(
    rows: DailyRows,
    block: int,
    symbol_rules: Sequence[_Texts],
    date_rules: Sequence[_Texts],
    place: Codes,
    symbols: pa.StringArray,
) -> _Judged:
    """Judge one block; the symbol of a text is `symbols` at its `place`."""
    records, numbers = rows.records[block], rows.numbers[block]
    rejected, reasons, details = _first_findings(
        [
            *_text_findings(rows.symbols, block, symbol_rules),
            *_text_findings(rows.date_texts, block, date_rules),
            *_number_findings(numbers),
        ]
    )
    keep = np.ones(len(records), bool)
    keep[rejected] = False
    chosen = slice(None) if keep.all() else keep
    codes = as_arrow(place[rows.symbols.codes[block][chosen]], pa.int32())
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(codes, symbols, safe=False),
        "date": as_arrow(rows.dates.days[rows.date_texts.codes[block][chosen]], pa.date32()),
        **_number_columns(numbers, chosen, int(keep.sum())),
    }
    good = pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    return _Judged(good, records[chosen], records[rejected], reasons, details)


def _rejected(rows: DailyRows, judged: Sequence[_Judged]) -> pa.Table:
    """All rejected records of the file, in its order."""
    records = _joined([*(j.rejected for j in judged), rows.ragged.records])
    reasons = [reason for j in judged for reason in j.reasons]
    details = [detail for j in judged for detail in j.details]
    for cells in rows.ragged.cells.tolist():
        reasons.append(Reason.RAGGED_ROW if cells else Reason.BAD_QUOTING)
        details.append(f"{cells} cells, the header has {rows.width}" if cells else "the cells cannot be told apart")
    order = np.argsort(records, kind="stable").tolist()
    lines = rows.lines.numbers(records[order])
    columns = [
        as_arrow(lines, pa.int64()),
        pa.nulls(len(lines), pa.int32()),
        strings(reasons[i] for i in order),
        strings(details[i] for i in order),
        strings(rows.lines.texts(lines) if order else ()),
    ]
    return pa.Table.from_arrays(columns, schema=REJECTED)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _first_findings(findings: Sequence[_Finding]) -> tuple[Ints, list[Reason], list[str]]:
    """The rows with a finding, ascending, each with the reason and words of the first that it has."""
    findings = [finding for finding in findings if len(finding.rows)]
    if not findings:
        return np.zeros(0, np.int64), [], []
    owner = np.repeat(np.arange(len(findings)), [len(f.rows) for f in findings])
    rejected, first = np.unique(np.concatenate([f.rows for f in findings]), return_index=True)
    chosen = [findings[i] for i in owner[first].tolist()]
    details = [finding.words(row) for finding, row in zip(chosen, rejected.tolist(), strict=True)]
    return rejected, [finding.reason for finding in chosen], details


def _symbol_rules(texts: Sequence[str], forms: Sequence[str | None]) -> list[_Texts]:
    missing = np.array([not text.strip() for text in texts], bool)
    bad = np.array([form is None for form in forms], bool) & ~missing
    return [
        _Texts(Reason.MISSING_SYMBOL, missing, lambda _: "symbol is blank"),
        _Texts(Reason.BAD_SYMBOL, bad, lambda text: f"symbol {text}"),
    ]


def _date_rules(rows: DailyRows, today: date) -> list[_Texts]:
    dates, first, last = rows.dates, FIRST_DATE, today + timedelta(days=1)
    outside = (dates.days < first.toordinal() - _EPOCH) | (dates.days > last.toordinal() - _EPOCH)
    return [
        _Texts(Reason.MISSING_DATE, dates.missing, lambda _: "date is blank"),
        _Texts(Reason.BAD_DATE, ~dates.known & ~dates.missing, lambda text: f"date {text} is no date here"),
        _Texts(
            Reason.DATE_OUT_OF_RANGE,
            dates.known & outside,
            lambda text: f"date {text} is not within {first} and {last}",
        ),
    ]


def _text_findings(column: Coded, block: int, rules: Sequence[_Texts]) -> Iterator[_Finding]:
    codes = column.codes[block]
    for rule in rules:
        if rule.breaks.any():
            words = partial(_words_of_text, rule.words, column.texts, codes)
            yield _Finding(rule.reason, np.flatnonzero(rule.breaks[codes]), words)


def _words_of_text(words: Callable[[str], str], texts: Sequence[str], codes: Codes, row: int) -> str:
    return words(_short(texts[codes[row]]))


def _number_findings(columns: dict[str, Numbers]) -> list[_Finding]:
    fields = [f for f in NUMBERS if f in columns]
    prices = [f for f in fields if f in PRICES]
    found = [_blank_close(columns["close"])]
    found += [_bad_numbers(f, columns[f]) for f in fields]
    found += [_rule(columns, Reason.NOT_FINITE, f, _not_finite(f), "{} is NaN, infinite or too large") for f in fields]
    found += [
        _rule(columns, Reason.NON_POSITIVE_PRICE, f, lambda v: v <= 0, "{} {:.15g} is not above zero") for f in prices
    ]
    if "volume" in columns:
        found.append(_rule(columns, Reason.NEGATIVE_VOLUME, "volume", lambda v: v < 0, "{} {:.15g} is below zero"))
    for higher, lower in PRICE_BY_DATE.bounds:
        if higher in columns and lower in columns:
            found.append(_order(columns, higher, lower))
    return found


def _blank_close(close: Numbers) -> _Finding:
    rows = np.zeros(0, np.int64) if close.missing is None else np.flatnonzero(close.missing)
    return _Finding(Reason.MISSING_PRICE, rows, lambda _: "close is blank")


def _bad_numbers(field: str, numbers: Numbers) -> _Finding:
    def words(row: int) -> str:
        text = numbers.bad_texts[int(np.searchsorted(numbers.bad, row))]
        return f"{field} {_short(text)} is not a number"

    return _Finding(Reason.BAD_NUMBER, numbers.bad, words)


def _not_finite(field: str) -> Callable[[Floats], Bools]:
    # Parsing keeps NaN for cells without a number, and gives infinity for numbers that are NaN or infinite.
    return (lambda v: np.abs(v) >= _LARGEST_EXACT) if field == "volume" else np.isinf


def _rule(
    columns: dict[str, Numbers], reason: Reason, field: str, breaks: Callable[[Floats], Bools], words: str
) -> _Finding:
    values = columns[field].values
    return _Finding(reason, np.flatnonzero(breaks(values)), lambda row: words.format(field, values[row]))


def _order(columns: dict[str, Numbers], higher: str, lower: str) -> _Finding:
    above, below = columns[higher].values, columns[lower].values
    words = f"{higher} {{:.15g}} is below {lower} {{:.15g}}"
    # A blank cell is NaN, for which no comparison holds.
    return _Finding(
        Reason.INCONSISTENT_OHLC, np.flatnonzero(above < below), lambda row: words.format(above[row], below[row])
    )


def _placed(forms: Sequence[str | None]) -> tuple[Codes, pa.StringArray]:
    """The place of each canonical form among the distinct ones, which come with it; 0 for no symbol."""
    distinct = sorted({form for form in forms if form is not None})
    place: dict[str | None, int] = {form: i for i, form in enumerate(distinct)}
    return np.array([place.get(form, 0) for form in forms], np.int32), strings(distinct)


def _number_columns(columns: dict[str, Numbers], chosen: slice | Bools, length: int) -> dict[str, pa.Array]:
    """The table's number columns for the chosen rows; null where a cell is blank or the file has no such column."""
    made = {}
    for name in NUMBERS:
        type_ = SCHEMA.field(name).type
        if name not in columns:
            made[name] = as_arrow(np.zeros(length), type_, np.ones(length, bool))
            continue
        values, missing = columns[name].values[chosen], columns[name].missing
        missing = None if missing is None else missing[chosen]
        made[name] = as_arrow(values, type_, missing)
    return made


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
