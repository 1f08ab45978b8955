"""The rules of daily prices: which rows are stored, and why the others are not.

A row needs a symbol, a date and a close. Everything else is optional. A row is rejected for one reason: the first that
applies in this order, which is the order of `schemas.Reason`:

    ragged_row, bad_quoting     the cells are not those of the header, or cannot be told apart
    missing_symbol, bad_symbol
    missing_date, bad_date, date_out_of_range     1900-01-01 to tomorrow
    missing_price       no close
    bad_number          the close is not a number
    not_finite          the close is infinite
    non_positive_price  the close is zero or below
    inconsistent_ohlc   high below open, low or close, or low above open or close; blank ones are not compared
    ambiguous           another line of the file has other values for this symbol and date (see `contests`)

An optional value that breaks one of the rules for numbers, or is a volume below zero or of 2**53 and more, is left out:
the row is stored with null in its place, and a note says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Codes, Ints, as_arrow, nothing, strings
from stock_pipeline.clean import Cleaned, no_records
from stock_pipeline.clean.contests import Contest, contests
from stock_pipeline.clean.findings import (
    Texts,
    date_rules,
    first_findings,
    number_findings,
    symbol_rules,
    text_findings,
)
from stock_pipeline.clean.optional import Omission, omitted
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.columns import NUMBERS
from stock_pipeline.parse.daily.numbers import Numbers
from stock_pipeline.parse.daily.parser import DailyRows
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED, Reason

MAX_REJECTED = 1_000_000
"""A file with more rejected rows than this, and fewer good ones, is refused whole."""

SCHEMA = pa.schema([PRICE_BY_DATE.schema.field(name) for name in PRICE_BY_DATE.given])
"""The table's columns that a file gives."""


@dataclass(frozen=True)
class _Judged:
    """The result for a block.

    Its good rows, their records, the values left out of them (by number among the good rows); and the records, reasons
    and details of the rejected rows.
    """

    good: pa.RecordBatch
    records: Ints
    omissions: list[Omission]
    rejected: Ints
    reasons: list[Reason]
    details: list[str]


def clean_daily_prices(rows: DailyRows, today: date) -> Cleaned:
    """Judge the rows of a file of daily prices by the rules above; `today` is the current date (UTC).

    Raises FileRefused when most rows break a rule and there are more than `MAX_REJECTED` of them. Such a file is not a
    table of daily prices, and the records of its rows would be larger than the file.
    """
    rules = symbol_rules(rows), date_rules(rows, today)
    symbols = _placed(rows.forms)
    judged: list[_Judged] = []
    good, bad = 0, len(rows.ragged.records)
    for block in range(len(rows.records)):
        judged.append(_judge(rows, block, *rules, *symbols))
        good, bad = good + len(judged[-1].records), bad + len(judged[-1].rejected)
        _refuse_the_broken(good, bad, judged[-1].reasons)
    records = _joined([j.records for j in judged])
    table, lines = pa.Table.from_batches([j.good for j in judged], schema=SCHEMA), rows.lines.numbers(records)
    starts = np.cumsum([0, *(len(j.records) for j in judged)]).tolist()
    omissions = [o.moved(start) for j, start in zip(judged, starts, strict=False) for o in j.omissions]
    if (np.diff(lines) < 0).any():  # rows with an undeclared column are read separately
        order = np.argsort(lines, kind="stable")
        table, lines = table.take(as_arrow(order, pa.int64())), lines[order]
        omissions = [o.placed(np.argsort(order)) for o in omissions]
    times = rows.times and (rows.lines.numbers(rows.times[0]), rows.times[1])
    contest = contests(table, lines, rows.lines.numbers(rows.repeated), times, rows.telling_apart)
    rejected = _rejected(rows, judged, contest)
    if contest:
        table, lines = contest.table, lines[contest.stays]
        omissions = [o.placed(contest.place) for o in omissions]
        _refuse_the_broken(len(lines), rejected.num_rows, [Reason.AMBIGUOUS])
    return Cleaned(
        good=table,
        lines=lines,
        rejected=rejected,
        skipped=rows.skipped,
        raw=rows.lines.texts,
        nulled=dict(sorted(_counts(omissions).items())),
        notes=_notes(rows, lines, omissions),
        unread=rows.unread,
        decided=rows.decided,
    )


def _refuse_the_broken(good: int, bad: int, reasons: Sequence[Reason]) -> None:
    if bad > max(MAX_REJECTED, good):
        raise FileRefused(
            f"more than {MAX_REJECTED:,} rows break a rule, and fewer keep them; one of them: "
            f"{reasons[0] if reasons else Reason.RAGGED_ROW}"
        )


def _judge(
    rows: DailyRows,
    block: int,
    of_symbols: Sequence[Texts],
    of_dates: Sequence[Texts],
    place: Codes,
    symbols: pa.StringArray,
) -> _Judged:
    """Judge one block. The symbol of a text is in `symbols` at its `place`."""
    records = rows.records[block]
    numbers, omissions = omitted(rows.numbers[block])
    rejected, reasons, details = first_findings(
        [
            *text_findings(rows.symbols, block, of_symbols),
            *text_findings(rows.date_texts, block, of_dates),
            *number_findings(numbers),
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
    if omissions:
        places = np.where(keep, np.cumsum(keep) - 1, -1)
        omissions = [o.placed(places) for o in omissions]
    return _Judged(good, records[chosen], omissions, records[rejected], reasons, details)


def _counts(omissions: Sequence[Omission]) -> Counter[str]:
    counts = Counter[str]()
    for omission in omissions:
        if len(omission.rows):
            counts[omission.reason.value] += len(omission.rows)
    return counts


def _rejected(rows: DailyRows, judged: Sequence[_Judged], contest: Contest | None) -> pa.Table:
    """All rejected records of the file, in its order."""
    records = _joined([*(j.rejected for j in judged), rows.ragged.records])
    reasons = [reason for j in judged for reason in j.reasons]
    details = [detail for j in judged for detail in j.details]
    for cells, width in zip(rows.ragged.cells.tolist(), rows.ragged.width.tolist(), strict=True):
        reasons.append(Reason.RAGGED_ROW if cells else Reason.BAD_QUOTING)
        details.append(f"{cells} cells, the header has {width}" if cells else "the cells cannot be told apart")
    lines = rows.lines.numbers(records)
    if contest:
        lines = np.concatenate([lines, contest.lines])
        reasons += [Reason.AMBIGUOUS] * len(contest.lines)
        details += contest.details
    return _as_rejected(rows, lines, reasons, details)


def _notes(rows: DailyRows, lines: Ints, omissions: Sequence[Omission]) -> pa.Table:
    """A record for each row that is stored without some of its values: the reason of the first value, and which values
    were left out.
    """
    found = [omission for omission in omissions if len(omission.rows)]
    if not found:
        return no_records()
    reasons: dict[int, Reason] = {}
    words: dict[int, list[str]] = {}
    for omission in found:
        for row, detail in zip(omission.rows.tolist(), omission.details, strict=True):
            reasons.setdefault(row, omission.reason)
            words.setdefault(row, []).append(detail)
    at = sorted(words)
    details = [f"stored without {', '.join(words[row])}" for row in at]
    return _as_rejected(rows, lines[at], [reasons[row] for row in at], details)


def _as_rejected(rows: DailyRows, lines: Ints, reasons: Sequence[Reason], details: Sequence[str]) -> pa.Table:
    if not len(lines):
        return no_records()
    order = np.argsort(lines, kind="stable").tolist()
    columns = {
        "line": as_arrow(lines[order], pa.int64()),
        "place": nothing(pa.int32(), len(order)),
        "reason": strings(reasons[i] for i in order),
        "detail": strings(details[i] for i in order),
        "raw": strings(rows.lines.texts(lines[order])),
    }
    return pa.Table.from_arrays([columns[name] for name in REJECTED.names], schema=REJECTED)


def _joined(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _placed(forms: Sequence[str | None]) -> tuple[Codes, pa.StringArray]:
    """The position of each canonical form among the distinct ones, and these; 0 for no symbol."""
    distinct = sorted({form for form in forms if form is not None})
    place: dict[str | None, int] = {form: i for i, form in enumerate(distinct)}
    return np.array([place.get(form, 0) for form in forms], np.int32), strings(distinct)


def _number_columns(columns: dict[str, Numbers], chosen: slice | Bools, length: int) -> dict[str, pa.Array]:
    """The table's number columns for the chosen rows; null if a cell is blank or the file has no such column."""
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
