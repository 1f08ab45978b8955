"""The partitions of the assets: raw prices by trading session, their table by year, ticks by day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from stock_pipeline.trading_calendar.sessions import sessions

EXCHANGE_TIME = "America/New_York"
"""The time zone of XNYS. Schedules use it, so that they keep the exchange's time in summer and in winter."""

FIRST_SESSION_DAY = date(2022, 1, 1)
FIRST_YEAR = (
    1962  # the first year of most vendors' daily prices; older rows are stored too, without a partition in Dagster
)


def _holidays(first: date, last: date) -> list[datetime]:
    """The days from Monday to Friday on which XNYS does not trade."""
    trading = set(sessions(first, last))
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    return [datetime.combine(day, time()) for day in days if day.weekday() < 5 and day not in trading]


def daily_sessions(today: date) -> dg.TimeWindowPartitionsDefinition:
    """One partition per session of XNYS, from 2022 on. Holidays are known to the end of the year after `today`.

    Windows end at midnight UTC, three or four hours after the close. So the partition of a session that is still open
    does not exist, and nobody can materialize half a day.
    """
    return dg.TimeWindowPartitionsDefinition(
        start=FIRST_SESSION_DAY.isoformat(),
        fmt="%Y-%m-%d",
        cron_schedule="0 0 * * *",
        exclusions=["0 0 * * 6,0", *_holidays(FIRST_SESSION_DAY, date(today.year + 1, 12, 31))],
    )


DAILY = daily_sessions(datetime.now(UTC).date())

# end_offset: the current year is a partition from its first day on, not only once it is over.
YEARLY = dg.TimeWindowPartitionsDefinition(start=str(FIRST_YEAR), fmt="%Y", cron_schedule="0 0 1 1 *", end_offset=1)

# Without the allowance, a year could not be materialized before its last session is over.
SESSIONS_OF_YEAR = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def has_year(year: int) -> bool:
    """Whether a year is a partition: from 1962 to the current one."""
    return FIRST_YEAR <= year <= datetime.now(UTC).year


FIRST_TICK_DAY = date(2020, 1, 1)  # older ticks are stored too, without a partition in Dagster

# Every day of the UTC calendar, because coins trade on all days. end_offset: today is a partition already.
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_TICK_DAY.isoformat(), end_offset=1)


def has_day(day: date) -> bool:
    """Whether a day is a partition of ticks: from 2020 to today, in UTC."""
    return FIRST_TICK_DAY <= day <= datetime.now(UTC).date()
