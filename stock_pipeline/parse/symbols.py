"""Ticker symbols: the canonical form, and the symbol that a file's name gives.

A symbol is a string and nothing else: `NA`, `TRUE`, `0700` and `1E5` are tickers.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from stock_pipeline.errors import FileRefused, quoted

_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-^=]{0,15}")
_CLASS_SHARE = re.compile(r"([A-Z]{1,5})[-/]([A-Z])")

_EXTENSION = re.compile(r"(\.(csv|txt|tsv|gz|zip))+$", re.IGNORECASE)
_LOWER_WITH_EXCHANGE = re.compile(r"[a-z0-9]{1,5}(-[a-z])?\.(us|uk|de|jp|hk|pl|hu)")  # how Stooq names its files
_DATE_OR_YEAR = re.compile(r"(19|20)\d\d([-.]?\d\d([-.]?\d\d)?)?")
_WORDS = frozenset(
    "BOOK1 DAILY DATA DATASET DOWNLOAD EOD EXPORT FILE HISTORICAL HISTORY INPUT OHLC OHLCV OUTPUT PRICE PRICES QUOTE "
    "QUOTES SHEET1 STOCK STOCKS TABLE TEST UNTITLED UPLOAD".split()
)

REMEDY = "name the file after its symbol (AAPL.csv), put it into a folder symbol=AAPL/, or give --symbol AAPL"


def is_symbol(text: str) -> bool:
    """Whether this is a symbol as the tables store it: see `canonical`."""
    return _SYMBOL.fullmatch(text) is not None


def canonical(text: str) -> str | None:
    """The canonical form of a symbol: trimmed, upper case, class shares with a dot (`BRK-B`, `BRK/B` → `BRK.B`).

    Exchange suffixes stay (`VOD.L`, `4063.T`). None when it is no symbol: 1 to 16 of A-Z 0-9 . - ^ =, beginning with a
    letter, a digit or ^.
    """
    if not text.isascii():  # some other letters are A-Z in upper case, such as the dotless i
        return None
    symbol = text.strip(" \t").upper()
    if share := _CLASS_SHARE.fullmatch(symbol):
        symbol = f"{share[1]}.{share[2]}"
    return symbol if is_symbol(symbol) else None


def is_upper_ticker(text: str) -> bool:
    """Whether this is a symbol as exchanges write it, in upper case: `AAPL`, not `Apple`."""
    text = text.strip(" \t")
    return text == text.upper() and canonical(text) is not None


def given_symbol(symbol: str) -> str:
    """The canonical form of a symbol that a person gave; raises FileRefused when it is none."""
    found = canonical(symbol)
    if found is None:
        raise FileRefused(
            f"{quoted(symbol)} is not a symbol: 1 to 16 of A-Z 0-9 . - ^ =, beginning with a letter, digit or ^"
        )
    return found


def folder_symbol(key: str) -> str | None:
    """The symbol of a `symbol=AAPL/` folder in an object's key, None when there is no such folder."""
    for folder in key.split("/")[:-1]:
        name, _, value = folder.partition("=")
        if name.lower() == "symbol" and value:
            return given_symbol(unquote(value))
    return None


def file_name_symbol(key: str) -> str | None:
    """The symbol that a file is named after (`AAPL.csv`, `BRK-A.csv.gz`, `aapl.us.txt`), None when it is none for sure.

    Names are upper case, except with an exchange suffix as Stooq writes them. Words such as `DATA` and names that read
    as a date or a year are not taken for tickers.
    """
    name = _EXTENSION.sub("", key.rsplit("/", 1)[-1])
    if _LOWER_WITH_EXCHANGE.fullmatch(name):
        return canonical(name)
    if not is_upper_ticker(name) or name in _WORDS or _DATE_OR_YEAR.fullmatch(name):
        return None
    return canonical(name)
