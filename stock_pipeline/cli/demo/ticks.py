"""The demo's steps for ticks: live ticks with faults go into both tables and are counted at every step.

The number of produced ticks is known. So the counts show that each tick is stored once, also if it was late or twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from threading import Event

from stock_pipeline.aws.kinesis import Sent, check_sent, kinesis_client
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.console import live, out, say, table
from stock_pipeline.cli.sql import show_rows
from stock_pipeline.cli.tick_progress import queues
from stock_pipeline.cli.watch import latest
from stock_pipeline.errors import DevError
from stock_pipeline.producer.live import produce_live
from stock_pipeline.progress import Say
from stock_pipeline.query import Parameter, sql
from stock_pipeline.settings import Settings, variable
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.simulate.faults import Faults

RATE, SECONDS = 300, 20
FAULTS = Faults(duplicates=0.05, late=0.05, malformed=0.01)

_PATIENCE = 120.0  # seconds without any progress
_POLL = 1.0

_STORED = "SELECT count(*) AS ticks FROM stream_prices_history WHERE produced_at >= ? AND year >= ?"
_REJECTED = """
SELECT reason, count(*) AS "rows" FROM rejected_records
WHERE "table" = 'stream_prices_history' AND etl_loading_ts >= ? GROUP BY reason ORDER BY reason
"""
_MINUTES = """
SELECT date_trunc('minute', produced_at) AS minute, count(*) AS ticks, count(DISTINCT symbol) AS symbols
FROM stream_prices_history WHERE produced_at >= ? AND year >= ? GROUP BY 1 ORDER BY 1
"""
_LATEST = "SELECT symbol, price, size, produced_at FROM latest_prices ORDER BY symbol LIMIT 20"


class TickDemo:
    """Streams ticks for a while and shows where they are. `check` raises when a process that this needs has ended."""

    def __init__(
        self,
        settings: Settings,
        url: str,
        check: Callable[[], None],
        timed: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self._settings, self._url, self._check, self._timed = settings, url, check, timed
        self._lake = S3Store(settings.require("lake_bucket"))
        self._began = datetime.now(UTC)
        self._sent = Sent()

    def run(self) -> None:
        """Stream, wait for the last tick, query both tables."""
        name = self._settings.stream_name
        if not name:
            say(f"{variable('stream_name')} is not set: no ticks are streamed", "yellow")
            return
        self._began = datetime.now(UTC)
        out().print(f"\nLive ticks: {RATE} a second for {SECONDS} s, some twice, late or broken", style="bold")
        with live("streaming") as show:
            with self._timed(f"streaming {RATE * SECONDS:,} ticks"):
                self._stream(name, show)
            with self._timed("the last tick into the tables"):
                self._await_all(show)
        self._count()
        self._query()

    def _stream(self, name: str, show: Say) -> None:
        """Produce ticks in a thread, and show how both tables fill. Raises NotSent when the stream refuses ticks."""
        stop = Event()
        symbols = default_symbols(self._settings.symbols)

        def note(sent: Sent) -> None:
            self._sent = sent

        with ThreadPoolExecutor(1) as threads:
            producing: Future[Sent] = threads.submit(
                produce_live, kinesis_client(), name, symbols, seed=self._settings.seed, rate=RATE, seconds=SECONDS,
                faults=FAULTS, stop=stop, on_progress=note,
            )  # fmt: skip
            try:
                while not producing.done():
                    self._check()
                    show(self._standing(self._stored()))
                    time.sleep(_POLL)
            finally:
                stop.set()
        self._sent = producing.result()
        check_sent(self._sent)

    def _await_all(self, show: Say) -> None:
        seen, patient_until = -1, time.monotonic() + _PATIENCE
        while (stored := self._stored()) < RATE * SECONDS or not queues(self._settings).are_done:
            self._check()
            show(self._standing(stored))
            if stored != seen:
                seen, patient_until = stored, time.monotonic() + _PATIENCE
            if time.monotonic() > patient_until:
                raise DevError(self._missing(stored))
            time.sleep(_POLL)

    def _stored(self) -> int:
        found = sql(_STORED, [self._began, self._began.year], settings=self._settings)
        return int(found["ticks"][0].as_py())

    def _standing(self, stored: int) -> str:
        """`4,120 lines sent · 3,300 rows in stream_prices_history · 16 symbols in latest_prices · lag 2.4 s`."""
        now = datetime.now(UTC)
        times = [quote.produced_at for quote in latest(self._lake).values() if quote.produced_at >= self._began]
        lag = f"lag {(now - max(times)).total_seconds():.1f} s" if times else "none has arrived yet"
        return (
            f"{self._sent.lines:,} lines sent · {stored:,} rows in stream_prices_history · "
            f"{len(times)} symbols in latest_prices · {lag}"
        )

    def _missing(self, stored: int) -> str:
        consumer = (
            f"the sensor tick_arrivals and its runs at {self._url}"
            if self._settings.processor == "dagster"
            else "the function's log, .local/aws.log"
        )
        return (
            f"{stored:,} of {RATE * SECONDS:,} ticks are in stream_prices_history, and no more have come for "
            f"{_PATIENCE:.0f} s; {queues(self._settings)}; see {consumer}"
        )

    def _count(self) -> None:
        """Print how many ticks were produced, sent and stored."""
        rejected = sql(_REJECTED, [self._began], settings=self._settings)
        shown = table(ticks="left", number="right")
        shown.add_row("produced", f"{RATE * SECONDS:,}")
        shown.add_row("lines sent, with duplicates and broken copies", f"{self._sent.lines:,}")
        shown.add_row("rows in stream_prices_history", f"{self._stored():,}")
        shown.add_row("rejected", f"{sum(rejected['rows'].to_pylist()):,}")
        out().print(shown)

    def _query(self) -> None:
        questions: list[tuple[str, str, list[Parameter]]] = [
            ("Ticks by minute (UTC)", _MINUTES, [self._began, self._began.year]),
            ("The latest price of each symbol", _LATEST, []),
            ("Rejected ticks by reason", _REJECTED, [self._began]),
        ]
        for title, statement, parameters in questions:
            with self._timed(f"SQL: {title[0].lower()}{title[1:]}"):
                rows = sql(statement, parameters, settings=self._settings)
            out().print(f"\n{title}", style="bold")
            show_rows(rows)
