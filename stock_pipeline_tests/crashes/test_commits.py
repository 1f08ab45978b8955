"""Eight processes commit to one partition, again and again: the exact set of rows, and receipts that add up."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline_tests.crashes.crew import forkserver
from stock_pipeline_tests.crashes.feed import as_tick
from stock_pipeline_tests.support.amounts import Amounts
from stock_pipeline_tests.support.local_aws import Stack
from stock_pipeline_tests.support.memory_store import MemoryStore

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

PROCESSES, COMMITS = 8, 25
ROWS, KEYS = 6, 400  # of an object, and of a round in all: every key is in three objects on average
YEAR, DAY = 1980, datetime(2024, 6, 3, tzinfo=UTC)


def keys_of(number: int, process: int, commit: int) -> list[int]:
    """The keys in one object of a round: any of them may be in the objects of others."""
    return random.Random(f"{number}/{process}/{commit}").sample(range(KEYS), ROWS)


def bar(number: int, key: int) -> tuple[str, date, float]:
    return f"S{key % 20:02}", date(YEAR + number, 3, 1) + timedelta(days=key // 20), 10.0 + key


def tick(number: int, key: int) -> tuple[str, tuple[str, float, float, datetime]]:
    at = DAY + timedelta(minutes=5 * number, milliseconds=key)
    return f"{number}-{key}", (f"S{key % 20:02}", 10.0 + key, 1.0, at)


def commit_all(env: Mapping[str, str], process: int, rounds: int, start: Any, counts: Any, output: str) -> None:
    """One process: in each round, when all are there, its objects, one by one."""
    sys.stdout = sys.stderr = Path(output).open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
    os.environ.update(env)
    lake = S3Store(env["STOCK_PIPELINE_LAKE_BUCKET"])
    for number in range(rounds):
        staging = MemoryStore("staging")  # only the lake is raced for
        keys = [dropped(staging, number, process, commit) for commit in range(COMMITS)]
        start.wait(120)
        for key in keys:
            inserted, rows = ingested(staging, lake, number, key)
            with counts.get_lock():
                counts[number * 2] += inserted
                counts[number * 2 + 1] += rows


def dropped(staging: MemoryStore, number: int, process: int, commit: int) -> str:
    keys = keys_of(number, process, commit)
    if number % 2:
        key, lines = f"stock_stream/{number}/{process}-{commit}", [as_tick(*tick(number, key)) for key in keys]
    else:
        key = f"daily_prices/uploads/{number}-{process}-{commit}.csv"
        lines = ["symbol,date,close", *(",".join(map(str, bar(number, key))) for key in keys)]
    staging.put(key, "\n".join(lines).encode())
    return key


def ingested(staging: ObjectStore, lake: ObjectStore, number: int, key: str) -> tuple[int, int]:
    (receipt,) = (ingest_ticks if number % 2 else ingest_daily_prices)([key], staging=staging, lake=lake)
    assert receipt.refused is None, receipt.refused
    assert (receipt.conflicts, receipt.rejected, receipt.skipped) == (0, {}, 0)
    assert receipt.inserted + receipt.duplicates == receipt.rows == ROWS
    return receipt.inserted, receipt.rows


def test_eight_processes_commit_to_one_partition(
    local_aws_env: Stack, amounts: Amounts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, log = forkserver(), tmp_path / "processes.log"
    start, counts = context.Barrier(PROCESSES), context.Array("q", 2 * amounts.rounds)
    env = dict(local_aws_env.aws.environ())
    processes = [
        context.Process(target=commit_all, args=(env, at, amounts.rounds, start, counts, str(log)))
        for at in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES, log.read_text()[-3000:]

    stored = [
        (row["symbol"], row["date"], row["close"])
        for name in partitions(local_aws_env.lake, PRICE_BY_DATE)
        for row in rows_of(local_aws_env, PRICE_BY_DATE, name)
    ]
    stored += [
        (row["event_id"], (row["symbol"], row["price"], row["size"], row["produced_at"]))
        for name in partitions(local_aws_env.lake, STREAM_PRICES_HISTORY)
        for row in rows_of(local_aws_env, STREAM_PRICES_HISTORY, name)
    ]
    used = [
        {key for process in range(PROCESSES) for commit in range(COMMITS) for key in keys_of(number, process, commit)}
        for number in range(amounts.rounds)
    ]
    expected = [(tick if number % 2 else bar)(number, key) for number, keys in enumerate(used) for key in keys]
    assert Counter(stored) == Counter(expected)
    assert len(partitions(local_aws_env.lake, PRICE_BY_DATE)) == (amounts.rounds + 1) // 2, "one partition a round"
    assert len(partitions(local_aws_env.lake, STREAM_PRICES_HISTORY)) == amounts.rounds // 2
    assert list(counts[::2]) == [len(keys) for keys in used], "what the receipts say is inserted"
    assert list(counts[1::2]) == [PROCESSES * COMMITS * ROWS] * amounts.rounds
    with capsys.disabled():
        print(f"\n{amounts.rounds} rounds of {PROCESSES} × {COMMITS} commits: {len(expected):,} rows, each stored once")


def rows_of(stack: Stack, table: Any, partition: str) -> list[dict[str, Any]]:
    rows = read_partition(stack.lake, table, partition)
    assert rows is not None
    return list(rows.to_pylist())
