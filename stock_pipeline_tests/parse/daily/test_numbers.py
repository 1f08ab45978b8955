"""How numbers are written, and that the optimistic cast and the patterns take exactly the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.arrow import strings
from stock_pipeline.parse.daily.decimal_mark import Mark
from stock_pipeline.parse.daily.numbers import read_cells, read_numbers
from stock_pipeline_tests.support.daily_files import bars, load

AWKWARD = (
    "0 1 1. .5 -.5 +1 -0 00 1e5 1E+5 5.e-3 1e 1e+ e5 . - -- + +-1 1.2.3 1..2 0x10 1_0 1f 1,5 1,234 12,34 1,234,567.5 "
    "1,23 ,5 $1 -$1 $-1 $$1 1$ $ nan NaN -nan nan(1) inf +Infinity infinit 1e400 -1e999 1e-400 null NULL None N/A #N/A "
    "NA n.a. TRUE ٣ 1\u00a0000 １ € €5 (5) 5% 9007199254740993 123456789012345678901234567890 1.234.567 1.234,5 ''"
).split(" ")


def read(texts, *, cast=True, mark=Mark.POINT, price=True):
    numbers = read_numbers(read_cells(strings(texts), cast=cast), mark, price=price)
    bad = dict(zip(numbers.bad.tolist(), numbers.bad_texts, strict=True))
    missing = set() if numbers.missing is None else set(np.flatnonzero(numbers.missing))
    return ["missing" if i in missing else "bad" if i in bad else v for i, v in enumerate(numbers.values.tolist())]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1", -1.0),
        ("+1", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("007", 7.0),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        (" 1.5\t", 1.5),
        ("25643711.0", 25643711.0),
        ("4,787,699", 4787699.0),
        ("1,234.5", 1234.5),
        ("-1,234", -1234.0),
        ("$12.30", 12.3),
        ("-$0.50", -0.5),
        ("$ 1,234.50", 1234.5),
        ("", "missing"),
        ("  ", "missing"),
        ("-", "missing"),
        ("--", "missing"),
        ("null", "missing"),
        ("NULL", "missing"),
        ("None", "missing"),
        ("na", "missing"),
        ("N/A", "missing"),
        ("#N/A", "missing"),
        ("NaN", "missing"),
        ("nan", "missing"),
        ("<NA>", "missing"),
        ("#N/A N/A", "missing"),
        ("-inf", np.inf),
        ("Infinity", np.inf),
        ("1e400", np.inf),
        ("9" * 400, np.inf),
        ("1e-400", 0.0),
        ("abc", "bad"),
        ("1,5", "bad"),
        ("12,34", "bad"),
        ("12,34,567", 1234567.0),
        ("1,23,45,678.9", 12345678.9),
        ("1 234", 1234.0),
        ("1\u00a0234\u202f567.5", 1234567.5),
        ("1'234.50", 1234.5),
        ("1\u2019234", 1234.0),
        ("1 23", "bad"),
        ("€10.50", 10.5),
        ("10.50 €", 10.5),
        ("£ 10.50", 10.5),
        ("₹1,050", 1050.0),
        ("US$10.50", 10.5),
        ("EUR 10.50", 10.5),
        ("10.50\u00a0USD", 10.5),
        ("Rs.10.50", 10.5),
        ("10.50 GBX", "bad"),
        ('="10.50"', 10.5),
        ("1,2345", "bad"),
        (",123", "bad"),
        ("1.2.3", "bad"),
        (".", "bad"),
        ("e5", "bad"),
        ("0x10", "bad"),
        ("1_000", "bad"),
        ("nan(1)", "bad"),
        ("5%", "bad"),
        ("(5)", "bad"),
        ("٣", "bad"),
        ("１", "bad"),
        ("TRUE", "bad"),
        ("$", "bad"),
        ("+", "bad"),
    ],
)
def test_a_cell_is_read(text, value):
    assert read([text]) == [value]
    assert read(["1.5", text, "2"])[1] == value


number_texts = st.one_of(
    st.sampled_from(AWKWARD),
    st.from_regex(r"[-+]?\$?[0-9]{0,4}(,[0-9]{3}){0,2}\.?[0-9]{0,3}([eE][-+]?[0-9]{1,3})?", fullmatch=True),
    st.text("0123456789.,eE+-$ nainf", max_size=8),
    st.floats().map(repr),
    st.integers().map(str),
)


@given(st.lists(number_texts, max_size=20))
def test_the_cast_and_the_patterns_take_the_same(texts):
    assert read(texts, cast=True) == read(texts, cast=False)


@given(st.lists(number_texts, max_size=20))
def test_a_cell_does_not_depend_on_its_neighbours(texts):
    assert read(texts) == [value for text in texts for value in read([text])]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_finite_numbers_round_trip_to_the_last_bit(values):
    assert read([repr(v) for v in values]) == values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.34M", 12_340_000.0),
        ("567.8K", 567_800.0),
        ("1.2B", 1_200_000_000.0),
        ("3 m", 3_000_000.0),
        ("1T", 1e12),
        ("2.5Mio.", 2_500_000.0),
        ("1,234K", 1_234_000.0),
        ("1000.5", 1000.5),
        ("-1.0", -1.0),
        ("$100", "bad"),
        ("100 shares", "bad"),
        ("M", "bad"),
        ("12.34MM", "bad"),
    ],
)
def test_a_volume_may_have_a_size_and_no_currency(text, value):
    assert read([text], price=False) == [value]


def test_a_price_has_no_size():
    assert read(["1.2K", "3M"]) == ["bad", "bad"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,5", 1.5),
        ("1.234,50", 1234.5),
        ("1.234", 1234.0),
        ("12.34.567,5", 1234567.5),
        ("10.5", "bad"),
        ("1,2,3", "bad"),
    ],
)
def test_with_a_decimal_comma_points_separate_thousands(text, value):
    assert read([text], cast=False, mark=Mark.COMMA) == [value]


@pytest.mark.parametrize(
    ("text", "value"), [("1,234", 1234.0), ("1.234", 1234.0), ("1.234.567", 1234567.0), ("12", 12.0)]
)
def test_in_a_column_of_whole_numbers_both_marks_separate_thousands(text, value):
    assert read([text], cast=False, mark=Mark.NONE, price=False) == [value]


def test_a_unit_multiplies():
    numbers = read_numbers(read_cells(strings(["1.5", "", "2,000"])), Mark.POINT, price=False, unit=100)
    assert [numbers.values[0], numbers.values[2]] == [150.0, 200_000.0]
    assert read_numbers(read_cells(strings(["1.5"])), Mark.POINT, price=False, unit=100).values.tolist() == [150.0]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_files_with_decimal_commas_are_read(separator):
    text = "date;open;close;volume\n2024-01-02;10,5;1.011,25;1.000\n2024-01-03;;9,75;2000\n".replace(";", separator)
    assert [(b.get("open"), b["close"], b["volume"]) for b in bars(load(text))] == [
        (10.5, 1011.25, 1000),
        (None, 9.75, 2000),
    ]
