"""Counts, prices and times as texts for people, the same on the board and in the terminal."""

from __future__ import annotations

from datetime import timedelta


def price_text(price: float) -> str:
    """A price to the cent; below a dollar, with as many decimals as it needs."""
    return f"{price:,.2f}" if price >= 1 else f"{price:.8f}".rstrip("0").ljust(4, "0")


def age(passed: timedelta) -> str:
    """How long ago, to one unit: `4 s`, `12 min`, `3 h`, `5 d`."""
    seconds = max(int(passed.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def seconds_text(seconds: float) -> str:
    """A length of time in seconds, to three digits or to one unit: `0.25 s`, `3.2 s`, `12 min`."""
    return f"{seconds:.3g} s" if seconds < 60 else age(timedelta(seconds=seconds))


def counted(number: int, what: str) -> str:
    """`1 row`, `1,250 rows`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
