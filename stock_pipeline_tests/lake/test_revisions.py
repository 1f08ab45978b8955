"""Former versions of bars: which rows a merge puts on record, from when to when, and what a rebuild leaves as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from stock_pipeline.lake.merge import Merged, merge
from stock_pipeline.lake.revisions import succeeded, taken_out
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.rows import LOADED, Row, bar, outcomes, table

LATER = LOADED + timedelta(hours=1)
TICK = timedelta(microseconds=1)


def revised(merged: Merged | pa.Table | None, *names: str) -> list[tuple[Any, ...]]:
    rows = merged.revised if isinstance(merged, Merged) else merged
    return [tuple(row[name] for name in names) for row in (rows.to_pylist() if rows is not None else [])]


def later(**values: Any) -> Row:
    return bar(source="b.csv", etl_loading_ts=LATER, **values)


@pytest.mark.parametrize(
    ("stored", "incoming", "replace", "expected"),
    [
        ({"open": 9.0}, later(open=9.5), True, "replaced"),
        ({"open": None}, later(open=9.5), False, "updated"),
        ({"adj_close": 5.0}, later(adj_close=6.0, adj_known_at=LATER), False, "updated"),
        ({"adj_close": None}, later(adj_close=6.0, adj_known_at=LATER), False, "updated"),
        ({"open": 9.0}, later(open=9.5, adj_close=6.0, adj_known_at=LATER), False, "updated"),
    ],
)
def test_what_changes_a_stored_bar_leaves_its_former_version(
    stored: Row, incoming: Row, replace: bool, expected: str
) -> None:
    merged = merge(table(bar(**stored)), table(incoming), PRICE_BY_DATE, replace=replace)
    names = [*PRICE_BY_DATE.schema.names, "known_from", "known_to", "replaced_by", "change"]
    assert merged.revised is not None
    assert merged.revised.schema.equals(PRICE_REVISIONS.schema)
    was = bar(**stored)
    former = [was[name] for name in PRICE_BY_DATE.schema.names]
    assert revised(merged, *names) == [(*former, LOADED, LATER, "b.csv", expected)]
    assert merged.table is not None
    assert merged.table["etl_loading_ts"].to_pylist() == [LATER]


@pytest.mark.parametrize(
    ("stored", "incoming", "replace"),
    [
        ([], [bar(), bar(open=9.0), bar(close=11.0)], False),
        ([bar()], [later()], True),
        ([bar()], [later(close=11.0)], False),
        ([bar(adj_close=5.0, adj_known_at=LOADED)], [later(adj_close=5.0, adj_known_at=LATER)], False),
    ],
    ids=["new bars", "the same bar", "a conflict", "a confirmed adjusted close"],
)
def test_what_changes_no_stored_value_leaves_none(stored: list[Row], incoming: list[Row], replace: bool) -> None:
    assert merge(table(*stored), table(*incoming), PRICE_BY_DATE, replace=replace).revised is None


def test_a_tick_that_is_completed_has_no_former_version() -> None:
    tick = {
        "event_id": "e",
        "symbol": "A",
        "price": 1.0,
        "produced_at": LOADED,
        "source": "a",
        "etl_loading_ts": LOADED,
    }
    schema = STREAM_PRICES_HISTORY.schema
    rows = [pa.Table.from_pylist([tick | more], schema) for more in ({"size": None}, {"size": 5.0})]
    merged = merge(*rows, STREAM_PRICES_HISTORY)
    assert (outcomes(merged), merged.revised) == (["UPDATED"], None)


@pytest.mark.parametrize("clock", [LOADED - timedelta(days=1), LOADED])
def test_a_version_begins_after_the_one_before_whatever_the_clock_says(clock: Any) -> None:
    late = bar(close=11.0, source="b.csv", etl_loading_ts=clock)
    merged = merge(table(bar()), table(late), PRICE_BY_DATE, replace=True)
    assert revised(merged, "known_from", "known_to") == [(LOADED, LOADED + TICK)]
    assert merged.table is not None
    assert merged.table["etl_loading_ts"].to_pylist() == [LOADED + TICK]
    again = merge(merged.table, merged.again, PRICE_BY_DATE, replace=True)
    assert again.own.all(), "the next try knows its own row, although that has another time than the ingest"


def test_a_bar_that_is_replaced_and_completed_at_once_leaves_one_version() -> None:
    rows = [later(close=11.0), later(close=11.0, high=12.0)]
    merged = merge(table(bar(open=9.0)), table(*rows), PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["REPLACED", "UPDATED"]
    assert revised(merged, "close", "open", "high", "change") == [(10.0, 9.0, None, "replaced")]


def test_rows_that_are_taken_out_end_when_they_are_and_never_before_they_began() -> None:
    gone = taken_out(table(bar(), bar("B", etl_loading_ts=LATER)), LOADED + TICK, PRICE_BY_DATE)
    assert revised(gone, "known_to", "replaced_by", "change") == [
        (LOADED + TICK, None, "removed"),
        (LATER + TICK, None, "removed"),
    ]


def test_a_rebuild_changes_only_what_says_something_else() -> None:
    stored = table(bar("A"), bar("B"), bar("C"))
    rows = table(*(later(symbol=symbol, close=close) for symbol, close in (("A", 10.0), ("B", 11.0), ("D", 12.0))))
    new, former = succeeded(stored, rows, PRICE_BY_DATE, LATER)
    assert [(r["symbol"], r["close"], r["source"], r["etl_loading_ts"]) for r in new.to_pylist()] == [
        ("A", 10.0, "a.csv", LOADED),
        ("B", 11.0, "b.csv", LATER),
        ("D", 12.0, "b.csv", LATER),
    ]
    assert revised(former, "symbol", "close", "known_to", "replaced_by", "change") == [
        ("B", 10.0, LATER, "b.csv", "rebuilt"),
        ("C", 10.0, LATER, None, "rebuilt"),
    ]
    assert succeeded(None, rows, PRICE_BY_DATE, LATER)[1].num_rows == 0
