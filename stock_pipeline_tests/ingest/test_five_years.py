"""A file of each layout that the README names, made up with five years of sessions, ends without a rejected row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from stock_pipeline.simulate.daily import simulate_daily_prices
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.desk import Desk

DAYS = sessions(date(2019, 1, 2), date(2023, 12, 29))
BARS = simulate_daily_prices(["TST"], DAYS[0], DAYS[-1], seed=7).to_pylist()
NEW_YORK = ZoneInfo("America/New_York")

Row = dict[str, object]


def window(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC).timestamp()) * 10**9


def table(header: str, row: Callable[[Row], str], *, newest_first: bool = False) -> str:
    rows = [row(bar) for bar in BARS]
    return "\n".join([header, *(reversed(rows) if newest_first else rows), ""])


LAYOUTS = {
    "Yahoo/TST.csv": table(
        "Date,Open,High,Low,Close,Adj Close,Volume",
        lambda b: f"{b['date']},{b['open']},{b['high']},{b['low']},{b['close']},{b['close']},{b['volume']}",
    ),
    "yfinance/TST.csv": table(
        "Price,Close,High,Low,Open,Volume\nTicker,TST,TST,TST,TST,TST\nDate,,,,,",
        lambda b: f"{b['date']},{b['close']},{b['high']},{b['low']},{b['open']},{b['volume']}",
    ),
    "Stooq/tst.us.txt": table(
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
        lambda b: f"TST.US,D,{b['date']:%Y%m%d},000000,{b['open']},{b['high']},{b['low']},{b['close']},{b['volume']},0",
    ),
    "AlphaVantage/TST.csv": table(
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient",
        lambda b: f"{b['date']},{b['open']},{b['high']},{b['low']},{b['close']},{b['close']},{b['volume']},0.0000,1.0",
        newest_first=True,
    ),
    "Tiingo/TST.csv": table(
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor",
        lambda b: (
            f"{b['date']}T00:00:00.000Z,{b['close']},{b['high']},{b['low']},{b['open']},{b['volume']},"
            f"{b['close']},{b['high']},{b['low']},{b['open']},{b['volume']},0.0,1.0"
        ),
    ),
    "Nasdaq/TST.csv": table(
        "Date,Close/Last,Volume,Open,High,Low",
        lambda b: f"{b['date']:%m/%d/%Y},${b['close']},{b['volume']},${b['open']},${b['high']},${b['low']}",
        newest_first=True,
    ),
    "Kaggle/all_stocks_5yr.csv": table(
        "date,open,high,low,close,volume,Name",
        lambda b: f"{b['date']},{b['open']},{b['high']},{b['low']},{b['close']},{b['volume']},TST",
    ),
    "Quandl/WIKI.csv": table(
        "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio,adj_open,adj_high,adj_low,adj_close,adj_volume",
        lambda b: (
            f"TST,{b['date']},{b['open']},{b['high']},{b['low']},{b['close']},{b['volume']},0.0,1.0,"
            f"{b['open']},{b['high']},{b['low']},{b['close']},{b['volume']}"
        ),
    ),
    "Massive/days.csv": table(
        "ticker,volume,open,close,high,low,window_start,transactions",
        lambda b: f"TST,{b['volume']}.25,{b['open']},{b['close']},{b['high']},{b['low']},{window(b['date'])},17",  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_five_years_of_a_layout_end_without_a_rejected_row(name: str) -> None:
    desk = Desk()
    key = f"daily_prices/uploads/{name}"
    desk.staging.put(key, LAYOUTS[name].encode())
    (receipt,) = desk.ingest(key)
    assert (receipt.refused, receipt.rejected, receipt.nulled, receipt.conflicts) == (None, {}, {}, 0)
    assert receipt.inserted == len(DAYS)
    (symbol,) = {symbol for symbol, _ in desk.closes()}
    assert desk.closes() == {(symbol, bar["date"].isoformat()): bar["close"] for bar in BARS}
