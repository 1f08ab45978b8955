"""Daily prices: the CSV of any vendor → columns by field name, every row of the file accounted for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.buffers import Codes, Ints, as_numpy, booleans
from stock_pipeline.parse.dates import Dates, read_dates
from stock_pipeline.parse.dialects import (
    blocks,
    has_multiline_cells,
    one_kind_of_line_break,
    read_head,
    record_ends,
)
from stock_pipeline.parse.files import MAX_BYTES, read_text
from stock_pipeline.parse.layouts import NUMBERS, PRICES, Layout, recognize
from stock_pipeline.parse.lines import Lines
from stock_pipeline.parse.numbers import Cells, Numbers, comma_rule, read_cells, read_numbers
from stock_pipeline.parse.symbols import (
    REMEDY,
    canonical,
    file_name_symbol,
    folder_symbol,
    given_symbol,
    is_upper_ticker,
)

MAX_RAGGED = 1_000_000
"""So many rows with another number of cells than the header has, and the file is refused: it is not this table."""

_DAILY = frozenset(("d", "daily", "1d", "day", "1day"))
_CODED = pa.dictionary(pa.int32(), pa.string())
_WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class Coded:
    """A column of repeating texts: `texts[codes[i]]` is the cell of row i, as it came."""

    codes: Codes
    texts: list[str]


@dataclass(frozen=True)
class Ragged:
    """Rows that have not as many cells as the header: their records, and how many cells each has."""

    records: Ints
    cells: Ints


@dataclass(frozen=True)
class DailyRows:
    """The rows of one file of daily prices, read but not judged.

    Row i has the symbol `symbols.texts[symbols.codes[i]]`, the date `dates` at `date_texts.codes[i]`, and the values i
    of `numbers`, a column a field that the file has. `records` numbers the rows among the records of `lines`; None
    stands for 0, 1, 2, …. `ragged` rows are in none of the columns. `names` maps fields to the file's own headers.
    """

    symbols: Coded
    date_texts: Coded
    dates: Dates
    numbers: dict[str, Numbers]
    records: Ints
    ragged: Ragged
    width: int
    names: dict[str, str]
    lines: Lines

    def __len__(self) -> int:
        return len(self.date_texts.codes)


@dataclass
class _Block:
    """One block of records, parsed into cells."""

    count: int  # of records, blank and ragged ones included
    rows: Ints  # the records that are rows, counted from the block's first
    coded: dict[str, pa.DictionaryArray]
    cells: dict[str, Cells]
    ragged: list[tuple[int, int]]  # record, cells


def parse_daily_prices(data: bytes, key: str, *, symbol: str | None = None, max_bytes: int = MAX_BYTES) -> DailyRows:
    """Read a raw object of daily prices, in any supported layout.

    `key` names the object; without a symbol column the symbol is `symbol`, or that of a `symbol=AAPL/` folder in the
    key, or that of the file's name. `max_bytes` caps the unpacked text.

    Raises FileRefused, with what was found and what would be accepted, when the object is not a table of daily prices:
    see the modules `files`, `dialects`, `layouts` and `dates` for their parts. Besides: bars of another period
    (`PER` other than D), several bars a day for a symbol (different times on one date), no symbol anywhere, a symbol
    column that contradicts the symbol given, more than a million rows of another width than the header.
    """
    raw = read_text(data, max_bytes)
    text = one_kind_of_line_break(raw.data)
    head = read_head(text)
    layout = recognize(head.rows)
    start, last_header_line = head.ends[layout.header_rows - 1]
    multiline = has_multiline_cells(text, start, head.separator)
    lines = Lines(text, start, last_header_line + 1, multiline)
    parsed = _parse_blocks(lines, layout, head.separator)
    return _assembled(parsed, lines, layout, head.separator, key, raw.member, symbol)


def _parse_blocks(lines: Lines, layout: Layout, separator: str) -> list[_Block]:
    # Where a comma may be the decimal mark, no cell is cast before all are seen: 1.234 could be a thousand.
    cast = separator == "," or lines.text.find(b",", lines.start) < 0
    budget = _RaggedBudget()
    buffer = pa.py_buffer(lines.text)

    def parse(bounds: tuple[int, int]) -> _Block:
        return _parse_block(buffer, *bounds, lines, layout, separator, budget, cast)

    pieces = list(blocks(lines.text, lines.start, lines.multiline))
    if len(pieces) < 2:
        return [parse(piece) for piece in pieces]
    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(parse, pieces))


@dataclass
class _RaggedBudget:
    left: int = MAX_RAGGED

    def collector(self, found: list[tuple[int, int]]) -> Callable[[pa.csv.InvalidRow], str]:
        def collect(row: pa.csv.InvalidRow) -> str:
            if row.actual_columns == 1 and not row.text.strip():
                found.append((row.number - 1, 0))  # spaces alone are a blank line
                return "skip"
            self.left -= 1
            found.append((row.number - 1, row.actual_columns))
            return "skip" if self.left >= 0 else "error"

        return collect


def _parse_block(
    buffer: pa.Buffer,
    begin: int,
    end: int,
    lines: Lines,
    layout: Layout,
    separator: str,
    budget: _RaggedBudget,
    cast: bool,
) -> _Block:
    names = [f"c{i}" for i in range(layout.width)]
    numeric = [f for f in layout.columns if f in NUMBERS]
    types = {f"c{at}": pa.string() if f in numeric else _CODED for f, at in layout.columns.items()}
    ragged: list[tuple[int, int]] = []
    try:
        table = pa.csv.read_csv(
            buffer.slice(begin, end - begin),
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=end - begin + 1, column_names=names),
            parse_options=pa.csv.ParseOptions(
                delimiter=separator,
                ignore_empty_lines=False,  # so that every record counts
                newlines_in_values=lines.multiline,
                invalid_row_handler=budget.collector(ragged),
            ),
            convert_options=pa.csv.ConvertOptions(
                check_utf8=False,  # the whole text is checked already
                column_types=types,
                include_columns=list(types),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if budget.left < 0:
            raise FileRefused(
                f"more than {MAX_RAGGED:,} rows do not have the {layout.width} columns of the header"
            ) from error
        raise FileRefused(f"not readable as CSV ({error})") from error
    rows = np.arange(table.num_rows + len(ragged))
    rows = np.delete(rows, [record for record, _ in ragged]) if ragged else rows
    columns = {f: table.column(f"c{at}").combine_chunks() for f, at in layout.columns.items()}
    keep = _not_blank(columns["date"], rows, lines, begin, end)
    count = table.num_rows + len(ragged)
    if keep is not None:
        rows = rows[keep]
        columns = {f: column.filter(booleans(keep)) for f, column in columns.items()}
    cells = {f: read_cells(columns[f], cast=cast) for f in numeric}
    coded = {f: column for f, column in columns.items() if f not in numeric}
    return _Block(count, rows, coded, cells, [r for r in ragged if r[1]])


def _not_blank(dates: pa.DictionaryArray, rows: Ints, lines: Lines, begin: int, end: int) -> np.ndarray | None:
    """Which rows are no blank lines, None when there is no such line; pyarrow makes an empty cell of each column."""
    texts = dates.dictionary.to_pylist()
    if "" not in texts:
        return None
    dateless = as_numpy(dates.indices, np.int32) == texts.index("")
    data = np.frombuffer(lines.text, np.uint8)[begin:end]
    ends = record_ends(data, lines.multiline)
    ends = ends if len(ends) and ends[-1] == len(data) else np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1]])[rows]
    blank = dateless & np.isin(data[np.minimum(starts, len(data) - 1)], [10, 13])
    return None if not blank.any() else ~blank


def _assembled(
    parsed: Sequence[_Block],
    lines: Lines,
    layout: Layout,
    separator: str,
    key: str,
    member: str | None,
    symbol: str | None,
) -> DailyRows:
    starts = np.cumsum([0, *(b.count for b in parsed)])
    records = _joined([b.rows + start for b, start in zip(parsed, starts, strict=False)])
    ragged = [
        (record + int(start), cells) for b, start in zip(parsed, starts, strict=False) for record, cells in b.ragged
    ]
    coded = {f: _coded([b.coded[f] for b in parsed]) for f in layout.columns if f not in NUMBERS}
    _refuse_other_periods(coded.get("period"), layout)
    dates = read_dates(coded["date"].texts)
    if layout.date_unnamed and dates.known.sum() * 2 <= (~dates.missing).sum():
        raise FileRefused("the first column has no name and does not hold dates; name the column of dates 'date'")
    symbols = _symbols(coded.get("symbol"), layout, key, member, symbol, len(records))
    _refuse_intraday(symbols, coded, dates)
    blocks_of = {f: [b.cells[f] for b in parsed] for f in layout.columns if f in NUMBERS}
    comma = comma_rule(separator, [cells for f in PRICES for cells in blocks_of.get(f, ())])
    return DailyRows(
        symbols=symbols,
        date_texts=coded["date"],
        dates=dates,
        numbers={f: read_numbers(blocks_of[f], comma, price=f in PRICES) for f in NUMBERS if f in blocks_of},
        records=records,
        ragged=Ragged(
            _joined([np.array([r], np.int64) for r, _ in ragged]), np.array([c for _, c in ragged], np.int64)
        ),
        width=layout.width,
        names={f: layout.name(f) for f in layout.columns},
        lines=lines,
    )


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _coded(blocks_of: list[pa.DictionaryArray]) -> Coded:
    if not blocks_of:
        return Coded(np.zeros(0, np.int32), [])
    chunks = pa.chunked_array(blocks_of).unify_dictionaries().chunks
    return Coded(np.concatenate([as_numpy(c.indices, np.int32) for c in chunks]), chunks[0].dictionary.to_pylist())


def _refuse_other_periods(period: Coded | None, layout: Layout) -> None:
    others = [t for t in period.texts if t.strip().lower() not in _DAILY] if period else []
    if others:
        raise FileRefused(
            f"column {layout.name('period')!r} holds {others[0]!r}: only daily bars (D) are taken into daily prices"
        )


def _symbols(column: Coded | None, layout: Layout, key: str, member: str | None, given: str | None, rows: int) -> Coded:
    """The symbol of each row: from its column, otherwise one for the whole file; never a guess."""
    told = given_symbol(given) if given else folder_symbol(key) or layout.symbol
    if column and layout.symbol_may_be_name and not any(map(is_upper_ticker, column.texts)) and column.texts:
        column = None  # names of companies, not tickers
    if column:
        other = next((t for t in column.texts if told and t.strip() and canonical(t) not in (told, None)), None)
        if other is not None:
            raise FileRefused(
                f"{told} was given as the symbol, but column {layout.name('symbol')!r} holds {other!r}; "
                "leave the symbol out and the column decides"
            )
        return column
    name = member.rsplit("/", 1)[-1] if member else ""
    found = told or file_name_symbol(key) or file_name_symbol(name)
    if found is None:
        where = (
            f"column {layout.name('symbol')!r} holds no tickers" if "symbol" in layout.columns else "no symbol column"
        )
        raise FileRefused(f"{where}, and the file's name {key.rsplit('/', 1)[-1]!r} is not a ticker either; {REMEDY}")
    return Coded(np.zeros(rows, np.int32), [found])


def _refuse_intraday(symbols: Coded, coded: dict[str, Coded], dates: Dates) -> None:
    """Refuse several bars a day: one symbol and date with different times of day, in the date column or beside it.

    Rows without a readable date do not count, and repeated rows are no intraday bars.
    """
    times = coded.get("time")
    if times is None and not dates.moments.any():
        return
    codes = coded["date"].codes
    moments = dates.moments[codes]
    if times is not None:
        moments = moments * (len(times.texts) + 1) + times.codes
    dated = np.flatnonzero(dates.known[codes])
    if not len(dated):
        return
    days = dates.days[codes[dated]].astype(np.int64)
    keys = symbols.codes[dated] * (int(days.max() - days.min()) + 1) + (days - days.min())
    order = np.lexsort((moments[dated], keys))
    keys, moments = keys[order], moments[dated][order]
    several = np.flatnonzero((keys[1:] == keys[:-1]) & (moments[1:] != moments[:-1]))
    if len(several):
        row = int(dated[order[several[0]]])
        which = f"{symbols.texts[symbols.codes[row]]} on {coded['date'].texts[codes[row]]!r}"
        raise FileRefused(
            f"several bars a day (such as {which}, told apart by the time): these are intraday prices; "
            "daily prices have one row a symbol and day"
        )
