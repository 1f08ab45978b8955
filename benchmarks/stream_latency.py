"""How long a tick takes from its making to a row that can be queried, and how much of that is Firehose's waiting.

Run: .venv/bin/python -m benchmarks.stream_latency [--rate 1000] [--seconds 30] [--interval 2]

The whole way on the local AWS: Kinesis, Firehose, S3, SQS, the function, Parquet. History is listed again and again; a
tick has arrived when an object that holds it has been read. Live ticks are sent a quarter of a second
at a time, which is part of the figure.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.store import S3Store
from stock_pipeline.local import local_aws
from stock_pipeline.produce import Sent, check_sent, kinesis_client, produce_live
from stock_pipeline.schemas import STREAM_PRICES_HISTORY
from stock_pipeline.settings import DEFAULT_SYMBOLS

_POLL = 0.05  # seconds
_PATIENCE = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000, help="ticks a second")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--interval", type=int, default=2, help="seconds that Firehose gathers ticks")
    options = parser.parse_args()
    parameters = {"StreamBufferSeconds": str(options.interval)}
    with (
        tempfile.TemporaryDirectory() as root,
        local_aws(Path(root), processor="lambda", parameters=parameters, installed=CHECKOUT) as aws,
    ):
        aws.activate()
        lake = S3Store(aws.env["STOCK_PIPELINE_LAKE_BUCKET"])
        arrivals = _Arrivals(lake)
        first = _send(aws.outputs["StreamName"], options.rate, 1)  # starts the function: no cold start is measured
        arrivals.wait_for(first.lines, options.interval + _PATIENCE)
        arrivals.latencies.clear()
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(_send, aws.outputs["StreamName"], options.rate, options.seconds)
            arrivals.wait_for(int(options.rate * options.seconds), options.seconds + options.interval + _PATIENCE)
            sent = sending.result()
    assert len(arrivals.latencies) == sent.lines, f"{sent.lines:,} sent, {len(arrivals.latencies):,} arrived"
    figures = {f"p{share}": round(float(np.percentile(arrivals.latencies, share)), 2) for share in (50, 90, 99, 100)}
    print(f"{sent.lines:,} ticks, {options.rate:g} a second, Firehose interval {options.interval} s; seconds from "
          f"produced_at to a row: {', '.join(f'{name} {value}' for name, value in figures.items())}")  # fmt: skip
    print(json.dumps({"rate": options.rate, "interval_s": options.interval, "ticks": sent.lines, **figures}))


def _send(stream: str, rate: float, seconds: float) -> Sent:
    sent = produce_live(kinesis_client(), stream, DEFAULT_SYMBOLS, seed=7, rate=rate, seconds=seconds)
    check_sent(sent)
    return sent


class _Arrivals:
    """Watches history: `latencies` are the seconds from produced_at to arrival of every tick not seen before."""

    def __init__(self, lake: S3Store) -> None:
        self._lake = lake
        self._versions: dict[str, str] = {}
        self._seen: set[str] = set()
        self.latencies: list[float] = []

    def wait_for(self, number: int, seconds: float) -> None:
        """Look until so many have arrived."""
        deadline = time.monotonic() + seconds
        while len(self.latencies) < number:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {len(self.latencies):,} of {number:,} ticks arrived within {seconds:.0f} s")
            self._look()
            time.sleep(_POLL)

    def _look(self) -> None:
        found = {info.key: info.etag for info in self._lake.list(STREAM_PRICES_HISTORY.prefix)}
        for key, etag in found.items():
            if self._versions.get(key) == etag:
                continue
            self._versions[key] = etag
            partition = key.removeprefix(STREAM_PRICES_HISTORY.prefix).removesuffix(STREAM_PRICES_HISTORY.suffix)
            rows = read_partition(self._lake, STREAM_PRICES_HISTORY, partition, ["event_id", "produced_at"])
            assert rows is not None
            arrived = datetime.now(UTC)
            for name, at in zip(rows["event_id"].to_pylist(), rows["produced_at"].to_pylist(), strict=True):
                if name not in self._seen:
                    self._seen.add(name)
                    self.latencies.append((arrived - at).total_seconds())


if __name__ == "__main__":
    main()
