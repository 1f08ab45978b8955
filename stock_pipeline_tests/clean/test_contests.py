"""Lines of one file that say different things of one symbol and date: none is stored by its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline_tests.support.daily_files import bars, load, rejects

HEADER = "symbol,date,open,close,volume\n"


def test_lines_with_other_values_are_all_rejected_and_name_each_other():
    cleaned = load(HEADER + "A,2024-01-02,1,2,3\nB,2024-01-02,1,2,3\nA,2024-01-02,1,2.5,3\n")
    assert [b["symbol"] for b in bars(cleaned)] == ["B"]
    assert cleaned.rejected.to_pylist() == [
        {
            "line": 2,
            "place": None,
            "reason": "ambiguous",
            "detail": "line 4 has the same symbol and date, but close 2.5 in place of 2",
            "raw": "A,2024-01-02,1,2,3",
        },
        {
            "line": 4,
            "place": None,
            "reason": "ambiguous",
            "detail": "line 2 has the same symbol and date, but close 2 in place of 2.5",
            "raw": "A,2024-01-02,1,2.5,3",
        },
    ]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_three_the_odd_one_takes_the_others_with_it_wherever_it_stands(place):
    rows = ["A,2024-01-02,1,2,3\n", "A,2024-01-02,1,2,3\n"]
    rows.insert(place, "A,2024-01-02,1,2,4\n")
    cleaned = load(HEADER + "".join(rows))
    assert rejects(cleaned) == [(2, "ambiguous"), (3, "ambiguous"), (4, "ambiguous")]
    for row in cleaned.rejected.to_pylist():
        other = int(row["detail"].split()[1])
        assert (other == place + 2) != (row["line"] == place + 2)
        assert "(3 lines in all)" in row["detail"]


def test_equal_lines_however_written_are_one_bar():
    cleaned = load(HEADER + 'A,2024-01-02,1,2,3\na,20240102,1.0,$2.00,"3"\n')
    assert rejects(cleaned) == []
    assert cleaned.good.slice(0, 1).equals(cleaned.good.slice(1, 1))


@pytest.mark.parametrize("rows", [["1,2,", ",2,3"], [",2,", "1,2,3"], ["1,2,3", ",2,"], [",2,3", "1,2,", ",2,"]])
def test_a_blank_contests_nothing_and_every_value_is_stored(rows):
    cleaned = load(HEADER + "".join(f"A,2024-01-02,{row}\n" for row in rows))
    assert rejects(cleaned) == []
    assert [(b["open"], b["close"], b["volume"]) for b in bars(cleaned)] == [(1.0, 2.0, 3.0)] * len(rows)


def test_a_value_that_is_left_out_contests_nothing():
    cleaned = load(HEADER + "A,2024-01-02,0,2,-1\nA,2024-01-02,1,2,3\n")
    assert [(b["open"], b["volume"]) for b in bars(cleaned)] == [(1.0, 3.0)] * 2
    assert cleaned.nulled == {"non_positive_price": 1, "negative_volume": 1}


def test_a_line_that_is_rejected_for_itself_contests_nothing():
    cleaned = load(HEADER + "A,2024-01-02,1,0,3\nA,2024-01-02,1,2,3\nA,2024-01-02,1,x,3\n")
    assert rejects(cleaned) == [(2, "non_positive_price"), (4, "bad_number")]
    assert [b["close"] for b in bars(cleaned)] == [2.0]


def test_columns_that_can_tell_listings_apart_are_named():
    cleaned = load("symbol,Exchange, currency ,date,close\nA,LSE,GBX,2024-01-02,100\nA,NASDAQ,USD,2024-01-02,2\n")
    assert rejects(cleaned) == [(2, "ambiguous"), (3, "ambiguous")]
    details = cleaned.rejected["detail"].to_pylist()
    assert all(
        detail.endswith("; Exchange and currency may tell them apart: give each its own symbol") for detail in details
    )


def test_many_contested_lines_take_no_longer_than_others():
    rows = [f"A,2024-01-02,1,{2 if i else 3},3\n" for i in range(200_000)]
    cleaned = load(HEADER + "".join(rows))
    assert cleaned.rejected.num_rows == 200_000
    assert cleaned.rejected["detail"][0].as_py().startswith("line 3 has the same symbol and date")
    assert cleaned.rejected["detail"][-1].as_py().startswith("line 2 has the same symbol and date")


cells = st.sampled_from(["", "1", "2"])


@given(
    st.lists(st.tuples(st.sampled_from("AB"), cells, st.sampled_from("12"), cells), max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_order_of_the_lines_changes_nothing(lines, random):
    def outcome(order):
        rows = [f"{symbol},2024-01-02,{open_},{close},{volume}\n" for symbol, open_, close, volume in order]
        cleaned = load(HEADER + "".join(rows))
        stored = sorted({tuple(sorted(b.items(), key=str)) for b in bars(cleaned)}, key=str)
        return stored, sorted(cleaned.rejected["raw"].to_pylist())

    assert outcome(lines) == outcome(random.sample(lines, len(lines)))
