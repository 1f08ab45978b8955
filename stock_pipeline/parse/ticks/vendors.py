"""The shapes in which ticks come: which field means what for each vendor, and how a value is read.

This is the slow grammar, one decoded message at a time, and it alone decides what a value means. The fast grammar
(columnar.py) takes a part of the same messages and gives the same values for them.

Aliases are per vendor and case-sensitive, as Alpaca's `S` is the symbol and its `s` the size:

| shape | told by | symbol | price | size | time | event id |
|---|---|---|---|---|---|---|
| this project | symbol and price, or produced_at | symbol | price | size | produced_at | event_id as it is |
| Alpaca | `T` = `t` | S | p | s | t | alpaca:S:x:day:i |
| Massive (Polygon) | `ev` = `T` | sym | p | s | t | massive:sym:x:trfi:day:i |
| Finnhub | `type` = `trade`, trades in `data` | s | p | v | t | none |
| Coinbase | `type` = `match`, `last_match` | product_id | price | size | time | coinbase:product_id:trade_id |

A vendor's trade id becomes the event id together with everything that its number is unique within: the product at
Coinbase; symbol, exchange (x) and reporting facility (trfi) at Alpaca and Massive, where numbers begin again each day,
so that the UTC day of the trade belongs to it too. Where there is no id, the caller derives one from the position.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from stock_pipeline.schemas import Reason


@dataclass(frozen=True)
class Shape:
    """Where one vendor's message has its fields.

    `scope` names the fields within which the vendor's trade id is unique; `daily` says that the day is one of them.
    """

    vendor: str
    symbol: str
    price: str
    size: str
    time: str
    id: str | None = None
    scope: tuple[str, ...] = ()
    daily: bool = False


Tick = tuple[str | None, str, float, float | None, int]
"""One message's event id, symbol, price, size and time, the latter in microseconds since 1970 (UTC).

A plain tuple, as making anything better costs as much as decoding the message.
"""


class Problem(NamedTuple):
    """Why a message is no tick."""

    reason: Reason
    detail: str


OURS = Shape("", "symbol", "price", "size", "produced_at", "event_id")
ALPACA = Shape("alpaca", "S", "p", "s", "t", "i", scope=("S", "x"), daily=True)
MASSIVE = Shape("massive", "sym", "p", "s", "t", "i", scope=("sym", "x", "trfi"), daily=True)
FINNHUB = Shape("finnhub", "s", "p", "v", "t")
COINBASE = Shape("coinbase", "product_id", "price", "size", "time", "trade_id", scope=("product_id",))

TYPE_KEYS = ("ev", "T", "type")
"""The keys under which vendors name the type of a message."""

_DAY = 86_400_000_000  # microseconds
_EPOCH = date(1970, 1, 1)
_LATEST = (date(9999, 12, 31) - _EPOCH).days * _DAY
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_SECOND = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_REST = re.compile(r"(?:\.([0-9]{1,9}))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?")


def shape_of(message: dict[str, Any]) -> Shape | None:
    """The shape of a message, or None for one that is no tick on purpose: a quote, a subscription, a heartbeat.

    What no vendor's type tells is judged as a record of this project, so that it is rejected with a reason.
    """
    if "produced_at" in message or ("symbol" in message and "price" in message):
        return OURS
    if isinstance(event := message.get("ev"), str):
        return MASSIVE if event == "T" else None
    if isinstance(kind := message.get("T"), str):
        return ALPACA if kind == "t" else None
    if isinstance(kind := message.get("type"), str):
        if kind == "trade" and "data" in message:
            return FINNHUB
        return COINBASE if kind in ("match", "last_match") else None
    return OURS


def read_tick(message: dict[str, Any], shape: Shape) -> Tick | Problem:
    """A message's values; of several problems the first in the order symbol, price, size, time, event id."""
    symbol = message.get(shape.symbol)
    if symbol is None or (type(symbol) is str and not symbol.strip()):
        return Problem(Reason.MISSING_SYMBOL, f"no value under {shape.symbol!r}")
    if type(symbol) is not str:
        return Problem(Reason.BAD_SYMBOL, f"{shape.symbol} is {_shown(symbol)}, not a text")
    price = read_number(message.get(shape.price), shape.price)
    if price is None:
        return Problem(Reason.MISSING_PRICE, f"no value under {shape.price!r}")
    if type(price) is Problem:
        return price
    size = read_number(message.get(shape.size), shape.size)
    if type(size) is Problem:
        return size
    micros = read_time(message.get(shape.time), shape.time)
    if type(micros) is Problem:
        return micros
    event_id = _event_id(message, shape, micros) if shape.id else None  # type: ignore[arg-type]
    if type(event_id) is Problem:
        return event_id
    return event_id, symbol, price, size, micros  # type: ignore[return-value]


def read_number(value: Any, name: str) -> float | Problem | None:
    """A JSON number or a text that holds a decimal number; None where there is no value (null, blank)."""
    kind = type(value)
    if kind is float or kind is int:
        return float(value)
    if value is None:
        return None
    if kind is str:
        text = value.strip()
        if not text:
            return None
        if _NUMBER.fullmatch(text) and isfinite(number := float(text)):
            return number
        if _NUMBER.fullmatch(text) or _NOT_FINITE.fullmatch(text):
            return Problem(Reason.NOT_FINITE, f"{name} is {_shown(value)}")
    return Problem(Reason.BAD_NUMBER, f"{name} is {_shown(value)}")


def read_time(value: Any, name: str) -> int | Problem:
    """Microseconds since 1970 of `YYYY-MM-DD HH:MM:SS[.f]` (or with T) in UTC or with its offset, or of an epoch.

    Digits beyond the microsecond are cut off. An epoch is in the unit that its size tells: below 1e11 seconds, below
    1e14 milliseconds, below 1e17 microseconds, else nanoseconds; no unit overlaps another between 1990 and 5138.
    """
    kind = type(value)
    micros = None
    if kind is str:
        text = value.strip()
        if not text:
            return Problem(Reason.MISSING_TIMESTAMP, f"no value under {name!r}")
        micros = _epoch(int(text)) if text.isascii() and text.isdigit() and len(text) < 20 else _calendar(text)
    elif kind is int or kind is float:
        micros = _epoch(value)
    elif value is None:
        return Problem(Reason.MISSING_TIMESTAMP, f"no value under {name!r}")
    if micros is None or not 0 <= micros < _LATEST:
        return Problem(Reason.BAD_TIMESTAMP, f"{name} is {_shown(value)}")
    return micros


def _epoch(number: int | float) -> int:
    for bound, factor in ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1)):
        if number < bound:
            return round(number * factor)
    return int(number) // 1000


def _calendar(text: str) -> int | None:
    second, rest = _start_of_second(text[:19]), text[19:]
    if second is None or not rest:
        return second
    if not (found := _REST.fullmatch(rest)):
        return None
    fraction, sign, hours, minutes = found.groups()
    if fraction:
        second += int(fraction[:6].ljust(6, "0"))
    if sign:
        offset = (int(hours) * 3600 + int(minutes) * 60) * 1_000_000
        second += offset if sign == "-" else -offset
    return second


@lru_cache(8192)
def _start_of_second(text: str) -> int | None:
    if not (found := _SECOND.fullmatch(text)):
        return None
    day, hour, minute, second = found.groups()
    try:
        days = (date.fromisoformat(day) - _EPOCH).days
    except ValueError:
        return None
    return days * _DAY + (int(hour) * 3600 + int(minute) * 60 + int(second)) * 1_000_000


def _event_id(message: dict[str, Any], shape: Shape, micros: int) -> str | Problem | None:
    assert shape.id
    value = message.get(shape.id)
    if value is None or value == "":
        return None
    if type(value) is int:
        value = str(value)
    if type(value) is not str or not value.isprintable() or value.isspace():
        return Problem(Reason.BAD_EVENT_ID, f"{shape.id} is {_shown(value)}")
    if not shape.vendor:
        return value
    day = (_day_name(micros // _DAY),) if shape.daily else ()
    return ":".join((shape.vendor, *(_plain(message.get(key)) for key in shape.scope), *day, value))


def _plain(value: Any) -> str:
    return str(value) if type(value) in (str, int) else ""


@lru_cache(1024)
def _day_name(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


def _shown(value: Any) -> str:
    """A value in a message for people: short, whatever was sent."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
