"""Small tables in the bucket `lake`, written as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pyarrow as pa

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake.layout import Layout
from stock_pipeline.lake.layout_object import LAYOUT_KEY
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import bucket_partition, year_partition
from stock_pipeline.schemas import DATABASE, PRICE_BY_DATE, Table
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY

NOW = datetime(2026, 3, 4, 15, 40, 30, tzinfo=UTC)


def put(table: Table, partition: str, rows: Sequence[dict[str, Any]]) -> None:
    provenance = {"source": "f", "etl_loading_ts": NOW}
    whole = [{**{n: v for n, v in provenance.items() if n in table.schema.names}, **row} for row in rows]
    S3Store("lake").put(partition_key(table, partition), encode(pa.Table.from_pylist(whole, table.schema), table))


def put_prices(*years: int, symbols: int = 40, sessions: int = 50) -> None:
    for year in years:
        put(PRICE_BY_DATE, year_partition(year), [
            {"symbol": f"S{s:02}", "date": date(year, 1, 2) + timedelta(n), "close": s + n / 7,
             "volume": float(n) if n % 3 else None, "adj_known_at": NOW - timedelta(n)}
            for s in range(symbols) for n in range(sessions)
        ])  # fmt: skip


def put_ticks(*moments: datetime, minutes: int = 60) -> None:
    S3Store("lake").put(LAYOUT_KEY, Layout.of(minutes).settled_through(date(2027, 1, 1)).to_json())
    parts: dict[datetime, list[dict[str, Any]]] = {}
    for number, at in enumerate(moments):
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        start = midnight + (at - midnight) // timedelta(minutes=minutes) * timedelta(minutes=minutes)
        row = {"event_id": f"e{number}", "symbol": "AM"[number % 2], "price": 1.0 + number, "produced_at": at}
        parts.setdefault(start, []).append(row)
    for start, rows in parts.items():
        put(HISTORY, bucket_partition(start), sorted(rows, key=lambda row: (row["symbol"], row["produced_at"])))


def glue_table(table: Table, bucket: str, years: tuple[int, int]) -> None:
    """Put a table into the Glue catalog, with a range of projected years."""
    glue = boto3.client("glue")
    if not any(found["Name"] == DATABASE for found in glue.get_databases()["DatabaseList"]):
        glue.create_database(DatabaseInput={"Name": DATABASE})
    given = {
        "Name": table.name,
        "StorageDescriptor": {"Location": f"s3://{bucket}/{table.prefix}", "Columns": []},
        "Parameters": {"projection.enabled": "true", "projection.year.range": ",".join(map(str, years))},
    }
    glue.create_table(DatabaseName=DATABASE, TableInput=given)
