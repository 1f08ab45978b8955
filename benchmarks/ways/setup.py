"""Makes tables in the formats of other libraries, from a lake in plain Parquet: `setup.py WAY LAKE`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks.ways.daily_peers import with_year, year_file


def stored_rows(lake: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["symbol", "date", "open", "high", "low", "close", "volume", "source", "etl_loading_ts"]
    if year_file(lake).exists():
        rows = pq.ParquetFile(year_file(lake)).read(columns=names)
    else:
        types = [pa.string(), pa.date32(), *[pa.float64()] * 4, pa.int64(), pa.string(), pa.timestamp("us", tz="UTC")]
        rows = pa.schema(list(zip(names, types, strict=True))).empty_table()
    return with_year(rows)


def deltalake(lake: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(lake / "delta"), stored_rows(lake), partition_by=["year"])


def pyiceberg(lake: Path) -> None:
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.transforms import IdentityTransform

    (lake / "iceberg").mkdir()
    catalog = SqlCatalog("bench", uri=f"sqlite:///{lake}/iceberg/catalog.db", warehouse=f"file://{lake}/iceberg")
    catalog.create_namespace("stock_market")
    rows = stored_rows(lake)
    table = catalog.create_table("stock_market.price_by_date", rows.schema)
    with table.update_spec() as spec:
        spec.add_field("year", IdentityTransform(), "year")
    if rows.num_rows:
        table.append(rows)


def awswrangler(lake: Path) -> None:
    import os

    import boto3

    s3 = boto3.client("s3")
    bucket = os.environ["BENCH_BUCKET"]
    for key in [o["Key"] for o in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]:
        s3.delete_object(Bucket=bucket, Key=key)
    if year_file(lake).exists():
        import awswrangler as wr

        rows = stored_rows(lake).to_pandas()
        wr.s3.to_parquet(rows, f"s3://{bucket}/price_by_date/", dataset=True, mode="append", partition_cols=["year"])


if __name__ == "__main__":
    {"deltalake": deltalake, "pyiceberg": pyiceberg, "upsert": pyiceberg, "awswrangler": awswrangler}[sys.argv[1]](
        Path(sys.argv[2]).resolve()
    )
