"""The law of the snapshot in plain Python: the greatest of the ticks of history that may set a price and are not taken
back.

A trade that may not set the last price is greatest only while its symbol has no other trade. A corrected trade counts
instead of the trade that it corrects. Nothing here calls the code under test. Rows are dictionaries, as stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

Row = dict[str, Any]
_NEW_YORK = ZoneInfo("America/New_York")


def reference(row: Row) -> tuple[Any, ...] | None:
    """What a venue knows a trade by, within its symbol; None for one that is never taken back by number."""
    if row["exchange"] is None or row["trade_number"] is None:
        return None
    session = row["produced_at"].astimezone(_NEW_YORK).date().isoformat()
    return row["exchange"], session, row["trade_number"], row["price"], row["size"]


def parsed(text: str) -> tuple[Any, ...]:
    """A reference as `trade_corrections` writes it."""
    exchange, session, number, price, size = text.split(":")
    return exchange, session, int(number), float(price), float(size) if size else None


def order(row: Row) -> tuple[Any, ...]:
    """The order of ticks: may it set the last price, its time, then the venue's order within it."""
    numbers = (
        -1 if row[name] is None else row[name] for name in ("nanos", "sequence", "trade_number", "line", "place")
    )
    return row["sets_last"] is not False, row["produced_at"].astimezone(UTC), *numbers, row["event_id"]


def standing(history: Iterable[Row], corrections: Iterable[Row]) -> list[Row]:
    """The ticks of history that count, as they count."""
    by = {(row["symbol"], parsed(row["reference"])): row for row in corrections}
    found = []
    for trade in history:
        if trade["corrects"] is not None:
            continue
        now: Row | None = dict(trade)
        named, seen = reference(trade), set[Any]()
        while now and named is not None and named not in seen and (by_ := by.get((trade["symbol"], named))):
            seen.add(named)
            if by_["price"] is None:
                now = None
            else:
                now |= {name: by_[name] for name in ("price", "size", "event_id", "sets_last")}
                named = parsed(by_["replacement"])
        if now:
            found.append(now)
    return found


def snapshot(history: Iterable[Row], corrections: Iterable[Row], until: datetime | None = None) -> dict[str, Row]:
    """The latest price of each symbol."""
    best: dict[str, Row] = {}
    for row in standing(history, corrections):
        if (until is None or row["produced_at"] <= until) and order(row) >= order(best.get(row["symbol"], row)):
            best[row["symbol"]] = row
    return best
