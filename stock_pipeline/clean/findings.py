"""The rules for a whole row of daily prices: which rows break one, and the words for it.

A rule for texts (symbol, date) looks at each distinct text once. A row's reason is the first rule that it breaks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import numpy as np

from stock_pipeline.arrow import Bools, Codes, Ints
from stock_pipeline.clean.optional import Broken, broken_numbers, short
from stock_pipeline.parse.daily.instruments import Coded
from stock_pipeline.parse.daily.numbers import Numbers
from stock_pipeline.parse.daily.parser import DailyRows
from stock_pipeline.parse.daily.undeclared import is_below, ordered_prices
from stock_pipeline.parse.symbols import is_blank
from stock_pipeline.schemas import Reason

FIRST_DATE = date(1900, 1, 1)
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Finding:
    """Rows of a block (ascending) that break a rule, and what is wrong with one of them in words."""

    reason: Reason
    rows: Ints
    words: Callable[[int], str]


@dataclass(frozen=True)
class Texts:
    """The distinct texts of a column that break a rule: `breaks` by code."""

    reason: Reason
    breaks: Bools
    words: Callable[[str], str]


def first_findings(findings: Sequence[Finding]) -> tuple[Ints, list[Reason], list[str]]:
    """The rows with a finding, ascending, each with the reason and words of its first finding."""
    findings = [finding for finding in findings if len(finding.rows)]
    if not findings:
        return np.zeros(0, np.int64), [], []
    owner = np.repeat(np.arange(len(findings)), [len(f.rows) for f in findings])
    rejected, first = np.unique(np.concatenate([f.rows for f in findings]), return_index=True)
    chosen = [findings[i] for i in owner[first].tolist()]
    details = [finding.words(row) for finding, row in zip(chosen, rejected.tolist(), strict=True)]
    return rejected, [finding.reason for finding in chosen], details


def symbol_rules(rows: DailyRows) -> list[Texts]:
    missing = np.array(
        [form is None and is_blank(text) for form, text in zip(rows.forms, rows.symbols.texts, strict=True)], bool
    )
    bad = np.array([form is None for form in rows.forms], bool) & ~missing
    return [
        Texts(Reason.MISSING_SYMBOL, missing, lambda _: "symbol is blank"),
        Texts(Reason.BAD_SYMBOL, bad, lambda text: f"symbol {text}"),
    ]


def date_rules(rows: DailyRows, today: date) -> list[Texts]:
    dates, first, last = rows.dates, FIRST_DATE, today + timedelta(days=1)
    outside = (dates.days < first.toordinal() - _EPOCH) | (dates.days > last.toordinal() - _EPOCH)
    return [
        Texts(Reason.MISSING_DATE, dates.missing, lambda _: "date is blank"),
        Texts(Reason.BAD_DATE, ~dates.known & ~dates.missing, lambda text: f"{text} is not a valid date"),
        Texts(
            Reason.DATE_OUT_OF_RANGE,
            dates.known & outside,
            lambda text: f"date {text} is not within {first} and {last}",
        ),
    ]


def text_findings(column: Coded, block: int, rules: Sequence[Texts]) -> Iterator[Finding]:
    codes = column.codes[block]
    for rule in rules:
        if rule.breaks.any():
            words = partial(_words_of_text, rule.words, column.texts, codes)
            yield Finding(rule.reason, np.flatnonzero(rule.breaks[codes]), words)


def _words_of_text(words: Callable[[str], str], texts: Sequence[str], codes: Codes, row: int) -> str:
    return words(short(texts[codes[row]]))


def number_findings(columns: dict[str, Numbers]) -> Iterator[Finding]:
    close = columns["close"]
    missing = np.zeros(0, np.int64) if close.missing is None else np.flatnonzero(close.missing)
    yield Finding(Reason.MISSING_PRICE, missing, lambda _: "close is blank")
    for broken in broken_numbers("close", close):
        yield Finding(broken.reason, broken.rows, partial(_words_of_number, broken))
    for higher, lower in ordered_prices(columns):
        yield _order(columns, higher, lower)


def _words_of_number(broken: Broken, row: int) -> str:
    return f"{broken.field} {broken.words(row)}"


def _order(columns: dict[str, Numbers], higher: str, lower: str) -> Finding:
    above, below = columns[higher].values, columns[lower].values
    words = f"{higher} {{:.15g}} is below {lower} {{:.15g}}"
    # A blank cell is NaN, for which no comparison holds.
    return Finding(
        Reason.INCONSISTENT_OHLC,
        np.flatnonzero(is_below(above, below)),
        lambda row: words.format(above[row], below[row]),
    )
