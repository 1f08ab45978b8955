"""How numbers are written, and that the optimistic cast and the patterns take exactly the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.arrow import strings
from stock_pipeline.parse.daily.numbers import Comma, comma_rule, read_cells, read_numbers
from stock_pipeline_tests.support.daily_files import bars, load, rejects

AWKWARD = (
    "0 1 1. .5 -.5 +1 -0 00 1e5 1E+5 5.e-3 1e 1e+ e5 . - -- + +-1 1.2.3 1..2 0x10 1_0 1f 1,5 1,234 12,34 1,234,567.5 "
    "1,23 ,5 $1 -$1 $-1 $$1 1$ $ nan NaN -nan nan(1) inf +Infinity infinit 1e400 -1e999 1e-400 null NULL None N/A #N/A "
    "NA n.a. TRUE ٣ 1\u00a0000 １ € €5 (5) 5% 9007199254740993 123456789012345678901234567890 1.234.567 1.234,5 ''"
).split(" ")


def read(texts, *, cast=True, comma=Comma.THOUSANDS):
    numbers = read_numbers(read_cells(strings(texts), cast=cast), comma)
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
        ("NaN", np.inf),
        ("-inf", np.inf),
        ("Infinity", np.inf),
        ("1e400", np.inf),
        ("9" * 400, np.inf),
        ("1e-400", 0.0),
        ("abc", "bad"),
        ("1,5", "bad"),
        ("12,34", "bad"),
        ("1,2345", "bad"),
        (",123", "bad"),
        ("1.2.3", "bad"),
        (".", "bad"),
        ("e5", "bad"),
        ("0x10", "bad"),
        ("1_000", "bad"),
        ("nan(1)", "bad"),
        ("1 000", "bad"),
        ("5%", "bad"),
        ("(5)", "bad"),
        ("€5", "bad"),
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
    ("prices", "expected"),
    [
        (["1,5"], [1.5]),
        (["1234,56"], [1234.56]),
        (["1,5", "1,234"], [1.5, 1.234]),
        (["1.234,50", "7"], [1234.5, 7.0]),
        (["1,5", "1.234"], [1.5, 1234.0]),
        (["1.5", "1,234"], [1.5, 1234.0]),
        (["1.5", "1,5"], [1.5, "bad"]),
        (["1,234.5", "1,234"], [1234.5, 1234.0]),
        (["1,234"], ["bad"]),
        (["1,234,567"], [1234567.0]),
        (["1,234", "7"], ["bad", 7.0]),
        (["$1,5", "-1,25"], [1.5, -1.25]),
        (["1,5", ","], [1.5, "bad"]),
        (["1,5", "1.23"], ["bad", 1.23]),
        (["1,5", "junk"], [1.5, "bad"]),
    ],
)
def test_a_comma_beside_other_separators_is_decided_by_all_prices(prices, expected):
    cells = read_cells(strings(prices), cast=False)
    assert read(prices, cast=False, comma=comma_rule(";", [cells])) == expected


def test_a_comma_beside_commas_separates_thousands():
    assert comma_rule(",", [read_cells(strings(["1,5"]), cast=False)]) is Comma.THOUSANDS


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_files_with_decimal_commas_are_read(separator):
    text = "date;open;close;volume\n2024-01-02;10,5;1.011,25;1.000\n2024-01-03;;9,75;2000\n".replace(";", separator)
    assert [(b.get("open"), b["close"], b["volume"]) for b in bars(load(text))] == [
        (10.5, 1011.25, 1000),
        (None, 9.75, 2000),
    ]


def test_thousands_of_volume_do_not_make_a_price_unclear():
    assert [b["volume"] for b in bars(load("date;close;volume\n2024-01-02;10;1,234\n"))] == [1234]


def test_a_price_that_could_be_either_is_rejected_not_guessed():
    cleaned = load("date;close\n2024-01-02;101,250\n2024-01-03;99\n")
    assert rejects(cleaned) == [(2, "bad_number")]
    assert cleaned.rejected["detail"].to_pylist() == ["close '101,250' is not a number"]


def test_the_decision_spans_blocks_of_the_file(monkeypatch):
    monkeypatch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", 64)
    rows = [f"2024-01-{d:02};1.234" for d in range(1, 29)]
    text = "\n".join(["date;close", *rows, "2024-02-01;1,5"])
    assert [b["close"] for b in bars(load(text))] == [1234.0] * 28 + [1.5]
