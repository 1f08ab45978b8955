"""Instants become dates by the exchange's zone: known by a hint, a suffix or the times themselves, else refused."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.parse.daily.exchange_zones import SUNDAY_SESSIONS, zone_of
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline_tests.support.daily_files import bars, load, refusal, rejects

WEEK = [date(2024, 1, 8) + timedelta(i) for i in range(5)]  # Monday to Friday
SUMMER_AND_WINTER = [*WEEK, *(date(2024, 7, 8) + timedelta(i) for i in range(5))]


def epochs(days, zone, at=time(0), unit=1):
    """The instants of a time of day in a zone, as epochs."""
    return [str(int(datetime.combine(day, at, ZoneInfo(zone)).timestamp()) * unit) for day in days]


def in_utc(days, zone, at=time(0)):
    return [datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC).isoformat() for day in days]


def table(texts, symbol="ABC"):
    return "symbol,time,close\n" + "".join(f"{symbol},{text},{i + 1}\n" for i, text in enumerate(texts))


def days(texts, symbol="ABC", **options):
    cleaned = load(table(texts, symbol), **options)
    assert cleaned.rejected.num_rows == 0
    return [b["date"] for b in bars(cleaned)], cleaned.decided.get("timezone")


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_instants_at_midnight_utc_are_those_dates(unit):
    assert days(epochs(WEEK, "UTC", unit=unit)) == (WEEK, "midnights")
    assert days(in_utc(WEEK, "UTC")) == (WEEK, "midnights")
    assert days(epochs(WEEK, "UTC"), hints=Hints(timezone="America/New_York")) == (WEEK, "midnights")


@pytest.mark.parametrize("at", [time(0), time(9, 30), time(16)])
def test_new_york_is_known_by_its_midnight_opening_and_close(at):
    assert days(epochs(SUMMER_AND_WINTER, "America/New_York", at)) == (SUMMER_AND_WINTER, "session times")
    assert days(in_utc(SUMMER_AND_WINTER, "America/New_York", at)) == (SUMMER_AND_WINTER, "session times")


@pytest.mark.parametrize(
    ("zone", "at", "suffix"),
    [
        ("Asia/Kolkata", time(9, 15), "NS"),
        ("Asia/Kolkata", time(0), "BO"),
        ("Asia/Hong_Kong", time(9, 30), "HK"),
        ("Asia/Tokyo", time(0), "T"),
        ("Asia/Seoul", time(0), "KS"),
        ("Australia/Sydney", time(10), "AX"),
        ("Europe/Berlin", time(0), "DE"),
        ("Europe/Paris", time(9), "PA"),
        ("Europe/London", time(8), "L"),
        ("America/Toronto", time(10, 15), "TO"),
    ],
)
def test_other_zones_need_a_hint_or_the_suffix_of_an_exchange(zone, at, suffix):
    for texts in (epochs(SUMMER_AND_WINTER, zone, at), in_utc(SUMMER_AND_WINTER, zone, at)):
        assert "give --timezone with the exchange's zone" in refusal(table(texts))
        assert days(texts, hints=Hints(timezone=zone)) == (SUMMER_AND_WINTER, "hint")
        assert days(texts, f"ABC.{suffix}") == (SUMMER_AND_WINTER, "suffix")


def test_each_symbol_is_read_in_the_zone_of_its_own_suffix():
    texts = {"VOD.L": epochs(WEEK, "Europe/London", time(8)), "7203.T": epochs(WEEK, "Asia/Tokyo", time(9))}
    texts["0700.HK"] = epochs(WEEK, "Asia/Hong_Kong", time(0))
    rows = [f"{symbol},{text},1" for symbol, of in texts.items() for text in of]
    cleaned = load("\n".join(["symbol,time,close", *rows]))
    assert [b["date"] for b in bars(cleaned)] == WEEK * 3
    rows.append(f"ABC,{epochs(WEEK, 'Asia/Hong_Kong', time(9))[0]},1")
    assert "nothing says in which timezone" in refusal("\n".join(["symbol,time,close", *rows]))


@pytest.mark.parametrize(
    ("zone", "at", "wrong"),
    [
        ("Asia/Kolkata", time(9, 15), "America/New_York"),
        ("Asia/Tokyo", time(0), "America/New_York"),
        ("Europe/Berlin", time(0), "UTC"),
        ("America/New_York", time(16), "Asia/Tokyo"),
    ],
)
def test_sessions_on_weekends_show_that_the_zone_is_the_wrong_one(zone, at, wrong):
    message = refusal(table(epochs(WEEK, zone, at)), hints=Hints(timezone=wrong))
    assert f"in the timezone {wrong}" in message
    assert "the dates would be a day off" in message


def test_where_weekends_are_days_of_trade_they_show_nothing():
    sunday_to_thursday = [day - timedelta(1) for day in WEEK]
    for symbol in ("ABC.TA", "ABC.SR"):
        zone = zone_of(symbol)
        assert zone in SUNDAY_SESSIONS
        assert days(epochs(sunday_to_thursday, zone, time(10)), symbol) == (sunday_to_thursday, "suffix")
    every_day = [date(2024, 1, 1) + timedelta(i) for i in range(14)]
    assert days(epochs(every_day, "Asia/Tokyo", time(9, 30)), hints=Hints(timezone="Asia/Tokyo"))[0] == every_day


def test_midnight_with_an_offset_of_its_own_is_the_date_that_it_shows():
    texts = [f"{day} 00:00:00+05:30" for day in WEEK]
    assert days(texts) == (WEEK, None)
    assert days(texts, hints=Hints(timezone="Asia/Kolkata")) == (WEEK, None)
    assert "is not midnight there" in refusal(table(texts), hints=Hints(timezone="Asia/Tokyo"))
    assert days(["2024-03-08 00:00:00-05:00", "2024-03-11 00:00:00-04:00"])[0] == [date(2024, 3, 8), date(2024, 3, 11)]


@pytest.mark.parametrize("offset", ["-05:00", "+00:00", "Z", "+09:00"])
def test_a_live_row_among_midnights_of_its_offset_is_the_date_that_it_shows(offset):
    texts = [*(f"{day}T00:00:00{offset}" for day in WEEK[:4]), f"{WEEK[4]}T16:00:01{offset}"]
    assert days(texts)[0] == WEEK


@pytest.mark.parametrize("last", ["2024-06-03T23:00:00Z", "2024-06-03T22:00:00Z", "2024-06-03T14:00:00+02:00"])
def test_a_midnight_of_summer_or_of_another_offset_is_no_live_row(last):
    message = refusal(table([f"{WEEK[0]}T00:00:00Z", f"{WEEK[1]}T00:00:00Z", last]))
    assert "nothing says in which timezone" in message


def test_many_other_times_are_no_live_rows():
    texts = [f"{day}T00:00:00-05:00" for day in WEEK[:3]] + [f"{day}T13:00:01-05:00" for day in WEEK[3:]]
    assert "nothing says in which timezone" in refusal(table(texts))


def test_an_evening_session_is_a_session():
    mornings = epochs([date(2022, 10, 20), date(2022, 10, 21), date(2022, 10, 25)], "Asia/Kolkata", time(9, 15))
    evening = epochs([date(2022, 10, 24)], "Asia/Kolkata", time(18, 15))
    found, _ = days([*mornings, *evening], hints=Hints(timezone="Asia/Kolkata"))
    assert found == [date(2022, 10, 20), date(2022, 10, 21), date(2022, 10, 25), date(2022, 10, 24)]


def test_a_date_time_without_an_offset_is_no_instant():
    assert days([f"{day} 22:00:00" for day in WEEK]) == (WEEK, None)


def test_a_few_strays_among_midnights_are_no_dates():
    many = [date(2024, 1, 1) + timedelta(i) for i in range(20)]
    cleaned = load(table([*epochs(many, "UTC"), "1704205800"]))
    assert rejects(cleaned) == [(22, "bad_date")]
    assert [b["date"] for b in bars(cleaned)] == many


ZONES = [
    (zone, f"X.{suffix}") for zone, suffix in (("Asia/Tokyo", "T"), ("Europe/Paris", "PA"), ("Asia/Kolkata", "NS"))
]


@given(
    st.sampled_from(ZONES),
    st.times().map(lambda t: t.replace(microsecond=0)),
    st.sets(st.dates(date(1990, 1, 1), date(2025, 12, 31)).filter(lambda d: d.weekday() < 5), min_size=1, max_size=5),
)
def test_a_session_in_a_zone_is_its_date_there(zone, at, some_days):
    name, symbol = zone
    expected = sorted(some_days)
    texts = epochs(expected, name, at)
    for found, _ in (days(texts, hints=Hints(timezone=name)), days(texts, symbol)):
        if any(int(text) % 86400 for text in texts):
            assert found == expected
        else:  # midnights in UTC are those dates in every zone
            assert found == [datetime.fromtimestamp(int(text), UTC).date() for text in texts]
