"""What each panel of the board shows: what there is, prices, ticks of a day, latest prices, completeness.

An answer has some of: `facts` (numbers with their names), `figure` (for Plotly), `caption`, `table`, and `empty` (what
is missing, with the commands that bring it). All times are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.board import arrivals, figures
from stock_pipeline.board.bars import MOST, Bars, of_ticks, readable, thinned
from stock_pipeline.board.completeness import completeness
from stock_pipeline.board.questions import Question, fact
from stock_pipeline.board.texts import counted, price_text
from stock_pipeline.query import latest_prices, read_prices, read_ticks
from stock_pipeline.trading_calendar.sessions import FIRST_DAY, LAST_DAY, last_closed_session, sessions

Answer = dict[str, Any]

_POINTS = 8_000  # of a line of ticks
_ROWS = 60  # symbols in the calendar
_OHLC = ["open", "high", "low", "close"]


def overview(question: Question) -> Answer:
    """What there is: the place, and each symbol with its first and last bar of late and the day of its last tick."""
    found = question.of_recent_years(
        'SELECT symbol, min("date") AS first_day, max("date") AS last_day', "GROUP BY symbol"
    )
    symbols: dict[str, list[Any]] = {row["symbol"]: [row["first_day"], row["last_day"]] for row in found.to_pylist()}
    latest = latest_prices(columns=["symbol", "produced_at"], settings=question.settings, arrow=True)
    ticks = {row["symbol"]: row["produced_at"].date() for row in latest.to_pylist()}
    listed = [[name, *symbols.get(name, [None, None]), ticks.get(name)] for name in sorted({*symbols, *ticks})]
    answer: Answer = {"symbols": listed, "place": _place(question), "now": question.now}
    if not listed:
        fill = [*question.fill("prices")["commands"], *question.fill("ticks")["commands"]]
        told = "This lake has no prices and no ticks yet. Each of these brings some:"
        answer["empty"] = {"text": told, "commands": fill}
    return answer


def prices(question: Question) -> Answer:
    """The bars of `symbol` from the day `start` to the day `end`; without one of them that side has no limit."""
    symbol, start, end = question.symbol, question.day("start"), question.day("end")
    columns = ["date", *_OHLC, "adj_close", "volume"]
    rows = read_prices(symbol, start, end, columns, settings=question.settings, arrow=True)
    if not rows.num_rows:
        return {"empty": {"text": f"price_by_date has no bar of {symbol} in these days."} | question.fill("prices")}
    days = rows["date"].to_numpy().astype("datetime64[D]")
    all_bars = Bars(days, *(rows[name].to_numpy() for name in (*_OHLC, "volume")))
    length, bars = readable(all_bars)
    adjusted = rows["adj_close"].to_numpy()
    shown = adjusted if length == "session" and not np.isnan(adjusted).all() else None
    figure = figures.prices(symbol, bars, shown, _breaks(days) if length == "session" else [])
    said = f"{symbol}, {days[0]} to {days[-1]}: {counted(len(days), 'bar')} of sessions"
    if length != "session":
        said += f", drawn as bars of {length}s because {MOST} fit"
    if not bars.whole:
        said += "; some lack open, high or low, so the line of closes is drawn"
    return {"figure": figure, "caption": f"{said}.", "facts": _facts(all_bars)}


def ticks(question: Question) -> Answer:
    """The ticks of `symbol` on the UTC `day`, by default that of its latest trade, and their bars."""
    symbol = question.symbol
    day = question.day("day") or _day_of_latest(question, symbol)
    columns = ["produced_at", "price", "size", "sets_last"]
    rows = read_ticks(symbol, day, day, columns, settings=question.settings, arrow=True) if day else None
    if rows is None or not rows.num_rows:
        what = f"on {day}" if day else "at all"
        fill = question.fill("ticks")
        return {"day": day, "empty": {"text": f"stream_prices_history has no tick of {symbol} {what}."} | fill}
    count = rows.num_rows
    drawn = rows.filter(pc.fill_null(rows["sets_last"], True))
    left_out = count - drawn.num_rows
    rows = drawn if drawn.num_rows else rows
    times, values = rows["produced_at"].to_numpy(), rows["price"].to_numpy()
    length, bars = of_ticks(times, values, rows["size"].to_numpy())
    kept = thinned(values, _POINTS)
    text = f"{length} s" if length < 60 else f"{length // 60} min"
    figure = figures.ticks(symbol, bars, text, times[kept], values[kept])
    return {"day": day, "figure": figure, "caption": _told_of_ticks(question, symbol, day, count, left_out, len(kept)),
            "facts": [fact("ticks", f"{count:,}"), *_facts(bars, "first", "last")]}  # fmt: skip


def latest(question: Question) -> Answer:
    """The latest trade of each symbol: parallel lists; `ages` are seconds by the clock of this machine."""
    columns = ["symbol", "price", "size", "produced_at"]
    rows = latest_prices(columns=columns, settings=question.settings, arrow=True)
    if not rows.num_rows:
        return {"empty": {"text": "latest_prices has no symbol yet."} | question.fill("ticks")}
    times: list[datetime] = rows["produced_at"].to_pylist()
    return {
        "symbols": rows["symbol"].to_pylist(),
        "prices": rows["price"].to_pylist(),
        "texts": [price_text(each) for each in rows["price"].to_pylist()],
        "sizes": rows["size"].to_pylist(),
        "times": times,
        "ages": [max((question.now - at).total_seconds(), 0.0) for at in times],
    }


def calendar(question: Question) -> Answer:
    """The sessions of a `year` beside the bars of each symbol; by default the year of the latest bar."""
    year = question.year or _year_of_latest(question)
    begin, end = date(year, 1, 1), date(year, 12, 31)
    days = sessions(begin, min(end, max(last_closed_session(question.now), begin)))
    columns = ["symbol", "date"]
    rows = read_prices(None, begin, end, columns, settings=question.settings, arrow=True)
    if not rows.num_rows or not days:
        fill = question.fill("prices")
        return {"year": year, "empty": {"text": f"price_by_date has no bar in {year}."} | fill}
    found = completeness(rows, days)
    missing = int(found.missing.sum())
    gaps = int((found.missing > 0).sum())
    shown = found.worst(_ROWS, question.given.get("symbol", ""))
    said = f"{year}: {counted(len(days), 'closed session')}, {counted(len(found.symbols), 'symbol')}."
    if len(shown.symbols) < len(found.symbols):
        said += f" Shown are the {len(shown.symbols)} that miss most."
    said += " A session is missing if it lies between the first and the last bar of its symbol in the year."
    facts = [
        fact(
            "missing bars",
            f"{missing:,}",
            f"of {counted(gaps, 'symbol')}" if missing else "no symbol has a gap",
        ),
        fact("bars on no session", f"{found.off_calendar:,}"),
    ]
    figure = figures.completeness(days, shown.symbols, shown.states)
    return {"year": year, "figure": figure, "caption": said, "facts": facts}


PANELS: Mapping[str, Callable[[Question], Answer]] = {
    "overview": overview,
    "prices": prices,
    "ticks": ticks,
    "latest": latest,
    "completeness": calendar,
    "rejected": arrivals.rejected,
    "lag": arrivals.lag,
}


def _place(question: Question) -> str:
    engine = {"athena": "Athena", "duckdb": "DuckDB"}[question.settings.sql_engine]
    return f"{question.settings.lake_bucket or question.settings.database}, read by {engine}"


def _facts(bars: Bars, first: str = "first close", last: str = "last close") -> list[dict[str, str]]:
    begin, end = float(bars.close[0]), float(bars.close[-1])
    if first == "first":
        begin = float(bars.open[0])
    facts = [fact(last, price_text(end), f"{end / begin - 1:+.2%} since {price_text(begin)}")]
    highs, lows = (each if not np.isnan(each).all() else bars.close for each in (bars.high, bars.low))
    facts.append(fact("highest", price_text(float(np.nanmax(highs)))))
    facts.append(fact("lowest", price_text(float(np.nanmin(lows)))))
    if not np.isnan(bars.volume).all():
        facts.append(fact("volume", f"{np.nansum(bars.volume):,.0f}"))
    return facts


def _breaks(days: np.ndarray[Any, np.dtype[np.datetime64]]) -> Sequence[Mapping[str, Any]]:
    """The weekends and holidays between two days, which an axis leaves out; none where a bar is on one of them."""
    first, last = days[0].item(), days[-1].item()
    if first < FIRST_DAY or last > LAST_DAY:
        return []
    known = set(sessions(first, last))
    if not known.issuperset(days.tolist()):
        return []
    weekdays = (first + timedelta(n) for n in range((last - first).days) if (first + timedelta(n)).weekday() < 5)
    holidays = [day.isoformat() for day in weekdays if day not in known]
    return [{"bounds": ["sat", "mon"]}, *([{"values": holidays}] if holidays else [])]


def _day_of_latest(question: Question, symbol: str) -> date | None:
    rows = latest_prices(symbol, ["produced_at"], settings=question.settings, arrow=True)
    return rows["produced_at"][0].as_py().date() if rows.num_rows else None


def _year_of_latest(question: Question) -> int:
    found: date | None = question.of_recent_years('SELECT max("date")')[0][0].as_py()
    return (found or question.now).year


def _told_of_ticks(question: Question, symbol: str, day: date | None, count: int, left_out: int, points: int) -> str:
    said = f"{symbol} on {day} (UTC), {counted(count, 'tick')}."
    if points < count - left_out:
        said += f" The bars are of all of them; the line shows {points:,}, among them each low and high."
    if left_out and left_out < count:
        said += f" {left_out:,} are left out, because their sale conditions do not let them set the last price."
    if day and (taken_back := _corrections(question, symbol, day)):
        said += f" {taken_back:,} were cancelled or corrected later (trade_corrections) and are still drawn."
    return said


def _corrections(question: Question, symbol: str, day: date) -> int:
    found: pa.Table = question.sql(
        'SELECT count(*) FROM trade_corrections WHERE symbol = ? AND "year" = ? AND "month" = ? AND "day" = ?',
        symbol, day.year, day.month, day.day,
    )  # fmt: skip
    return int(found[0][0].as_py())
