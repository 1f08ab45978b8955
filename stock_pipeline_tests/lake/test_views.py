"""Views of a moment: of all adjusted closes of a bar that came, the one of the file that was written last."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake.merge import merge
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.rows import LOADED, Row, bar, outcomes, table

EARLY, LATE = LOADED - timedelta(days=9), LOADED - timedelta(days=1)


def of(adj_close: float | None, written: Any = None, **more: Any) -> Row:
    return bar(adj_close=adj_close, adj_known_at=None if adj_close is None else written, **more)


def view(rows: Any) -> tuple[Any, Any]:
    (row,) = rows.to_pylist()
    return row["adj_close"], row["adj_known_at"]


def test_a_later_files_adjusted_close_takes_the_place_of_the_one_before() -> None:
    merged = merge(table(of(5.0, EARLY)), table(of(4.5, LATE, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["UPDATED"]
    renewed = of(4.5, LATE, etl_loading_ts=LOADED + timedelta(microseconds=1))
    assert merged.table.to_pylist() == [renewed], "the row keeps its source: its prices are from there"


def test_an_earlier_files_adjusted_close_adds_nothing() -> None:
    merged = merge(table(of(4.5, LATE)), table(of(5.0, EARLY, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["DUPLICATE"]
    assert merged.table is None


def test_it_is_renewed_by_a_row_whose_prices_stay_out() -> None:
    merged = merge(table(of(5.0, EARLY)), table(of(2.25, LATE, close=5.0, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["CONFLICT"]
    assert merged.table.to_pylist() == [of(2.25, LATE, etl_loading_ts=LOADED + timedelta(microseconds=1))]
    assert len(merged.conflicts) == 1


def test_the_same_value_of_a_later_file_is_a_duplicate_that_is_known_to_be_later() -> None:
    merged = merge(table(of(5.0, EARLY)), table(of(5.0, LATE, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["DUPLICATE"]
    assert view(merged.table) == (5.0, LATE)
    again = merge(merged.table, table(of(5.0, LATE, source="b.csv")), PRICE_BY_DATE)
    assert (outcomes(again), again.table) == (["DUPLICATE"], None)


def test_a_file_without_one_takes_none_away() -> None:
    merged = merge(table(of(5.0, EARLY)), table(of(None, source="b.csv")), PRICE_BY_DATE)
    assert (outcomes(merged), merged.table) == (["DUPLICATE"], None)


def test_one_whose_time_is_not_known_is_the_earliest() -> None:
    """Rows of before there were such times."""
    merged = merge(table(of(5.0)), table(of(4.5, EARLY, source="b.csv")), PRICE_BY_DATE)
    assert (outcomes(merged), view(merged.table)) == (["UPDATED"], (4.5, EARLY))


def test_a_row_is_completed_and_its_view_renewed_at_once() -> None:
    stored = table(of(5.0, EARLY), of(None, symbol="B"))
    incoming = table(of(4.5, LATE, open=9.0, source="b.csv"), of(7.0, LATE, symbol="B", high=11.0, source="b.csv"))
    merged = merge(stored, incoming, PRICE_BY_DATE)
    assert outcomes(merged) == ["UPDATED", "UPDATED"]
    assert [(r["open"], r["high"], r["adj_close"]) for r in merged.table.to_pylist()] == [
        (9.0, None, 4.5),
        (None, 11.0, 7.0),
    ]


def test_a_restatement_leaves_the_view_that_was_written_last() -> None:
    stored = table(of(4.5, LATE), of(4.5, EARLY, symbol="B"))
    restated = [of(5.0, day, symbol=symbol, close=9.0, source="b.csv") for symbol, day in
                (("AAPL", EARLY), ("B", LATE))]  # fmt: skip
    merged = merge(stored, table(*restated), PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["REPLACED", "REPLACED"]
    assert [(r["close"], r["adj_close"]) for r in merged.table.to_pylist()] == [(9.0, 4.5), (9.0, 5.0)]


ROWS = st.builds(
    lambda symbol, close, open_, adj, day: of(
        adj, LOADED + timedelta(days=day), symbol=symbol, close=close, open=open_
    ),
    st.sampled_from("AB"),
    st.sampled_from([1.0, 2.0]),
    st.sampled_from([None, 1.0]),
    st.sampled_from([None, 3.0, 4.0, 5.0]),
    st.integers(0, 3),
)


@given(st.lists(ROWS, max_size=12), st.randoms(use_true_random=False), st.booleans())
def test_the_last_view_stays_in_any_order_and_grouping_and_however_often(
    rows: list[Row], random: Any, replace: bool
) -> None:
    expected: dict[str, Any] = {}
    for row in rows:
        known = expected.setdefault(row["symbol"], (None, None))
        given_ = (row["adj_known_at"], row["adj_close"])
        if given_[0] and (known[0] is None or given_ > known):
            expected[row["symbol"]] = given_
    shuffled = rows * 2
    random.shuffle(shuffled)
    there = None
    while shuffled:
        at = random.randint(1, len(shuffled))
        merged = merge(there, table(*shuffled[:at]), PRICE_BY_DATE, replace=replace)
        there = merged.table if merged.table is not None else there
        shuffled = shuffled[at:]
    found = {row["symbol"]: (row["adj_known_at"], row["adj_close"]) for row in (there.to_pylist() if there else [])}
    assert found == expected


@given(st.lists(ROWS, max_size=12), st.lists(ROWS, max_size=12))
def test_views_change_nothing_else(stored: list[Row], incoming: list[Row]) -> None:
    """But for the views, all is as if there were none; only what adds nothing else may be UPDATED for them."""

    def merged(blank: bool) -> Any:
        def rows(given_: list[Row]) -> Any:
            return table(*(row | {"adj_close": None, "adj_known_at": None} if blank else row for row in given_))

        there = merge(None, rows(stored), PRICE_BY_DATE).table
        done = merge(there, rows([row | {"source": "b.csv"} for row in incoming]), PRICE_BY_DATE)
        after = done.table if done.table is not None else there
        names = (*PRICE_BY_DATE.values, *PRICE_BY_DATE.key, "source")
        return done, after.select(names).to_pylist() if after else []

    (with_views, rows), (without, same) = merged(blank=False), merged(blank=True)
    assert rows == same
    for mine, other in zip(outcomes(with_views), outcomes(without), strict=True):
        assert mine == other or (mine, other) == ("UPDATED", "DUPLICATE")
