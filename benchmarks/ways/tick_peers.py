"""Ticks by the libraries that a user would pick instead: `tick_peers.py WAY FILE-OR-FOLDER LAKE`.

All read lines of JSON of which some are broken, judge the others (a symbol, a price above zero, a time), keep the first
tick of each event id, write them as one Parquet object sorted by symbol and time, the latest tick of each symbol as
another, and the rejected lines' number as a third. The lake is empty, and none of them merges into what is there or
commits under compare-and-swap, which the pipeline does.

    polars        read_ndjson, without the lines that do not end in }
    duckdb        read_json(ignore_errors)
    orjson        orjson line by line into Arrow
    pandas        json.loads line by line into pandas
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import Any

HISTORY, LATEST = "price_by_date_stream/day.parquet", "latest_stream_prices/latest.parquet"
FIELDS = ("event_id", "symbol", "price", "size", "produced_at")


def read(source: Path) -> bytes:
    if source.is_dir():
        return b"".join(file.read_bytes() for file in sorted(source.iterdir()))
    return gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()


def polars(source: Path, lake: Path) -> None:
    import polars as pl

    types = dict.fromkeys(FIELDS, pl.String) | {"price": pl.Float64, "size": pl.Float64}
    # read_ndjson fails on one broken line, whatever ignore_errors says, so lines without a } at the end go first.
    lines = pl.Series("raw", read(source).decode().splitlines()).to_frame().with_row_index("line", 1)
    whole = pl.col("raw").str.ends_with("}")
    text = lines.filter(whole)["raw"].str.join("\n").item()
    raw = pl.read_ndjson(text.encode(), schema=types)
    rows = raw.with_columns(
        pl.col("produced_at").str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", strict=False, time_zone="UTC")
    )
    good = (pl.col("price") > 0) & pl.col("symbol").is_not_null() & pl.col("produced_at").is_not_null()
    good = good & pl.col("event_id").is_not_null()
    kept = rows.filter(good)
    ill = lines.filter(whole).filter(~rows.select(good.fill_null(False)).to_series())
    pl.concat([lines.filter(~whole), ill]).sort("line").write_parquet(lake / "rejected.parquet")
    kept = kept.unique("event_id", keep="first", maintain_order=True)
    kept.sort("symbol", "produced_at").write_parquet(
        _made(lake / HISTORY), compression="zstd", row_group_size=128 * 1024
    )
    latest = kept.sort("produced_at", "event_id").unique("symbol", keep="last").sort("symbol")
    latest.write_parquet(_made(lake / LATEST))


def duckdb(source: Path, lake: Path) -> None:
    import duckdb as db

    files = str(source / "*.ndjson") if source.is_dir() else str(source)
    columns = "{event_id: 'VARCHAR', symbol: 'VARCHAR', price: 'DOUBLE', size: 'DOUBLE', produced_at: 'TIMESTAMP'}"
    good = "coalesce(price > 0, false) AND symbol IS NOT NULL AND produced_at IS NOT NULL AND event_id IS NOT NULL"
    connection = db.connect()
    connection.execute(f"""
        CREATE TEMP TABLE raw AS SELECT *, row_number() OVER () AS line
        FROM read_json('{files}', format = 'newline_delimited', ignore_errors = true, columns = {columns})
    """)
    connection.execute(f"COPY (SELECT * FROM raw WHERE NOT ({good})) TO '{lake / 'rejected.parquet'}' (FORMAT parquet)")
    connection.execute(f"""
        CREATE TEMP TABLE kept AS SELECT {", ".join(FIELDS)} FROM raw WHERE {good}
        QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY line) = 1
    """)
    connection.execute(
        f"COPY (SELECT * FROM kept ORDER BY symbol, produced_at) TO '{_made(lake / HISTORY)}' "
        "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)"
    )
    latest = "row_number() OVER (PARTITION BY symbol ORDER BY produced_at DESC, event_id DESC) = 1"
    connection.execute(f"COPY (SELECT * FROM kept QUALIFY {latest}) TO '{_made(lake / LATEST)}' (FORMAT parquet)")


def orjson(source: Path, lake: Path) -> None:
    import orjson as oj
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in FIELDS}
    rejected: list[tuple[int, bytes]] = []
    seen: set[str] = set()
    for number, line in enumerate(read(source).splitlines(), 1):
        try:
            tick = oj.loads(line)
            name, price, symbol, at = tick["event_id"], tick["price"], tick["symbol"], tick["produced_at"]
            if not price > 0:
                raise ValueError
        except (ValueError, KeyError, TypeError):
            rejected.append((number, line))
            continue
        if name not in seen:
            seen.add(name)
            for column, value in zip(columns.values(), (name, symbol, price, tick.get("size"), at), strict=True):
                column.append(value)
    rows = pa.table({name: pa.array(values) for name, values in columns.items()})
    times = rows["produced_at"].cast(pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))
    rows = rows.set_column(4, "produced_at", times).sort_by([("symbol", "ascending"), ("produced_at", "ascending")])
    pq.write_table(
        rows, _made(lake / HISTORY), compression="zstd", row_group_size=128 * 1024, use_dictionary=["symbol"]
    )
    order = pc.sort_indices(rows, [("symbol", "ascending"), ("produced_at", "descending"), ("event_id", "descending")])
    ordered = rows.take(order)
    names = ordered["symbol"].combine_chunks()
    first = pa.concat_arrays([pa.array([True]), pc.not_equal(names[1:], names[:-1])])
    pq.write_table(ordered.filter(first), _made(lake / LATEST))
    pq.write_table(pa.table({"line": [n for n, _ in rejected], "raw": [raw for _, raw in rejected]}),
                   lake / "rejected.parquet")  # fmt: skip


def pandas(source: Path, lake: Path) -> None:
    import json

    import pandas as pd

    good, rejected = [], []
    for number, line in enumerate(read(source).splitlines(), 1):
        try:
            tick = json.loads(line)
            if not tick["price"] > 0 or not tick["symbol"] or not tick["produced_at"]:
                raise ValueError
            good.append(tick)
        except (ValueError, KeyError, TypeError):
            rejected.append({"line": number, "raw": line})
    rows = pd.DataFrame(good, columns=list(FIELDS)).drop_duplicates("event_id", keep="first")
    rows["produced_at"] = pd.to_datetime(rows["produced_at"], format="%Y-%m-%d %H:%M:%S.%f", utc=True)
    rows.sort_values(["symbol", "produced_at"]).to_parquet(_made(lake / HISTORY), index=False, compression="zstd")
    latest = rows.sort_values(["produced_at", "event_id"]).drop_duplicates("symbol", keep="last")
    latest.to_parquet(_made(lake / LATEST), index=False)
    pd.DataFrame(rejected).to_parquet(lake / "rejected.parquet", index=False)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    WAYS = (polars, duckdb, orjson, pandas)
    {way.__name__: way for way in WAYS}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]).resolve())
