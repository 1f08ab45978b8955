"""Rows that know different parts of one key: what each adds, and the row that they make together."""

from __future__ import annotations

import random as rng
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake.merge import Merged, merge
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY

LOADED = datetime(2024, 1, 1, tzinfo=UTC)
VALUES = PRICE_BY_DATE.values
OPTIONAL = [name for name in VALUES if PRICE_BY_DATE.column(name).nullable]
Row = dict[str, Any]


def bar(symbol: str = "AAPL", **values: Any) -> Row:
    row = dict.fromkeys(PRICE_BY_DATE.schema.names) | {"symbol": symbol, "date": date(2024, 1, 2), "close": 10.0}
    return row | {"source": "a.csv", "etl_loading_ts": LOADED} | values


def table(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), PRICE_BY_DATE.schema)


def outcomes(merged: Merged) -> list[str]:
    return [Outcome(o).name for o in merged.outcome]


def values_of(rows: pa.Table | None) -> dict[str, Row]:
    return {r["symbol"]: {n: r[n] for n in VALUES} for r in (rows.to_pylist() if rows else [])}


def test_a_value_where_none_was_completes_the_row() -> None:
    later = LOADED + timedelta(days=1)
    merged = merge(table(bar(high=12.0)), table(bar(open=9.0, source="b.csv", etl_loading_ts=later)), PRICE_BY_DATE)
    assert outcomes(merged) == ["UPDATED"]
    assert merged.table is not None
    assert merged.table.to_pylist() == [bar(open=9.0, high=12.0, source="b.csv", etl_loading_ts=later)]
    assert not len(merged.conflicts)


def test_a_row_that_knows_less_adds_nothing() -> None:
    merged = merge(table(bar(open=9.0)), table(bar(source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["DUPLICATE"]
    assert merged.table is None


def test_a_row_with_another_value_adds_nothing_of_what_it_knows() -> None:
    merged = merge(table(bar(open=9.0)), table(bar(open=8.0, high=12.0, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["CONFLICT"]
    assert merged.table is None


def test_rows_that_would_make_an_impossible_bar_together_conflict() -> None:
    merged = merge(table(bar(high=12.0)), table(bar(low=12.5, source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["CONFLICT"]
    assert merged.table is None


def test_a_later_line_completes_an_earlier_one_of_the_same_batch() -> None:
    incoming = table(bar(), bar(open=9.0), bar(open=8.0), bar(), bar(high=12.0), bar(open=9.0, high=12.0))
    merged = merge(None, incoming, PRICE_BY_DATE)
    assert outcomes(merged) == ["INSERTED", "UPDATED", "CONFLICT", "DUPLICATE", "UPDATED", "DUPLICATE"]
    assert values_of(merged.table)["AAPL"] == dict.fromkeys(VALUES) | {"open": 9.0, "high": 12.0, "close": 10.0}


def test_a_conflict_is_told_with_the_value_that_completed_the_row() -> None:
    incoming = table(bar(open=9.0, source="b.csv"), bar(open=8.0, source="c.csv"))
    merged = merge(table(bar()), incoming, PRICE_BY_DATE)
    assert outcomes(merged) == ["UPDATED", "CONFLICT"]
    assert [(r["open"], r["source"]) for r in merged.conflicting.to_pylist()] == [(9.0, "b.csv")]


def test_a_restatement_completes_what_it_agrees_with_and_replaces_what_it_does_not() -> None:
    stored = table(bar("A"), bar("B", open=9.0), bar("C", open=9.0))
    incoming = table(
        bar("A", open=9.0, source="b.csv"),
        bar("B", close=11.0, source="b.csv"),
        bar("C", source="b.csv"),
        bar("B", close=11.0, high=12.0, source="b.csv"),
    )
    merged = merge(stored, incoming, PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["UPDATED", "REPLACED", "DUPLICATE", "UPDATED"]
    found = values_of(merged.table)
    assert (found["A"]["open"], found["C"]["open"]) == (9.0, 9.0)
    assert found["B"] == dict.fromkeys(VALUES) | {"open": 9.0, "close": 11.0, "high": 12.0}


def test_a_restatement_keeps_what_it_does_not_mention() -> None:
    stored = table(bar(open=9.0, high=12.0, low=8.0, volume=100.0))
    merged = merge(stored, table(bar(close=11.0, volume=50.0, source="b.csv")), PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["REPLACED"]
    expected = {"open": 9.0, "high": 12.0, "low": 8.0, "close": 11.0, "volume": 50.0}
    assert values_of(merged.table)["AAPL"] == dict.fromkeys(VALUES) | expected


@pytest.mark.parametrize(("close", "kept"), [(12.5, {"high": 12.0}), (7.5, {"low": 8.0})])
def test_a_restatement_that_what_it_keeps_would_contradict_stays_out(close: float, kept: dict[str, float]) -> None:
    """An open and a high of before a split beside a close of after it are no bar; nobody knows the true ones."""
    merged = merge(table(bar(**kept)), table(bar(close=close, source="b.csv")), PRICE_BY_DATE, replace=True)
    assert (outcomes(merged), merged.table) == (["CONFLICT"], None)
    whole = table(bar(close=close, source="b.csv", **dict.fromkeys(kept, close)))
    assert outcomes(merge(table(bar(**kept)), whole, PRICE_BY_DATE, replace=True)) == ["REPLACED"]


def test_rows_stored_by_an_attempt_whose_reply_was_lost_are_known_as_own() -> None:
    incoming = table(
        bar(), bar(open=9.0), bar(close=11.0), bar("B", source="b.csv"), bar("B", open=1.0, source="c.csv")
    )
    first = merge(None, incoming, PRICE_BY_DATE)
    assert outcomes(first) == ["INSERTED", "UPDATED", "CONFLICT", "INSERTED", "UPDATED"]
    again = merge(first.table, incoming, PRICE_BY_DATE)
    assert again.table is None
    assert again.own.all()
    assert outcomes(again) == ["INSERTED", "DUPLICATE", "CONFLICT", "INSERTED", "DUPLICATE"]
    later = table(*(row | {"etl_loading_ts": LOADED + timedelta(1)} for row in incoming.to_pylist()))
    assert not merge(first.table, later, PRICE_BY_DATE).own.any()


def test_ticks_of_one_moment_stay_in_their_order_when_one_is_completed() -> None:
    def tick(number: int, size: float | None) -> Row:
        return {"event_id": f"e{number}", "symbol": "A", "price": 1.0, "size": size, "produced_at": LOADED,
                "source": "a", "etl_loading_ts": LOADED}  # fmt: skip

    schema = STREAM_PRICES_HISTORY.schema
    stored = pa.Table.from_pylist([tick(n, None) for n in range(3)], schema)
    merged = merge(stored, pa.Table.from_pylist([tick(1, 5.0)], schema), STREAM_PRICES_HISTORY)
    assert outcomes(merged) == ["UPDATED"]
    assert merged.table is not None
    assert [(r["event_id"], r["size"]) for r in merged.table.to_pylist()] == [("e0", None), ("e1", 5.0), ("e2", None)]


def latest(size: float | None, second: int = 0, event: str = "e", symbol: str = "A") -> Row:
    at = LOADED + timedelta(seconds=second)
    return {
        "symbol": symbol,
        "price": 1.0,
        "size": size,
        "produced_at": at,
        "event_id": event,
        "etl_loading_ts": LOADED,
    }


def snapshot(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LATEST_PRICES.schema)


@pytest.mark.parametrize(
    ("stored", "incoming", "expected", "size"),
    [
        ([latest(None)], [latest(5.0)], ["UPDATED"], 5.0),
        ([latest(5.0)], [latest(None)], ["DUPLICATE"], 5.0),
        ([], [latest(None), latest(5.0)], ["INSERTED", "UPDATED"], 5.0),
        ([latest(None)], [latest(5.0), latest(None, 1, "later")], ["DUPLICATE", "INSERTED"], None),
        ([latest(None, event="f")], [latest(5.0)], ["DUPLICATE"], None),
    ],
)
def test_the_latest_tick_is_completed(stored: list[Row], incoming: list[Row], expected: list[str], size: Any) -> None:
    merged = merge(snapshot(*stored), snapshot(*incoming), LATEST_PRICES)
    assert outcomes(merged) == expected
    rows = merged.table if merged.table is not None else snapshot(*stored)
    assert [row["size"] for row in rows.to_pylist()] == [size]


PARTIAL = st.builds(
    lambda symbol, values: bar(symbol, **values),
    st.sampled_from("AB"),
    st.fixed_dictionaries(
        {"close": st.sampled_from([1.0, 1.0, 1.0, 2.0])},
        optional={name: st.sampled_from([1.0, 1.0, 1.0, 2.0, None]) for name in OPTIONAL},
    ),
).filter(lambda row: keeps_bounds(row))


def keeps_bounds(row: Row) -> bool:
    return all(
        row[upper] >= row[lower] for upper, lower in PRICE_BY_DATE.bounds if None not in (row[upper], row[lower])
    )


def agree(one: Row, other: Row) -> bool:
    together = {n: other[n] if one[n] is None else one[n] for n in VALUES}
    return keeps_bounds(together) and all(one[n] == other[n] for n in VALUES if None not in (one[n], other[n]))


def one_by_one(holds: dict[str, Row], incoming: list[Row], replace: bool) -> list[str]:
    """The rule, a row at a time: what becomes of each, `holds` being what is known of each key so far."""
    found, seen = [], set[str]()
    for row in incoming:
        key, values = row["symbol"], {n: row[n] for n in VALUES}
        known = holds.get(key)
        if known is None:
            holds[key], outcome = values, "INSERTED"
        elif not agree(known, values):
            whole = {n: known[n] if values[n] is None else values[n] for n in VALUES}
            outcome = "REPLACED" if replace and key not in seen and keeps_bounds(whole) else "CONFLICT"
            holds[key] = whole if outcome == "REPLACED" else known
        elif any(known[n] is None and values[n] is not None for n in VALUES):
            holds[key], outcome = {n: values[n] if known[n] is None else known[n] for n in VALUES}, "UPDATED"
        else:
            outcome = "DUPLICATE"
        seen.add(key)
        found.append(outcome)
    return found


@given(st.lists(PARTIAL, max_size=8), st.lists(PARTIAL, max_size=12), st.booleans())
def test_a_merge_is_what_one_row_after_the_other_would_do(
    stored: list[Row], incoming: list[Row], replace: bool
) -> None:
    holds: dict[str, Row] = {}
    first = merge(None, table(*stored), PRICE_BY_DATE)
    assert outcomes(first) == one_by_one(holds, stored, replace=False)
    assert values_of(first.table) == holds
    later = [row | {"source": "b.csv"} for row in incoming]
    merged = merge(first.table, table(*later), PRICE_BY_DATE, replace=replace)
    assert outcomes(merged) == one_by_one(holds, later, replace)
    assert values_of(merged.table if merged.table is not None else first.table) == holds
    assert (merged.table is None) == (not {"INSERTED", "UPDATED", "REPLACED"} & set(outcomes(merged)))
    assert sorted(merged.conflicts) == [i for i, o in enumerate(outcomes(merged)) if o == "CONFLICT"]


MASKS = st.lists(st.tuples(st.sampled_from("ABC"), st.sets(st.sampled_from(OPTIONAL))), max_size=10)


@given(MASKS, st.randoms(use_true_random=False))
def test_rows_that_agree_make_the_same_rows_in_any_order_and_grouping(
    masks: list[tuple[str, set[str]]], random: rng.Random
) -> None:
    rows = [bar(symbol, **dict.fromkeys(known, 10.0), source=f"{i}.csv") for i, (symbol, known) in enumerate(masks)]
    expected: dict[str, Row] = {}
    for symbol, known in masks:
        expected.setdefault(symbol, dict.fromkeys(VALUES) | {"close": 10.0}).update(dict.fromkeys(known, 10.0))
    deliveries = rows * 2
    random.shuffle(deliveries)
    stored: pa.Table | None = None
    while deliveries:
        size = random.randint(1, len(deliveries))
        merged = merge(stored, table(*deliveries[:size]), PRICE_BY_DATE)
        assert not {"CONFLICT"} & set(outcomes(merged))
        stored = merged.table if merged.table is not None else stored
        deliveries = deliveries[size:]
    assert values_of(stored) == expected
