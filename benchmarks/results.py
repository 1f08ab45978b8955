"""The result of a way as one digest: `python -m benchmarks.results KIND LAKE`, in the peers' environment.

Two ways that did the same work have the same digest, whatever order, text types and files they use.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from benchmarks.ways.daily_peers import YEAR, iceberg_table

DAILY = {
    "symbol": pa.string(),
    "date": pa.date32(),
    **dict.fromkeys(("open", "high", "low", "close", "volume"), pa.float64()),
}
TICKS = {"event_id": pa.string(), "symbol": pa.string(), "price": pa.float64(), "size": pa.float64(),
         "produced_at": pa.timestamp("us", tz="UTC")}  # fmt: skip


def daily(lake: Path) -> dict[str, Any]:
    """The touched year's rows and the number of lines rejected."""
    if (lake / "delta").exists():
        from deltalake import DeltaTable

        rows = DeltaTable(str(lake / "delta")).to_pyarrow_table([("year", "=", YEAR)])
    elif (lake / "iceberg").exists():
        from pyiceberg.expressions import EqualTo

        rows = iceberg_table(lake).scan(EqualTo("year", YEAR)).to_arrow()
    elif (lake / "bucket").exists():
        import awswrangler as wr

        root = (lake / "bucket").read_text()
        rows = pa.Table.from_pandas(wr.s3.read_parquet(f"{root}price_by_date/year={YEAR}/"))
    else:
        rows = _plain(lake / f"price_by_date/year={YEAR}")
    return _digest(rows, DAILY, ("symbol", "date")) | _rejected(lake)


def ticks(lake: Path) -> dict[str, Any]:
    """History, the snapshot, and the number of lines rejected."""
    history = _digest(_plain(lake / "price_by_date_stream"), TICKS, ("event_id",))
    latest = _digest(_plain(lake / "latest_stream_prices"), TICKS, ("symbol",))
    return {"history": history, "latest": latest} | _rejected(lake)


def _plain(folder: Path) -> pa.Table:
    return ds.dataset(sorted(str(path) for path in folder.rglob("*.parquet"))).to_table()


def _rejected(lake: Path) -> dict[str, int]:
    files = [*lake.glob("rejected.parquet"), *lake.glob("rejected_records/**/*.parquet")]
    return {"rejected": sum(ds.dataset(str(file)).count_rows() for file in files)}


def _digest(rows: pa.Table, columns: dict[str, pa.DataType], order: tuple[str, ...]) -> dict[str, Any]:
    plain = pa.table({name: _cast(rows[name], type_) for name, type_ in columns.items()})
    plain = plain.sort_by([(name, "ascending") for name in order]).combine_chunks()
    found = hashlib.sha256()
    for name in columns:
        text = plain[name].cast(pa.int64()) if pa.types.is_timestamp(columns[name]) else plain[name]
        found.update("\n".join(map(str, pc.fill_null(text.cast(pa.string()), "").to_pylist())).encode())
    return {"rows": plain.num_rows, "digest": found.hexdigest()[:16]}


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_timestamp(type_) and pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = pc.assume_timezone(column, "UTC")
    return column.cast(type_)


if __name__ == "__main__":
    print(json.dumps({"daily": daily, "ticks": ticks}[sys.argv[1]](Path(sys.argv[2]).resolve()), sort_keys=True))
