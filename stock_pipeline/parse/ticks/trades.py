"""A decoded message → its ticks, by the form of the message. Only this module decides what a message means.

The fast grammar (columnar.py) reads some of the same messages, and gives the same values for them.

A vendor's trade id becomes the event id, together with everything within which it is unique: the vendor, the scope of
the form and, for numbers that begin again each session, the exchange's date and the trade's own time. The symbol is not
part of it, because the key of history is (symbol, event_id). If there is no id, the parser derives one from the place.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from stock_pipeline.parse.ticks.shapes import Shape
from stock_pipeline.parse.ticks.values import (
    Problem,
    read_codes,
    read_fixed,
    read_id,
    read_number,
    read_text,
    read_time,
    read_whole,
    shown_value,
)
from stock_pipeline.parse.ticks.vendors import FORMS, OWN_UNTIMED
from stock_pipeline.schemas import Reason
from stock_pipeline.trading_calendar.exchange_time import session_days

Tick = tuple[
    str | None, str, float, float | None, int, int | None, int | None, int | None, str | None, str | None, str | None,
    str | None, int | None,
]  # fmt: skip
"""A tick's values in the order of `columns.NAMES`. It is a plain tuple: anything else costs as much time as decoding
the message.
"""

_EPOCH = date(1970, 1, 1)
_FIRST = 631_152_000_000_000  # 1990 in microseconds: no tick has an earlier time
_TRADE_KEYS = frozenset({"symbol", "price", "size", "event_id"})
_HOUR = 3_600_000_000


def form_of(message: Any) -> Shape | None:
    """The form of a message that holds trades, None for any other.

    A record with a symbol and a price, but without a time, is one of this project. If another of its values is a time,
    the record is somebody else's.
    """
    shape = FORMS.shape_of(message)
    return None if shape is OWN_UNTIMED and _has_a_time(message) else shape


def _has_a_time(message: dict[str, Any]) -> bool:
    times = (read_time(value, key) for key, value in message.items() if key not in _TRADE_KEYS)
    return any(not isinstance(time, Problem) and time[0] >= _FIRST for time in times)


def unknown(message: Any) -> Problem:
    """Why a message without a known form is rejected, with the names of the nearest forms."""
    near = "; ".join(FORMS.nearest(message))
    return Problem(
        Reason.UNKNOWN_MESSAGE, f"no known form; nearest: {near}" if near else "no known form, and none near"
    )


def read_trades(message: Any, shape: Shape) -> list[Tick | Problem] | None:
    """The ticks of a message of this form, each as its values or its problem; None when the list is missing."""
    trades = shape.trades_of(message)
    if trades is None:
        return None
    if not shape.alone and all(not shape.field_of("symbol").of_trade(trade, message) for trade in trades):
        problem = f"{shape.name} names the symbol in the subscription only; put it into each message to have them read"
        return [Problem(Reason.MISSING_SYMBOL, problem)]
    return [read_trade(trade, message, shape) for trade in trades]


def read_trade(trade: Any, message: Any, shape: Shape) -> Tick | Problem:
    """A trade's values, or its first problem in the order symbol, price, size, time, event id."""
    if trade is not message and type(trade) is not dict and type(trade) is not list:
        return Problem(Reason.MALFORMED_JSON, f"a JSON {kind_of(trade)} where a trade is expected")
    place = shape.field_of
    symbol = _symbol(trade, message, shape)
    if type(symbol) is Problem:
        return symbol
    price = (read_fixed if shape.fixed else read_number)(place("price").of_trade(trade, message), shape.price)
    if price is None:
        return Problem(Reason.MISSING_PRICE, f"no value under {shape.price!r}")
    if type(price) is Problem:
        return price
    size = read_number(place("size").of_trade(trade, message), shape.size) if shape.size else None
    if type(size) is Problem:
        return size
    moment = read_time(place("time").of_trade(trade, message), shape.time)
    if type(moment) is Problem:
        return moment
    own_id = read_id(place("id").of_trade(trade, message), shape.id) if shape.id else None
    if type(own_id) is Problem:
        return own_id
    micros, nanos = moment
    event_id, number = None, None
    if own_id is not None:
        number = read_whole(own_id)
        event_id = _event_id(own_id, trade, message, shape, micros, nanos)  # type: ignore[arg-type]
    whole = read_whole(place("sequence").of_trade(trade, message)) if shape.sequence else None
    venue = read_text(place("exchange").of_trade(trade, message)) if shape.exchange else None
    codes = read_codes(place("conditions").of_trade(trade, message)) if shape.conditions else None
    tape = read_text(place("tape").of_trade(trade, message)) if shape.tape else None
    made = read_whole(place("reported").of_trade(trade, message)) if shape.reported else None
    delay = micros - read_time(made, "")[0] if made else None  # type: ignore[operator]
    return (
        event_id, symbol, price, size, micros, nanos, whole, number, venue, codes, tape, shape.codes or None, delay
    )  # type: ignore[return-value]  # fmt: skip


def _symbol(trade: Any, message: Any, shape: Shape) -> str | Problem:
    symbol = shape.field_of("symbol").of_trade(trade, message)
    if symbol is None or (type(symbol) is str and not symbol.strip()):
        return Problem(Reason.MISSING_SYMBOL, f"no value under {shape.symbol!r}")
    if type(symbol) is not str:
        return Problem(Reason.BAD_SYMBOL, f"{shape.symbol} is {shown_value(symbol)}, not a text")
    if shape.template:
        return (shape.template.inside(symbol) or symbol).upper()
    return symbol


def _event_id(own_id: str, trade: Any, message: Any, shape: Shape, micros: int, nanos: int | None) -> str:
    if not shape.vendor:
        return own_id
    scope = (read_text(field.of_trade(trade, message)) or "" for field in shape.scopes)
    if not shape.session:
        return ":".join((shape.vendor, *scope, own_id))
    return ":".join((shape.vendor, *scope, session_of(micros).isoformat(), own_id, f"{micros}{nanos or 0:03}"))


def session_of(micros: int) -> date:
    """The exchange's date (New York) of a time in microseconds since 1970."""
    return _session_of_hour(micros // _HOUR)


@lru_cache(1024)
def _session_of_hour(hour: int) -> date:
    return _EPOCH + timedelta(days=int(session_days(np.array([hour * _HOUR]))[0]))


def kind_of(value: Any) -> str:
    """JSON's name for the type of a value."""
    return {type(None): "null", bool: "boolean", list: "array", str: "text", dict: "object"}.get(type(value), "number")
