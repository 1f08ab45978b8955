"""Ticks through the whole local AWS: `end_to_end.py RATE SECONDS LATE GATHER`; the figures in its last line.

Kinesis, Firehose, S3, SQS, the function, Parquet. LATE is the share of the ticks that are up to a day late. GATHER is
how many seconds Firehose gathers ticks. A run that is as long as a history object, or longer, starts when such an
object starts, so that it sees all merges into it.

A tick has arrived when a history object that holds it has been read. Lag is the time since it was sent. Written bytes
are counted by listing the lake again and again: each new version of an object adds its size. CPU is that of the
emulator and the functions that it runs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stock_pipeline.aws.kinesis import kinesis_client, pack, send
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.recognized_layout import MINUTES
from stock_pipeline.local import local_aws
from stock_pipeline.local.folders import CHECKOUT
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, TIMESTAMP
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.simulate.ticks import live_ticks, to_json_lines

POLL, PATIENCE = 0.1, 240.0
DAY, BUCKET = 86_400, 60 * MINUTES


class Watch:
    """Watches the lake: when each tick arrived, and how many bytes were written."""

    def __init__(self, lake: S3Store) -> None:
        self._lake, self._versions = lake, dict[str, str]()
        self.arrived: dict[str, float] = {}
        self.written: dict[str, int] = {}
        self.versions = 0

    def look(self) -> None:
        for table in (STREAM_PRICES_HISTORY, LATEST_PRICES):
            for info in list(self._lake.list(table.prefix)):
                if self._versions.get(info.key) == info.etag:
                    continue
                self._versions[info.key] = info.etag
                self.versions += 1
                self.written[table.name] = self.written.get(table.name, 0) + info.size
                if table is STREAM_PRICES_HISTORY:
                    partition = info.key.removeprefix(table.prefix).removesuffix(table.suffix)
                    rows = read_partition(self._lake, table, partition, ["event_id"])
                    now = time.time()
                    for name in rows["event_id"].to_pylist() if rows else ():
                        self.arrived.setdefault(name, now)


def main(rate: float, seconds: float, late: float, gather: float) -> dict[str, Any]:
    parameters = {"StreamBufferSeconds": f"{gather:.0f}"}
    with (
        tempfile.TemporaryDirectory() as root,
        local_aws(Path(root), processor="lambda", parameters=parameters, installed=CHECKOUT) as aws,
    ):
        aws.activate()
        lake, client = S3Store(aws.env["STOCK_PIPELINE_LAKE_BUCKET"]), kinesis_client()
        watch, sent = Watch(lake), dict[str, float]()
        send(client, aws.outputs["StreamName"], pack(_warming()))  # starts the function: no cold start is measured
        _until(watch, lambda: len(watch.arrived) >= 10, patience=gather + PATIENCE)
        watch.arrived.clear()
        watch.written.clear()
        if seconds >= BUCKET:
            time.sleep(BUCKET - time.time() % BUCKET)
        watch.versions, before = 0, _cpu_of_children()
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(_send_all, client, aws.outputs["StreamName"], rate, seconds, late, sent)
            _until(watch, sending.done, patience=seconds + PATIENCE)
            sending.result()
            _until(watch, lambda: len(watch.arrived) >= len(sent), patience=gather + PATIENCE)
        used = _cpu_of_children() - before
        stored = sum(info.size for info in lake.list(STREAM_PRICES_HISTORY.prefix))
    lags = [watch.arrived[name] - at for name, at in sent.items()]
    assert len(lags) == len(sent) > 0
    return {
        "ticks": len(sent), "stored_bytes": stored, "written_bytes": sum(watch.written.values()),
        "written_per_stored": sum(watch.written.values()) / stored, "versions": watch.versions,
        "cpu_us_per_tick": 1e6 * used / len(sent),
        **{f"p{share}": float(np.percentile(lags, share)) for share in (50, 90, 99, 100)},
    }  # fmt: skip


def _warming() -> list[bytes]:
    table = next(live_ticks(default_symbols(16), 1, 40, datetime.now(UTC)))
    return to_json_lines(table.slice(0, 10))


def _send_all(client: Any, stream: str, rate: float, seconds: float, late: float, sent: dict[str, float]) -> None:
    chance = np.random.default_rng(7)
    start = datetime.now(UTC)
    for number, table in enumerate(live_ticks(default_symbols(500), 7, rate, start)):
        at = start.timestamp() + 0.25 * (number + 1)
        if 0.25 * number >= seconds:
            return
        back = np.where(chance.random(table.num_rows) < late, chance.integers(0, DAY * 1_000_000, table.num_rows), 0)
        times = pa.array(table["produced_at"].cast(pa.int64()).to_numpy() - back).cast(TIMESTAMP)
        table = table.set_column(3, "produced_at", times)
        time.sleep(max(0.0, at - time.time()))
        sent.update(dict.fromkeys(table["event_id"].to_pylist(), time.time()))
        assert not send(client, stream, pack(to_json_lines(table))).failed


def _until(watch: Watch, done: Any, patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(watch.arrived):,} ticks arrived in time")
        watch.look()
        time.sleep(POLL)


def _cpu_of_children() -> float:
    """CPU seconds of all processes below this one."""
    ticks, parents, used = os.sysconf("SC_CLK_TCK"), dict[int, int](), dict[int, float]()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        used[pid] = sum(map(int, fields[11:15])) / ticks

    def below(pid: int) -> bool:
        while pid > 1:
            pid = parents.get(pid, 0)
            if pid == os.getpid():
                return True
        return False

    return sum(seconds for pid, seconds in used.items() if below(pid))


if __name__ == "__main__":
    print(json.dumps(main(*map(float, sys.argv[1:]))))
