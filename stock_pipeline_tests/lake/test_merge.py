"""The keyed merge: what becomes of each incoming row, and what the partition holds afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.lake.comparing import differences
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.packing import pack
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, SYMBOL, TIMESTAMP, Column, Table
from stock_pipeline_tests.support.rows import LOADED, Row, bar, outcomes, table


def test_new_keys_are_inserted_in_the_order_of_the_table() -> None:
    merged = merge(table(bar("MSFT")), table(bar("NVDA"), bar("AAPL", 3), bar("AAPL", 2)), PRICE_BY_DATE)
    assert outcomes(merged) == ["INSERTED"] * 3
    assert [(r["symbol"], r["date"].day) for r in merged.table.to_pylist()] == [
        ("AAPL", 2),
        ("AAPL", 3),
        ("MSFT", 2),
        ("NVDA", 2),
    ]


def test_nothing_changes_when_every_row_is_stored() -> None:
    merged = merge(table(bar()), table(bar(source="b.csv")), PRICE_BY_DATE)
    assert outcomes(merged) == ["DUPLICATE"]
    assert merged.table is None


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_any_other_value_is_a_conflict(column: str) -> None:
    merged = merge(table(bar(**{column: 11})), table(bar(source="b.csv", **{column: 12})), PRICE_BY_DATE)
    assert outcomes(merged) == ["CONFLICT"]
    assert merged.table is None
    assert merged.conflicting.to_pylist()[0][column] == 11


def test_the_first_of_the_incoming_rows_wins() -> None:
    merged = merge(None, table(bar(close=1.0), bar(close=2.0), bar(close=1.0)), PRICE_BY_DATE)
    assert outcomes(merged) == ["INSERTED", "CONFLICT", "DUPLICATE"]
    assert merged.table.column("close").to_pylist() == [1.0]


def test_a_restatement_takes_the_place_of_what_is_stored() -> None:
    incoming = table(bar(close=2.0, source="b.csv"), bar(close=3.0, source="b.csv"), bar("MSFT", source="b.csv"))
    merged = merge(table(bar(close=1.0), bar("MSFT")), incoming, PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["REPLACED", "CONFLICT", "DUPLICATE"]
    assert [(r["symbol"], r["close"], r["source"]) for r in merged.table.to_pylist()] == [
        ("AAPL", 2.0, "b.csv"),
        ("MSFT", 10.0, "a.csv"),
    ]
    conflicting = dict(zip(merged.conflicts.tolist(), merged.conflicting.column("close").to_pylist(), strict=True))
    assert conflicting == {1: 2.0}


def test_a_restatement_of_the_same_values_changes_nothing() -> None:
    merged = merge(table(bar()), table(bar(source="b.csv"), bar(close=9.0)), PRICE_BY_DATE, replace=True)
    assert outcomes(merged) == ["DUPLICATE", "CONFLICT"]
    assert merged.table is None


def test_a_row_stored_by_an_attempt_whose_reply_was_lost_counts_as_inserted_once() -> None:
    incoming = table(bar(), bar(), bar(close=11.0))
    first = merge(None, incoming, PRICE_BY_DATE)
    again = merge(first.table, incoming, PRICE_BY_DATE)
    assert outcomes(first) == outcomes(again) == ["INSERTED", "DUPLICATE", "CONFLICT"]
    assert again.table is None


def test_differences_are_told_in_words() -> None:
    words = differences(table(bar(volume=5)), table(bar(close=11.5, volume=None)), PRICE_BY_DATE)
    assert words.to_pylist() == ["close 10 stored, 11.5 given; volume 5 stored, nothing given"]


def test_symbols_that_other_tools_take_for_something_else_stay_apart() -> None:
    symbols = ["NA", "NULL", "TRUE", "0700", "1E5", "NAN"]
    merged = merge(None, table(*(bar(s) for s in symbols)), PRICE_BY_DATE)
    assert sorted(symbols) == merged.table.column("symbol").to_pylist()


BARS = st.builds(bar, st.sampled_from(["A", "B", "Ü"]), st.integers(1, 5), st.sampled_from([1.0, 2.0]))


@given(st.lists(BARS, max_size=12), st.lists(BARS, max_size=12))
def test_the_merge_is_what_a_dictionary_would_do(stored: list[Row], incoming: list[Row]) -> None:
    existing = merge(None, table(*stored), PRICE_BY_DATE).table
    holds = {(r["symbol"], r["date"]): r["close"] for r in (existing.to_pylist() if existing else [])}
    expected = []
    for row in incoming:
        key = (row["symbol"], row["date"])
        if key not in holds:
            holds[key] = row["close"]
            expected.append("INSERTED")
        else:
            expected.append("DUPLICATE" if holds[key] == row["close"] else "CONFLICT")
    merged = merge(existing, table(*(r | {"source": "b.csv"} for r in incoming)), PRICE_BY_DATE)
    after = merged.table if merged.table is not None else existing
    assert outcomes(merged) == expected
    assert {(r["symbol"], r["date"]): r["close"] for r in (after.to_pylist() if after else [])} == holds


@given(st.lists(BARS, max_size=12), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter_where_values_agree(rows: list[Row], random: Any) -> None:
    agreed = [r | {"close": 1.0} for r in rows]
    shuffled = agreed * 2
    random.shuffle(shuffled)
    one = merge(None, table(*agreed), PRICE_BY_DATE).table
    other = merge(None, table(*shuffled), PRICE_BY_DATE).table
    assert (one.to_pylist() if one else None) == (other.to_pylist() if other else None)


@given(st.lists(st.tuples(st.text("AB.-9", min_size=1), st.dates(date(1900, 1, 1), date(2100, 1, 1))), min_size=1))
def test_packed_keys_sort_as_the_rows_do(keys: list[tuple[str, date]]) -> None:
    rows = pa.table({"symbol": [k[0] for k in keys], "date": pa.array([k[1] for k in keys], pa.date32())})
    packed, span = pack(rows, ("symbol", "date"))
    assert max(packed) < span
    assert [k for _, k in sorted(zip(packed.tolist(), keys, strict=True))] == sorted(keys)


def test_keys_far_apart_are_packed_without_running_over() -> None:
    """Thousands of symbols times sixty years of microseconds are more than a 64-bit integer counts."""
    moments = [datetime(1990 + n % 60, 1, 1, microsecond=n, tzinfo=UTC) for n in range(5000)]
    rows = pa.table({"symbol": [f"S{n * 7919 % 5000:04}" for n in range(5000)], "at": pa.array(moments, TIMESTAMP)})
    packed, span = pack(rows, ("symbol", "at"))
    assert 0 <= packed.min() <= packed.max() < span < 2**63
    assert rows.take(packed.argsort()).equals(rows.sort_by([("symbol", "ascending"), ("at", "ascending")]))


def test_a_few_rows_over_a_century_are_merged_by_their_keys() -> None:
    """So few among so many possible keys that they are factorize by sorting."""
    days = [date(1924 + year, 1, 2) for year in range(100)]
    stored = table(*(bar(f"S{n}") | {"date": day} for n, day in enumerate(days)))
    again = table(*(bar(f"S{n}") | {"date": day} for n, day in enumerate(days)), bar("NEW"))
    merged = merge(stored, again, PRICE_BY_DATE)
    assert merged.outcome.tolist() == [Outcome.INSERTED] * 101  # of one source and time: stored by this very ingest
    assert merged.table is not None
    assert merged.table.num_rows == 101


LATEST = Table(
    name="latest",
    prefix="latest/",
    description="the greatest of each symbol",
    columns=(
        Column("symbol", SYMBOL, ""),
        Column("price", pa.float64(), ""),
        Column("produced_at", TIMESTAMP, ""),
        Column("event_id", pa.string(), ""),
    ),
    key=("symbol",),
    sort=("symbol",),
    keep="greatest",
    order=("produced_at", "event_id"),
)
TICKS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 3), st.sampled_from(["a", "b", "ä", "aa"])), max_size=20
)
Tick = tuple[str, int, str]


def ticks(rows: list[Tick]) -> pa.Table:
    """A tick's price follows from its identity, as one event has one price."""
    return pa.Table.from_pylist(
        [
            {"symbol": s, "price": float(at), "produced_at": LOADED + timedelta(seconds=at), "event_id": e}
            for s, at, e in rows
        ],
        LATEST.schema,
    )


def greatest(rows: list[Tick]) -> list[Tick]:
    best: dict[str, Tick] = {}
    for row in rows:
        best[row[0]] = max(best.get(row[0], row), row)
    return [best[symbol] for symbol in sorted(best)]


def latest(merged: pa.Table | None) -> list[Tick]:
    rows = merged.to_pylist() if merged is not None else []
    return [(r["symbol"], int((r["produced_at"] - LOADED).total_seconds()), r["event_id"]) for r in rows]


@given(st.lists(TICKS, max_size=6), st.randoms(use_true_random=False))
def test_a_snapshot_holds_the_greatest_whatever_the_order_of_deliveries(batches: list[list[Tick]], random: Any) -> None:
    everything = [tick for batch in batches for tick in batch]
    deliveries = batches + [list(b) for b in batches]
    random.shuffle(deliveries)
    snapshot, seen = None, []
    for batch in deliveries:
        seen += batch
        merged = merge(snapshot, ticks(batch), LATEST)
        snapshot = merged.table if merged.table is not None else snapshot
        assert latest(snapshot) == greatest(seen)  # so it never goes backwards
        assert (merged.table is None) == ("INSERTED" not in outcomes(merged))
    assert latest(snapshot) == greatest(everything)


def test_a_delivered_tick_again_leaves_the_snapshot_unwritten() -> None:
    first = merge(None, ticks([("A", 1, "x"), ("A", 2, "y")]), LATEST)
    assert outcomes(first) == ["DUPLICATE", "INSERTED"]
    assert merge(first.table, ticks([("A", 2, "y"), ("A", 1, "x")]), LATEST).table is None


@pytest.mark.parametrize("years", [0, 95], ids=["seconds apart", "a century apart"])
def test_ticks_of_one_moment_stay_in_their_order(years: int) -> None:
    moments = [datetime(1990, 1, 1, tzinfo=UTC) + timedelta(days=365 * years * n, seconds=n) for n in (1, 0)]
    rows = [
        {"event_id": f"event-{n:04}", "symbol": f"S{n % 5}", "price": 1.0, "size": None, "produced_at": moments[n % 2],
         "source": "a", "etl_loading_ts": LOADED}
        for n in range(1000)
    ]  # fmt: skip
    merged = merge(None, pa.Table.from_pylist(rows, STREAM_PRICES_HISTORY.schema), STREAM_PRICES_HISTORY).table
    assert merged is not None
    expected = sorted(rows, key=lambda row: (row["symbol"], row["produced_at"]))  # which is stable
    assert merged["event_id"].to_pylist() == [row["event_id"] for row in expected]


def test_a_table_without_provenance_takes_no_row_for_one_of_an_earlier_attempt() -> None:
    """Nothing tells such a row from a duplicate."""
    columns = (Column("symbol", SYMBOL, ""), Column("price", pa.float64(), ""))
    plain = Table("plain", "plain/", "", columns, key=("symbol",), sort=("symbol",))
    rows = pa.Table.from_pylist([{"symbol": "A", "price": 1.0}], plain.schema)
    stored = merge(None, rows, plain)
    assert outcomes(stored) == ["INSERTED"]
    again = merge(stored.table, rows, plain)
    assert outcomes(again) == ["DUPLICATE"]
    assert not again.own.any()
