"""Laws of the bars and of the calendar: nothing is lost, whatever is joined or thinned."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stock_pipeline.board.bars import MOST, Bars, of_ticks, readable, thinned
from stock_pipeline.board.completeness import BAR, MISSING, completeness
from stock_pipeline.trading_calendar.sessions import sessions

PRICES = st.floats(0.01, 1e6)
DAYS = np.arange(np.datetime64("1990-01-02"), np.datetime64("2026-01-02"))
DAY = 86_400_000_000


@given(
    st.lists(
        st.tuples(st.integers(0, DAY - 1), PRICES, st.one_of(st.none(), st.floats(0, 1e6))), min_size=1, max_size=60
    )
)
def test_the_bars_of_ticks_have_each_tick_once(ticks: list[tuple[int, float, float | None]]) -> None:
    ticks.sort(key=lambda tick: tick[0])
    times = np.array([at for at, *_ in ticks]).astype("datetime64[us]")
    prices = np.array([price for _, price, _ in ticks])
    sizes = np.array([np.nan if size is None else size for *_, size in ticks])
    length, bars = of_ticks(times, prices, sizes)
    assert len(bars) <= 402
    begins, each = bars.at.astype(np.int64), length * 1_000_000
    assert (np.diff(begins) >= each).all()
    for at, begin in enumerate(begins):
        mine = [tick for tick in ticks if begin <= tick[0] < begin + each]
        assert (bars.open[at], bars.close[at]) == (mine[0][1], mine[-1][1])
        assert (bars.high[at], bars.low[at]) == (max(p for _, p, _ in mine), min(p for _, p, _ in mine))
        known = [size for *_, size in mine if size is not None]
        assert bars.volume[at] == pytest.approx(sum(known)) if known else np.isnan(bars.volume[at])


@given(arrays.arrays(np.float64, st.integers(1, 500), elements=PRICES), st.integers(4, 100))
def test_a_thinned_line_keeps_its_ends_and_extremes(prices: np.ndarray, most: int) -> None:
    kept = thinned(prices, most)
    assert len(kept) <= max(most + 4, len(prices) if len(prices) <= most else 0)
    assert (np.diff(kept) > 0).all()
    chosen = prices[kept]
    assert (chosen[0], chosen[-1]) == (prices[0], prices[-1])
    assert (chosen.max(), chosen.min()) == (prices.max(), prices.min())


@given(st.integers(1, len(DAYS) - 1), st.booleans(), st.data())
def test_longer_bars_keep_the_volume_and_the_extremes(count: int, whole: bool, data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low = random.uniform(1, 2, count)
    unknown = np.full(count, np.nan)
    closes = low + random.uniform(0, 1, count)
    bars = Bars(
        DAYS[:count], *((closes, closes, low) if whole else (unknown,) * 3), closes, random.uniform(0, 9, count)
    )
    name, longer = readable(bars)
    assert len(longer) <= MOST
    assert (name == "session") == (count <= MOST)
    assert longer.whole == whole
    assert longer.volume.sum() == pytest.approx(bars.volume.sum())
    assert (longer.close[-1], longer.at[0]) == (closes[-1], DAYS[0])
    if whole:
        assert (longer.high.max(), longer.low.min()) == (closes.max(), low.min())


def test_a_bar_of_a_week_begins_on_its_monday() -> None:
    days = np.array([str(day) for day in sessions(date(2015, 1, 2), date(2025, 12, 31))], "datetime64[D]")
    ones = np.ones(len(days))
    name, longer = readable(Bars(days, ones, ones, ones, ones, ones))
    assert name == "week"
    weeks = [at.isocalendar()[:2] for at in longer.at.tolist()]
    assert len(set(weeks)) == len(weeks)


CALENDAR = sessions(date(2024, 1, 1), date(2024, 3, 31))
EVERY_DAY = [date(2024, 1, 1) + timedelta(n) for n in range(90)]


@given(st.dictionaries(st.sampled_from("ABC"), st.sets(st.sampled_from(EVERY_DAY), min_size=1), min_size=1))
def test_a_session_is_missing_between_the_first_and_the_last_bar_only(held: dict[str, set[date]]) -> None:
    rows = [{"symbol": symbol, "date": day} for symbol, days in held.items() for day in sorted(days)]
    found = completeness(
        pa.Table.from_pylist(rows, pa.schema([("symbol", pa.string()), ("date", pa.date32())])), CALENDAR
    )
    assert found.symbols == sorted(held)
    for symbol, states in zip(found.symbols, found.states, strict=True):
        stored = [day for day in CALENDAR if day in held[symbol]]
        between = [day for day in CALENDAR if stored and stored[0] < day < stored[-1] and day not in held[symbol]]
        assert [day for day, state in zip(CALENDAR, states, strict=True) if state == BAR] == stored
        assert [day for day, state in zip(CALENDAR, states, strict=True) if state == MISSING] == between
    assert found.off_calendar == sum(day not in set(CALENDAR) for days in held.values() for day in days)
