"""A statement ends within its limits of time and memory, and when a person stops it."""

from __future__ import annotations

import os
import resource
import signal
import threading
import time

import pytest

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.query import duckdb_engine
from stock_pipeline.query.bounded import Limits
from stock_pipeline.settings import Settings

ENDLESS = {
    "in a scan": "SELECT count(*) FROM range(1000000000000) a, range(1000000) b",
    "in rows without end": "SELECT i, i::VARCHAR AS text FROM range(1000000000000) t(i)",
    "in a recursion": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
}
GREEDY = {
    "in a list": "SELECT list(i) FROM range(300000000) t(i)",
    "in the result": "SELECT i, i::VARCHAR AS text FROM range(1000000000000) t(i)",
    "in a text": "SELECT repeat('x', 100000000) FROM range(100)",
}


def run(statement: str, seconds: float = 60, memory_mb: int = 200) -> int:
    found = duckdb_engine.run(statement, (), MemoryStore(), "stock_market", Limits(seconds, memory_mb))
    return int(found.num_rows)


@pytest.mark.parametrize("where", ENDLESS)
def test_time_is_limited_wherever_it_is_spent(where: str) -> None:
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"(took more than 2 s; .* set STOCK_PIPELINE_SQL_SECONDS)|MiB"):
        run(ENDLESS[where], seconds=2, memory_mb=1000)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("where", GREEDY)
def test_memory_is_limited_wherever_it_is_spent(where: str) -> None:
    with pytest.raises(QueryError, match=r"more than 200 MiB.*STOCK_PIPELINE_SQL_MEMORY_MB"):
        run(GREEDY[where])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB


@pytest.mark.parametrize("where", ENDLESS)
def test_ctrl_c_stops_it_within_seconds(where: str) -> None:
    began = time.monotonic()
    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(ENDLESS[where], memory_mb=100_000)
    assert time.monotonic() - began < 20
    assert run("SELECT 1") == 1


def test_the_limits_are_settings_and_memory_is_half_of_the_machines() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert Limits.of(Settings()) == Limits(600.0, machine // 2)
    told = {"STOCK_PIPELINE_SQL_SECONDS": "2.5", "STOCK_PIPELINE_SQL_MEMORY_MB": "512"}
    assert Limits.of(Settings.from_env(told)) == Limits(2.5, 512)


def test_nobody_lifts_the_limits_by_sql() -> None:
    for statement in ("SET memory_limit = '90%'", "RESET memory_limit", "PRAGMA memory_limit='9GB'"):
        with pytest.raises(QueryError):
            run(statement)
