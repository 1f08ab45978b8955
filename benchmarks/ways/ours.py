"""The pipeline itself, with buckets in folders.

daily  STAGING LAKE KEY…     raw daily prices into price_by_date
ticks  STAGING LAKE KEY…     raw ticks into history and snapshot; a key that ends in / stands for all below it
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.ways.bare_folder import BareFolder


def main(what: str, staging_folder: str, lake_folder: str, *keys: str) -> None:
    staging, lake = BareFolder(Path(staging_folder)), BareFolder(Path(lake_folder))
    now = datetime(2025, 1, 2, tzinfo=UTC)
    if what == "daily":
        from stock_pipeline.ingest.daily import ingest_daily_prices

        receipts = ingest_daily_prices(keys, staging=staging, lake=lake, now=now)
    else:
        from stock_pipeline.ingest.ticks import ingest_ticks

        named = [found for key in keys for found in _named(staging, key)]
        receipts = ingest_ticks(named, staging=staging, lake=lake, now=now)
    print(json.dumps({
        "rows": sum(r.rows for r in receipts), "inserted": sum(r.inserted for r in receipts),
        "rejected": sum(r.rejected_rows for r in receipts), "written": lake.written,
    }))  # fmt: skip


def _named(staging: BareFolder, key: str) -> list[str]:
    return [info.key for info in staging.list(key)] if key.endswith("/") else [key]


if __name__ == "__main__":
    main(*sys.argv[1:])
