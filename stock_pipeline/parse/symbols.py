"""Ticker symbols: the canonical form, the series of a share, and the symbol that a file's name gives.

A symbol is a string and nothing else: `NA`, `TRUE`, `0700` and `1E5` are tickers. Its letters keep their case, because
`BCpC` is another security than `BCPC`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from stock_pipeline.errors import FileRefused, quoted

GRAMMAR = "1 to 32 of A-Z a-z 0-9 . - ^ = & / : + _ * # $ ! @, beginning with a letter, a digit, ^ or $"
"""The form of a symbol, in words."""

_LONGEST = 32
_SYMBOL = re.compile(r"[A-Za-z0-9^$][A-Za-z0-9.\-^=&/:+_*#$!@]{0,31}")
_SMALL = re.compile(r"[^A-Z]*|[A-Z][a-z]{2,}")
_CLASS_SHARE = re.compile(r"([A-Z]{1,5})[-/ _]([A-Z])")
_FORMULA = re.compile(r'="([^"]*)"')
_NO_SYMBOL = frozenset(("N/A", "#N/A"))
_SHARE_SERIES = frozenset(("", "EQ", "BE", "BZ", "SM", "ST"))
_SERIES = re.compile(r"[A-Z0-9]{0,2}")

_EXTENSION = re.compile(r"(\.(csv|txt|tsv|gz|zip))+$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[A-Z0-9^][A-Z0-9.\-^=&]{0,15}")  # narrower: AAPL_DAILY is not a symbol
_LOWER_WITH_EXCHANGE = re.compile(r"[a-z0-9]{1,5}(-[a-z])?\.(us|uk|de|jp|hk|pl|hu)")  # how Stooq names its files
_DATE_OR_YEAR = re.compile(r"(19|20)\d\d([-.]?\d\d([-.]?\d\d)?)?")
_WORDS = frozenset(
    "BOOK1 DAILY DATA DATASET DOWNLOAD EOD EXPORT FILE HISTORICAL HISTORY INPUT OHLC OHLCV OUTPUT PRICE PRICES QUOTE "
    "QUOTES SHEET1 STOCK STOCKS TABLE TEST UNTITLED UPLOAD".split()
)

REMEDY = "name the file after its symbol (AAPL.csv), put it into a folder symbol=AAPL/, or give --symbol AAPL"


def cell_text(text: str) -> str:
    """A cell without blanks around it, and without a spreadsheet's formula for a text (`="0050"`)."""
    text = text.strip(" \t")
    if text.startswith("=") and (formula := _FORMULA.fullmatch(text)):
        return formula[1].strip(" \t")
    return text


def is_blank(text: str) -> bool:
    """Whether a cell in a column of symbols holds none: it is blank, or N/A."""
    text = cell_text(text)
    return not text.strip() or text.upper() in _NO_SYMBOL


def canonical(text: str) -> str | None:
    """The canonical form of a symbol: trimmed, class shares with a dot (`BRK-B`, `BRK/B`, `BRK B`, `BRK_B` → `BRK.B`).

    A text in small letters (`aapl`), or with a capital and two or more small letters (`Aapl`), becomes upper case; any
    other mixture stays (`BCpC`). Exchange suffixes stay (`VOD.L`, `4063.T`). None when it is not a symbol (see
    `GRAMMAR`), or is a path (`A/../B`).
    """
    if not text.isascii():  # some other letters, such as the dotless i, become A-Z in upper case
        return None
    if text.isalnum() and text.isupper() and len(text) <= _LONGEST:  # as most symbols are: no pattern changes it
        return text
    symbol = cell_text(text)
    if _SMALL.fullmatch(symbol):
        symbol = symbol.upper()
    if symbol in _NO_SYMBOL:
        return None
    if share := _CLASS_SHARE.fullmatch(symbol):
        symbol = f"{share[1]}.{share[2]}"
    return symbol if _SYMBOL.fullmatch(symbol) and ".." not in symbol else None


def is_series(text: str) -> bool:
    """Whether a cell could be one of NSE's series: up to two letters and digits (EQ, BE, D1, N2), or blank."""
    return _SERIES.fullmatch(cell_text(text).upper()) is not None


def of_series(symbol: str | None, series: str) -> str | None:
    """The instrument of a symbol and NSE's series: the share itself, or `PQR-D1` for another security."""
    series = cell_text(series).upper()
    if symbol is None or series in _SHARE_SERIES:
        return symbol
    instrument = f"{symbol}-{series}"
    return instrument if _SYMBOL.fullmatch(instrument) else None


def is_upper_ticker(text: str) -> bool:
    """Whether this is a symbol as exchanges write it, in upper case: `AAPL`, not `Apple`."""
    text = text.strip(" \t")
    return text == text.upper() and canonical(text) is not None


def given_symbol(symbol: str) -> str:
    """The canonical form of a symbol that a person gave. Raises FileRefused when it is not a symbol."""
    found = canonical(symbol)
    if found is None:
        raise FileRefused(f"{quoted(symbol)} is not a symbol: {GRAMMAR}")
    return found


def folder_symbol(key: str) -> str | None:
    """The symbol of a `symbol=AAPL/` folder in an object's key, None when there is no such folder."""
    for folder in key.split("/")[:-1]:
        name, _, value = folder.partition("=")
        if name.lower() == "symbol" and value:
            return given_symbol(unquote(value))
    return None


def file_name_symbol(key: str) -> str | None:
    """The symbol that a file is named after (`AAPL.csv`, `BRK-A.csv.gz`, `aapl.us.txt`), None unless it certainly is a
    symbol.

    Names are upper case, except with an exchange suffix as Stooq writes them. Words such as `DATA` and names that read
    as a date or a year are not taken for tickers.
    """
    name = _EXTENSION.sub("", key.rsplit("/", 1)[-1])
    if _LOWER_WITH_EXCHANGE.fullmatch(name):
        return canonical(name)
    if not _FILE_NAME.fullmatch(name) or name in _WORDS or _DATE_OR_YEAR.fullmatch(name):
        return None
    return canonical(name)
