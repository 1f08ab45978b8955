"""The names of columns: what vendors call the fields of a daily bar, and which other headers have a meaning here.

A new vendor's name for a column is one word in `ALIASES`. Headers are compared without case, accents, spaces, quotes
and the characters `_ . < > *`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

import pyarrow as pa

from stock_pipeline.schemas import PRICE_BY_DATE

NUMBERS = tuple(column.name for column in PRICE_BY_DATE.columns if pa.types.is_floating(column.type))
PRICES = tuple(name for name in NUMBERS if PRICE_BY_DATE.column(name).price)
REQUIRED = ("symbol", "date", "close")
"""A file with two columns for one of these fields is refused: which one is meant would be a guess."""

ALIASES: dict[str, tuple[tuple[str, ...], ...]] = {
    # For each field the first group with a column in the header counts. Two columns of one group are refused:
    # `close, last` is the official close beside the last trade, but `last, price` could be either.
    "symbol": (
        ("symbol", "ticker", "sym", "tckrsymb", "tscode", "secid"),
        ("stock", "instrument", "company", "name"),
        ("code", "股票代码", "代码"),
    ),
    "date": (
        ("date", "day", "tradedate", "startdate"),
        ("datetime", "timestamp"),
        ("time", "gmttime", "localtime", "utctime", "time(utc)", "time(eet)"),
        ("epoch", "windowstart"),
        ("data",),
        ("date1", "traddt", "exchangedate", "date(utc)", "date(gmt)"),
        ("datum", "fecha", "dato", "tarih", "日期", "交易日期"),
        ("unix", "unixtime", "unixtimestamp"),
    ),
    "open": (
        ("open", "openprice"),
        ("otwarcie",),
        ("openingprice", "opnpric", "pxopen"),
        ("eroffnung", "eroffn", "erster", "ouverture", "ouv", "apertura", "abertura", "开盘", "开盘价"),
    ),
    "high": (
        ("high", "highprice"),
        ("najwyzszy",),
        ("hghpric", "pxhigh"),
        ("hoch", "plushaut", "haut", "maximo", "maxima", "massimo", "最高", "最高价"),
    ),
    "low": (
        ("low", "lowprice"),
        ("najnizszy",),
        ("lwpric", "pxlow"),
        ("tief", "plusbas", "bas", "minimo", "minima", "最低", "最低价"),
    ),
    "close": (
        ("close", "closeprice", "close/last", "closeclosepriceadjustedforsplits"),
        ("last", "price"),
        ("zamkniecie",),
        ("closingprice", "clspric", "pxlast"),
        ("schlusskurs", "schluss", "cloture", "cierre", "chiusura", "fechamento", "收盘", "收盘价"),
        ("zuletzt", "dernier", "ultimo"),
    ),
    "adj_close": (
        ("adjclose", "adjustedclose"),
        ("adjusted",),
        ("closeadj", "adjcloseprice", "adjustedcloseprice", "adjustedclosingprice"),
        ("adjcloseadjustedclosepriceadjustedforsplitsanddividendand/orcapitalgaindistributions",),
    ),
    "volume": (
        ("volume", "vol"),
        ("wolumen",),
        ("noofshares", "numberofshares", "stuecke", "stucke", "totalvolume", "sharestraded", "pxvolume"),
        ("tottrdqty", "totaltradedquantity", "ttltradgvol", "ttltrdqnty"),
    ),
    "period": (("per", "period", "interval"),),
}

NAMES_OF_COMPANIES = frozenset(ALIASES["symbol"][1])
TIME_OF_DAY = ("time", "datetime", "timestamp", "epoch", "windowstart")
UNNAMED = ("", "unnamed:0", "index")

SERIES = ("series", "sctysrs")
"""NSE's series: which of a company's securities a line is about."""

SEGMENT_SOURCE = ("src",)
"""UDiFF's exchange. The column of series is NSE's only if this column says NSE or is missing."""

CONTRACTS = frozenset(
    "expiry expirydate expirydt expiration expirationdate expdate xprydt fininstrmactlxprydt maturity maturitydate "
    "contractmonth deliverymonth deliverydate strike strikeprice strikepr strkpric optiontype optiontyp optntp putcall "
    "put/call callput call/put cpflag".split()
)
"""Columns that distinguish the contracts of one underlying. A row with a value in one of them is not a bar of the
symbol itself.
"""

TELLING_APART = frozenset(
    "exchange exch market mic venue board boardid currency ccy primaryexchange listing src".split()
)
"""Columns that can distinguish two listings under one symbol."""

LOTS = {("tscode", "vol"): 100}
"""Columns by which a layout is recognized, and how many shares one unit of its volume is (tushare counts lots)."""

_LONGEST_KEPT = 100
"""The same headers come again and again: in one file for each separator, and in all files of a vendor."""

_DROPPED = re.compile(r"[\s_.<>*\"']")
_EXPLAINED = re.compile(r"(?:  |\n|\t)\s*\S")
_MANGLED = re.compile(r"(.+)\.[0-9]+")


@cache
def _fields_of_names() -> dict[str, str]:
    return {name: field for field, groups in ALIASES.items() for group in groups for name in group}


def normalized(header: str) -> str:
    """A header in the form in which `ALIASES` are compared: `<CLOSE>`, `Adj Close`, `Último` → `close`, `adjclose`, …

    A header may hold its explanation after two blanks (`Close  Close price adjusted for splits.`). Then the part before
    them counts, if it is a name.
    """
    return _normalized(header) if len(header) <= _LONGEST_KEPT else _normalized.__wrapped__(header)


@lru_cache(1024)
def _normalized(header: str) -> str:
    name = _plain(header)
    if name not in _fields_of_names() and (explained := _EXPLAINED.search(header.strip())):
        short = _plain(header.strip()[: explained.start()])
        return short if short in _fields_of_names() else name
    return name


def _plain(header: str) -> str:
    text = _DROPPED.sub("", header).lower()
    return text if text.isascii() else "".join(c for c in unicodedata.normalize("NFKD", text) if not _combining(c))


def _combining(character: str) -> bool:
    return unicodedata.combining(character) != 0


def known_columns(header: Sequence[str]) -> int:
    """How many of these headers are names of a field. The right separator gives more than a wrong one."""
    return sum(normalized(name) in _fields_of_names() for name in header)


def is_date_name(header: str) -> bool:
    """Whether a header is a name of the date column."""
    return _fields_of_names().get(normalized(header)) == "date"


def mangled(header: Sequence[str]) -> str | None:
    """The first header that pandas numbered because a price column comes twice (`Close.1` beside `Close`), if any."""
    plain = {name for cell in header if _fields_of_names().get(name := normalized(cell)) in PRICES}
    for cell in header:
        if (numbered := _MANGLED.fullmatch(cell.strip())) and normalized(numbered[1]) in plain:
            return cell.strip()
    return None
