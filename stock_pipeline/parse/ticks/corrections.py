"""Messages that cancel or correct a trade, by vendor. At present these are Alpaca's `x` and `c`.

Other vendors' messages do not name the trade by its number: Tradier marks a repeated sale (`cancel`, `correction`),
Tiingo sends a break (`B`), Gemini `trade_break`. Those are skipped (others.py) and change nothing.
"""

from __future__ import annotations

from typing import Any

from stock_pipeline.parse.ticks.trades import session_of
from stock_pipeline.parse.ticks.values import (
    Problem,
    read_codes,
    read_number,
    read_text,
    read_time,
    read_whole,
    shown_value,
)
from stock_pipeline.schemas import Reason

Correction = tuple[Any, ...]
"""A correction's values in the order of `columns.CORRECTIONS`, without line and place; times are integers, as in Arrow.
"""

_DATE_0 = 719_163  # the day 1970-01-01 as Python numbers days


def is_correction(message: Any) -> bool:
    """Whether a message takes a trade back."""
    return type(message) is dict and message.get("T") in ("x", "c")


def read_correction(message: dict[str, Any]) -> Correction | Problem:
    """The correction in a message of Alpaca; a problem if the message does not identify the trade."""
    corrected = message["T"] == "c"
    number_key, price_key, size_key = ("oi", "op", "os") if corrected else ("i", "p", "s")
    symbol = message.get("S")
    if type(symbol) is not str or not symbol.strip():
        return Problem(Reason.MISSING_SYMBOL, f"S is {shown_value(symbol)}")
    prices = [read_number(message.get(key), key) for key in ((price_key, "cp") if corrected else (price_key,))]
    sizes = [read_number(message.get(key), key) for key in ((size_key, "cs") if corrected else (size_key,))]
    for value in (*prices, *sizes):
        if isinstance(value, Problem):
            return value
    if None in prices:
        return Problem(Reason.MISSING_PRICE, "no value under 'p'" if not corrected else "no value under 'op' or 'cp'")
    moment = read_time(message.get("t"), "t")
    if isinstance(moment, Problem):
        return moment
    number = read_whole(message.get(number_key))
    new_number = read_whole(message.get("ci")) if corrected else None
    if not number or (corrected and not new_number):
        return Problem(Reason.BAD_EVENT_ID, f"{number_key} is {shown_value(message.get(number_key))}")
    exchange, session = read_text(message.get("x")) or "", session_of(moment[0])
    end = f"{new_number}:correct" if corrected else f"{number}:cancel"
    event_id = f"alpaca:{exchange}:{session.isoformat()}:{end}"
    new_price, new_size = (prices[1], sizes[1]) if corrected else (None, None)
    codes = read_codes(message.get("cc")) if corrected else None
    return (
        symbol, exchange, session.toordinal() - _DATE_0, number, prices[0], sizes[0], moment[0], event_id,
        new_price, new_size, new_number, codes, read_text(message.get("z")), "alpaca",
    )  # fmt: skip
