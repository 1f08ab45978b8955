"""Daily prices: the CSV of any vendor → columns by field name, every row of the file accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Codes, Ints, as_numpy
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.csv_dialect import one_kind_of_line_break, quoting, read_head
from stock_pipeline.parse.daily.dates import Dates, read_dates
from stock_pipeline.parse.daily.header import NUMBERS, PRICES, Layout, recognize
from stock_pipeline.parse.daily.lines import Lines
from stock_pipeline.parse.daily.numbers import Cells, Numbers, comma_rule, read_cells, read_numbers
from stock_pipeline.parse.daily.records import REPEATING, Block, RaggedRows, Source, parse_blocks
from stock_pipeline.parse.files import MAX_BYTES, read_text
from stock_pipeline.parse.symbols import (
    REMEDY,
    canonical,
    file_name_symbol,
    folder_symbol,
    given_symbol,
    is_upper_ticker,
)

_DAILY = frozenset(("d", "daily", "1d", "day", "1day"))


@dataclass(frozen=True)
class Coded:
    """A column of repeating texts, block by block: `texts[codes[b][i]]` is the cell of row i of block b, as it came."""

    codes: list[Codes]
    texts: list[str]


@dataclass(frozen=True)
class DailyRows:
    """The rows of one file of daily prices, read but not judged, in the blocks in which they were parsed.

    Row i of block b has the symbol text `symbols.texts[symbols.codes[b][i]]`, the date `dates` at
    `date_texts.codes[b][i]` and, for each field that the file has, the values i of `numbers[b]`. `records[b]` numbers
    the rows among the records of `lines`, and so does `ragged` those that are no rows of `width` cells. `names` maps
    fields to the file's own headers.
    """

    symbols: Coded
    date_texts: Coded
    dates: Dates
    numbers: list[dict[str, Numbers]]
    records: list[Ints]
    ragged: RaggedRows
    width: int
    names: dict[str, str]
    lines: Lines

    def __len__(self) -> int:
        return sum(map(len, self.records))


@dataclass(frozen=True)
class _Part:
    """What one block of records gives."""

    count: int
    rows: Ints
    ragged: RaggedRows
    coded: dict[str, pa.DictionaryArray]
    cells: dict[str, Cells]


def parse_daily_prices(data: bytes, key: str, *, symbol: str | None = None, max_bytes: int = MAX_BYTES) -> DailyRows:
    """Read a raw object of daily prices, in any supported layout.

    `key` names the object; without a symbol column the symbol is `symbol`, or that of a `symbol=AAPL/` folder in the
    key, or that of the file's name. `max_bytes` caps the unpacked text.

    Raises FileRefused, with what was found and what would be accepted, when the object is not a table of daily prices:
    see the modules `files`, `csv_dialect`, `header` and `dates` for their parts. Besides: bars of another period
    (`PER` other than D), several bars a day for a symbol (different times on one date), no symbol anywhere, a symbol
    column that contradicts the symbol given, more than a million rows of another width than the header, a record of
    more than 4 MiB.
    """
    raw = read_text(data, max_bytes)
    text = one_kind_of_line_break(raw.data)
    head = read_head(text)
    layout = recognize(head.rows)
    start, last_header_line = head.ends[layout.header_rows - 1]
    quoted = quoting(text, start, head.separator)
    lines = Lines(text, start, last_header_line + 1, quoted.multiline)
    source = Source(lines, quoted, head.separator, layout.width)
    names = (key, raw.member or "")
    return _assembled(_parsed(source, layout), source, layout, names, symbol)


def _parsed(source: Source, layout: Layout) -> list[_Part]:
    # Where a comma may be the decimal mark, no cell is cast before all are seen: 1.234 could be a thousand.
    cast = source.separator == "," or source.lines.text.find(b",", source.lines.start) < 0
    types = {at: pa.string() if f in NUMBERS else REPEATING for f, at in layout.columns.items()}

    def convert(block: Block) -> _Part:
        columns = {f: block.columns[at] for f, at in layout.columns.items()}
        cells = {f: read_cells(c, cast=cast) for f, c in columns.items() if f in NUMBERS}
        return _Part(block.count, block.rows, block.ragged, {f: columns[f] for f in columns if f not in cells}, cells)

    return parse_blocks(source, types, convert)


def _assembled(
    parts: Sequence[_Part], source: Source, layout: Layout, names: Sequence[str], symbol: str | None
) -> DailyRows:
    starts = np.cumsum([0, *(part.count for part in parts)]).tolist()
    placed = list(zip(parts, starts, strict=False))
    coded = {f: _coded([part.coded[f] for part in parts]) for f in layout.columns if f not in NUMBERS}
    _refuse_other_periods(coded.get("period"), layout)
    dates = read_dates(coded["date"].texts)
    if layout.date_unnamed and coded["date"].texts and dates.known.sum() * 2 <= (~dates.missing).sum():
        raise FileRefused(f"{layout.name('date')} does not hold dates; call the column of dates date")
    symbols = _symbols(coded.get("symbol"), layout, names, symbol, parts)
    _refuse_intraday(symbols, coded, dates)
    comma = comma_rule(source.separator, [part.cells[f] for f in PRICES if f in layout.columns for part in parts])
    return DailyRows(
        symbols=symbols,
        date_texts=coded["date"],
        dates=dates,
        numbers=[{f: read_numbers(c, comma, price=f in PRICES) for f, c in part.cells.items()} for part in parts],
        records=[part.rows + start for part, start in placed],
        ragged=RaggedRows(
            _joined([part.ragged.records + start for part, start in placed]),
            _joined([part.ragged.cells for part in parts]),
        ),
        width=layout.width,
        names={f: layout.name(f) for f in layout.columns},
        lines=source.lines,
    )


def _joined(parts: Sequence[Ints] | Sequence[Codes]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _coded(chunks: list[pa.DictionaryArray]) -> Coded:
    if not chunks:
        return Coded([], [])
    chunks = pa.chunked_array(chunks).unify_dictionaries().chunks
    return Coded([as_numpy(c.indices, np.int32) for c in chunks], chunks[0].dictionary.to_pylist())


def _refuse_other_periods(period: Coded | None, layout: Layout) -> None:
    others = [t for t in period.texts if t.strip().lower() not in _DAILY] if period else []
    if others:
        raise FileRefused(
            f"column {quoted(layout.name('period'))} holds {quoted(others[0])}: only daily bars (D) are taken into "
            "daily prices"
        )


def _symbols(
    column: Coded | None, layout: Layout, names: Sequence[str], given: str | None, parts: Sequence[_Part]
) -> Coded:
    """The symbol of each row: from its column, otherwise one for the whole file; never a guess."""
    told = given_symbol(given) if given else folder_symbol(names[0]) or layout.symbol
    if column and layout.symbol_may_be_name and not any(map(is_upper_ticker, column.texts)) and column.texts:
        column = None  # names of companies, not tickers
    if column:
        other = next((t for t in column.texts if told and t.strip() and canonical(t) not in (told, None)), None)
        if other is not None:
            raise FileRefused(
                f"{quoted(told or '')} was given as the symbol, but column {quoted(layout.name('symbol'))} holds "
                f"{quoted(other)}; "
                "leave the symbol out and the column decides"
            )
        return column
    found = told or next(filter(None, map(file_name_symbol, names)), None)
    if found is None:
        where = (
            f"column {quoted(layout.name('symbol'))} holds no tickers"
            if "symbol" in layout.columns
            else "no symbol column"
        )
        raise FileRefused(
            f"{where}, and the name of the file, {quoted(names[0].rsplit('/', 1)[-1])}, is not a ticker either; "
            f"{REMEDY}"
        )
    return Coded([np.zeros(len(part.rows), np.int32) for part in parts], [found])


def _refuse_intraday(symbols: Coded, coded: dict[str, Coded], dates: Dates) -> None:
    """Refuse several bars a day: one symbol and date with different times of day, in the date column or beside it.

    Rows without a readable date do not count, and repeated rows are no intraday bars.
    """
    times = coded.get("time")
    if times is None and not dates.moments.any():
        return
    codes = _joined(coded["date"].codes)
    moments = dates.moments[codes]
    if times is not None:
        moments = moments * (len(times.texts) + 1) + _joined(times.codes)
    dated = np.flatnonzero(dates.known[codes])
    if not len(dated):
        return
    days = dates.days[codes[dated]].astype(np.int64)
    of_rows = _joined(symbols.codes)
    keys = of_rows[dated] * (int(days.max() - days.min()) + 1) + (days - days.min())
    order = np.lexsort((moments[dated], keys))
    keys, moments = keys[order], moments[dated][order]
    several = np.flatnonzero((keys[1:] == keys[:-1]) & (moments[1:] != moments[:-1]))
    if len(several):
        row = int(dated[order[several[0]]])
        which = f"{quoted(symbols.texts[of_rows[row]])} on {quoted(coded['date'].texts[codes[row]])}"
        raise FileRefused(
            f"several bars a day (such as {which}, told apart by the time): these are intraday prices; "
            "daily prices have one row a symbol and day"
        )
