"""A board on loopback, over a lake in moto's S3 that has some of everything."""

from __future__ import annotations

import http.client
import json
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.board.app import Board
from stock_pipeline.board.server import HOST, Server, listening
from stock_pipeline.cli.failures import told
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.settings import Settings
from stock_pipeline.simulate.daily import write_raw_daily_prices
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline.staging.keys import TICK_UPLOADS, UPLOADS
from stock_pipeline.trading_calendar.sessions import sessions

KEY = "a-key-of-this-start-that-nobody-guesses"
SETTINGS = Settings(staging_bucket="staging", lake_bucket="lake", sql_engine="duckdb")
SYMBOLS = ("AAPL", "MSFT", "NVDA")
TICK_DAY = date(2024, 6, 28)
TICKS = 300  # of each symbol
SHORT = "GAPS"
"""A symbol whose file lacks two sessions and has a bar on a Saturday, and closes only."""
_GAPS = """Date,Close
2024-06-03,10
2024-06-04,11
2024-06-07,9
2024-06-08,9.5
2024-06-10,12
2024-06-11,-1
2024-06-12,none
"""


@dataclass(frozen=True)
class Running:
    """A running board: its address, and answers of its panels."""

    port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of an answer. Underscores in the names of headers are dashes."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            reply = connection.getresponse()
            return reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()}
        finally:
            connection.close()

    def ask(self, panel: str, **given: object) -> dict[str, Any]:
        """What a panel answers; an error of it fails the test."""
        status, body, _ = self.get(f"/data/{panel}?{urlencode(given)}", X_Board_Key=KEY)
        assert status == 200, body
        answer: dict[str, Any] = json.loads(body)
        return answer

    def refusal(self, panel: str, **given: object) -> tuple[int, str]:
        """The status and the message of an answer that is an error."""
        status, body, _ = self.get(f"/data/{panel}?{urlencode(given)}", X_Board_Key=KEY)
        return status, json.loads(body)["error"]


@contextmanager
def serving(settings: Settings = SETTINGS, command: str = "stock-pipeline") -> Iterator[Running]:
    """A board over an AWS that is there."""
    with listening(0) as socket:
        board = Board(lambda: settings, KEY, told, command)
        server = Server(board.app, board.give_up)
        thread = threading.Thread(target=server.serve_on, args=(socket,))
        thread.start()
        try:
            yield Running(socket.getsockname()[1])
        finally:
            server.end()
            thread.join(20)
            board.stop()


@contextmanager
def in_moto() -> Iterator[None]:
    """Empty buckets in moto, of raw objects and for two lakes, and an environment that names nothing else."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in os.environ:
            if name.startswith(("AWS_", "STOCK_PIPELINE_")):
                patch.delenv(name)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for bucket in ("staging", "lake", "live", "empty"):
            boto3.client("s3").create_bucket(Bucket=bucket)
        yield


def fill(
    symbols: Sequence[str] = SYMBOLS, start: date = date(2023, 7, 3), each: int = TICKS, bucket: str = "lake"
) -> None:
    """Bring bars, a day of ticks, and a file with gaps and bad rows into a lake."""
    staging, lake = S3Store("staging"), S3Store(bucket)
    raw = write_raw_daily_prices(staging, sessions(start, TICK_DAY), symbols, 7)
    staging.put(f"{UPLOADS}{SHORT}.csv", _GAPS.encode())
    ingest_daily_prices([*(each.key for each in raw), f"{UPLOADS}{SHORT}.csv"], staging=staging, lake=lake)
    lines = to_json_lines(simulate_ticks(symbols, TICK_DAY, 7, each))
    key = f"{TICK_UPLOADS}ticks.jsonl"
    staging.put(key, b"".join(lines) + b'{"symbol": "AAPL", "price": "much"}\n')
    loaded = datetime.combine(TICK_DAY + timedelta(days=1), datetime.min.time(), UTC)
    ingest_ticks([key], staging=staging, lake=lake, now=loaded)


@pytest.fixture(scope="module")
def board() -> Iterator[Running]:
    """A board over a lake that has some of everything. It only reads, so one serves all tests of a module."""
    with in_moto():
        fill()
        with serving() as running:
            yield running
