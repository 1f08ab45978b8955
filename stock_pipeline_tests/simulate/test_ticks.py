"""Simulated ticks: agreement with the day's bar, the live stream, the JSON lines."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import SimulationError
from stock_pipeline.simulate.daily import default_symbols, simulate_daily_prices
from stock_pipeline.simulate.ticks import SCHEMA, live_ticks, simulate_ticks, to_json_lines
from stock_pipeline.trading_calendar.sessions import session_times, sessions

SYMBOLS = default_symbols(40)
HALF_DAY = date(2024, 11, 29)
NIGHT = datetime(2024, 12, 1, 3, tzinfo=UTC)
traded = st.sampled_from(sessions(date(1990, 1, 1), date(2049, 12, 31)))
seeds = st.integers(0, 2**63)


def bar(table: pa.Table) -> dict[str, dict[str, float]]:
    """Open, high, low and close of each symbol's ticks, in the order of the table."""
    bars = {}
    for symbol in pc.unique(table["symbol"]).to_pylist():
        prices = table.filter(pc.equal(table["symbol"], symbol))["price"].to_pylist()
        bars[symbol] = {"open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1]}
    return bars


def daily_bar(symbols: Any, session: date, seed: int) -> dict[str, dict[str, float]]:
    rows = simulate_daily_prices(symbols, session, session, seed).to_pylist()
    return {row["symbol"]: {side: row[side] for side in ("open", "high", "low", "close")} for row in rows}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4), traded, seeds, st.integers(4, 300))
def test_the_ticks_of_a_day_agree_with_its_bar(symbols: list[str], session: date, seed: int, number: int) -> None:
    table = simulate_ticks(symbols, session, seed, number)
    assert table.schema == SCHEMA
    assert bar(table) == daily_bar(symbols, session, seed)
    assert table.num_rows == number * len(set(symbols))
    times = table["produced_at"].to_pylist()
    assert times == sorted(times)
    assert (times[0], times[-1]) == session_times(session)
    assert all(price == round(price, 2) for price in table["price"].to_pylist())
    assert pc.min(table["size"]).as_py() >= 1
    assert pc.count_distinct(table["event_id"]).as_py() == table.num_rows


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SYMBOLS), traded, seeds, st.integers(4, 100))
def test_a_symbols_ticks_are_the_same_whoever_else_is_asked_for(
    symbol: str, session: date, seed: int, number: int
) -> None:
    together = simulate_ticks([*SYMBOLS[:5], symbol], session, seed, number)
    alone = simulate_ticks(symbol, session, seed, number)
    assert together.filter(pc.equal(together["symbol"], symbol)).equals(alone)


def test_ids_differ_between_symbols_days_seeds_and_numbers_of_ticks() -> None:
    days = sessions(date(2024, 11, 25), HALF_DAY)
    asked = itertools.product([list(SYMBOLS)], days, [7, 8], [50, 51])
    ids = [i for one in asked for i in simulate_ticks(*one)["event_id"].to_pylist()]
    assert len(set(ids)) == len(ids) == len(SYMBOLS) * len(days) * 2 * 101


def test_within_a_symbol_ids_sort_as_the_ticks_were_produced() -> None:
    ids = simulate_ticks("AAPL", HALF_DAY, 7, 20_000)["event_id"].to_pylist()
    assert ids == sorted(ids)


def test_more_ticks_follow_the_same_path() -> None:
    few, many = (simulate_ticks("AAPL", HALF_DAY, 7, number) for number in (500, 50_000))

    def by_minute(table: pa.Table) -> Any:
        opened = session_times(HALF_DAY)[0]
        seconds = [(t - opened).total_seconds() for t in table["produced_at"].to_pylist()]
        return np.interp(np.arange(0, 3.5 * 3600, 60), seconds, table["price"].to_numpy())

    one, other = by_minute(few), by_minute(many)
    assert np.abs(one / other - 1).max() < 0.01
    assert np.corrcoef(one, other)[0, 1] > 0.95


def test_trades_crowd_at_the_open_and_the_close() -> None:
    table = simulate_ticks(["AAPL", "MSFT"], date(2024, 11, 27), 7, 20_000)
    opened = session_times(date(2024, 11, 27))[0]
    seconds = [(t - opened).total_seconds() for t in table["produced_at"].to_pylist()]
    tenths = np.histogram(seconds, bins=10, range=(0, 6.5 * 3600))[0]
    assert tenths[0] > 2 * tenths[4]
    assert tenths[9] > 2 * tenths[5]
    assert list(tenths[:5]) == sorted(tenths[:5], reverse=True)
    assert list(tenths[5:]) == sorted(tenths[5:])


def test_prices_move_through_the_day_as_a_market_does() -> None:
    table = simulate_ticks("AAPL", date(2024, 11, 27), 7, 30_000)
    moves = np.abs(np.diff(np.log(table["price"].to_numpy())))
    assert moves.max() < 0.01, "a tick jumped"
    assert len(set(table["price"].to_pylist())) > 100


def test_the_half_day_ends_at_six_in_the_evening_utc() -> None:
    times = simulate_ticks("AAPL", HALF_DAY, 7, 10)["produced_at"].to_pylist()
    assert (times[0], times[-1]) == (
        datetime(2024, 11, 29, 14, 30, tzinfo=UTC),
        datetime(2024, 11, 29, 18, 0, tzinfo=UTC),
    )


def test_what_cannot_be_simulated_is_refused() -> None:
    with pytest.raises(SimulationError, match="take at least 4"):
        simulate_ticks("AAPL", HALF_DAY, 7, 3)
    with pytest.raises(SimulationError, match="not a trading session"):
        simulate_ticks("AAPL", date(2024, 11, 28), 7, 10)
    with pytest.raises(SimulationError, match="is not a symbol"):
        simulate_ticks('A"', HALF_DAY, 7, 10)


# Live ticks


def first(number: int, *args: Any, **kwargs: Any) -> list[pa.Table]:
    return list(itertools.islice(live_ticks(*args, **kwargs), number))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4),
    st.floats(0.5, 5000),
    st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 2_000_000),
)
def test_live_ticks_fall_due_at_the_rate_in_their_batch(
    symbols: list[str], rate: float, start: datetime, micros: int
) -> None:
    batch = timedelta(microseconds=micros)
    tables = first(9, symbols, 7, rate, start, batch=batch)
    for number, table in enumerate(tables):
        times = table["produced_at"].to_pylist()
        assert times == sorted(times)
        assert all(start + number * batch <= t < start + (number + 1) * batch for t in times)
        assert table.schema == SCHEMA
    ticks = pa.concat_tables(tables)
    assert ticks.num_rows == int(rate * (9 * batch).total_seconds())
    assert pc.count_distinct(ticks["event_id"]).as_py() == ticks.num_rows
    assert set(ticks["symbol"].to_pylist()) <= set(symbols)


@pytest.mark.parametrize(
    ("start", "session"),
    [
        (datetime(2024, 11, 27, 15, tzinfo=UTC), date(2024, 11, 27)),  # trading
        (datetime(2024, 11, 28, 15, tzinfo=UTC), date(2024, 11, 27)),  # Thanksgiving
        (datetime(2024, 12, 1, 3, tzinfo=UTC), HALF_DAY),  # a Sunday's night
        (datetime(2024, 11, 29, 4, tzinfo=timezone(timedelta(hours=-5))), date(2024, 11, 27)),  # before the open
    ],
)
def test_live_prices_stay_within_the_bar_of_the_session_that_opened_last(start: datetime, session: date) -> None:
    ticks = pa.concat_tables(first(40, SYMBOLS, 7, 2, start, batch=timedelta(minutes=7)))
    bars = daily_bar(SYMBOLS, session, 7)
    for symbol, seen in bar(ticks).items():
        assert bars[symbol]["low"] <= seen["low"] < seen["high"] <= bars[symbol]["high"]


def test_while_the_exchange_trades_live_prices_follow_the_path_of_the_day() -> None:
    opened, _ = session_times(HALF_DAY)
    day = simulate_ticks("AAPL", HALF_DAY, 7, 20_000)
    live = pa.concat_tables(first(14, ["AAPL"], 7, 1, opened, batch=timedelta(minutes=15)))
    grid = np.arange(60, 3.5 * 3600 - 60, 60)

    def prices(table: pa.Table) -> Any:
        seconds = [(t - opened).total_seconds() for t in table["produced_at"].to_pylist()]
        return np.interp(grid, seconds, table["price"].to_numpy())

    assert np.abs(prices(day) / prices(live) - 1).max() < 0.002


def test_a_restarted_producer_goes_on_where_another_ended() -> None:
    later = NIGHT + timedelta(seconds=30)
    before = first(120, ["AAPL"], 7, 100, NIGHT)[-1]["price"].to_numpy()
    after = first(1, ["AAPL"], 7, 100, later)[0]["price"].to_numpy()
    assert abs(before.mean() / after.mean() - 1) < 0.001


def test_the_path_changes_when_the_next_session_opens() -> None:
    opened, _ = session_times(date(2024, 12, 2))
    tables = first(4, SYMBOLS, 7, 2000, opened - timedelta(minutes=2), batch=timedelta(minutes=1))
    old, new = (daily_bar(SYMBOLS, day, 7) for day in (HALF_DAY, date(2024, 12, 2)))
    for bars, table in ((old, tables[1]), (new, tables[2])):
        for symbol, seen in bar(table).items():
            assert bars[symbol]["low"] <= seen["low"] <= seen["high"] <= bars[symbol]["high"]
    assert {s: b["open"] for s, b in new.items()} != {s: b["close"] for s, b in old.items()}


def test_a_given_session_is_followed_at_any_time() -> None:
    asked = date(2023, 5, 1)
    seen = bar(pa.concat_tables(first(20, ["NVDA"], 7, 200, NIGHT, session=asked)))["NVDA"]
    bars = daily_bar(["NVDA"], asked, 7)["NVDA"]
    assert bars["low"] <= seen["low"] <= seen["high"] <= bars["high"]


def test_live_ticks_are_reproducible_and_their_ids_are_not_shared_between_starts() -> None:
    one, same = first(3, SYMBOLS, 7, 500, NIGHT), first(3, SYMBOLS, 7, 500, NIGHT)
    assert one == same
    other = first(3, SYMBOLS, 7, 500, NIGHT + timedelta(microseconds=1))
    ids = [set(pa.concat_tables(tables)["event_id"].to_pylist()) for tables in (one, other)]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 0}, "take a positive number"),
        ({"rate": float("nan")}, "take a positive number"),
        ({"rate": float("inf")}, "take a positive number"),
        ({"start": NIGHT.replace(tzinfo=None)}, "no time zone"),
        ({"session": date(2024, 11, 28)}, "not a trading session"),
        ({"symbols": []}, "name at least one"),
        ({"batch": timedelta(0)}, "at least a microsecond"),
        ({"start": NIGHT.replace(tzinfo=None), "session": HALF_DAY}, "no time zone"),
    ],
)
def test_a_live_stream_that_cannot_be_is_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        live_ticks(**{"symbols": ["AAPL"], "seed": 7, "rate": 10, "start": NIGHT} | change)


# JSON lines


def test_a_tick_is_a_line_of_json() -> None:
    table = pa.table(
        {
            "symbol": ["BRK.B", "AAPL"],
            "price": [412.5, 0.07],
            "size": [1, 10**12],
            "produced_at": [datetime(2024, 1, 2, 14, 30, tzinfo=UTC), datetime(2024, 1, 2, 21, 0, 0, 42, tzinfo=UTC)],
            "event_id": ["a-1", "a-2"],
        },
        schema=SCHEMA,
    )
    assert to_json_lines(table) == [
        b'{"event_id":"a-1","symbol":"BRK.B","price":412.50,"size":1,"produced_at":"2024-01-02 14:30:00.000000"}\n',
        b'{"event_id":"a-2","symbol":"AAPL","price":0.07,"size":1000000000000,'
        b'"produced_at":"2024-01-02 21:00:00.000042"}\n',
    ]
    assert to_json_lines(SCHEMA.empty_table()) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=4), traded, seeds)
def test_the_lines_say_what_the_table_says(symbols: list[str], session: date, seed: int) -> None:
    table = simulate_ticks(symbols, session, seed, 20)
    read = [json.loads(line) for line in to_json_lines(table)]
    for tick in read:
        tick["produced_at"] = datetime.fromisoformat(tick["produced_at"]).replace(tzinfo=UTC)
    assert read == [{k: row[k] for k in tick} for tick, row in zip(read, table.to_pylist(), strict=True)]
    assert all(list(tick) == ["event_id", "symbol", "price", "size", "produced_at"] for tick in read)
