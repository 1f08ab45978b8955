"""Queries that an analyst runs, by DuckDB over one layout of the same rows: `queries.py FOLDER`.

Each query runs once to open the files, then `ROUNDS` times; CPU is the process's, so that all threads count.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from pathlib import Path

import duckdb

ROUNDS = 15
QUERIES = {
    "one symbol, ten years": "SELECT date, close, volume FROM prices WHERE symbol = 'NVDA' ORDER BY date",
    "all symbols, last month": "SELECT symbol, avg(close), sum(volume) FROM prices WHERE year = 2024 AND date >= "
    "DATE '2024-12-01' GROUP BY symbol ORDER BY symbol",
    "latest 20 rows of a symbol": "SELECT date, close FROM prices WHERE symbol = 'NVDA' AND year = 2024 ORDER BY date "
    "DESC LIMIT 20",
}


def main(folder: str) -> None:
    connection = duckdb.connect()
    connection.execute(
        f"CREATE VIEW prices AS SELECT * FROM read_parquet('{Path(folder) / 'price_by_date'}/*/*.parquet', "
        "hive_partitioning = true, hive_types = {'year': INT})"
    )
    said = {}
    for name, statement in QUERIES.items():
        rows = connection.execute(statement).fetchall()
        cpu, wall = [], []
        for _ in range(ROUNDS):
            started, began = time.process_time(), time.perf_counter()
            connection.execute(statement).fetchall()
            cpu.append(time.process_time() - started)
            wall.append(time.perf_counter() - began)
        digest = hashlib.sha256(
            repr([tuple(round(v, 6) if isinstance(v, float) else v for v in r) for r in rows]).encode()
        )
        said[name] = {
            "cpu_ms": 1000 * statistics.median(cpu), "wall_ms": 1000 * statistics.median(wall),
            "rows": len(rows), "digest": digest.hexdigest()[:16],
        }  # fmt: skip
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
