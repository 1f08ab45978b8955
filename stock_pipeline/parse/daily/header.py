"""Headers → the meaning of each column, and the layouts whose header has several rows.

The names themselves are in `columns`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.columns import (
    ALIASES,
    CONTRACTS,
    LOTS,
    NAMES_OF_COMPANIES,
    REQUIRED,
    SEGMENT_SOURCE,
    SERIES,
    TELLING_APART,
    TIME_OF_DAY,
    UNNAMED,
    is_date_name,
    known_columns,
    mangled,
    normalized,
)
from stock_pipeline.parse.daily.dates import looks_like_date
from stock_pipeline.parse.symbols import is_upper_ticker

_NUMBER = re.compile(r"[-+$]?[0-9][0-9.,]*")
_LABELS = ("", "ticker", "tickers", "symbol", "price", "attributes", "level0", "level1")

ACCEPTED = (
    "accepted are a date (date, day, timestamp, …), a closing price (close, close_price, close/last, last, price) and, "
    "if present, symbol (or ticker, name, company), open, high, low, adj close and volume"
)


@dataclass(frozen=True)
class Layout:
    """What a file's header says.

    `columns` maps fields to positions in a row of `width` cells. The fields are those of `ALIASES`, `time` for a time
    of day beside the date, `series` and `source` for NSE's series and its exchange, and `contract 0`, … for the columns
    of contracts. `symbol_may_be_name`: the symbol column could also hold names of companies. `date_unnamed`: the date
    column has no name, so its values must prove it. `names` are the headers as they came, `header_rows` how many rows
    they take. `unit` is how many shares one unit of the volume is, where the layout is known for it.
    """

    columns: dict[str, int]
    names: tuple[str, ...]
    header_rows: int = 1
    symbol_may_be_name: bool = False
    date_unnamed: bool = False
    symbol: str | None = None
    unit: int | None = None

    @property
    def width(self) -> int:
        return len(self.names)

    def name(self, field: str) -> str:
        """The file's own name for a field's column."""
        return self.names[self.columns[field]].strip() or "the first column, which has no name,"

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """The names of the columns that nobody reads, trimmed, each once."""
        read = set(self.columns.values())
        others = (name.strip() for i, name in enumerate(self.names) if i not in read)
        return tuple(dict.fromkeys(name for name in others if normalized(name) not in UNNAMED))

    @cached_property
    def telling_apart(self) -> tuple[str, ...]:
        """The names of the columns that can distinguish two listings under one symbol."""
        return tuple(name.strip() for name in self.names if normalized(name) in TELLING_APART)


def recognize(rows: Sequence[Sequence[str]]) -> Layout | None:
    """The layout that begins with the first of these rows (up to three); None when that is not a header of daily
    prices.

    Raises FileRefused for a header that cannot be used: two columns for the symbol, the date or the close, or several
    symbols side by side.
    """
    return _levels(rows) or _flat(rows[0])


def _flat(header: Sequence[str]) -> Layout | None:
    names = [normalized(name) for name in header]
    there = {field for field in ("date", "close") if any(n in group for group in ALIASES[field] for n in names)}
    unnamed = "date" not in there and names[0] in UNNAMED
    if "close" not in there or not (unnamed or "date" in there):
        return None
    if again := mangled(header):
        raise FileRefused(
            f"several symbols side by side: {quoted(again)} is pandas' name for a second column of the same price; "
            'write one row a symbol and day (in pandas: df.stack(level="Ticker").reset_index())'
        )
    columns = {field: at for field in ALIASES if (at := _column_of(field, names, header)) is not None}
    if unnamed:
        columns["date"] = 0
    if beside := [i for name in TIME_OF_DAY for i, n in enumerate(names) if n == name and i != columns["date"]]:
        columns["time"] = beside[0]
    for field, words in (("series", SERIES), ("source", SEGMENT_SOURCE)):
        if found := [i for i, name in enumerate(names) if name in words]:
            columns[field] = found[0]
    contracts = (i for i, name in enumerate(names) if name in CONTRACTS)
    columns |= {f"contract {number}": at for number, at in enumerate(contracts)}
    may_be_name = "symbol" in columns and names[columns["symbol"]] in NAMES_OF_COMPANIES
    unit = next((lot for known, lot in LOTS.items() if set(known) <= set(names)), None)
    return Layout(columns, tuple(header), symbol_may_be_name=may_be_name, date_unnamed=unnamed, unit=unit)


def _column_of(field: str, names: Sequence[str], header: Sequence[str]) -> int | None:
    for group in ALIASES[field]:
        found = [i for i, name in enumerate(names) if name in group]
        if len(found) > 1 and field in REQUIRED:
            clash = " and ".join(quoted(header[i].strip()) for i in found[:5])
            raise FileRefused(f"the columns {clash} could each be the {field}; leave one of them in the file")
        if found:
            return found[0] if len(found) == 1 else None  # an optional value is left out rather than guessed
    return None


def _levels(rows: Sequence[Sequence[str]]) -> Layout | None:
    """The header of yfinance's tables: fields and tickers in either order, with or without a row for the index.

    Price,Close,High,…        Price,Date,Close,…        ,Close,High,…
    Ticker,MSFT,MSFT,…        Ticker,,MSFT,…            ,MSFT,MSFT,…
    Date,,,                   0,2024-01-02,10.5,…       2024-01-02,10.5,…
    """
    if len(rows) < 2 or len(rows[0]) < 2 or len(rows[0]) != len(rows[1]):
        return None
    indexed = len(rows) > 2 and len(rows[2]) == len(rows[0]) and _is_index_row(rows[2])
    turned = known_columns(rows[0][1:]) < known_columns(rows[1][1:])
    fields, tickers = (rows[1], rows[0]) if turned else (rows[0], rows[1])
    own = [field.strip() or ticker for field, ticker in zip(fields, tickers, strict=True)]
    if indexed:
        own[0] = rows[2][0]
    elif not (any(map(is_date_name, own)) or normalized(own[0]) in (*UNNAMED, *_LABELS)):
        return None
    elif not any(map(is_date_name, own)):
        own[0] = ""
    dated = next((i for i, name in enumerate(own) if is_date_name(name)), 0)
    if normalized(tickers[dated]) not in _LABELS or any(_field(name) == "symbol" for name in own[1:]):
        return None
    found = [
        (i, ticker.strip())
        for i, (field, ticker) in enumerate(zip(fields, tickers, strict=True))
        if i and field.strip() and normalized(ticker) not in _LABELS
    ]
    read = {i for i, _ in found if known_columns([fields[i]]) and not is_date_name(fields[i])}
    if not read or not all(_is_ticker(ticker, indexed) for i, ticker in found if i in read):
        return None
    symbols = sorted({ticker for _, ticker in found})
    if len(symbols) > 1:
        raise FileRefused(
            f"several symbols side by side ({', '.join(map(quoted, symbols[:5]))}); write one row a symbol and day "
            '(in pandas: df.stack(level="Ticker").reset_index()), or one file a symbol'
        )
    flat = _flat(own)
    if flat is None or not set(flat.columns.values()) - {flat.columns["date"]} <= read:
        return None
    return Layout(flat.columns, flat.names, 3 if indexed else 2, symbol=symbols[0], unit=flat.unit)


def _is_ticker(text: str, indexed: bool) -> bool:
    """Whether a cell of the second row is a ticker. Without an index row it could be data, so NA does not count."""
    if _NUMBER.fullmatch(text) or known_columns([text]):
        return False
    return is_upper_ticker(text) and (indexed or text not in ("NA", "NAN", "NULL", "NONE", "INF"))


def _field(name: str) -> str | None:
    return next((f for f, groups in ALIASES.items() if any(normalized(name) in group for group in groups)), None)


def _is_index_row(row: Sequence[str]) -> bool:
    return is_date_name(row[0]) and not any(cell.strip() for cell in row[1:])


def refusal(header: Sequence[str]) -> FileRefused:
    """The error for a row that should be a header, and is not one."""
    cells = [cell.strip() for cell in header]
    names = [normalized(cell) for cell in cells]
    columns = {f: [i for i, n in enumerate(names) if any(n in g for g in ALIASES[f])] for f in ("date", "close")}
    missing = [field for field, at in columns.items() if not at]
    if missing == ["date", "close"] and is_data(cells):
        return FileRefused(f"the file has no header: its first row is data; {ACCEPTED}")
    dated = columns["date"] or ([0] if names[0] in UNNAMED else [])
    others = [cell for i, cell in enumerate(cells) if i not in dated]
    wide = len(others) > 1 and len(others) == len(cells) - 1 and all(map(is_upper_ticker, others))
    if not columns["close"] and dated and wide and not known_columns(others):
        return FileRefused(
            f"a wide table with one column a symbol ({', '.join(map(quoted, others[:5]))}); write one row a symbol and "
            'day (in pandas: df.melt(id_vars="date", var_name="symbol", value_name="close"))'
        )
    missing = [field for field in missing if field != "date" or not dated]
    found = ", ".join(map(quoted, cells[:20]))
    return FileRefused(f"no column for {' and '.join(missing)} among {found}; {ACCEPTED}")


def is_data(cells: Sequence[str]) -> bool:
    """Whether a row looks like one of data: two cells or more (or its only one) are dates or numbers."""
    values = (bool(_NUMBER.fullmatch(cell.strip())) or looks_like_date(cell.strip()) for cell in cells)
    return sum(values) >= min(2, len(cells))
