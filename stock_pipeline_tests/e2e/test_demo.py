"""The demo from an empty home: it ends by itself, what it shows is true, and it leaves nothing running."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from stock_pipeline.cli.demo.ticks import RATE, SECONDS
from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions
from stock_pipeline_tests.support.dev import Command, command, environ, home, new_home, processes_of

__all__ = ["command", "environ", "home", "new_home"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(900), pytest.mark.xdist_group("demo")]


def test_the_demo_feeds_shows_and_ends_and_a_second_one_adds_nothing(command: Command, home: Path) -> None:
    today = datetime.now(UTC)
    first = command("demo", "--exit")
    assert first.returncode == 0, first.stderr
    assert processes_of(home) == []
    assert_tables(first.stdout, today.year)
    assert_ticks(first.stdout)

    with dg.DagsterInstance.from_config(str(home / ".local" / "dagster")) as instance:
        raw = instance.get_materialized_partitions(dg.AssetKey("raw_daily_prices"))
        years = instance.get_materialized_partitions(dg.AssetKey("price_by_date"))
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
    start = date(today.year - 1, 1, 1)
    expected = {day.isoformat() for day in sessions(start, last_closed_session(today))}
    # The latest session becomes a partition at midnight UTC, so it may be missing in the hours after the close.
    assert expected - set(raw) <= {max(expected)}
    assert {str(today.year - n) for n in range(2)} <= set(years)
    assert failed == []

    second = command("demo", "--exit")
    assert second.returncode == 0, second.stderr
    assert "materialized already" in second.stderr
    assert table(second.stdout, "Bars by year") == table(first.stdout, "Bars by year")
    assert table(second.stdout, "Rejected rows by source and reason") == table(
        first.stdout, "Rejected rows by source and reason"
    )
    assert_ticks(second.stdout)
    assert seconds(second.stdout, "until the UI answered") < 60
    assert stored_ticks(command) == 2 * RATE * SECONDS
    assert processes_of(home) == []


def table(stdout: str, title: str) -> list[list[str]]:
    """The rows of the table under a title, without its header."""
    lines = stdout.split(f"\n{title}\n")[1].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.split("│")] for line in lines[2:]]


def assert_tables(stdout: str, year: int) -> None:
    latest = table(stdout, "The latest bar of each symbol")
    assert len(latest) == 17  # the sixteen simulated symbols and the sample's
    assert {"AAPL", "ACME", "XOM"} <= {row[0] for row in latest}
    assert {row[0] for row in table(stdout, "Bars by year")} == {"2024", str(year - 1), str(year)}
    rejected = {row[1] for row in table(stdout, "Rejected rows by source and reason")}
    assert rejected == {"ambiguous", "bad_date", "inconsistent_ohlc", "missing_price", "non_positive_price"}


def assert_ticks(stdout: str) -> None:
    """Each tick that was produced is stored once, whatever was sent beside it; the snapshot has every symbol."""
    title = f"Live ticks: {RATE} a second for {SECONDS} s, some twice, late or broken"
    produced, sent, stored, rejected = (int(row[1].replace(",", "")) for row in table(stdout, title))
    assert produced == stored == RATE * SECONDS
    assert sent > produced
    assert rejected == sum(int(row[1]) for row in table(stdout, "Rejected ticks by reason")) > 0
    assert sum(int(row[1]) for row in table(stdout, "Ticks by minute (UTC)")) == produced
    assert len(table(stdout, "The latest price of each symbol")) == 16


def stored_ticks(command: Command) -> int:
    statement = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM stream_prices_history"
    (row,) = json.loads(command("sql", statement, "--format", "json").stdout)
    assert row["n"] == row["ids"]
    return int(row["n"])


def seconds(stdout: str, step: str) -> float:
    return next(float(row[1]) for row in table(stdout, "Took") if row[0] == step)
