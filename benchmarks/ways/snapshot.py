"""The snapshot of the latest prices, in one process: `snapshot.py update|recompute|scan LAKE`; CPU in its last line.

update      ingests objects of 1,000 ticks one after another beside a history; and, alone, updates the snapshot and
            reads and writes it
recompute   the whole snapshot out of history
scan        reads the two columns of history that a recomputation cannot do without
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.ways.bare_folder import BareFolder
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.parquet import decode, encode
from stock_pipeline.lake.partitions import merge_into_partition, partition_key, read_partition
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.simulate.ticks import live_ticks, to_json_lines

SYMBOLS, ROUNDS = 5000, 40
NOW = datetime(2024, 6, 4, 21, tzinfo=UTC)


def update(folder: Path) -> dict[str, Any]:
    staging, lake = BareFolder(folder / "staging"), BareFolder(folder / "lake")
    start = datetime(2024, 6, 4, 13, 30, tzinfo=UTC)
    names = default_symbols(SYMBOLS)
    batches = live_ticks(names, 7, 1000, start, batch=timedelta(seconds=1))
    first = [tick for _ in range(10) for tick in to_json_lines(next(batches))]
    staging.put("stock_stream/first", b"".join(first))
    ingest_ticks(["stock_stream/first"], staging=staging, lake=lake, now=NOW)
    keys = [f"stock_stream/{number:03}" for number in range(ROUNDS)]
    for key in keys:
        staging.put(key, b"".join(to_json_lines(next(batches))))
    ingest = [_cpu(lambda key=key: ingest_ticks([key], staging=staging, lake=lake, now=NOW)) for key in keys]

    rows = read_partition(lake, LATEST_PRICES, SNAPSHOT)
    assert rows is not None
    key = partition_key(LATEST_PRICES, SNAPSHOT)
    updates, rewrites = [], []
    for number in range(1, ROUNDS + 1):  # the same thousand symbols, each a second later every time
        later = rows.slice(0, 1000).set_column(
            3, LATEST_PRICES.schema.field("produced_at"), pa.chunked_array([_later(rows["produced_at"], number)])
        )

        def one_update(later: pa.Table = later) -> None:
            latest = merge(None, later, LATEST_PRICES).table
            assert latest is not None
            merge_into_partition(lake, LATEST_PRICES, SNAPSHOT, latest)

        def rewrite() -> None:
            found = lake.get(key)
            lake.put(key, encode(decode(found.data, LATEST_PRICES, key), LATEST_PRICES), if_match=found.info.etag)

        updates.append(_cpu(one_update))
        rewrites.append(_cpu(rewrite))
    ratio = statistics.median(one / other for one, other in zip(updates, rewrites, strict=True))
    return {
        "ingest_ms": 1000 * statistics.median(ingest), "update_ms": 1000 * statistics.median(updates),
        "rewrite_ms": 1000 * statistics.median(rewrites), "update_to_rewrite": ratio, "symbols": rows.num_rows,
    }  # fmt: skip


def _later(times: pa.ChunkedArray, seconds: int) -> pa.Array:
    micros = times.combine_chunks().cast(pa.int64()).to_numpy()[:1000] + (100_000 + seconds) * 1_000_000
    return pa.array(micros).cast(LATEST_PRICES.schema.field("produced_at").type)


def recompute(folder: Path) -> dict[str, Any]:
    from stock_pipeline.maintenance import snapshot
    from stock_pipeline.query import duckdb_engine

    lake = BareFolder(folder / "lake")
    settings = Settings(lake_bucket="lake")

    def sql(statement: str, parameters: Any = (), **_: object) -> pa.Table:
        return duckdb_engine.run(statement, parameters, lake, settings.database)

    snapshot.sql = sql  # type: ignore[assignment]
    found: list[pa.Table] = []
    cpu = _cpu(lambda: found.append(snapshot.recompute(settings, lake)))
    return {"cpu_s": cpu, "symbols": found[0].num_rows, "latest": str(max(found[0]["produced_at"].to_pylist()))}


def scan(folder: Path) -> dict[str, Any]:
    lake = BareFolder(folder / "lake")

    def read() -> None:
        def newest(key: str) -> int:
            rows = decode(lake.get(key).data, STREAM_PRICES_HISTORY, key, ["symbol", "produced_at"])
            return max(int(np.max(chunk.cast(pa.int64()).to_numpy())) for chunk in rows["produced_at"].chunks)

        with ThreadPoolExecutor(2) as threads:
            assert max(threads.map(newest, [info.key for info in lake.list(STREAM_PRICES_HISTORY.prefix)])) > 0

    return {"cpu_s": _cpu(read)}


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    print(json.dumps({"update": update, "recompute": recompute, "scan": scan}[sys.argv[1]](Path(sys.argv[2]))))
