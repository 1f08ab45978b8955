"""The trading calendar: sessions of XNYS, the New York Stock Exchange, with their opening and closing times.

The days and times come from exchange_calendars (holidays, half days, unscheduled closings such as 2001-09-11). That
library brings pandas, about half a second, so it is imported at the first question and not before; the answers are kept
as numpy arrays. The span is fixed, so that no answer depends on the day it was asked; a narrower one saves no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stock_pipeline.errors import SimulationError

FIRST_DAY = date(1990, 1, 1)
LAST_DAY = date(2049, 12, 31)

_FULL_SESSION = timedelta(hours=6, minutes=30)


@dataclass(frozen=True)
class _Calendar:
    """Parallel arrays over all sessions, in order; times are UTC."""

    days: NDArray[np.datetime64]
    opens: NDArray[np.datetime64]
    closes: NDArray[np.datetime64]


@cache
def _calendar() -> _Calendar:
    # pandas comes with it: see the module's docstring
    from exchange_calendars.exchange_calendar_xnys import XNYSExchangeCalendar

    xnys = XNYSExchangeCalendar(start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
    # the unit of their times differs between versions of pandas
    opens, closes = (np.asarray(times.dt.tz_convert(None), "datetime64[us]") for times in (xnys.opens, xnys.closes))
    return _Calendar(np.asarray(xnys.sessions, "datetime64[D]"), opens, closes)


def sessions(start: date, end: date) -> list[date]:
    """The sessions from `start` to `end`, both included, in order; none if `end` lies before `start`.

    Raises SimulationError when either lies outside the calendar (1990 to 2049).
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

    Raises SimulationError when `now` has no zone or lies outside the calendar.
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
        raise SimulationError(f"{now} lies before the first session of the calendar, {FIRST_DAY:%Y}")
    session: date = _calendar().days[at - 1].item()
    return session


def _check(day: date) -> None:
    # A datetime is a date as well, and would be compared as one only by accident of its hour.
    if isinstance(day, datetime):
        raise SimulationError(f"{day} is a time, not a day; give its .date() in the exchange's zone")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise SimulationError(f"{day} lies outside the trading calendar, which spans {FIRST_DAY} to {LAST_DAY}")


def _moment(utc: np.datetime64) -> datetime:
    naive: datetime = utc.astype(datetime)
    return naive.replace(tzinfo=UTC)
