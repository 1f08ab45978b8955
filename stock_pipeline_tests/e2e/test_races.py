"""Several processes bring the same and overlapping files in at once: nothing twice, nothing lost, every count true."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.query import read_prices, sql
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.local_aws import Stack

pytestmark = pytest.mark.e2e

WORKERS = 8
SYMBOLS = [f"S{n:02}" for n in range(20)]
DAYS = [date(2023, 12, 20) + timedelta(days=n) for n in range(24)]  # two years are touched


EVERY = PRICE_BY_DATE.schema.names


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


def restate_in_a_process(env: dict[str, str], work: list[tuple[str, bool]], start: object) -> list[str]:
    os.environ.update(env)
    staging, lake = (S3Store(env[f"STOCK_PIPELINE_{name}_BUCKET"]) for name in ("STAGING", "LAKE"))
    receipts = []
    for key, replace in work:
        start.wait(60)  # type: ignore[attr-defined]
        receipts += ingest_daily_prices([key], staging=staging, lake=lake, replace=replace)
    return [receipt.to_json() for receipt in receipts]


def test_a_restatement_races_with_the_trigger_and_with_another_restatement(
    local_aws_env: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wins: each value that gave way is on record once, the past is as it was, and no record says otherwise."""
    for name, value in local_aws_env.env.items():
        monkeypatch.setenv(name, value)
    staging, lake, settings = local_aws_env.staging, local_aws_env.lake, Settings.from_env()
    rounds, days = 12, DAYS[:6]
    keys = [f"daily_prices/uploads/{n}.csv" for n in range(rounds + 1)]
    for n, key in enumerate(keys):
        staging.put(key, as_csv(days, close=10.0 + n))
    ingest_daily_prices(keys[:1], staging=staging, lake=lake)
    before, at = read_prices(settings=settings, arrow=True), datetime.now(UTC)

    # In each round a file is restated from, its arrival is ingested, and the file before it is restated from, too.
    restater = [(key, True) for key in keys[1:]]
    trigger = [(key, False) for key in keys[1:]]
    other = [(key, True) for key in keys[:-1]]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(3) as pool:
        start = manager.Barrier(3)
        work = [(local_aws_env.env, part, start) for part in (restater, trigger, other)]
        found = pool.starmap(restate_in_a_process, work, 1)
    receipts = [Receipt.from_json(text) for texts in found for text in texts]

    assert read_prices(settings=settings, as_of=at, arrow=True).equals(before)
    now = {(r["symbol"], r["date"]): r for r in read_prices(columns=EVERY, settings=settings, arrow=True).to_pylist()}
    former = sql("SELECT * FROM price_revisions ORDER BY known_from", settings=settings).to_pylist()
    replaced = sum(receipt.replaced for receipt in receipts)
    assert len(former) == replaced > 0
    assert len({(r["symbol"], r["date"], r["known_from"]) for r in former}) == len(former)
    versions: dict[tuple[str, date], list[dict[str, Any]]] = {}
    for row in [*former, *now.values()]:
        versions.setdefault((row["symbol"], row["date"]), []).append(row)
    for rows in versions.values():
        times = [row["etl_loading_ts"] for row in rows]
        assert times == sorted(set(times))
    for moment in sorted({row["etl_loading_ts"] for rows in versions.values() for row in rows})[::5]:
        then = read_prices(settings=settings, as_of=moment, arrow=True).to_pylist()
        known = {key: [r["close"] for r in rows if r["etl_loading_ts"] <= moment] for key, rows in versions.items()}
        assert {(r["symbol"], r["date"]): r["close"] for r in then} == {key: found[-1] for key, found in known.items()}
    closes = {key: 10.0 + n for n, key in enumerate(keys)}
    for record in read_rejects(lake, PRICE_BY_DATE).to_pylist():
        if record["reason"] == "conflict":
            row = now[record["symbol"], record["date"]]
            assert (row["source"], row["close"]) != (record["source"], closes[record["source"]])
