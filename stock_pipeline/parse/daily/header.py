"""Headers → which column holds what: the names that vendors use, and the layouts that are no flat table.

A new vendor's name for a column is one word in `ALIASES`. Headers are compared without case, spaces, quotes and the
characters `_ . < > *`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.dates import looks_like_date
from stock_pipeline.parse.symbols import is_upper_ticker
from stock_pipeline.schemas import PRICE_BY_DATE

NUMBERS = tuple(column.name for column in PRICE_BY_DATE.columns if pa.types.is_floating(column.type))
PRICES = tuple(name for name in NUMBERS if PRICE_BY_DATE.column(name).price)

ALIASES: dict[str, tuple[tuple[str, ...], ...]] = {
    # Within a field the first group that a header has anything of is taken, and two columns of one group are refused:
    # `close, last` is the official close beside the last trade, but `last, price` could be either.
    "symbol": (("symbol", "ticker", "sym"), ("stock", "instrument", "company", "name")),
    "date": (
        ("date", "day", "tradedate", "startdate"),
        ("datetime", "timestamp"),
        ("time",),
        ("epoch", "windowstart"),
        ("data",),
    ),
    "open": (("open", "openprice"), ("otwarcie",)),
    "high": (("high", "highprice"), ("najwyzszy",)),
    "low": (("low", "lowprice"), ("najnizszy",)),
    "close": (("close", "closeprice", "close/last"), ("last", "price"), ("zamkniecie",)),
    "adj_close": (("adjclose", "adjustedclose"), ("adjusted",)),
    "volume": (("volume", "vol"), ("wolumen",)),
    "period": (("per", "period", "interval"),),
}
_NAMES_OF_COMPANIES = frozenset(ALIASES["symbol"][1])
_TIME_OF_DAY = ("time", "datetime", "timestamp", "epoch", "windowstart")
_UNNAMED = ("", "unnamed:0", "index")
_DROPPED = re.compile(r"[\s_.<>*\"']")
_NUMBER = re.compile(r"[-+$]?[0-9][0-9.,]*")

ACCEPTED = (
    "accepted are a date (date, day, timestamp, …), a closing price (close, close_price, close/last, last, price) and, "
    "if present, symbol (or ticker, name, company), open, high, low, adj close and volume"
)


@dataclass(frozen=True)
class Layout:
    """What a file's header says.

    `columns` maps fields (those of `ALIASES`, and `time` for a time of day beside the date) to positions in a row of
    `width` cells. `symbol_may_be_name`: the symbol column could also hold names of companies. `date_unnamed`: the date
    column has no name, so its values must prove it. `names` are the headers as they came.
    """

    columns: dict[str, int]
    names: tuple[str, ...]
    header_rows: int = 1
    symbol_may_be_name: bool = False
    date_unnamed: bool = False
    symbol: str | None = None

    @property
    def width(self) -> int:
        return len(self.names)

    def name(self, field: str) -> str:
        """How the file itself calls a field's column."""
        return self.names[self.columns[field]].strip() or "the first column, which has no name,"


def normalized(header: str) -> str:
    """A header in the form in which `ALIASES` are compared: `<CLOSE>`, `Adj Close` → `close`, `adjclose`."""
    return _DROPPED.sub("", header).lower()


def known_columns(header: Sequence[str]) -> int:
    """How many of these headers are names of a field: what tells the right separator from a wrong one."""
    every = {name for groups in ALIASES.values() for group in groups for name in group}
    return sum(normalized(name) in every for name in header)


def recognize(rows: Sequence[Sequence[str]]) -> Layout:
    """The layout of a file by its first rows (up to three).

    Raises FileRefused that says what was found and what would be accepted: no header, a column missing, two columns for
    one field, a wide table (one column a symbol), several symbols side by side.
    """
    layout = _two_level(rows)
    if layout:
        return layout
    header = rows[0]
    names = [normalized(name) for name in header]
    columns = {field: at for field in ALIASES if (at := _column_of(field, names, header)) is not None}
    unnamed = "date" not in columns and names[0] in _UNNAMED
    if unnamed:
        columns["date"] = 0
    missing = [field for field in ("date", "close") if field not in columns]
    if missing:
        raise _refusal(header, columns, missing)
    beside = [i for name in _TIME_OF_DAY for i, n in enumerate(names) if n == name and i != columns["date"]]
    if beside:
        columns["time"] = beside[0]
    may_be_name = "symbol" in columns and names[columns["symbol"]] in _NAMES_OF_COMPANIES
    return Layout(columns, tuple(header), symbol_may_be_name=may_be_name, date_unnamed=unnamed)


def _column_of(field: str, names: Sequence[str], header: Sequence[str]) -> int | None:
    for group in ALIASES[field]:
        found = [i for i, name in enumerate(names) if name in group]
        if len(found) > 1:
            clash = " and ".join(quoted(header[i].strip()) for i in found[:5])
            raise FileRefused(f"the columns {clash} could each be the {field}; leave one of them in the file")
        if found:
            return found[0]
    return None


def _two_level(rows: Sequence[Sequence[str]]) -> Layout | None:
    """The header of yfinance's tables: fields, tickers (in either order), then `Date` alone.

    Price,Close,High,…
    Ticker,MSFT,MSFT,…
    Date,,,
    """
    if len(rows) < 3 or len({len(row) for row in rows[:3]}) != 1 or len(rows[0]) < 2:
        return None
    dates = [normalized(cell) for cell in rows[2]]
    if not any(dates[0] in group for group in ALIASES["date"]) or any(dates[1:]):
        return None
    fields, tickers = (rows[0], rows[1]) if known_columns(rows[0][1:]) >= known_columns(rows[1][1:]) else rows[1::-1]
    symbols = sorted(set(tickers[1:]))
    if len(symbols) > 1:
        raise FileRefused(
            f"several symbols side by side ({', '.join(map(quoted, symbols[:5]))}); write one row a symbol and day "
            '(in pandas: df.stack(level="Ticker").reset_index()), or one file a symbol'
        )
    flat = recognize([["date", *fields[1:]]])
    return Layout(flat.columns, flat.names, header_rows=3, symbol=symbols[0])


def _refusal(header: Sequence[str], columns: dict[str, int], missing: Sequence[str]) -> FileRefused:
    cells = [cell.strip() for cell in header]
    if sum(bool(_NUMBER.fullmatch(cell)) or looks_like_date(cell) for cell in cells) >= min(2, len(cells)):
        return FileRefused(f"the file has no header: its first row is data; {ACCEPTED}")
    others = [cell for i, cell in enumerate(cells) if i not in columns.values()]
    if missing == ["close"] and len(others) > 1 and len(others) == len(cells) - 1 and all(map(is_upper_ticker, others)):
        return FileRefused(
            f"a wide table with one column a symbol ({', '.join(map(quoted, others[:5]))}); write one row a symbol and "
            'day (in pandas: df.melt(id_vars="date", var_name="symbol", value_name="close"))'
        )
    found = ", ".join(map(quoted, cells[:20]))
    return FileRefused(f"no column for {' and '.join(missing)} among {found}; {ACCEPTED}")
