"""Day or month first: proven by a part above 12, decided by the spacing, said by the hint, or refused."""

from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline_tests.support.daily_files import bars, load, refusal

FORMS = {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y"}


def read(texts, **options):
    """The dates of a column, in its order, and the evidence."""
    cleaned = load("date;close\n" + "".join(f"{text};1\n" for text in texts), **options)
    assert cleaned.rejected.num_rows == 0
    return [b["date"] for b in bars(cleaned)], cleaned.decided.get("dates")


def message(texts, **options):
    return refusal("date;close\n" + "".join(f"{text};1\n" for text in texts), **options)


@pytest.mark.parametrize("separator", "/-.")
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2/1/2024", "13/1/2024"], [date(2024, 1, 2), date(2024, 1, 13)]),
        (["1/2/2024", "1/13/2024"], [date(2024, 1, 2), date(2024, 1, 13)]),
        (["1/2/24", "1/31/24"], [date(2024, 1, 2), date(2024, 1, 31)]),
        (["99-12-31", "99-12-30"], [date(1999, 12, 31), date(1999, 12, 30)]),
    ],
)
def test_one_value_that_fits_in_one_order_only_decides(separator, texts, expected):
    texts = [text.replace("/", separator).replace("-", separator) for text in texts]
    assert read(texts) == (expected, "proof")
    assert read(texts[::-1]) == (expected[::-1], "proof")


@pytest.mark.parametrize("separator", "/-.")
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["02/01/2024", "03/01/2024"], [date(2024, 1, 2), date(2024, 1, 3)]),
        (["01/02/2024", "01/03/2024"], [date(2024, 1, 2), date(2024, 1, 3)]),
        (["05/01/2024", "08/01/2024", "02/01/2024"], [date(2024, 1, 5), date(2024, 1, 8), date(2024, 1, 2)]),
        (["24-01-02", "24-01-03"], [date(2024, 1, 2), date(2024, 1, 3)]),
        (["02/01/24", "03/01/24", "04/01/24"], [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 4)]),
        (["02/01/2024 00:00:00", "03/01/2024 00:00:00"], [date(2024, 1, 2), date(2024, 1, 3)]),
    ],
)
def test_else_the_reading_of_days_in_a_row_without_weekends_decides(separator, texts, expected):
    texts = [text.replace("/", separator).replace("-", separator) for text in texts]
    assert read(texts) == (expected, "spacing")


@pytest.mark.parametrize(
    "texts",
    [
        ["03/01/2024"],
        ["03/01/2024", "03/01/2024"],
        ["24-01-02"],
        ["06/01/2024", "07/01/2024"],  # a weekend in January, two months on their first
        ["01/02/2024", "02/01/2024"],  # a month apart in both
        ["02/01/2024", "09/01/2024"],  # a week apart, and months
        ["1.2.2024"],
        ["1/2/2024", "3.4.2024"],
    ],
)
def test_else_the_file_is_refused_and_the_hint_decides(texts):
    said = message(texts)
    assert "can be read in two ways; give --dates dmy, mdy or ymd" in said
    orders = ["dmy", "ymd"] if texts[0].startswith("24") else ["dmy", "mdy"]
    readings = [read(texts, hints=Hints(dates=order)) for order in orders]
    assert all(evidence == "hint" for _, evidence in readings)
    assert readings[0] != readings[1]


def test_dates_that_are_the_same_in_every_order_need_no_evidence():
    assert read(["2-2-2024"]) == ([date(2024, 2, 2)], None)
    assert read(["01/01/2024", "2024-01-02"]) == ([date(2024, 1, 1), date(2024, 1, 2)], None)


def test_weekdays_that_the_texts_name_are_proof():
    assert read(["Tue 02/01/2024"]) == ([date(2024, 1, 2)], "proof")
    assert read(["Thu 02/01/2024"]) == ([date(2024, 2, 1)], "proof")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["13/1/2024", "1/13/2024"], "with the month first ('1/13/2024') and with the day first ('13/1/2024')"),
        (["31/12/2024", "01/02/2024", "01/03/2024", "01/04/2024"], "are days in a row only with the month first"),
    ],
)
def test_evidence_for_both_refuses_the_file(texts, says):
    assert says in message(texts)


@pytest.mark.parametrize(
    ("texts", "order", "says"),
    [
        (["13/01/2024"], "mdy", "the hint says the month first (mdy), but '13/01/2024' cannot have this order"),
        (["13/01/2024"], "ymd", "the hint says the year first (ymd)"),
        (["02/01/2024", "03/01/2024"], "mdy", "are days in a row, without weekends, only with the day first (dmy)"),
    ],
)
def test_a_hint_that_the_dates_contradict_refuses_the_file(texts, order, says):
    assert says in message(texts, hints=Hints(dates=order))


def test_a_hint_says_nothing_of_plain_dates():
    assert read(["2024-01-02", "3-Jan-24"], hints=Hints(dates="dmy")) == ([date(2024, 1, 2), date(2024, 1, 3)], None)


sessions = st.dates(date(1970, 1, 5), date(2025, 11, 1)).flatmap(
    lambda first: st.integers(1, 30).map(
        lambda n: [day for i in range(n) if (day := first + timedelta(i)).weekday() < 5]
    )
)


@given(sessions, st.sampled_from(["dmy", "mdy"]), st.randoms(use_true_random=False))
def test_a_series_of_sessions_is_read_right_or_refused_in_any_order(days, order, random):
    assume(days)
    texts = [day.strftime(FORMS[order]) for day in days]
    try:
        dates, evidence = read(texts)
    except FileRefused as refused:
        assert "two ways" in str(refused)  # noqa: PT017
        assert len(days) < 13
        assert read(texts, hints=Hints(dates=order))[0] == days
        return
    assert dates == days
    mixed = random.sample(texts, len(texts))
    assert read(mixed) == ([days[texts.index(text)] for text in mixed], evidence)


@given(
    st.lists(st.dates(date(1970, 1, 1), date(2025, 12, 31)), min_size=1, max_size=8), st.sampled_from(["dmy", "mdy"])
)
def test_a_hint_reads_any_dates_as_they_were_written_or_the_file_contradicts_it(days, order):
    texts = [day.strftime(FORMS[order]) for day in days]
    try:
        cleaned = load("date;close\n" + "".join(f"{text};1\n" for text in texts), hints=Hints(dates=order))
    except FileRefused as refused:
        assert "days in a row" in str(refused) or "days apart" in str(refused)  # noqa: PT017
        return
    assert [b["date"] for b in bars(cleaned)] == days
