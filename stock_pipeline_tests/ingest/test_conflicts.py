"""Conflicts that are one thing: files whose prices are the stored ones by one constant factor."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.ingest.rescaled import split_of
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.desk import Desk

DAYS = [date(2024, 3, 1) + timedelta(days=n) for n in range(60) if (date(2024, 3, 1) + timedelta(days=n)).weekday() < 5]
SPLIT = DAYS.index(date(2024, 4, 10))
Prices = list[tuple[float, float, float, float]]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def prices(level: float = 100.0, split: float = 2.0, adjusted: bool = False, days: int = len(DAYS)) -> Prices:
    """Bars of the days, with a split on SPLIT: before it as they were traded, or adjusted for it."""
    bars = []
    for n in range(days):
        after = n >= SPLIT
        scale = level / split if after or adjusted else level
        move = 1 + (n * 7 % 11) / 100
        bars.append((scale * move, scale * move * 1.02, scale * move * 0.98, scale * move * 1.01))
    return bars


def lines(bars: Prices, symbol: str = "ABC", days: list[date] = DAYS, volume: int = 100) -> list[str]:
    return [
        f"{symbol},{day},{','.join(f'{p:.4f}' for p in bar)},{volume}" for day, bar in zip(days, bars, strict=False)
    ]


def records(desk: Desk) -> list[dict[str, Any]]:
    return list(read_rejects(desk.lake, PRICE_BY_DATE).to_pylist())


def test_a_file_adjusted_for_a_split_is_one_record_and_one_line(desk: Desk) -> None:
    one = desk.drop("one.csv", *lines(prices()))
    two = desk.drop("two.csv", *lines(prices(adjusted=True)))
    desk.ingest(one)
    before = desk.closes()
    (receipt,) = desk.ingest(two)
    assert (receipt.conflicts, receipt.duplicates) == (SPLIT, len(DAYS) - SPLIT)
    assert receipt.rescaled == (f"looks adjusted for a 2:1 split on 2024-04-10: {SPLIT} rows of ABC",)
    (record,) = records(desk)
    assert (record["reason"], record["symbol"], record["date"]) == ("conflict", "ABC", DAYS[SPLIT - 1])
    assert record["line"] == SPLIT + 1
    assert record["detail"].startswith(f"{receipt.rescaled[0]}; open ")
    assert record["detail"].endswith(f"; stored from {one}")
    assert record["raw"] == lines(prices(adjusted=True))[SPLIT - 1]
    assert desk.closes() == before, "they stay out unless asked for"
    desk.ingest(two, replace=True)
    assert desk.closes() != before


def test_again_it_is_the_same(desk: Desk) -> None:
    """Also where the file brought rows of its own, between and beyond the stored ones."""
    stored = [line for n, line in enumerate(lines(prices())) if 5 <= n < SPLIT and n % 3]
    desk.ingest(desk.drop("one.csv", *stored))
    two = desk.drop("two.csv", *lines(prices(adjusted=True)))
    (first,) = desk.ingest(two)
    objects = dict(desk.lake.objects)
    (again,) = desk.ingest(two)
    assert first.rescaled == again.rescaled
    assert first.rescaled == (f"looks adjusted for a 2:1 split on 2024-04-09 or later: {len(stored)} rows of ABC",)
    assert desk.lake.objects == objects


def test_a_row_without_a_value_that_stays_out_is_a_conflict_alone_and_of_one_cause_no_record_of_its_own(
    desk: Desk,
) -> None:
    one = desk.drop("one.csv", *lines(prices()), "XYZ,2024-03-01,1,1,1,1,5")
    two = desk.drop("two.csv", *lines(prices(adjusted=True), volume=-1), "XYZ,2024-03-01,3,3,3,3,-5")
    desk.ingest(one)
    for _ in range(2):
        (receipt,) = desk.ingest(two)
        assert (receipt.conflicts, receipt.nulled) == (SPLIT + 1, {"negative_volume": len(DAYS) + 1})
        found = [(r["line"], r["reason"], r["stored"]) for r in sorted(records(desk), key=lambda r: r["line"])]
        kept = [(n + 2, "negative_volume", True) for n in range(SPLIT, len(DAYS))]
        assert found == [(SPLIT + 1, "conflict", False), *kept, (len(DAYS) + 2, "conflict", False)]
    (receipt,) = desk.ingest(two, replace=True)
    assert receipt.replaced == SPLIT + 1
    stored = [(r["line"], r["reason"]) for r in records(desk) if r["stored"]]
    assert stored == [(n + 2, "negative_volume") for n in range(len(DAYS) + 1)]  # and now all of them are in the table


def test_which_side_is_adjusted_is_told_by_its_step(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices(adjusted=True))))
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(prices())))
    assert receipt.rescaled == (
        f"looks not adjusted for a 2:1 split on 2024-04-10, as the stored rows are: {SPLIT} rows of ABC",
    )


def test_without_a_row_after_them_it_says_after_which_day(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices(days=20))))
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(prices(days=20, adjusted=True))))
    assert receipt.rescaled == (f"looks adjusted for a 2:1 split after {DAYS[19]}: 20 rows of ABC",)


def test_each_symbol_is_told_by_itself_and_other_conflicts_stay_what_they_are(desk: Desk) -> None:
    two, three = prices(split=3.0), prices(level=40.0, split=0.1)
    desk.ingest(desk.drop("one.csv", *lines(two, "ABC"), *lines(three, "DEF"), *lines(prices(), "GHI")))
    adjusted = prices(split=3.0, adjusted=True)
    adjusted[3] = (1.0, 2.0, 1.0, 1.5)
    (receipt,) = desk.ingest(
        desk.drop(
            "two.csv",
            *lines(adjusted, "ABC"),
            *lines(prices(level=40.0, split=0.1, adjusted=True), "DEF"),
            *lines(prices(), "GHI", volume=101),
        )
    )
    assert set(receipt.rescaled) == {
        f"looks adjusted for a 3:1 split on 2024-04-10: {SPLIT - 1} rows of ABC",
        f"looks adjusted for a 1:10 split on 2024-04-10: {SPLIT} rows of DEF",
    }
    assert receipt.conflicts == SPLIT * 2 + len(DAYS)
    assert len(records(desk)) == 2 + 1 + len(DAYS)


@pytest.mark.parametrize("rows", [4, 5])
def test_four_rows_are_no_run(desk: Desk, rows: int) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices(days=rows))))
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(prices(days=rows, adjusted=True))))
    assert (receipt.conflicts, len(receipt.rescaled)) == (rows, int(rows == 5))
    assert len(records(desk)) == (1 if rows == 5 else 4)


def test_prices_that_are_a_little_off_are_conflicts(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices())))
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines([tuple(p * 1.004 for p in bar) for bar in prices()])))
    assert (receipt.conflicts, receipt.rescaled, len(records(desk))) == (len(DAYS), (), len(DAYS))


def test_a_factor_that_is_not_of_all_prices_is_none(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices())))
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines([(o, h, low, low) for o, h, low, _ in prices()])))
    assert (receipt.conflicts, receipt.rescaled) == (len(DAYS), ())


def test_rows_behind_a_day_that_agrees_are_no_split(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices(split=1.0))))
    pence = [bar if n < SPLIT else tuple(p * 100 for p in bar) for n, bar in enumerate(prices(split=1.0))]
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(pence)))
    rows = len(DAYS) - SPLIT
    assert receipt.rescaled == (
        f"prices are 100 times the stored ones: {rows} rows of ABC, from 2024-04-10 to {DAYS[-1]}",
    )
    assert len(records(desk)) == 1


def test_a_hundredfold_is_no_split(desk: Desk) -> None:
    desk.ingest(desk.drop("one.csv", *lines(prices(split=1.0))))
    given_ = [tuple(p * 100 for p in bar) if n < SPLIT else bar for n, bar in enumerate(prices(split=1.0))]
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(given_)))
    assert receipt.rescaled == (f"prices are 100 times the stored ones before 2024-04-10: {SPLIT} rows of ABC",)


def test_of_many_symbols_some_are_told_and_how_many_more(desk: Desk) -> None:
    symbols = [f"S{n}" for n in range(30)]
    desk.ingest(desk.drop("one.csv", *(line for s in symbols for line in lines(prices(days=6), s))))
    (receipt,) = desk.ingest(
        desk.drop("two.csv", *(line for s in symbols for line in lines(prices(days=6, adjusted=True), s)))
    )
    assert (len(receipt.rescaled), receipt.rescaled[-1]) == (21, "and 10 more lines like these")
    assert len(records(desk)) == 30


def test_two_files_of_one_call_are_told_each(desk: Desk) -> None:
    keys = [
        desk.drop("one.csv", *lines(prices())),
        *(desk.drop(f"{n}.csv", *lines(prices(adjusted=True))) for n in "ab"),
    ]
    receipts = desk.ingest(*keys)
    assert [len(r.rescaled) for r in receipts] == [0, 1, 1]
    assert [r["source"] for r in records(desk)] == keys[1:] or {r["source"] for r in records(desk)} == set(keys[1:])


@pytest.mark.parametrize(
    ("factor", "split"),
    [(2, "2:1"), (0.1, "1:10"), (1.5, "3:2"), (7.0, "7:1"), (1.001 * 4, "4:1"), (20, "20:1"), (1.25, "5:4"),
     (100, None), (0.01, None), (0.9312, None), (1.02 * 2, None)],
)  # fmt: skip
def test_a_split_is_named_by_its_factor(factor: float, split: str | None) -> None:
    assert split_of(factor) == split


@given(st.sampled_from([2.0, 3.0, 0.5, 0.2, 1.5]), st.integers(5, SPLIT), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_a_run_is_told_in_any_order_of_the_lines(split: float, first: int, random: Any) -> None:
    desk = Desk()
    whole = lines(prices(split=split))[SPLIT - first :]
    adjusted = lines(prices(split=split, adjusted=True))
    for some in (whole, adjusted):
        random.shuffle(some)
    desk.ingest(desk.drop("one.csv", *whole))
    (receipt,) = desk.ingest(desk.drop("two.csv", *adjusted))
    (said,) = receipt.rescaled
    assert said.startswith(f"looks adjusted for a {split_of(split)} split on 2024-04-10: {first} rows")
    assert receipt.conflicts == first
    assert len(records(desk)) == 1


def test_factors_that_drift_from_row_to_row_are_no_one_factor(desk: Desk) -> None:
    """Each is near enough to the next, but the first and the last are not."""
    bars = prices(days=12)
    desk.ingest(desk.drop("one.csv", *lines(bars)))
    drifting = [tuple(p / 2 * 1.004**n for p in bar) for n, bar in enumerate(bars)]
    (receipt,) = desk.ingest(desk.drop("two.csv", *lines(drifting)))
    assert (receipt.conflicts, receipt.rescaled, len(records(desk))) == (12, (), 12)
