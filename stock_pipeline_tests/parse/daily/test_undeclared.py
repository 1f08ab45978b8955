"""Rows of one cell more than the header: a trailing separator, or a column that has one place only, or no row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline_tests.support.daily_files import bars, load, rejects

HEADER = ["Date", "Open", "High", "Low", "Close", "Volume"]
ROWS = [
    ["2024-01-02", "10.5", "11.5", "9.5", "10.75", "1000"],
    ["2024-01-03", "10.75", "12.25", "10.5", "12.1", "2000"],
    ["2024-01-04", "12.1", "12.2", "11.4", "11.5", "1500"],
]


def table(rows, header=HEADER, separator=","):
    return "\n".join(separator.join(row) for row in [header, *rows])


def read(rows, **options):
    cleaned = load(table(rows, **options))
    return bars(cleaned), rejects(cleaned), cleaned


PLAIN = bars(load(table(ROWS)))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_separator_at_the_end_of_each_row_is_no_column(separator):
    found, rejected, cleaned = read([[*row, ""] for row in ROWS], separator=separator)
    assert (found, rejected) == (PLAIN, [])
    assert cleaned.decided["undeclared column"] == "trailing separator"


def test_rows_with_and_without_it_are_read_in_their_order():
    found, rejected, cleaned = read([ROWS[0], [*ROWS[1], ""], ROWS[2]])
    assert (found, rejected, cleaned.lines.tolist()) == (PLAIN, [], [2, 3, 4])
    found, rejected, cleaned = read([[*ROWS[0], ""], ROWS[1], ["x", "1"], [*ROWS[2], ""]])
    assert (found, rejected, cleaned.lines.tolist()) == (PLAIN, [(4, "ragged_row")], [2, 3, 5])


@pytest.mark.parametrize("at", [0, 6])
@pytest.mark.parametrize("value", ["0", "7.5", "note"])
def test_a_column_before_or_behind_the_bars_has_one_place(at, value):
    rows = [[*row[:at], value, *row[at:]] for row in ROWS]
    found, rejected, cleaned = read(rows)
    assert rejected == []
    assert [{k: v for k, v in b.items() if k != "volume"} for b in found] == [
        {k: v for k, v in b.items() if k != "volume"} for b in PLAIN
    ]
    # Behind the volume, a number could be the volume as well.
    if at == 6 and value != "note":
        assert all("volume" not in b for b in found)
        assert "Volume" in cleaned.unread
    else:
        assert found == PLAIN


def test_a_column_that_could_stand_in_two_places_rejects_its_rows():
    rows = [[*row[:5], "10.6", row[5]] for row in ROWS]  # beside the close, and within the bar
    rows[1][5] = rows[2][5] = "12.0"
    assert read(rows)[1] == [(i, "ragged_row") for i in (2, 3, 4)]


def test_a_column_of_tickers_that_nobody_declared_rejects_its_rows():
    rows = [["MSFT", *row] for row in ROWS]
    assert read(rows)[1] == [(i, "ragged_row") for i in (2, 3, 4)]


@pytest.mark.parametrize(
    "row",
    ["2024-01-02,10,11,9,10,5", "2024-01-02,9,5,11,9,10", "2024-01-02,10,11,5,9,10"],
)
def test_a_price_with_a_decimal_comma_without_quotes_rejects_its_row(row):
    header = ["Date", "Open", "High", "Low", "Close"]
    assert read([row.split(",")], header=header)[1] == [(2, "ragged_row")]


def test_two_cells_more_are_no_row():
    assert read([[*ROWS[0], "", ""], ROWS[1]])[1] == [(2, "ragged_row")]


def test_the_file_of_rows_that_are_all_longer_has_no_row_less():
    text = table([[*row, ""] for row in ROWS] * 1000)
    cleaned = load(text)
    assert (cleaned.rows, cleaned.good.num_rows) == (3000, 3000)


def test_the_marks_of_these_rows_count_as_those_of_others():
    rows = [["2024-01-02", "10,5", "11", ""], ["2024-01-03", "1.250", "1.300", ""]]
    found, rejected, _ = read(rows, header=["Date", "Close", "High"], separator=";")
    assert rejected == []
    assert [b["close"] for b in found] == [10.5, 1250.0]


@given(
    st.integers(0, 6),
    st.lists(
        st.sampled_from(["0", "1", "10", "10.6", "11", "12", "2000", "x", "", "2024-01-05"]), min_size=3, max_size=3
    ),
    st.sampled_from([",", ";"]),
)
def test_no_column_ever_shifts(at, extra, separator):
    """Whatever is stored of rows with an undeclared column is what stands in the columns of the header."""
    rows = [[*row[:at], cell, *row[at:]] for row, cell in zip(ROWS, extra, strict=True)]
    found, rejected, cleaned = read(rows, separator=separator)
    assert len(found) + len(rejected) == 3
    for bar, line in zip(found, cleaned.lines.tolist(), strict=True):
        plain = PLAIN[line - 2]
        assert {k: v for k, v in bar.items() if k != "volume"} == {k: v for k, v in plain.items() if k != "volume"}
        assert bar.get("volume") in (plain["volume"], None)
