"""What each panel answers over HTTP, held against the tables that it is about."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from stock_pipeline.query import latest_prices, read_prices, read_ticks, sql
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.board import SETTINGS, SHORT, SYMBOLS, TICK_DAY, TICKS, Running

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

YEAR = {"start": TICK_DAY - timedelta(364), "end": TICK_DAY}


def fact_of(answer: dict[str, Any], name: str) -> dict[str, str]:
    return next(fact for fact in answer["facts"] if fact["name"] == name)


def traces(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in answer["figure"]["data"]}


def days(trace: dict[str, Any]) -> list[str]:
    return [text[:10] for text in trace["x"]]


def test_the_overview_has_every_symbol_with_its_days(board: Running) -> None:
    answer = board.ask("overview")
    known = {name: rest for name, *rest in answer["symbols"]}
    assert list(known) == sorted([*SYMBOLS, SHORT])
    assert known["AAPL"] == ["2023-07-03", str(TICK_DAY), str(TICK_DAY)]
    assert known[SHORT] == ["2024-06-03", "2024-06-10", None]
    assert "lake" in answer["place"]
    assert "DuckDB" in answer["place"]
    assert "empty" not in answer


def test_the_bars_of_a_year_are_those_of_the_table(board: Running) -> None:
    answer = board.ask("prices", symbol="aapl", **YEAR)
    rows = read_prices("AAPL", YEAR["start"], YEAR["end"], settings=SETTINGS, arrow=True)
    drawn = traces(answer)
    assert days(drawn["price"]) == [day.isoformat() for day in rows["date"].to_pylist()]
    for name in ("open", "high", "low", "close"):
        assert drawn["price"][name] == rows[name].to_pylist()
    assert drawn["volume"]["y"] == rows["volume"].to_pylist()
    assert fact_of(answer, "last close")["value"] == f"{rows['close'][-1].as_py():,.2f}"
    assert fact_of(answer, "highest")["value"] == f"{max(rows['high'].to_pylist()):,.2f}"


def test_the_axis_leaves_out_what_is_no_session_and_nothing_else(board: Running) -> None:
    first, last = date(2023, 11, 1), date(2024, 1, 31)
    answer = board.ask("prices", symbol="MSFT", start=first, end=last)
    breaks = answer["figure"]["layout"]["xaxis"]["rangebreaks"]
    holidays = next(each["values"] for each in breaks if "values" in each)
    open_ = set(sessions(first, last))
    span = [first + timedelta(n) for n in range((last - first).days + 1)]
    assert holidays == [day.isoformat() for day in span if day.weekday() < 5 and day not in open_]
    assert {"bounds": ["sat", "mon"]} in breaks


def test_a_symbol_that_trades_on_a_day_without_a_session_keeps_all_days(board: Running) -> None:
    answer = board.ask("prices", symbol=SHORT)
    assert answer["figure"]["layout"]["xaxis"]["rangebreaks"] == []
    assert "2024-06-08" in days(traces(answer)["close"])


def test_closes_are_a_line_where_the_rest_of_the_bar_is_not_known(board: Running) -> None:
    answer = board.ask("prices", symbol=SHORT)
    assert traces(answer)["close"]["y"] == [10, 11, 9, 9.5, 12]
    assert "lack open, high or low" in answer["caption"]
    assert all(fact["name"] != "volume" for fact in answer["facts"])


def test_the_ticks_of_a_day_and_their_bars_agree(board: Running) -> None:
    answer = board.ask("ticks", symbol="AAPL", day=TICK_DAY)
    rows = read_ticks("AAPL", TICK_DAY, TICK_DAY, settings=SETTINGS, arrow=True)
    assert fact_of(answer, "ticks")["value"] == str(TICKS) == str(rows.num_rows)
    drawn = traces(answer)
    assert drawn["ticks"]["y"] == rows["price"].to_pylist()
    (bars,) = (trace for trace in answer["figure"]["data"] if trace["type"] == "candlestick")
    assert bars["open"][0] == rows["price"][0].as_py()
    assert bars["close"][-1] == rows["price"][-1].as_py()
    assert max(bars["high"]) == max(rows["price"].to_pylist())
    assert sum(drawn["traded"]["y"]) == pytest.approx(sum(rows["size"].to_pylist()))


def test_without_a_day_the_ticks_are_those_of_the_latest(board: Running) -> None:
    assert board.ask("ticks", symbol="AAPL")["day"] == str(TICK_DAY)


@pytest.mark.parametrize(
    ("panel", "given", "told"),
    [
        ("prices", {"symbol": "NONE"}, "no bar of NONE"),
        ("prices", {"symbol": "AAPL", "start": "1999-01-01", "end": "1999-12-31"}, "no bar of AAPL"),
        ("ticks", {"symbol": SHORT}, f"no tick of {SHORT} at all"),
        ("ticks", {"symbol": "AAPL", "day": "2024-06-27"}, "no tick of AAPL on 2024-06-27"),
        ("completeness", {"year": "1999"}, "no bar in 1999"),
    ],
)
def test_what_is_not_there_is_said_with_the_command_that_brings_it(
    board: Running, panel: str, given: dict[str, str], told: str
) -> None:
    empty = board.ask(panel, **given)["empty"]
    assert told in empty["text"]
    assert empty["commands"]
    assert all(command.startswith("stock-pipeline ") for command in empty["commands"])


def test_the_latest_prices_are_those_of_the_table(board: Running) -> None:
    answer = board.ask("latest")
    rows = latest_prices(settings=SETTINGS, arrow=True)
    assert answer["symbols"] == rows["symbol"].to_pylist()
    assert answer["prices"] == rows["price"].to_pylist()
    assert [text[:19] for text in answer["times"]] == [
        f"{at:%Y-%m-%dT%H:%M:%S}" for at in rows["produced_at"].to_pylist()
    ]
    assert min(answer["ages"]) > 0


def test_the_calendar_has_a_state_for_each_session_and_symbol(board: Running) -> None:
    answer = board.ask("completeness", year=2024, symbol=SHORT)
    (trace,) = answer["figure"]["data"]
    assert trace["x"] == [day.isoformat() for day in sessions(date(2024, 1, 1), date(2024, 12, 31))]
    assert trace["y"][0] == SHORT
    states = dict(zip(trace["x"], trace["z"][0], strict=True))
    missing = [day for day, state in states.items() if trace["meta"][state] == "missing"]
    assert missing == ["2024-06-05", "2024-06-06"]
    assert [day for day, state in states.items() if trace["meta"][state] == "bar"] == [
        "2024-06-03", "2024-06-04", "2024-06-07", "2024-06-10",
    ]  # fmt: skip
    assert fact_of(answer, "missing bars") == {"name": "missing bars", "value": "2", "note": "of 1 symbol"}
    assert fact_of(answer, "bars on no session")["value"] == "1"


def test_the_year_is_that_of_the_latest_bar(board: Running) -> None:
    assert board.ask("completeness")["year"] == TICK_DAY.year


def test_rejected_rows_are_counted_by_reason_table_and_source(board: Running) -> None:
    answer = board.ask("rejected")
    counted = sql("SELECT target_table, reason, count(*) AS n FROM rejected_records GROUP BY 1, 2", settings=SETTINGS)
    drawn = {
        (trace["name"], reason): n
        for trace in answer["figure"]["data"]
        for reason, n in zip(trace["y"], trace["x"], strict=True)
        if n
    }
    assert drawn == {(row["target_table"], row["reason"]): row["n"] for row in counted.to_pylist()}
    assert fact_of(answer, "records")["value"] == str(sum(drawn.values()))
    sources = {row[2] for row in answer["table"]["rows"]}
    assert sources == {f"daily_prices/uploads/{SHORT}.csv", "stock_stream/uploads/ticks.jsonl"}
    assert "stock-pipeline rejects list" in answer["commands"]


def test_the_lag_is_from_the_trade_to_the_table(board: Running) -> None:
    answer = board.ask("lag")
    assert answer["day"] == str(TICK_DAY)
    drawn = traces(answer)
    rows = read_ticks(None, TICK_DAY, TICK_DAY, ["produced_at", "etl_loading_ts"], settings=SETTINGS, arrow=True)
    lags: dict[str, list[float]] = {}
    for row in rows.to_pylist():
        minute = f"{row['produced_at']:%Y-%m-%dT%H:%M}"
        lags.setdefault(minute, []).append((row["etl_loading_ts"] - row["produced_at"]).total_seconds())
    assert [text[:16] for text in drawn["longest"]["x"]] == sorted(lags)
    assert drawn["longest"]["y"] == pytest.approx([max(lags[minute]) for minute in sorted(lags)], abs=0.002)
    assert all(low <= high for low, high in zip(drawn["median"]["y"], drawn["longest"]["y"], strict=True))
    assert fact_of(answer, "daily prices to")["value"] == str(TICK_DAY)
    assert "sessions behind" in fact_of(answer, "daily prices to")["note"]
    assert fact_of(answer, "latest trade")["value"].endswith("ago")


def test_a_day_without_ticks_has_no_lag_but_the_other_facts(board: Running) -> None:
    answer = board.ask("lag", day="2024-06-27")
    assert "figure" not in answer
    assert "No ticks on 2024-06-27" in answer["caption"]
    assert fact_of(answer, "daily prices to")


@pytest.mark.parametrize(
    ("panel", "given", "told"),
    [
        ("prices", {"symbol": "AAPL", "start": "2024-02-30"}, "'2024-02-30' is not a valid date"),
        ("prices", {"symbol": " "}, "choose a symbol"),
        ("ticks", {"symbol": "AAPL", "day": "today"}, "'today' is not a valid date"),
        ("completeness", {"year": "0"}, "'0' is not a year from 1990 to 2049"),
        ("completeness", {"year": "２０２４x"}, "is not a year"),
        ("lag", {"day": "1/2/2024"}, "is not a valid date"),
        ("secrets", {}, "there is no panel secrets; there are overview, prices"),
    ],
)
def test_a_question_that_cannot_be_read_is_refused_with_the_remedy(
    board: Running, panel: str, given: dict[str, str], told: str
) -> None:
    status, message = board.refusal(panel, **given)
    assert status == 400
    assert told in message


def test_a_symbol_is_a_value_and_never_sql(board: Running) -> None:
    assert "no bar of X' OR 1=1 --" in board.ask("prices", symbol="x' or 1=1 --")["empty"]["text"]
