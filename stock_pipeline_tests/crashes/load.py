"""Millions of ticks through real queues and several workers: the exact set, a snapshot that only goes forward, figures.

    make load TICKS=10000000 OBJECTS=10000        or: python -m stock_pipeline_tests.crashes.load --ticks … --objects …

A fifth of the ticks are late: they arrive in an object of up to an hour after their own. A fifth of the objects are
delivered twice. Every tick is a function of its number, so each stored value can be compared with the expected one,
without ten million of anything in memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.aws import sqs as queue_module
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.recognized_layout import MINUTES
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.local import LocalAws, local_aws
from stock_pipeline.local.folders import CHECKOUT
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline_tests.crashes.crew import forkserver
from stock_pipeline_tests.crashes.watchers import Watch
from stock_pipeline_tests.crashes.worker import Post, ticks_consumer
from stock_pipeline_tests.support.stream import event_of

OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
SESSION = timedelta(hours=6, minutes=30)
LATEST = timedelta(hours=1)
SYMBOLS = [f"S{n:03}" for n in range(500)]
LATE = TWICE = 5  # every fifth
BETWEEN_READS = 0.05  # seconds

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """So many ticks in so many objects."""

    ticks: int
    objects: int

    def times(self, numbers: Ints) -> Ints:
        """When ticks were produced, in microseconds since the epoch: one after the other over the session."""
        step = int(SESSION / timedelta(microseconds=1)) // self.ticks
        return int(OPEN.timestamp()) * 1_000_000 + numbers * step

    def numbers(self) -> list[Ints]:
        """The ticks in each object."""
        numbers = np.arange(self.ticks)
        owners = numbers * self.objects // self.ticks
        late = numbers % LATE == 0
        most = max(1, int(self.objects * (LATEST / SESSION)))
        owners[late] += 1 + numbers[late] * 7919 % most
        owners = np.minimum(owners, self.objects - 1)
        order = np.argsort(owners, kind="stable")
        return np.split(order, np.cumsum(np.bincount(owners, minlength=self.objects))[:-1])

    def rows(self, numbers: Ints) -> pa.Table:
        """The ticks themselves, as history must hold them."""
        ids = pc.binary_join_element_wise("e", pa.array(numbers).cast(pa.string()), "")
        names = pa.DictionaryArray.from_arrays(pa.array(numbers % len(SYMBOLS), pa.int32()), SYMBOLS)
        columns = {
            "event_id": ids,
            "symbol": names.cast(pa.string()),
            "price": pa.array(10 + numbers % 9973 / 100),
            "size": pa.array((numbers % 100 + 1).astype(float)),
            "produced_at": pa.array(self.times(numbers)).cast(pa.timestamp("us", "UTC")),
        }
        return pa.table(columns)

    def lines(self, numbers: Ints) -> bytes:
        rows = self.rows(numbers)
        times = pc.strftime(rows["produced_at"], "%Y-%m-%d %H:%M:%S")
        texts = pc.binary_join_element_wise(
            '{"event_id":"', rows["event_id"], '","symbol":"', rows["symbol"], '","price":',
            rows["price"].cast(pa.string()), ',"size":', rows["size"].cast(pa.string()), ',"produced_at":"', times,
            '"}\n', "",
        )  # fmt: skip
        return "".join(texts.to_pylist()).encode()


@dataclass(frozen=True)
class Figures:
    """What came of a load. `seconds` is from the first message taken to the last one acknowledged."""

    load: Load
    workers: int
    deliveries: int
    seconds: float
    drop_seconds: float
    peaks: list[int]
    snapshot_reads: int
    snapshot_changes: int

    def __str__(self) -> str:
        delivered = self.load.ticks * self.deliveries // self.load.objects
        return (
            f"{self.load.ticks:,} ticks in {self.load.objects:,} objects ({self.deliveries:,} deliveries): stored "
            f"exactly, by {self.workers} workers in {self.seconds:.0f} s, {delivered / self.seconds:,.0f} delivered "
            f"ticks a second; peak RSS of a worker {max(self.peaks)} MiB; the snapshot was read "
            f"{self.snapshot_reads:,} times, in {self.snapshot_changes:,} versions, and only went forward "
            f"(dropping the objects took {self.drop_seconds:.0f} s)"
        )


def run(aws: LocalAws, load: Load, workers: int, group: int, log: Path) -> Figures:
    """Drop the objects, let the workers take them, and compare; raises AssertionError when the tables are not exact."""
    began = time.monotonic()
    deliveries = _drop(aws, load)
    dropped = time.monotonic()
    context = forkserver()
    stop, arrays = context.Event(), [context.RawArray(kind, workers + 1) for kind in "bqdqqq"]
    post = [Post(*arrays[:4], at) for at in range(workers)]
    env = dict(aws.environ())
    processes = [context.Process(target=_consume, args=(env, each, arrays[4], stop, group, str(log))) for each in post]
    processes.append(context.Process(target=_watch, args=(env, arrays[5], stop, str(log))))
    for process in processes:
        process.start()
    while sum(arrays[3]) < deliveries:
        ended = [process.exitcode for process in processes if process.exitcode is not None]
        assert not ended, log.read_text()[-3000:]
        time.sleep(0.1)
    seconds = time.monotonic() - min(at for at in arrays[2] if at)
    stop.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * len(processes), log.read_text()[-3000:]
    _assert_exact(S3Store(aws.env["STOCK_PIPELINE_LAKE_BUCKET"], aws.client("s3")), load)
    reads, changes = arrays[5][0], arrays[5][1]
    return Figures(load, workers, deliveries, seconds, dropped - began, list(arrays[4][:workers]), reads, changes)


def _drop(aws: LocalAws, load: Load) -> int:
    """Put the objects in staging, of which S3 tells the queue, and tell it of a fifth again; returns the deliveries."""
    staging = S3Store(aws.env["STOCK_PIPELINE_STAGING_BUCKET"], aws.client("s3"))
    keys = [f"stock_stream/2024/06/03/13/{at:06}" for at in range(load.objects)]

    def objects() -> Iterator[tuple[str, bytes]]:
        for key, numbers in zip(keys, load.numbers(), strict=True):
            yield key, load.lines(numbers)

    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda dropped: staging.put(*dropped), objects()):
            pass
    sqs, again = aws.client("sqs"), keys[::TWICE]
    for key in again:
        body = event_of(key, bucket=staging.bucket)
        sqs.send_message(QueueUrl=aws.env["STOCK_PIPELINE_STREAM_QUEUE_URL"], MessageBody=body)
    return len(keys) + len(again)


def _consume(env: Mapping[str, str], post: Post, peaks: Any, stop: Any, group: int, output: str) -> None:
    sys.stdout = sys.stderr = Path(output).open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
    os.environ.update(env | {"POWERTOOLS_SERVICE_NAME": "load", "POWERTOOLS_LOG_LEVEL": "ERROR"})
    queue_module.WAIT_SECONDS = 0
    consumer = ticks_consumer(env, post)
    while not stop.is_set():
        if not consumer.turn(post, group):
            time.sleep(0.1)
        status = Path("/proc/self/status").read_text().splitlines()
        peaks[post.at] = next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


def _watch(env: Mapping[str, str], counts: Any, stop: Any, output: str) -> None:
    sys.stdout = sys.stderr = Path(output).open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
    os.environ.update(env)
    lake, snapshot = S3Store(env["STOCK_PIPELINE_LAKE_BUCKET"]), Watch(LATEST_PRICES, SNAPSHOT)
    while not stop.is_set():
        counts[1] += snapshot.read(lake)
        counts[0] += 1
        time.sleep(BETWEEN_READS)


def _assert_exact(lake: S3Store, load: Load) -> None:
    found = 0
    bucket = MINUTES * 60_000_000
    for name in partitions(lake, STREAM_PRICES_HISTORY):
        rows = read_partition(lake, STREAM_PRICES_HISTORY, name)
        assert rows is not None
        rows = rows.sort_by([("produced_at", "ascending")])
        stored = pc.utf8_slice_codeunits(rows["event_id"], 1).cast(pa.int64()).to_numpy()
        every = load.times(np.arange(load.ticks))
        start = int(rows["produced_at"][0].value) // bucket * bucket
        numbers = np.arange(*np.searchsorted(every, [start, start + bucket]))
        assert np.array_equal(stored, numbers), f"{name}: {len(stored):,} ticks stored, {len(numbers):,} delivered"
        expected = load.rows(numbers)
        for column in expected.column_names:
            same = rows[column].cast(expected[column].type).combine_chunks().equals(expected[column].combine_chunks())
            assert same, f"{name}: {column} differs"
        found += len(stored)
    assert found == load.ticks, f"{found:,} ticks stored of {load.ticks:,}"
    snapshot = read_partition(lake, LATEST_PRICES, SNAPSHOT)
    assert snapshot is not None
    last = np.arange(max(0, load.ticks - len(SYMBOLS)), load.ticks)
    latest = {SYMBOLS[number % len(SYMBOLS)]: f"e{number}" for number in last.tolist()}
    assert dict(zip(snapshot["symbol"].to_pylist(), snapshot["event_id"].to_pylist(), strict=True)) == latest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=10_000_000)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--group", type=int, default=500, help="messages that a worker takes at once")
    options = parser.parse_args()
    parameters = {"StreamVisibilitySeconds": "600"}
    with (
        tempfile.TemporaryDirectory() as root,
        local_aws(Path(root), parameters=parameters, installed=CHECKOUT) as aws,
    ):
        load = Load(options.ticks, options.objects)
        print(run(aws, load, options.workers, options.group, Path(root) / "load.log"))


if __name__ == "__main__":
    main()
