"""Reads one value of a message: numbers, times, ids, codes. This is the slow grammar; columnar.py reads the same values
by column.

What does not belong here: the names of vendors (vendors.py).
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from stock_pipeline.schemas import Reason


class Problem(NamedTuple):
    """Why a message is not a tick."""

    reason: Reason
    detail: str


UNDEFINED_PRICE = 2**63 - 1
"""How Databento writes that there is no price."""

LARGEST = 10**18
"""Trade numbers and sequences are below this, so that each fits into 64 bits and into the fast grammar."""

_DAY = 86_400_000_000  # microseconds
_EPOCH = date(1970, 1, 1)
_LATEST = (date(9999, 12, 31) - _EPOCH).days * _DAY
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_WHOLE = re.compile(r"[0-9]{1,18}")
_NO_ID = re.compile(r"0+(?:-0+)*")
_EPOCH_TEXT = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,9}))?", re.ASCII)
_SECOND = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_FIX = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-([0-9:]{8})(.*)")
_ZONE = r"[Zz]| ?(?:UTC|GMT)|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?"
_REST = re.compile(rf"(?:[.,]([0-9]{{1,9}}))?(?:{_ZONE})?")

Moment = tuple[int, int | None]
"""Microseconds since 1970 (UTC), and the nanoseconds beyond them (1 to 999); None where there are none."""


def read_number(value: Any, name: str) -> float | Problem | None:
    """A JSON number, or a text that holds a decimal number; None if there is no value (null, blank)."""
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
            return Problem(Reason.NOT_FINITE, f"{name} is {shown_value(value)}")
    return Problem(Reason.BAD_NUMBER, f"{name} is {shown_value(value)}")


def read_fixed(value: Any, name: str) -> float | Problem | None:
    """A price of Databento: a decimal number, or a whole number in units of 1e-9; None for the undefined price."""
    text = str(value) if type(value) in (int, str) else ""
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        return read_number(value, name)
    return None if text == str(UNDEFINED_PRICE) else float(text) / 1e9


def read_time(value: Any, name: str) -> Moment | Problem:
    """The moment of `YYYY-MM-DD HH:MM:SS[.f]` (or with T) in UTC or with its offset, of an epoch, or of FIX.

    A comma may stand for the point, ` UTC` for Z, `+00` for `+00:00`. FIX writes `YYYYMMDD-HH:MM:SS[.f]`. A time with
    digits beyond the nanosecond is rejected. The size of an epoch, a number or a text, tells its unit: below 1e11
    seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds; no unit overlaps another between 1990
    and 5138. `{"seconds": …, "nanoseconds": …}` (or `nanos`) is an epoch in two numbers.
    """
    kind = type(value)
    moment: Moment | None = None
    if kind is str:
        text = value.strip()
        if not text:
            return Problem(Reason.MISSING_TIMESTAMP, f"no value under {name!r}")
        moment = _epoch_text(text) or _calendar(text)
    elif kind is int:
        moment = _epoch(value)
    elif kind is float:
        # A double is too short for today's nanoseconds, but its shortest decimal form has the digits that were sent.
        moment = _epoch(int(value)) if value.is_integer() else _epoch_text(repr(value))
        moment = (moment[0], None) if moment else None
    elif kind is dict:
        moment = _two_numbers(value)
    elif value is None:
        return Problem(Reason.MISSING_TIMESTAMP, f"no value under {name!r}")
    if moment is None or not 0 <= moment[0] < _LATEST:
        return Problem(Reason.BAD_TIMESTAMP, f"{name} is {shown_value(value)}")
    return moment[0], moment[1] or None


def _epoch(number: int) -> Moment:
    for bound, factor in ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1)):
        if number < bound:
            return number * factor, None
    return number // 1000, number % 1000


def _epoch_text(text: str) -> Moment | None:
    """An epoch with or without a fraction. Digits beyond the nanosecond are cut off."""
    if not (found := _EPOCH_TEXT.fullmatch(text)):
        return None
    whole, fraction = int(found[1]), found[2] or ""
    micros, nanos = _epoch(whole)
    if not fraction or nanos is not None:
        return micros, nanos
    digits = 9 if whole < 10**11 else 6 if whole < 10**14 else 3  # of the unit, down to nanoseconds
    beyond = int(fraction[:digits].ljust(digits, "0"))
    return micros + beyond // 1000, beyond % 1000 if len(fraction) > digits - 3 else None


def _two_numbers(value: dict[str, Any]) -> Moment | None:
    seconds, nanos = value.get("seconds"), value.get("nanoseconds", value.get("nanos", 0))
    if type(seconds) is str and _WHOLE.fullmatch(seconds):
        seconds = int(seconds)
    if type(seconds) is not int or type(nanos) is not int or not 0 <= nanos < 10**9 or not 0 <= seconds < 10**11:
        return None
    return seconds * 1_000_000 + nanos // 1000, nanos % 1000


def _calendar(text: str) -> Moment | None:
    if fix := _FIX.fullmatch(text):
        text = f"{fix[1]}-{fix[2]}-{fix[3]}T{fix[4]}{fix[5]}"
    second, rest = _start_of_second(text[:19]), text[19:]
    if second is None or not rest:
        return None if second is None else (second, None)
    if not (found := _REST.fullmatch(rest)):
        return None
    fraction, sign, hours, minutes = found.groups()
    nanos = None
    if fraction:
        second += int(fraction[:6].ljust(6, "0"))
        nanos = int(fraction[6:].ljust(3, "0")) if len(fraction) > 6 else None
    if sign:
        offset = (int(hours) * 3600 + int(minutes or 0) * 60) * 1_000_000
        second += offset if sign == "-" else -offset
    return second, nanos


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


def read_id(value: Any, name: str) -> str | Problem | None:
    """An id as text; None if there is none: null, blank, 0, or only zeros, which some vendors write."""
    if value is None or value == "":
        return None
    if type(value) is int:
        value = str(value)
    if type(value) is not str or not value.isprintable() or value.isspace():
        return Problem(Reason.BAD_EVENT_ID, f"{name} is {shown_value(value)}")
    return None if _NO_ID.fullmatch(value) else value


def read_whole(value: Any) -> int | None:
    """A whole number of up to 18 digits, as a number or a text; None for everything else."""
    if type(value) is int:
        return value if 0 <= value < LARGEST else None
    return int(value) if type(value) is str and _WHOLE.fullmatch(value) else None


def read_text(value: Any) -> str | None:
    """A short code as text: an unchanged text or whole number; None for everything else."""
    return str(value) if type(value) is int or (type(value) is str and value) else None


def read_codes(value: Any) -> str | None:
    """Sale conditions: a list's codes joined with commas, or a single code unchanged; None if none were sent."""
    return ",".join(map(str, value)) if type(value) is list else read_text(value)


def shown_value(value: Any) -> str:
    """A value for a message to people, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
