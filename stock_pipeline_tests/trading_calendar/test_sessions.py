"""The trading calendar."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import SimulationError, StockPipelineError
from stock_pipeline.trading_calendar.sessions import (
    FIRST_DAY,
    LAST_DAY,
    is_session,
    last_closed_session,
    last_opened_session,
    session_length,
    session_times,
    sessions,
)
from stock_pipeline_tests.trading_calendar import xnys

NEW_YORK = ZoneInfo("America/New_York")
SPAN = sessions(FIRST_DAY, LAST_DAY)


def test_three_years_have_753_sessions() -> None:
    assert len(sessions(date(2022, 1, 1), date(2024, 12, 31))) == 753


@pytest.mark.parametrize(
    "day",
    [
        date(2024, 1, 1),
        date(2024, 3, 29),  # Good Friday
        date(2024, 7, 4),
        date(2024, 11, 28),  # Thanksgiving
        date(2022, 6, 20),  # Juneteenth, observed on a Monday
        date(2001, 9, 11),
        date(2012, 10, 29),  # hurricane Sandy
        date(2025, 1, 9),  # a day of mourning
        date(2024, 6, 8),  # a Saturday
    ],
)
def test_the_exchange_is_closed(day: date) -> None:
    assert not is_session(day)
    assert sessions(day, day) == []
    with pytest.raises(SimulationError, match=f"{day} is not a trading session"):
        session_times(day)


@pytest.mark.parametrize(
    ("day", "opened", "closed"),
    [
        (date(2024, 1, 2), "14:30", "21:00"),
        (date(2024, 7, 2), "13:30", "20:00"),
        (date(2024, 7, 3), "13:30", "17:00"),
        (date(2024, 11, 29), "14:30", "18:00"),
        (date(2024, 12, 24), "14:30", "18:00"),
    ],
)
def test_sessions_open_and_close_in_utc(day: date, opened: str, closed: str) -> None:
    times = session_times(day)
    assert [f"{t:%Y-%m-%d %H:%M %Z}" for t in times] == [f"{day} {opened} UTC", f"{day} {closed} UTC"]


def test_a_half_day_is_seven_thirteenths_of_a_full_one() -> None:
    assert session_length(date(2024, 11, 27)) == 1
    assert session_length(date(2024, 11, 29)) == pytest.approx(7 / 13)


@given(st.dates(FIRST_DAY, LAST_DAY), st.dates(FIRST_DAY, LAST_DAY))
def test_a_range_is_the_part_of_the_whole_that_lies_in_it(start: date, end: date) -> None:
    assert sessions(start, end) == [day for day in SPAN if start <= day <= end]


@given(st.sampled_from(SPAN))
def test_trading_days_lie_on_weekdays_from_half_past_nine(day: date) -> None:
    opened, closed = session_times(day)
    local = opened.astimezone(NEW_YORK)
    assert (local.date(), local.hour, local.minute) == (day, 9, 30)
    assert day.weekday() < 5
    assert timedelta(hours=3) <= closed - opened <= timedelta(hours=6, minutes=30)


@given(st.dates(date(1990, 1, 4), date(2049, 12, 30)), st.times(timezones=st.sampled_from([UTC, NEW_YORK])))
def test_the_last_closed_session_has_closed_and_the_next_has_not(day: date, clock: time) -> None:
    now = datetime.combine(day, clock)
    closed, opened = last_closed_session(now), last_opened_session(now)
    assert session_times(closed)[1] <= now < session_times(SPAN[SPAN.index(closed) + 1])[1]
    assert session_times(opened)[0] <= now < session_times(SPAN[SPAN.index(opened) + 1])[0]


@pytest.mark.parametrize(
    ("now", "closed", "opened"),
    [
        ("2024-11-29T17:59:59+00:00", "2024-11-27", "2024-11-29"),
        ("2024-11-29T18:00:00+00:00", "2024-11-29", "2024-11-29"),
        ("2024-11-29T14:29:59+00:00", "2024-11-27", "2024-11-27"),
        ("2024-11-29T14:30:00+00:00", "2024-11-27", "2024-11-29"),
        ("2024-12-01T12:00:00-05:00", "2024-11-29", "2024-11-29"),
    ],
)
def test_the_last_session_changes_at_the_bell(now: str, closed: str, opened: str) -> None:
    assert last_closed_session(datetime.fromisoformat(now)) == date.fromisoformat(closed)
    assert last_opened_session(datetime.fromisoformat(now)) == date.fromisoformat(opened)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(SimulationError, match="no time zone"):
        last_closed_session(datetime(2024, 5, 1, 12))  # noqa: DTZ001


@pytest.mark.parametrize("day", [FIRST_DAY - timedelta(days=1), LAST_DAY + timedelta(days=1)])
def test_a_day_outside_the_calendar_is_refused_with_its_span(day: date) -> None:
    for ask in (lambda: sessions(day, day), lambda: is_session(day), lambda: session_times(day)):
        with pytest.raises(StockPipelineError, match="1990-01-01 to 2049-12-31"):
            ask()


def test_before_the_first_session_none_has_closed() -> None:
    with pytest.raises(SimulationError, match="before the first session"):
        last_closed_session(datetime(1990, 1, 1, 12, tzinfo=UTC))


def test_a_time_is_not_taken_for_a_day() -> None:
    with pytest.raises(SimulationError, match="not a day"):
        is_session(datetime(2024, 5, 1, tzinfo=UTC))


def test_the_sessions_and_their_times_are_those_of_the_library() -> None:
    assert {day: session_times(day) for day in SPAN} == xnys.of_the_library()


def test_the_calendar_is_what_is_written_from_the_library() -> None:
    assert xnys.MODULE.read_text() == xnys.render(), "run python -m stock_pipeline_tests.trading_calendar.xnys"


def test_an_answer_takes_no_library() -> None:
    code = (
        "import sys, datetime\n"
        "from stock_pipeline.simulate import daily, faults, ticks\n"
        "from stock_pipeline.trading_calendar import sessions\n"
        "print(sessions.is_session(datetime.date(2024, 5, 1)))\n"
        "print([m for m in ('pandas', 'exchange_calendars', 'boto3', 'dagster') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["True", "[]"]
