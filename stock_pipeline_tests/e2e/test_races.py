"""Several processes bring the same and overlapping files in at once: nothing twice, nothing lost, every count true."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections import Counter
from datetime import date, timedelta

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.local_aws import Stack

pytestmark = pytest.mark.e2e

WORKERS = 8
SYMBOLS = [f"S{n:02}" for n in range(20)]
DAYS = [date(2023, 12, 20) + timedelta(days=n) for n in range(24)]  # two years are touched


def as_csv(days: list[date], close: float) -> bytes:
    rows = [f"{symbol},{day},{close}" for day in days for symbol in SYMBOLS]
    return "\n".join(["symbol,date,close", *rows, "BAD,2024-01-02,-1"]).encode()


def ingest_in_a_process(env: dict[str, str], keys: list[str], at: int, start: object) -> list[str]:
    os.environ.update(env)
    staging, lake = (S3Store(env[f"STOCK_PIPELINE_{name}_BUCKET"]) for name in ("STAGING", "LAKE"))
    order = random.Random(at).sample(keys, len(keys))
    start.wait(60)  # type: ignore[attr-defined]
    # One by one, so that the processes meet at every write.
    return [r.to_json() for key in order for r in ingest_daily_prices([key], staging=staging, lake=lake)]


@pytest.mark.parametrize("files", [1, 6], ids=["the same file", "overlapping files"])
def test_processes_that_race_store_each_row_once(local_aws_env: Stack, files: int) -> None:
    staging, lake = local_aws_env.staging, local_aws_env.lake
    keys = [f"daily_prices/uploads/{n}.csv" for n in range(files)]
    for n, key in enumerate(keys):
        staging.put(key, as_csv(DAYS[3 * n : 3 * n + 6] if files > 1 else DAYS, close=10.0))
    days = set(DAYS) if files == 1 else {day for n in range(files) for day in DAYS[3 * n : 3 * n + 6]}
    expected = Counter((symbol, day) for symbol in SYMBOLS for day in days)

    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(WORKERS) as pool:
        start = manager.Barrier(WORKERS)
        work = [(local_aws_env.env, keys, at, start) for at in range(WORKERS)]
        receipts = [Receipt.from_json(text) for texts in pool.starmap(ingest_in_a_process, work, 1) for text in texts]

    stored = [
        (row["symbol"], row["date"])
        for partition in partitions(lake, PRICE_BY_DATE)
        for row in read_partition(lake, PRICE_BY_DATE, partition).to_pylist()
    ]
    assert Counter(stored) == expected
    assert sum(receipt.inserted for receipt in receipts) == len(expected)
    assert {receipt.conflicts for receipt in receipts} == {0}
    assert sorted(read_rejects(lake, PRICE_BY_DATE)["source"].to_pylist()) == keys
