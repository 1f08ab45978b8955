"""The exchange's own date of a moment. A session that ends at 20:00 in New York spans two days of UTC.

This module only converts columns of times to dates. Which dates have a session is in sessions.py.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from stock_pipeline.arrow import Ints

_EPOCH = date(1970, 1, 1).toordinal()
_HOUR = 3_600_000_000  # microseconds
_MOST_HOURS = 100_000  # the longest table by hour; times that are further apart are looked up one by one


def session_days(micros: Ints) -> Ints:
    """The dates in New York, as days since 1970, of times in microseconds since 1970 (UTC).

    Since 1970 New York's offset from UTC has been a whole number of hours, so the hour of a time decides its date.
    """
    if not len(micros):
        return np.zeros(0, np.int64)
    hours = micros // _HOUR
    first, last = int(hours.min()), int(hours.max())
    if last - first < _MOST_HOURS:
        wanted, at = np.arange(first, last + 1), hours - first
    else:
        wanted, at = np.unique(hours, return_inverse=True)
    days: Ints = np.array([_day_of_hour(hour) for hour in wanted.tolist()], np.int64)[at]
    return days


@lru_cache(8192)
def _day_of_hour(hour: int) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return moment.astimezone(_zone()).date().toordinal() - _EPOCH


@lru_cache(1)
def _zone() -> ZoneInfo:
    return ZoneInfo("America/New_York")
