"""Bars of a day are told from those of minutes, weeks and months."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline_tests.support.daily_files import bars, load, refusal, rejects


def series(symbol, gaps, first=date(2024, 1, 1)):
    """Rows of a symbol with so many days between them."""
    days = [first]
    for gap in gaps:
        days.append(days[-1] + timedelta(gap))
    return "".join(f"{symbol},{day},1\n" for day in days)


HEADER = "symbol,date,close\n"


@pytest.mark.parametrize(
    "rows",
    [
        "date,close\n2024-01-02 09:30,1\n2024-01-02 09:31,2\n2024-01-03 09:30,3\n2024-01-03 09:31,4\n",
        "date,time,close\n2024-01-02,09:30,1\n2024-01-02,09:31,1\n2024-01-03,09:30,1\n2024-01-03,09:31,1\n",
        "time,close\n1/13/2024 9:30 AM,1\n1/13/2024 9:30 PM,2\n1/14/2024 9:30 AM,1\n1/14/2024 9:30 PM,2\n",
        "symbol,date,close\nA,2024-01-02T16:00,1\nA,2024-01-02T16:01,1\nB,2024-01-03T16:00,1\nB,2024-01-03T16:01,1\n",
    ],
)
def test_intraday_bars_are_refused(rows):
    message = refusal(rows)
    assert message.startswith("several bars a day (such as ")
    assert "daily prices have one row a symbol and day" in message


def test_a_tenth_of_the_days_may_have_several_times():
    days = [date(2024, 1, 1) + timedelta(i) for i in range(20)]
    rows = [f"{day} 16:00,{i + 1}\n" for i, day in enumerate(days)]
    live = [f"{day} 13:00,99\n" for day in days]
    cleaned = load("date,close\n" + "".join(rows + live[:2]))
    assert rejects(cleaned) == [(2, "ambiguous"), (3, "ambiguous"), (22, "ambiguous"), (23, "ambiguous")]
    assert [b["date"] for b in bars(cleaned)] == days[2:]
    assert "several bars a day" in refusal("date,close\n" + "".join(rows + live[:3]))


@pytest.mark.parametrize("values", [("1", "2"), ("1", "1")])
def test_two_times_of_one_day_contest_it_whatever_their_values(values):
    text = f"date,time,close\n2024-01-02,09:30,{values[0]}\n2024-01-02,09:31,{values[1]}\n2024-01-03,09:30,5\n"
    cleaned = load(text)
    assert rejects(cleaned) == [(2, "ambiguous"), (3, "ambiguous")]
    assert [b["close"] for b in bars(cleaned)] == [5.0]


@pytest.mark.parametrize(
    "rows",
    [
        "date,close\n2024-01-02 16:00,1\n2024-01-02 16:00,1\n",  # the same row twice
        "date,close\n2024-01-02 16:00,1\n2024-01-03 13:00,2\n",  # a half day
        "symbol,date,close\nA,2024-01-02 16:00,1\nB,2024-01-02 13:00,2\n",
        "date,time,close\n2024-01-02,16:00,1\n2024-01-03,13:00,2\n",
    ],
)
def test_one_time_a_day_is_no_intraday_bar(rows):
    assert len(bars(load(rows))) == 2


def test_times_beside_unreadable_dates_are_no_intraday_bars():
    assert rejects(load("date,time,close\nx,09:30,1\nx,09:31,2\n")) == [(2, "bad_date"), (3, "bad_date")]


@pytest.mark.parametrize(
    ("gaps", "period"),
    [([7] * 5, "weekly"), ([7, 7, 8, 6, 7, 1], "weekly"), ([31, 29, 31, 30, 31], "monthly"), ([91] * 5, "longer")],
)
def test_bars_of_weeks_and_months_are_refused(gaps, period):
    message = refusal(HEADER + series("A", gaps))
    assert f"so their period looks {period}" in message
    assert "export daily bars" in message
    assert f"looks {period}" in refusal(HEADER + series("B", [1] * 30) + series("A", gaps))


@pytest.mark.parametrize("gaps", [[7] * 4, [1] * 30, [1, 1, 1, 1, 3] * 4, [7, 7, 7, 1, 1], [4] * 9])
def test_fewer_bars_and_shorter_gaps_are_taken(gaps):
    assert load(HEADER + series("A", gaps)).good.num_rows == len(gaps) + 1


def test_a_share_that_is_seldom_traded_is_no_weekly_bar_among_daily_ones():
    seldom = series("B", [5, 40, 9, 90, 21, 6])
    assert "days apart for the most part" in refusal(HEADER + seldom)
    assert load(HEADER + series("A", [1] * 30) + seldom).rejected.num_rows == 0


def test_rows_that_repeat_a_date_do_not_hide_the_period():
    assert "weekly" in refusal(HEADER + series("A", [7] * 6) * 3)


def test_a_few_symbols_on_days_far_apart_are_looked_at_as_well():
    """More symbols and days than a table of them all would hold."""
    apart = "".join(f"S{i},{date(1950, 1, 1) + timedelta(i)},1\n" for i in range(3000))
    assert load(HEADER + apart + apart).rows == 6000
    assert "period looks weekly" in refusal(HEADER + apart + series("A", [7] * 6))
    daily = HEADER + apart + series("A", [1] * 6)
    assert load(daily).rejected.num_rows == 0
    assert rejects(load(daily + "A,2024-01-01,2\n")) == [(3002, "ambiguous"), (3009, "ambiguous")]


@given(st.lists(st.integers(1, 40), max_size=30))
def test_the_rule_is_that_of_four_fifths(gaps):
    expected = len(gaps) >= 5 and 5 * sum(gap >= 5 for gap in gaps) >= 4 * len(gaps)
    try:
        load(HEADER + series("A", gaps))
    except FileRefused as refused:
        assert "days apart" in str(refused)  # noqa: PT017
        assert expected
    else:
        assert not expected
