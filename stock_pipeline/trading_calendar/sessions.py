"""The trading calendar: sessions of XNYS, the New York Stock Exchange, with their opening and closing times.

The days and times are those of the library exchange_calendars: holidays, half days, unscheduled closings such as
2001-09-11. `xnys` keeps only what differs from an ordinary weekday. The library itself is not imported: it brings
pandas, adds a hundred megabytes to the package of a Lambda function, and needs about a second for its first answer. The
span is fixed, so that no answer depends on today's date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stock_pipeline.errors import SimulationError
from stock_pipeline.trading_calendar import xnys

FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2049, 12, 31)

_FULL_SESSION = timedelta(hours=6, minutes=30)
_HOUR = np.timedelta64(1, "h")
_OPENS = np.timedelta64(9 * 60 + 30, "m")  # from midnight in New York


@dataclass(frozen=True)
class _Calendar:
    """Parallel arrays over all sessions, in order; times are UTC."""

    days: NDArray[np.datetime64]
    opens: NDArray[np.datetime64]
    closes: NDArray[np.datetime64]


@cache
def _calendar() -> _Calendar:
    span = np.arange(np.datetime64(FIRST_DAY, "D"), np.datetime64(LAST_DAY, "D") + np.timedelta64(1, "D"))
    days = span[np.is_busday(span, holidays=_days(xnys.CLOSED))]
    is_summer = (
        np.searchsorted(_days(xnys.CLOCKS), days, "right") % 2 == 1
    )  # clocks have gone forward, and not back yet
    midnight = np.add(days.astype("datetime64[us]"), np.where(is_summer, 4, 5) * _HOUR)
    length = np.full(len(days), _OPENS + np.timedelta64(_FULL_SESSION))
    for early, hour in ((xnys.UNTIL_13, 13), (xnys.UNTIL_14, 14)):
        length[np.isin(days, _days(early))] = hour * _HOUR
    return _Calendar(days, midnight + _OPENS, midnight + length)


def _days(text: str) -> NDArray[np.datetime64]:
    """The days of a list in `xnys`. Each line is a year with its days, MMDD."""
    years = (line.split() for line in text.strip().splitlines())
    return np.array([f"{year}-{day[:2]}-{day[2:]}" for year, *days in years for day in days], "datetime64[D]")


def sessions(start: date, end: date) -> list[date]:
    """The sessions from `start` to `end`, both included, in order; none if `end` is before `start`.

    Raises SimulationError when either is outside the calendar (1990 to 2049).
    """
    _check(start)
    _check(end)
    days = _calendar().days
    first = np.searchsorted(days, np.datetime64(start, "D"))
    last = np.searchsorted(days, np.datetime64(end, "D"), "right")
    found: list[date] = days[first:last].tolist()
    return found


def is_session(day: date) -> bool:
    """Whether the exchange trades on that day. Raises SimulationError outside the calendar."""
    return bool(sessions(day, day))


def session_times(session: date) -> tuple[datetime, datetime]:
    """When a session opens and closes, in UTC (14:30 and 21:00 in winter; half days close three hours early).

    Raises SimulationError when the exchange does not trade on that day, or outside the calendar.
    """
    if not is_session(session):
        raise SimulationError(f"{session} is not a trading session of XNYS (a weekend, a holiday); take another day")
    calendar = _calendar()
    at = np.searchsorted(calendar.days, np.datetime64(session, "D"))
    return _moment(calendar.opens[at]), _moment(calendar.closes[at])


def session_length(session: date) -> float:
    """How long a session lasts as a share of a full one: 1, or about 0.54 on half days. Errors as `session_times`."""
    opened, closed = session_times(session)
    return (closed - opened) / _FULL_SESSION


def last_closed_session(now: datetime) -> date:
    """The latest session that has closed by `now`, a time with a zone.

    Raises SimulationError when `now` has no zone or is outside the calendar.
    """
    return _latest(_calendar().closes, now)


def last_opened_session(now: datetime) -> date:
    """The latest session that has opened by `now`: the current one while the exchange trades. Errors as above."""
    return _latest(_calendar().opens, now)


def _latest(moments: NDArray[np.datetime64], now: datetime) -> date:
    if now.tzinfo is None:
        raise SimulationError(f"{now} has no time zone; give one, e.g. datetime.now(UTC)")
    instant = now.astimezone(UTC)
    _check(instant.date())
    at = np.searchsorted(moments, np.datetime64(instant.replace(tzinfo=None), "us"), "right")
    if at == 0:
        raise SimulationError(f"{now} is before the first session of the calendar, {FIRST_DAY:%Y}")
    session: date = _calendar().days[at - 1].item()
    return session


def _check(day: date) -> None:
    # A datetime is also a date for Python, and would be compared with its hour.
    if isinstance(day, datetime):
        raise SimulationError(f"{day} is a time, not a day; give its .date() in the exchange's zone")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise SimulationError(f"{day} is outside the trading calendar, which spans {FIRST_DAY} to {LAST_DAY}")


def _moment(utc: np.datetime64) -> datetime:
    naive: datetime = utc.astype(datetime)
    return naive.replace(tzinfo=UTC)
