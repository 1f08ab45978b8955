"""The demo's steps for daily prices: a vendor's file, and two years of simulated sessions.

The sessions go through Dagster as they do every evening: one run of a job writes the raw objects, the sensor sees them,
and its runs bring them into the table. So the UI shows real runs afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.console import out, progress, say, table, working
from stock_pipeline.cli.demo.ticks import TickDemo
from stock_pipeline.cli.ingest import ingest_keys, show, upload
from stock_pipeline.cli.sql import show_rows
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.errors import DevError
from stock_pipeline.lake.transforms import year_of
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.progress import Progress
from stock_pipeline.query import sql
from stock_pipeline.settings import Settings
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.staging.keys import UPLOADS

SAMPLE = CHECKOUT / "docs" / "samples" / "ACME.csv"

_YEARS = 2  # with more years, Dagster would take longer to record the sessions than people want to wait
_PATIENCE = 180.0  # seconds without any progress
_POLL = 1.5

_LATEST = """
SELECT p.symbol, p.date, p.open, p.high, p.low, p.close, p.volume
FROM price_by_date p
JOIN (SELECT symbol, max(date) AS date FROM price_by_date WHERE year >= ? GROUP BY symbol) latest
  ON p.symbol = latest.symbol AND p.date = latest.date
WHERE p.year >= ?
ORDER BY p.symbol
LIMIT 20
"""
_YEARLY = """
SELECT year, count(DISTINCT date) AS sessions, count(DISTINCT symbol) AS symbols, count(*) AS bars
FROM price_by_date WHERE year >= ? GROUP BY year ORDER BY year
"""
_REJECTED = """
SELECT source, reason, count(*) AS "rows"
FROM rejected_records WHERE "table" = 'price_by_date' GROUP BY source, reason ORDER BY source, reason
"""
_BARS = "SELECT count(*) AS bars FROM price_by_date WHERE year >= ? AND date >= ? AND date <= ?"


class DailyDemo:
    """The steps, each timed. `check` raises when a process that they need has ended."""

    def __init__(self, dagster: Dagster, settings: Settings, check: Callable[[], None] = lambda: None) -> None:
        self.dagster, self.settings, self.check = dagster, settings, check
        self.staging = S3Store(settings.require("staging_bucket"))
        self.lake = S3Store(settings.require("lake_bucket"))
        self.timings: dict[str, float] = {}

    def run(self) -> None:
        """All steps, in order. The file comes first: the sensor sees it while the sessions are simulated."""
        sampled = self._ingest_sample()
        sessions = self._recent_sessions()
        self._simulate(sessions)
        if self.settings.processor == "dagster":
            self._await_runs(sessions)
        self._query(min(sampled, int(min(sessions)[:4])))
        TickDemo(self.settings, self.dagster.url, self.check, self._timed).run()
        shown = table(step="left", seconds="right")
        for step, seconds in self.timings.items():
            shown.add_row(step, f"{seconds:.1f}")
        out().print("\nTook", style="bold")
        out().print(shown)

    def _ingest_sample(self) -> int:
        """Ingest the vendor's file; returns the first year that it has bars of."""
        out().print(f"\nA vendor's file: {SAMPLE.name}, with some bad rows", style="bold")
        with self._timed("one file from upload to table"):
            key = upload(SAMPLE, UPLOADS, self.staging, self.settings)
            receipts = ingest_keys([key], self.staging, self.lake, self.settings)
        show(receipts)
        return min(year_of(partition) for r in receipts for partition in r.partitions)

    def _recent_sessions(self) -> dict[str, bool]:
        """The sessions of this year and the one before, each with whether it is materialized in Dagster."""
        partitions = self.dagster.partitions("raw_daily_prices")
        first = str(int(max(partitions)[:4]) - _YEARS + 1)
        return {session: done for session, done in partitions.items() if session >= first}

    def _simulate(self, sessions: dict[str, bool]) -> None:
        """Have Dagster materialize the raw sessions that are missing, in one run."""
        out().print(f"\nDaily prices: {len(sessions):,} sessions through Dagster", style="bold")
        missing = [session for session, done in sessions.items() if not done]
        if not missing:
            say("all of them are materialized already")
            return
        total = len(sessions)

        def materialized() -> int:
            done = self.dagster.partitions("raw_daily_prices")
            return sum(done[session] for session in sessions)

        with self._timed(f"simulating {len(missing):,} sessions in one Dagster run"):
            with working("starting the run"):
                run = self.dagster.launch("simulate_daily_prices", missing[0], missing[-1])
            with progress("sessions materialized") as report:
                self._wait(materialized, total, report, until=lambda: self.dagster.is_done(run))

    def _await_runs(self, sessions: dict[str, bool]) -> None:
        """Wait until the sensor has seen all arrivals and its runs have brought them into the table."""
        first, last = min(sessions), max(sessions)
        symbols = len(default_symbols(self.settings.symbols))
        years = {session[:4] for session in sessions}

        def stored() -> int:
            days = [date.fromisoformat(first), date.fromisoformat(last)]
            found = sql(_BARS, [int(first[:4]), *days], settings=self.settings)
            return int(found["bars"][0].as_py())

        def done() -> bool:
            if stored() < len(sessions) * symbols or self.dagster.unfinished("ingest_daily_prices"):
                return False
            green = self.dagster.partitions("price_by_date")
            return all(green.get(year) for year in years)

        with self._timed("arrivals into the table, by the sensor's runs"), progress("bars in price_by_date") as report:
            self._wait(stored, len(sessions) * symbols, report, until=done)

    def _wait(self, count: Callable[[], int], total: int, report: Progress, *, until: Callable[[], bool]) -> None:
        """Wait for the end of some work and show its progress. Raises DevError when the work makes no more progress."""
        seen, patient_until = -1, time.monotonic() + _PATIENCE
        while True:
            self.check()
            if until():
                break
            now = min(count(), total)
            if now != seen:
                seen, patient_until = now, time.monotonic() + _PATIENCE
                report(now, total)
            if time.monotonic() > patient_until:
                raise DevError(
                    f"nothing has happened for {_PATIENCE:.0f} s ({seen:,} of {total:,} done); see the runs and the "
                    f"sensor at {self.dagster.url}"
                )
            time.sleep(_POLL)
        report(total, total)

    def _query(self, first_year: int) -> None:
        for title, statement, parameters in (
            ("The latest bar of each symbol", _LATEST, [first_year, first_year]),
            ("Bars by year", _YEARLY, [first_year]),
            ("Rejected rows by source and reason", _REJECTED, []),
        ):
            with self._timed(f"SQL: {title[0].lower()}{title[1:]}"):
                rows = sql(statement, parameters, settings=self.settings)
            out().print(f"\n{title}", style="bold")
            show_rows(rows)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started_at = time.monotonic()
        yield
        self.timings[step] = time.monotonic() - started_at
