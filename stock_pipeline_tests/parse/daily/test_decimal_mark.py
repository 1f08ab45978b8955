"""The decimal mark is proven by the prices, said by the hint, or the file is refused; no separator has a default of its
own but the comma."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.arrow import strings
from stock_pipeline.parse.daily.decimal_mark import Mark, decide, evidence
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline_tests.support.daily_files import bars, load, refusal


def file(prices, separator=";", volumes=None):
    """A file with one price a row, quoted, and perhaps volumes."""
    rows = [[f"2024-01-{i + 2:02}", f'"{price}"'] for i, price in enumerate(prices)]
    for row, volume in zip(rows, volumes or (), strict=False):
        row.append(f'"{volume}"')
    header = ["date", "close", "volume"][: 3 if volumes else 2]
    return "\n".join(separator.join(row) for row in [header, *rows])


@pytest.mark.parametrize(
    "text",
    ["1,5", "1,0931", "0,125", ",125", "1234,567", "1.234,5", "1.234.567", "12.34.567", "12.34.567,89", "1,5e3", "5,"],
)
def test_what_proves_a_comma_and_turned_round_a_point(text):
    found = evidence(strings([text]))
    assert (found.comma, found.point) == (text, None)
    turned = text.translate(str.maketrans(",.", ".,"))
    found = evidence(strings([turned]))
    assert (found.comma, found.point) == (None, turned)


@pytest.mark.parametrize("text", ["1,234", "12,345", "-123,456", "1.234", "7", "x", "1,2,3", "1.23.4", "", ".", ","])
def test_what_proves_nothing(text):
    found = evidence(strings([text]))
    assert (found.comma, found.point) == (None, None)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        (["1,0931", "1,095"], [1.0931, 1.095]),
        (["0,125", "1,234"], [0.125, 1.234]),
        (["1.234,50", "7"], [1234.5, 7.0]),
        (["1,234.50", "1,234"], [1234.5, 1234.0]),
        (["1,234,567", "1,234"], [1234567.0, 1234.0]),
        (["12,34,567", "1,234"], [1234567.0, 1234.0]),
        (["999.5", "1,234"], [999.5, 1234.0]),
        (["10.5", "1.234"], [10.5, 1.234]),
        (["7", "8"], [7.0, 8.0]),
    ],
)
def test_one_price_that_proves_it_decides_for_all(separator, prices, expected):
    assert [b["close"] for b in bars(load(file(prices, separator)))] == expected
    assert [b["close"] for b in bars(load(file(prices[::-1], separator)))] == expected[::-1]


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("prices", [["1,5", "1.5"], ["1,0931", "1,234.50"], ["1.234.567", "1,234,567"]])
def test_proofs_of_both_refuse_the_file(separator, prices):
    message = refusal(file(prices, separator))
    assert "with a decimal point" in message
    assert "with a decimal comma" in message


@pytest.mark.parametrize(
    ("prices", "separator"), [(["1,234"], ","), (["1,234", "7"], ","), (["1,234"], ";"), (["1.234", "2.345"], "\t")]
)
def test_a_price_that_could_be_either_refuses_the_file_and_the_hint_decides(prices, separator):
    text = file(prices, separator)
    assert "could be a thousand or a fraction" in refusal(text)
    assert "--decimal point or comma" in refusal(text)
    by_hint = {mark: load(text, hints=Hints(decimal=mark)) for mark in ("point", "comma")}
    assert {bars(cleaned)[0]["close"] for cleaned in by_hint.values()} == {1234.0, 1.234}
    assert all(cleaned.decided["decimal"] == "hint" for cleaned in by_hint.values())


def test_between_commas_a_point_is_the_decimal_mark():
    assert [b["close"] for b in bars(load("date,close\n2024-01-02,1.234\n2024-01-03,145.123\n"))] == [1.234, 145.123]


@pytest.mark.parametrize(("price", "hint"), [("10.5", "comma"), ("10,5", "point")])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_hint_that_a_price_contradicts_refuses_the_file(price, hint, separator):
    message = refusal(file([price, "1"], separator), hints=Hints(decimal=hint))
    assert message == f"the hint says that the decimal mark is the {hint}, but '{price}' has the other one"


@pytest.mark.parametrize(
    ("prices", "volumes", "expected"),
    [
        (["1,5", "2"], ["1.000", "2,5"], [1000.0, 2.5]),
        (["1.5", "2"], ["1,000", "2.5"], [1000.0, 2.5]),
        (["7", "8"], ["1,000", "1.000"], [1000.0, 1000.0]),
        (["7", "8"], ["1.234,5", "1.000"], [1234.5, 1000.0]),
    ],
)
def test_a_volume_follows_the_prices_and_is_a_whole_number_otherwise(prices, volumes, expected):
    assert [b["volume"] for b in bars(load(file(prices, ";", volumes)))] == expected


def test_the_decision_spans_blocks_of_the_file(monkeypatch):
    monkeypatch.setattr("stock_pipeline.parse.daily.csv_dialect.BLOCK", 64)
    rows = [f"2024-01-{d:02};1.234" for d in range(1, 29)]
    text = "\n".join(["date;close", *rows, "2024-02-01;1,5"])
    assert [b["close"] for b in bars(load(text))] == [1234.0] * 28 + [1.5]
    rows = [f'2024-01-{d:02},"1,234"' for d in range(1, 29)]
    text = "\n".join(["date,close", *rows, "2024-02-01,1.5"])
    assert [b["close"] for b in bars(load(text))] == [1234.0] * 28 + [1.5]


def written(value, decimal, thousands):
    whole, _, fraction = f"{value:,.2f}".partition(".")
    return whole.replace(",", thousands) + decimal + fraction


@given(
    st.lists(st.integers(1, 10**9).map(lambda n: n / 100), min_size=1, max_size=6),
    st.sampled_from([(".", ","), (",", "."), (",", " "), (".", "'"), (".", ""), (",", "")]),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_prices_with_two_decimals_round_trip_however_they_are_written(values, marks, separator):
    text = file([written(value, *marks) for value in values], separator)
    assert [b["close"] for b in bars(load(text))] == values


@given(st.lists(st.sampled_from(["1,234", "1.234", "1,5", "2.5", "7", "x", "1,234,567", "1.234.567"]), max_size=6))
def test_what_is_decided_contradicts_no_proof(texts):
    found = evidence(strings(texts))
    for separator in ",;":
        try:
            mark = decide(separator, found, evidence(strings([])), Hints()).prices
        except Exception as refused:
            assert "decimal" in str(refused)  # noqa: PT017
            continue
        assert not (mark is Mark.POINT and found.comma)
        assert not (mark is Mark.COMMA and found.point)


def test_between_commas_a_point_beside_decimal_commas_must_be_shown_to_separate_thousands():
    assert "would be a thousand, which no other price shows" in refusal(file(["1,5", "1.234"], ","))
    assert [b["close"] for b in bars(load(file(["1.000,5", "1.234"], ",")))] == [1000.5, 1234.0]
    assert [b["close"] for b in bars(load(file(["1,5", "1.234"], ","), hints=Hints(decimal="comma")))] == [1.5, 1234.0]
