"""The batch path's figures: a large year takes a day's rows, history costs nothing, the function starts fast.

Run: .venv/bin/python -m benchmarks.batch_numbers [--symbols 5000] [--rounds 5]

Each figure is that of a whole, fresh process against the local AWS: interpreter, imports, S3 and all. Medians of the
rounds, with their least and greatest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.ingest import ingest_daily_prices
from stock_pipeline.lake.store import S3Store
from stock_pipeline.local import local_aws
from stock_pipeline.simulate.daily import default_symbols, simulate_daily_prices, to_csv
from stock_pipeline.simulate.sessions import sessions

_INGEST = """
import json, resource, sys, time
start = time.perf_counter()
from stock_pipeline.ingest import ingest_daily_prices
from stock_pipeline.lake.store import S3Store
from stock_pipeline.settings import Settings
imported = time.perf_counter()
settings = Settings.from_env()
staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
ready = time.perf_counter()
(receipt,) = ingest_daily_prices(sys.argv[1:], staging=staging, lake=lake)
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss, which begins with that of the process it was forked from.
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({
    "rows": receipt.rows, "inserted": receipt.inserted, "import_s": imported - start,
    "ingest_s": time.perf_counter() - ready, "cpu_s": used.ru_utime + used.ru_stime, "rss_mb": peak,
    "pandas": "pandas" in sys.modules,
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=5000, help="symbols in the year (5000: 1.26 M rows)")
    parser.add_argument("--rounds", type=int, default=5, help="sessions that are added one after another")
    options = parser.parse_args()
    symbols = default_symbols(options.symbols)
    with tempfile.TemporaryDirectory() as root, local_aws(Path(root), installed=CHECKOUT) as aws:
        aws.activate()
        staging = S3Store(aws.env["STOCK_PIPELINE_STAGING_BUCKET"])
        lake = S3Store(aws.env["STOCK_PIPELINE_LAKE_BUCKET"])
        year = sessions(date(2024, 1, 1), date(2024, 12, 31))
        added = year[-options.rounds :]
        print(f"a year of {len(symbols):,} symbols × {len(year)} sessions, the last {len(added)} added one by one")
        _store(staging, lake, "daily_prices/year.csv", symbols, year[0], year[-options.rounds - 1])
        keys = [f"daily_prices/date={day}/prices.csv" for day in added]
        for key, day in zip(keys, added, strict=True):
            staging.put(key, to_csv(simulate_daily_prices(symbols, day, day, 7)))
        _report("one session into the large year", [_measured([key]) for key in keys])

        print("\n16 symbols, one session a file, into a year with and without twenty years of history")
        few = symbols[:16]
        days = sessions(date(2023, 1, 1), date(2023, 12, 31))[: 2 * options.rounds]
        for day in days:
            staging.put(f"daily_prices/date={day}/prices.csv", to_csv(simulate_daily_prices(few, day, day, 7)))
        _report("  without", [_measured([f"daily_prices/date={day}/prices.csv"]) for day in days[::2]])
        _store(staging, lake, "daily_prices/history.csv", few, date(2003, 1, 1), date(2022, 12, 31))
        _report("  with", [_measured([f"daily_prices/date={day}/prices.csv"]) for day in days[1::2]])


def _store(staging: S3Store, lake: S3Store, key: str, symbols: tuple[str, ...], start: date, end: date) -> None:
    staging.put(key, to_csv(simulate_daily_prices(symbols, start, end, 7)))
    began = time.perf_counter()
    (receipt,) = ingest_daily_prices([key], staging=staging, lake=lake)
    seconds = time.perf_counter() - began
    assert receipt.inserted == receipt.rows
    print(f"stored {receipt.rows:,} rows of {key} in {seconds:.2f} s")


def _measured(keys: list[str]) -> dict[str, float]:
    run = subprocess.run([sys.executable, "-c", _INGEST, *keys], stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, float] = json.loads(run.stdout)
    assert figures["inserted"] == figures["rows"] > 0
    return figures


def _report(what: str, runs: list[dict[str, float]]) -> None:
    print(f"{what}: {runs[0]['rows']:,} rows each, {len(runs)} runs")
    for name in ("import_s", "ingest_s", "cpu_s", "rss_mb"):
        values = [run[name] for run in runs]
        print(f"    {name:<9} {statistics.median(values):8.2f}   ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
