"""A statement ends within its limits of time and memory, and when a person stops it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.object_store import StoredObject
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.query import duckdb_engine
from stock_pipeline.query.bounded import Limits
from stock_pipeline.schemas import PRICE_BY_DATE
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
    # Arrow itself refuses a batch of texts of more than 2 GiB, before its size is known.
    with pytest.raises(QueryError, match=r"more than 200 MiB.*STOCK_PIPELINE_SQL_MEMORY_MB|maximum total string size"):
        run(GREEDY[where])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 6 << 20  # KiB; a batch of texts takes twice its 2 GiB


@pytest.mark.parametrize("where", ENDLESS)
def test_ctrl_c_stops_it_within_seconds(where: str) -> None:
    began = time.monotonic()
    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(ENDLESS[where], memory_mb=100_000)
    assert time.monotonic() - began < 20
    assert run("SELECT 1") == 1


@pytest.mark.parametrize("how", ["time", "ctrl-c"])
def test_a_store_that_does_not_answer_does_not_hold_a_statement(how: str) -> None:
    answers = threading.Event()

    class Silent(MemoryStore):
        def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
            answers.wait(60)
            return super().get(key, max_bytes=max_bytes, version=version)

    lake = Silent()
    lake.put(
        partition_key(PRICE_BY_DATE, year_partition(2024)), encode(PRICE_BY_DATE.schema.empty_table(), PRICE_BY_DATE)
    )
    began = time.monotonic()
    try:
        if how == "time":
            with pytest.raises(QueryError, match="took more than 1 s"):
                duckdb_engine.run("SELECT * FROM price_by_date", (), lake, "stock_market", Limits(1, 200))
        else:
            threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                duckdb_engine.run("SELECT * FROM price_by_date", (), lake, "stock_market", Limits(600, 200))
        assert time.monotonic() - began < 20
    finally:
        answers.set()


BUSY = """
import sys
import pyarrow.dataset as ds
from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.query.lake_dataset import Fetches, LakeDataset
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.query.test_sql import fill

sys.setswitchinterval(1e-6)  # threads take turns all the time
lake = fill(MemoryStore(), *range(2000, 2024))
for _ in range(400):
    fetches = Fetches(lake)
    dataset = LakeDataset(PRICE_BY_DATE, [], lake, fetches)
    for _ in range(2):  # the second scan has all bytes at once
        found = dataset.scanner(columns=["close"], filter=ds.field("close") < 0).to_reader().read_all()
        assert found.num_rows == 0
    fetches.close()
"""


def test_a_statement_ends_however_the_threads_take_turns() -> None:
    """Arrow begins a scan while it holds the interpreter's lock. Were an object a file in Python, about one scan in 600
    would wait for ever, and no signal would end it.
    """
    subprocess.run([sys.executable, "-c", BUSY], check=True, timeout=240)


def test_the_limits_are_settings_and_memory_is_half_of_the_machines() -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    assert Limits.of(Settings()) == Limits(600.0, machine // 2)
    told = {"STOCK_PIPELINE_SQL_SECONDS": "2.5", "STOCK_PIPELINE_SQL_MEMORY_MB": "512"}
    assert Limits.of(Settings.from_env(told)) == Limits(2.5, 512)


def test_nobody_lifts_the_limits_by_sql() -> None:
    for statement in ("SET memory_limit = '90%'", "RESET memory_limit", "PRAGMA memory_limit='9GB'"):
        with pytest.raises(QueryError):
            run(statement)
