"""The streaming path's figures: ticks a second from NDJSON to merged Parquet, and what the snapshot's update costs.

Run: .venv/bin/python -m benchmarks.stream_numbers [--ticks 1000000] [--rounds 5]

Each figure is that of a process of its own with buckets in memory, so that no disk and no emulator is measured. Medians
of the rounds, with their least and greatest; the cases take turns, as the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from stock_pipeline.ingest_ticks import ingest_ticks
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.schemas import STREAM_PRICES_HISTORY
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline_tests.memory_store import MemoryStore

DAY = date(2024, 6, 3)
CASES = {
    "one object, clean": {"objects": 1, "malformed": 0.0},
    "one object, 1 % malformed": {"objects": 1, "malformed": 0.01},
    "1,000 objects, clean": {"objects": 1000, "malformed": 0.0},
    "1,000 objects, 1 % malformed": {"objects": 1000, "malformed": 0.01},
    "snapshot of 5,000 symbols, 1 M rows of history": {"history": 1},
    "snapshot of 5,000 symbols, 50 M rows of history": {"history": 50},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=1_000_000, help="ticks to ingest")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each case")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(_measured(CASES[options.case], options.ticks)))
        return
    runs: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    for number in range(options.rounds):
        for case in CASES:
            command = [sys.executable, "-m", "benchmarks.stream_numbers", "--ticks", str(options.ticks), "--case", case]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            runs[case].append(json.loads(run.stdout))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    print(f"{'case':<50} {'figure':<12} {'median':>12} {'least':>12} {'greatest':>12}")
    for case, figures in runs.items():
        for name in figures[0]:
            values = [figure[name] for figure in figures]
            shown = (f"{value:12,.3f}" for value in (statistics.median(values), min(values), max(values)))
            print(f"{case:<50} {name:<12} {' '.join(shown)}")


def _measured(case: dict[str, float], ticks: int) -> dict[str, float]:
    if "history" in case:
        return _snapshot(int(case["history"]))
    return _ingest(int(case["objects"]), case["malformed"], ticks)


def _ingest(objects: int, malformed: float, ticks: int) -> dict[str, float]:
    """Ticks of 16 symbols over a day, so in 79 history buckets of 5 minutes."""
    lines = to_json_lines(simulate_ticks(default_symbols(16), DAY, 7, ticks // 16))
    for at in np.random.default_rng(1).choice(len(lines), int(len(lines) * malformed), replace=False):
        lines[at] = lines[at][:-10] + b"\n"
    staging, lake = MemoryStore("staging"), MemoryStore("lake")
    keys = [f"stock_stream/{number:05}" for number in range(objects)]
    for number, key in enumerate(keys):
        staging.put(key, b"".join(lines[number * len(lines) // objects : (number + 1) * len(lines) // objects]))
    del lines
    wall, cpu = time.perf_counter(), time.process_time()
    receipts = ingest_ticks(keys, staging=staging, lake=lake)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    rows = sum(receipt.rows for receipt in receipts)
    assert sum(receipt.inserted for receipt in receipts) == rows - int(rows * malformed)
    return {"ticks_per_s": rows / wall, "wall_s": wall, "cpu_s": cpu, "peak_mb": _peak()}


def _snapshot(millions: int) -> dict[str, float]:
    """One update with 1,000 ticks, all in one bucket of five minutes, of a snapshot of 5,000 symbols."""
    symbols, lake, staging = default_symbols(5000), MemoryStore("lake"), MemoryStore("staging")
    day = simulate_ticks(symbols, DAY, 7, 200)
    history = encode(_as_history(day), STREAM_PRICES_HISTORY)
    for number in range(millions):  # the same million rows under other days' names: what is not read may be anything
        lake.put(partition_key(STREAM_PRICES_HISTORY, f"year=2020/month=01/day={number:02}/0000"), history)
    staging.put("stock_stream/all", b"".join(to_json_lines(simulate_ticks(symbols, DAY, 7, 4))))
    ingest_ticks(["stock_stream/all"], staging=staging, lake=lake)
    took = []
    for number in range(20):
        at = datetime(2024, 6, 4, 13, 30, tzinfo=UTC) + timedelta(minutes=5 * number)
        made = [
            {"event_id": f"{number}-{n}", "symbol": symbols[n], "price": 1.0, "produced_at": f"{at:%F %T}"}
            for n in range(1000)
        ]
        key = f"stock_stream/{number}"
        staging.put(key, b"\n".join(json.dumps(tick).encode() for tick in made))
        start = time.perf_counter()
        (receipt,) = ingest_ticks([key], staging=staging, lake=lake)
        took.append(time.perf_counter() - start)
        assert receipt.inserted == 1000
    return {"update_ms": 1000 * statistics.median(took), "peak_mb": _peak()}


def _as_history(ticks):  # type: ignore[no-untyped-def]
    """Simulated ticks as rows of the history table."""
    from stock_pipeline.arrivals import with_provenance

    good = ticks.select(["event_id", "symbol", "price", "size", "produced_at"])
    good = good.set_column(1, "symbol", good["symbol"].dictionary_encode()).combine_chunks()
    good = good.set_column(3, "size", good["size"].cast("double"))
    owners = np.zeros(good.num_rows, np.int32)
    return with_provenance(good, ["stock_stream/all"], owners, STREAM_PRICES_HISTORY, datetime(2024, 6, 4, tzinfo=UTC))


def _peak() -> float:
    """The greatest resident size of this process (not ru_maxrss, which begins with that of its parent)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
