"""Date forms, and that they are decided by the whole column."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline_tests.support.daily_files import bars, load, refusal, rejects

JAN2 = date(2024, 1, 2)


def days(*texts, header="date"):
    """The dates of a column that is read whole, None for the rejected."""
    cleaned = load(f"symbol;{header};close\n" + "".join(f"A;{text};1\n" for text in texts))
    bad = {line - 2 for line, reason in rejects(cleaned)}
    assert {reason for _, reason in rejects(cleaned)} <= {"bad_date"}
    found = iter(b["date"] for b in bars(cleaned))
    return [None if i in bad else next(found) for i in range(len(texts))]


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02",
        "2024-1-2",
        "2024/01/02",
        "2024.01.02",
        "20240102",
        "20240102.0",
        " 2024-01-02 ",
        '="2024-01-02"',
        "1/13/2024",
        "13.1.2024",
        "2-Jan-24",
        "02-JAN-2024",
        "2 January 2024",
        "2Jan2024",
        "2nd January 2024",
        "Jan 2 2024",
        "Jan 2, 2024",
        "January 2, 2024",
        "jan-02-2024",
        "2024-Jan-02",
        "Tue 02 Jan 2024",
        "Tuesday, January 2, 2024",
        "2024-01-02 (Tue)",
        "Di., 2. Jan. 2024",
        "mar. 2 ene 2024",
        "2 de enero de 2024",
        "2 janvier 2024",
        "2. Januar 2024",
        "2 gennaio 2024",
        "2 de janeiro de 2024",
        "2 januari 2024",
        "2 stycznia 2024",
        "2 Ocak 2024",
        "2024-01-02 00:00:00",
        "2024-01-02T16:00",
        "2024-01-02 00:00:00+09:00",
        "2024-01-02 16:00:00-05:00",
        "2024-01-02T00:00:00.000Z",
        "2024-01-02 00:00:00 UTC",
        "Tue, 02 Jan 2024 00:00:00 GMT",
        "Tue Jan 02 2024 00:00:00 GMT-0500 (Eastern Standard Time)",
        "20240102 16:00:00",
        "Jan 2, 2024, 4:00 p.m.",
        "1704153600",
        "1704153600.0",
        "1704153600000",
        "1704153600000000",
        "1704153600000000000",
        "1704171600",  # midnight in New York
        "1704205800000",  # its opening
        "1704229200",  # its close
    ],
)
def test_every_form_is_read(text):
    expected = date(2024, 1, 13) if "13" in text.split(":")[0][:5] else JAN2
    assert days(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "2024-00-01",
        "0000-01-01",
        "2024-01",
        "2024",
        "2024-01/02",
        "20240230",
        "0",
        "2-Foo-24",
        "2-Janu-24",
        "Wed 02 Jan 2024",  # a Tuesday
        "2024-01-02x",
        "2024-01-02T25:00",
        "2024-01-02T24:00:00",
        "2024-01-02T10:60",
        "1/2/2024 13:00 PM",
        "13/13/2024",
        "31/4/2024",
        "99-99-99",
        "tomorrow",
        "٢٠٢٤-٠١-٠٢",
        "-99999999999",
    ],
)
def test_what_is_no_date_is_rejected(text):
    assert days(text) == [None]


@pytest.mark.parametrize("text", ["", " ", "null", "N/A", "NaT", "nan", "-"])
def test_blank_dates_are_missing(text):
    cleaned = load(f"symbol,date,close\nA,{text},1\n")
    assert rejects(cleaned) == [(2, "missing_date")]


def test_two_digit_years_follow_posix():
    assert days("1-Jan-25", "1-Jan-69", "13/2/00") == [date(2025, 1, 1), date(1969, 1, 1), date(2000, 2, 13)]
    assert rejects(load("date,close\n1-Jan-68,1\n")) == [(2, "date_out_of_range")]


@pytest.mark.parametrize("text", ["45293", "45293.0", "45293.5", " 20001 "])
def test_serial_numbers_of_a_spreadsheet_are_called_what_they_are(text):
    assert "are a spreadsheet's serial numbers of days" in refusal(f"date,close\n{text},1\n")


def test_one_serial_number_among_dates_is_a_bad_date():
    assert days("2024-01-02", "45293", "2024-01-03") == [JAN2, None, date(2024, 1, 3)]


def test_epochs_at_midnight_utc_are_utc_dates_and_others_dates_in_new_york():
    assert days("1704153600", "1704240000") == [JAN2, date(2024, 1, 3)]
    assert days("1704171600", "1704258000") == [JAN2, date(2024, 1, 3)]
    assert days("1720065600", header="epoch") == [date(2024, 7, 4)]
    assert days("1720065600000000000", "1720152000000000000", header="window_start") == [
        date(2024, 7, 4) + timedelta(i) for i in (0, 1)
    ]


def test_early_epochs_belong_to_their_column():
    texts = [str(i * 86400) for i in (-3653, 0, 1, 19000, 19001, 19002, 19003)]
    expected = [date(1970, 1, 1) + timedelta(i) for i in (-3653, 0, 1, 19000, 19001, 19002, 19003)]
    assert days(*texts) == expected


def test_a_stray_number_changes_no_other_date():
    midnights = [str(1704153600 + 86400 * i) for i in range(20)]
    expected = [JAN2 + timedelta(i) for i in range(20)]
    assert days(*midnights, "5") == [*expected, None]
    assert days(*midnights, "9" * 18) == [*expected, None]
    assert days(*midnights, "junk", "2024-06-01") == [*expected, None, date(2024, 6, 1)]
    assert days("2024-01-02", "2024-01-03", "1704153600") == [JAN2, date(2024, 1, 3), None]


@given(st.dates(date(1900, 1, 1), date(2026, 3, 3)))
def test_unambiguous_forms_round_trip(day):
    forms = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%Y-%m-%dT%H:%M:%S+13:00"]
    assert days(*(f"{day:{form}}" for form in forms)) == [day] * len(forms)


@given(st.lists(st.dates(date(1973, 4, 1), date(2026, 3, 1)), min_size=1, max_size=5, unique=True))
def test_epochs_of_every_unit_round_trip(expected):
    for unit in (1, 10**3, 10**6, 10**9):
        seconds = (int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp()) for d in expected)
        assert days(*(str(s * unit) for s in seconds)) == expected
