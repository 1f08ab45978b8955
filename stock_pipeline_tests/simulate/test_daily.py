"""Simulated daily prices: laws of the bars, the CSV and the raw objects."""

from __future__ import annotations

import hashlib
import itertools
import re
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import SimulationError
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.simulate.daily import (
    SCHEMA,
    default_symbols,
    raw_key,
    simulate_daily_prices,
    to_csv,
    write_raw_daily_prices,
)
from stock_pipeline.trading_calendar.sessions import session_length, sessions
from stock_pipeline_tests.support.memory_store import MemoryStore

MANY = default_symbols(60)
YEARS = (date(2022, 1, 1), date(2024, 12, 31))
days = st.dates(date(1990, 1, 1), date(2049, 12, 31))
seeds = st.integers(0, 2**63)


@pytest.fixture(scope="module")
def three_years() -> pa.Table:
    return simulate_daily_prices(MANY, *YEARS, seed=7)


def matrix(table: pa.Table, column: str) -> np.ndarray[Any, Any]:
    """A column as (sessions, symbols)."""
    return table[column].to_numpy().reshape(-1, pc.count_distinct(table["symbol"]).as_py())


@settings(max_examples=40, deadline=None)
@given(days, st.integers(0, 500), seeds, st.data())
def test_a_bar_is_the_same_whatever_else_is_asked_for(start: date, length: int, seed: int, data: Any) -> None:
    end = min(start + timedelta(days=length), date(2049, 12, 31))
    asked = data.draw(st.lists(st.sampled_from(MANY), min_size=1, max_size=8))
    whole = simulate_daily_prices(asked, start, end, seed)
    alone = data.draw(st.sampled_from(asked))
    inner = sorted([data.draw(st.dates(start, end)), data.draw(st.dates(start, end))])
    part = simulate_daily_prices([alone], inner[0], inner[1], seed)
    kept = pc.and_(
        pc.equal(whole["symbol"], alone),
        pc.and_(pc.greater_equal(whole["date"], inner[0]), pc.less_equal(whole["date"], inner[1])),
    )
    assert whole.filter(kept).equals(part)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(MANY), min_size=1, max_size=8), days, seeds)
def test_bars_are_consistent_and_on_the_cent(symbols: list[str], start: date, seed: int) -> None:
    end = min(start + timedelta(days=30), date(2049, 12, 31))
    table = simulate_daily_prices(symbols, start, end, seed)
    names, traded = sorted(set(symbols)), sessions(start, end)
    assert table.schema == SCHEMA
    assert list(zip(table["date"].to_pylist(), table["symbol"].to_pylist(), strict=True)) == list(
        itertools.product(traded, names)
    )
    for row in table.to_pylist():
        assert row["high"] >= max(row["open"], row["close"])
        assert 0.01 <= row["low"] <= min(row["open"], row["close"])
        assert all(row[side] == round(row[side], 2) for side in ("open", "high", "low", "close"))
        assert row["volume"] >= 1


def test_the_bars_stay_what_they_are() -> None:
    """People keep tables of these values: a change of the model is another market, and belongs in the changelog."""
    table = simulate_daily_prices(["AAPL", "NVDA"], date(2024, 11, 29), date(2024, 12, 2), seed=7)
    assert to_csv(table).decode() == (
        "symbol,date,open,high,low,close,volume\n"
        "AAPL,2024-11-29,238.90,243.01,237.76,242.16,145994\n"
        "NVDA,2024-11-29,473.42,476.86,470.48,473.90,175129\n"
        "AAPL,2024-12-02,244.39,246.57,241.87,243.08,240549\n"
        "NVDA,2024-12-02,475.76,483.12,470.95,474.47,414511\n"
    )


def test_seeds_and_symbols_give_different_markets() -> None:
    one, other = (simulate_daily_prices(["AAPL", "MSFT"], *YEARS, seed=seed) for seed in (7, 8))
    assert pc.mean(pc.equal(one["close"], other["close"])).as_py() < 0.01
    closes = matrix(one, "close")
    assert (closes[:, 0] == closes[:, 1]).mean() < 0.01


def test_returns_are_plausible_and_correlated(three_years: pa.Table) -> None:
    returns = np.diff(np.log(matrix(three_years, "close")), axis=0)
    volatility = returns.std(axis=0)
    assert volatility.min() > 0.008
    assert volatility.max() < 0.035
    pairs = np.corrcoef(returns.T)[np.triu_indices(len(MANY), 1)]
    assert 0.1 < pairs.mean() < 0.6
    assert pairs.min() > -0.1
    assert np.abs(returns).max() > 4 * volatility.mean(), "no jump in 45,000 days"


def test_volume_grows_with_the_size_of_the_move(three_years: pa.Table) -> None:
    moves = np.abs(np.diff(np.log(matrix(three_years, "close")), axis=0))
    volumes = np.log(matrix(three_years, "volume"))[1:]
    each = [np.corrcoef(moves[:, n], volumes[:, n])[0, 1] for n in range(len(MANY))]
    assert min(each) > 0.3


def test_sessions_connect_within_and_across_years() -> None:
    table = simulate_daily_prices(MANY, date(1990, 1, 1), date(2029, 12, 31), seed=7)
    gaps = np.abs(np.log(matrix(table, "open")[1:] / matrix(table, "close")[:-1]))
    traded = sessions(date(1990, 1, 1), date(2029, 12, 31))
    new_year = np.array([b.year != a.year for a, b in itertools.pairwise(traded)])
    assert new_year.sum() == 39
    # a holiday's move is in the gap after it, and a new year begins with one
    after_holiday = np.array([(b - a).days in {2, 4} for a, b in itertools.pairwise(traded)])
    assert np.median(gaps[~after_holiday]) < 0.01
    assert np.median(gaps[new_year]) < 1.5 * np.median(gaps[after_holiday & ~new_year])
    assert gaps.max() < 0.25


def test_six_decades_neither_explode_nor_vanish() -> None:
    symbols = default_symbols(300)
    for year in range(1990, 2050, 7):
        table = simulate_daily_prices(symbols, date(year, 12, 1), date(year, 12, 31), seed=3)
        assert pc.min(table["low"]).as_py() > 0.1
        assert pc.max(table["high"]).as_py() < 100_000


def test_half_days_trade_less(three_years: pa.Table) -> None:
    volume = np.log(matrix(three_years, "volume")).mean(axis=1)
    half = np.array([session_length(day) < 1 for day in sessions(*YEARS)])
    assert half.sum() == 6
    assert volume[half].mean() < volume[~half].mean() - 0.3


def test_a_range_without_sessions_gives_an_empty_table() -> None:
    table = simulate_daily_prices(["AAPL"], date(2024, 6, 8), date(2024, 6, 9), seed=7)
    assert (table.num_rows, table.schema) == (0, SCHEMA)
    assert to_csv(table) == b"symbol,date,open,high,low,close,volume\n"


@pytest.mark.parametrize("symbol", ["", "aapl", "A,B", "-A", "A" * 33, 'A"', "A\n"])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(SimulationError, match="is not a symbol as it is stored"):
        simulate_daily_prices(["AAPL", symbol], *YEARS, seed=7)


def test_no_symbols_at_all_are_refused() -> None:
    with pytest.raises(SimulationError, match="name at least one"):
        simulate_daily_prices([], *YEARS, seed=7)


def test_the_csv_has_two_decimals_and_no_quotes() -> None:
    rows = {
        "symbol": ["BRK.B", "TRUE", "0700", "1E5"],
        "date": [date(2024, 1, 2)] * 4,
        "open": [1.0, 0.01, 100.1, 123456.78],
        "high": [1.1, 0.29, 100.1, 123456.78],
        "low": [1.0, 0.01, 100.1, 123456.78],
        "close": [1.005, 0.07, 100.1, 123456.78],
        "volume": [1, 2, 3, 10**10],
    }
    assert to_csv(pa.table(rows, schema=SCHEMA)).decode().split("\n") == [
        "symbol,date,open,high,low,close,volume",
        "BRK.B,2024-01-02,1.00,1.10,1.00,1.00,1",
        "TRUE,2024-01-02,0.01,0.29,0.01,0.07,2",
        "0700,2024-01-02,100.10,100.10,100.10,100.10,3",
        "1E5,2024-01-02,123456.78,123456.78,123456.78,123456.78,10000000000",
        "",
    ]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_made_up_symbols_are_distinct_and_stable_in_number(few: int, many: int) -> None:
    few, many = sorted([few, many])
    symbols = default_symbols(many)
    assert len(set(symbols)) == len(symbols) == many
    assert default_symbols(few) == symbols[:few]
    assert symbols[:16] == DEFAULT_SYMBOLS[:many]


def test_symbols_can_be_named_or_made_up_by_the_ten_thousand() -> None:
    assert default_symbols(("B", "A")) == ("B", "A")
    assert len(set(default_symbols(160_000))) == 160_000
    for number in (0, -1, 160_001):
        with pytest.raises(SimulationError, match="take 1 to 160,000"):
            default_symbols(number)


# Raw objects in staging

WEEK = sessions(date(2023, 12, 27), date(2024, 1, 4))


def test_a_session_is_one_object_with_all_symbols() -> None:
    store, told = MemoryStore(), []
    written = write_raw_daily_prices(store, WEEK, ["MSFT", "AAPL"], 7, lambda *done: told.append(done))
    keys = [raw_key(day, ["AAPL", "MSFT"], 7) for day in WEEK]
    assert [(w.key, w.session, w.rows, w.written) for w in written] == [
        (key, day, 2, True) for key, day in zip(keys, WEEK, strict=True)
    ]
    assert re.fullmatch(r"daily_prices/date=2023-12-27/prices-[0-9a-f]{8}\.csv", keys[0])
    assert sorted(store.objects) == keys
    for raw in written:
        data = store.objects[raw.key].data
        assert data == to_csv(simulate_daily_prices(["AAPL", "MSFT"], raw.session, raw.session, 7))
        assert raw.bytes == len(data)
    assert told == [(n + 1, len(WEEK)) for n in range(len(WEEK))]


def test_another_market_never_overwrites_what_one_brought_in() -> None:
    store = MemoryStore()
    for symbols, seed in ((["AAPL", "MSFT"], 7), (["MSFT"], 7), (["MSFT"], 8), (["MSFT", "AAPL", "MSFT"], 7)):
        write_raw_daily_prices(store, WEEK[:1], symbols, seed)
    assert len(store.objects) == len(store.puts) == 3


def test_what_is_there_with_the_same_content_is_not_written_again() -> None:
    store = MemoryStore()
    write_raw_daily_prices(store, WEEK[:3], ["AAPL"], 7)
    store.put(raw_key(WEEK[1], ["AAPL"], 7), b"something else")
    store.puts.clear()
    again = write_raw_daily_prices(store, WEEK, ["AAPL"], 7)
    assert [raw.written for raw in again] == [False, True, False, *[True] * (len(WEEK) - 3)]
    assert sorted(store.puts) == [raw_key(WEEK[1], ["AAPL"], 7), *(raw_key(d, ["AAPL"], 7) for d in WEEK[3:])]
    assert store.gets == []


def test_an_etag_that_is_no_md5_does_not_cause_rewrites() -> None:
    store = MemoryStore()
    write_raw_daily_prices(store, WEEK, ["AAPL"], 7)
    for key, there in store.objects.items():
        kms = hashlib.sha256(there.data).hexdigest()[:32]
        store.objects[key] = StoredObject(ObjectInfo(key, kms, len(there.data), there.info.modified), there.data)
    assert not any(raw.written for raw in write_raw_daily_prices(store, WEEK, ["AAPL"], 7))
    assert all(raw.written for raw in write_raw_daily_prices(store, WEEK, ["AAPL"], 8))


def test_days_that_are_no_sessions_are_refused_before_anything_is_written() -> None:
    store = MemoryStore()
    with pytest.raises(SimulationError, match="2024-01-01 is not a trading session"):
        write_raw_daily_prices(store, [*WEEK, date(2024, 1, 1)], ["AAPL"], 7)
    assert store.puts == []


def test_a_failed_write_is_raised() -> None:
    def broken(key: str) -> None:
        if key == raw_key(WEEK[2], ["AAPL"], 7):
            raise OSError("the disk is full")

    store = MemoryStore()
    store.before_put = broken
    with pytest.raises(OSError, match="the disk is full"):
        write_raw_daily_prices(store, WEEK, ["AAPL"], 7)


def test_no_sessions_write_nothing() -> None:
    assert write_raw_daily_prices(MemoryStore(), [], ["AAPL"], 7) == []
