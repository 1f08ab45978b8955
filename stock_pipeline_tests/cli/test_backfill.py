"""`stock-pipeline backfill`: a range of sessions into staging and into the table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.local_aws import Stack


@pytest.mark.e2e
def test_three_years_are_753_sessions_of_16_symbols(run: Run, stack: Stack) -> None:
    done = run("backfill", "--start", "2022-01-01", "--end", "2024-12-31")
    assert done.exit_code == 0, done.stderr
    assert len(list(stack.staging.list("daily_prices/date="))) == 753
    found = run("sql", "SELECT count(*) AS bars, count(DISTINCT symbol) AS symbols, count(DISTINCT date) AS sessions "
                "FROM price_by_date", "--format", "json")  # fmt: skip
    assert json.loads(found.stdout) == [{"bars": 753 * 16, "symbols": 16, "sessions": 753}]
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["2022", "2023", "2024"]


def test_again_writes_and_adds_nothing(run: Run, aws: None) -> None:
    first = run("backfill", "--start", "2024-01-02", "--end", "2024-01-05", "--symbols", "AAPL,MSFT")
    again = run("backfill", "--start", "2024-01-02", "--end", "2024-01-05", "--symbols", "AAPL,MSFT")
    assert "4 of 4 raw objects were new or changed" in first.stderr
    assert "0 of 4 raw objects were new or changed" in again.stderr
    assert again.stdout.splitlines()[-1].replace("│", "").split() == ["2024", "4", "8", "0", "0", "8", "0", "0"]


def test_symbols_may_be_a_number(run: Run, aws: None) -> None:
    assert run("backfill", "--start", "2024-01-02", "--end", "2024-01-02", "--symbols", "20").exit_code == 0
    found = run("sql", "SELECT count(DISTINCT symbol) AS n FROM price_by_date", "--format", "json")
    assert json.loads(found.stdout) == [{"n": 20}]


def test_a_bar_that_a_vendor_gave_first_stays(run: Run, aws: None, vendor_file: Callable[..., Path]) -> None:
    run("ingest", vendor_file("AAPL.csv", ["2024-01-02,10,11,9,10.5,100"]))
    done = run("backfill", "--start", "2024-01-02", "--end", "2024-01-02", "--symbols", "AAPL")
    assert done.exit_code == 0
    found = run("sql", "SELECT close FROM price_by_date", "--format", "json")
    assert json.loads(found.stdout) == [{"close": 10.5}]


def test_ticks_come_with_the_bars_agree_with_them_and_are_there_once(run: Run, aws: None) -> None:
    arguments = ["backfill", "--start", "2024-07-02", "--end", "2024-07-05", "--symbols", "AAPL,MSFT", "--ticks", "50"]
    first, again = run(*arguments), run(*arguments)
    assert "300 ticks, 300 of them new" in first.stderr, first.stderr
    assert "300 ticks, 0 of them new" in again.stderr
    statement = (
        "SELECT count(*) AS bars, sum(CAST(low = least AND high = greatest AS INT)) AS agree FROM price_by_date p JOIN "
        "(SELECT symbol, CAST(produced_at AS DATE) AS date, min(price) AS least, max(price) AS greatest "
        "FROM stream_prices_history GROUP BY 1, 2) t ON p.symbol = t.symbol AND p.date = t.date"
    )
    found = run("sql", statement, "--format", "json")
    assert json.loads(found.stdout) == [{"bars": 6, "agree": 6}]  # 4 July is no session


def test_days_without_a_session_are_nothing_to_do(run: Run, no_aws: None) -> None:
    done = run("backfill", "--start", "2024-07-04", "--end", "2024-07-04")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no session" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--start'"),
        (["--start", "2024-13-01"], "'2024-13-01' is not a valid date; write it as 2024-01-31"),
        (["--start", "2024-01-02", "--end", "2024-01-01"], "2024-01-01 is before 2024-01-02"),
        (["--start", "2024-01-02", "--end", "2049-01-01"], "has not closed yet"),
    ],
)
def test_wrong_usage_is_status_2(run: Run, no_aws: None, arguments: list[str], message: str) -> None:
    done = run("backfill", *arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("symbols", ["", "0", "A B", "0,-"])
def test_symbols_that_are_none_are_refused(run: Run, aws: None, symbols: str) -> None:
    done = run("backfill", "--start", "2024-01-02", "--end", "2024-01-02", "--symbols", symbols)
    assert done.exit_code in {1, 2}
    assert "symbol" in done.stderr.lower()
