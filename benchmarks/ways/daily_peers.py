"""Daily prices by the libraries that a user would pick instead: `daily_peers.py WAY CSV LAKE`.

All do what the pipeline does: read the CSV, judge every row by the same rules, and store the first good row of each
symbol and date that is not stored yet in the touched year. The rejected rows are written down, and so are those that
are stored without a value. None tells conflicts from duplicates, as the pipeline does. The lake is one Parquet object a
year, except where a library has a format of its own.

    seed        pandas, as the code that this project began with: the whole table is read, joined, cleared of duplicates
                and written again, whatever the file touches
    pandas      the same on the touched year only
    polars      anti-join against the keys of the year
    duckdb      SQL: TRY_CAST, anti-join, COPY
    deltalake   cleaned by Polars, MERGE (when not matched insert) into a table partitioned by year
    pyiceberg   cleaned by Polars, the year's keys scanned, what is new appended
    upsert      cleaned by Polars, pyiceberg's own upsert
    awswrangler read, merged and written by awswrangler (overwrite_partitions) on an S3 that moto emulates
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

YEAR = 2024
LOADED = datetime(2025, 1, 2, tzinfo=UTC)
PRICES = ("open", "high", "low", "close")
OPTIONAL = ("open", "high", "low", "volume")  # one that breaks a rule is left out, and its row is stored
SYMBOL = r"^[A-Z0-9^][A-Z0-9.\-^=]{0,15}$"


def year_file(lake: Path) -> Path:
    return lake / f"price_by_date/year={YEAR}/prices.parquet"


def seed(source: str, lake: Path) -> None:
    import pandas as pd

    good = _clean_pandas(source, lake)
    good["year"] = good["date"].dt.year
    root = lake / "price_by_date"
    files = sorted(root.rglob("*.parquet"))
    stored = [_pandas_year(file).assign(year=int(file.parent.name[5:])) for file in files]
    whole = pd.concat([*stored, good], ignore_index=True).drop_duplicates(["symbol", "date"], keep="first")
    for file in files:
        file.unlink()
    for year, rows in whole.groupby("year"):
        folder = root / f"year={year}"
        folder.mkdir(parents=True, exist_ok=True)
        rows.drop(columns="year").to_parquet(folder / "prices.parquet", index=False)


def pandas(source: str, lake: Path) -> None:
    import pandas as pd

    good = _clean_pandas(source, lake)
    file = year_file(lake)
    parts = [_pandas_year(file), good] if file.exists() else [good]
    year = pd.concat(parts, ignore_index=True).drop_duplicates(["symbol", "date"], keep="first")
    file.parent.mkdir(parents=True, exist_ok=True)
    _replace(file, lambda new: year.sort_values(["symbol", "date"]).to_parquet(new, index=False, compression="zstd"))


def _pandas_year(file: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(file, partitioning=None).assign(
        date=lambda rows: pd.to_datetime(rows["date"]), symbol=lambda rows: rows["symbol"].astype("str")
    )


def _clean_pandas(source: str, lake: Path) -> Any:
    import pandas as pd

    raw = pd.read_csv(source, dtype=str, keep_default_na=False)
    rows = pd.DataFrame({"symbol": raw["symbol"].str.strip().str.upper()})
    rows["date"] = pd.to_datetime(raw["date"], format="%Y-%m-%d", errors="coerce")
    for name in (*PRICES, "volume"):
        rows[name] = pd.to_numeric(raw[name], errors="coerce")
    bad = ~rows["symbol"].str.match(SYMBOL) | rows["date"].isna() | rows["close"].isna() | (rows["close"] <= 0)
    noted = pd.Series(False, rows.index)
    for name in OPTIONAL:
        broken = rows[name].isna() & (raw[name].str.strip() != "")
        broken |= rows[name] < 0 if name == "volume" else rows[name] <= 0
        rows[name], noted = rows[name].mask(broken), noted | broken
    for higher, lower in (("high", "open"), ("high", "low"), ("high", "close"), ("open", "low"), ("close", "low")):
        bad |= rows[higher] < rows[lower]
    _write_rejected_pandas(raw[bad | noted], lake)
    good = rows[~bad].copy()
    good["source"], good["etl_loading_ts"] = source, pd.Timestamp(LOADED)
    return good


def _write_rejected_pandas(rejected: Any, lake: Path) -> None:
    rejected.assign(line=rejected.index + 2).to_parquet(lake / "rejected.parquet", index=False)


def polars(source: str, lake: Path) -> None:
    import polars as pl

    good = _clean_polars(source, lake)
    file = year_file(lake)
    new = good.unique(["symbol", "date"], keep="first", maintain_order=True)
    if file.exists():
        keys = pl.read_parquet(file, columns=["symbol", "date"], hive_partitioning=False)
        new = new.join(keys.with_columns(pl.col("symbol").cast(pl.String)), on=["symbol", "date"], how="anti")
        stored = pl.read_parquet(file, hive_partitioning=False).with_columns(pl.col("symbol", "source").cast(pl.String))
        new = pl.concat([stored, new], how="diagonal")
    file.parent.mkdir(parents=True, exist_ok=True)
    year = new.sort("symbol", "date")
    _replace(file, lambda path: year.write_parquet(path, compression="zstd", row_group_size=128 * 1024))


def _clean_polars(source: str, lake: Path) -> Any:
    import polars as pl

    raw = pl.read_csv(source, infer_schema=False, row_index_name="line",
                      row_index_offset=2).with_columns(pl.col(pl.String).fill_null(""))  # fmt: skip
    number = [pl.col(name).cast(pl.Float64, strict=False) for name in (*PRICES, "volume")]
    rows = raw.select(
        "line",
        pl.col("symbol").str.strip_chars().str.to_uppercase(),
        pl.col("date").str.to_date("%Y-%m-%d", strict=False),
        *number,
    )
    broken = {
        name: (rows[name].is_null() & (raw[name].str.strip_chars() != ""))
        | (rows[name] < 0 if name == "volume" else rows[name] <= 0).fill_null(False)
        for name in OPTIONAL
    }
    rows = rows.with_columns(
        *(pl.when(~at).then(rows[name]).alias(name) for name, at in broken.items()),
        noted=pl.any_horizontal(list(broken.values())),
    )
    bad = ~pl.col("symbol").str.contains(SYMBOL) | pl.col("date").is_null() | pl.col("close").is_null()
    bad = bad | (pl.col("close") <= 0).fill_null(False)
    for higher, lower in (("high", "open"), ("high", "low"), ("high", "close"), ("open", "low"), ("close", "low")):
        bad = bad | (pl.col(higher) < pl.col(lower)).fill_null(False)
    marked = rows.with_columns(bad=bad)
    raw.filter(marked["bad"] | marked["noted"]).write_parquet(lake / "rejected.parquet")
    return marked.filter(~pl.col("bad")).select(
        "symbol", "date", *PRICES, "volume", pl.lit(source).alias("source"),
        pl.lit(LOADED).dt.replace_time_zone(None).dt.replace_time_zone("UTC").alias("etl_loading_ts"),
    )  # fmt: skip


def duckdb(source: str, lake: Path) -> None:
    import duckdb as db

    file, numbers = year_file(lake), (*PRICES, "volume")
    file.parent.mkdir(parents=True, exist_ok=True)
    pairs = ("high < open", "high < low", "high < close", "open < low", "close < low")
    bad = " OR ".join([
        f"NOT regexp_matches(symbol, '{SYMBOL}')", "date IS NULL", "close IS NULL", "close <= 0", *pairs,
    ])  # fmt: skip
    read = [
        f'TRY_CAST("{name}" AS DOUBLE) AS read_{name}, trim("{name}") AS raw_{name}, '
        f"CASE WHEN read_{name} {'>= 0' if name == 'volume' else '> 0' if name in OPTIONAL else 'IS NOT NULL'} "
        f'THEN read_{name} END AS "{name}"'
        for name in numbers
    ]
    noted = " OR ".join(f"(\"{name}\" IS NULL AND raw_{name} <> '')" for name in OPTIONAL)
    connection = db.connect()
    connection.execute(f"SET threads = {os.cpu_count()}")
    connection.execute(f"""
        CREATE TEMP TABLE judged AS
        SELECT *, coalesce({bad}, false) OR date IS NULL OR close IS NULL AS bad, {noted} AS noted FROM (
            SELECT row_number() OVER () + 1 AS line, upper(trim(symbol)) AS symbol, TRY_CAST(date AS DATE) AS date,
                   date AS raw_date,
                   {", ".join(read)}
            FROM read_csv('{source}', all_varchar = true, header = true, nullstr = 'no such text'))
    """)
    connection.execute(
        f"COPY (SELECT * FROM judged WHERE bad OR noted) TO '{lake / 'rejected.parquet'}' (FORMAT parquet)"
    )
    stored, antijoin = "", ""
    if file.exists():
        table = f"read_parquet('{file}', hive_partitioning = false)"
        stored = f"SELECT symbol, date, open, high, low, close, volume, source, etl_loading_ts FROM {table} UNION ALL "
        antijoin = f"ANTI JOIN {table} USING (symbol, date)"
    new = f"""SELECT symbol, date, open, high, low, close, volume, '{source}' AS source,
                     TIMESTAMPTZ '{LOADED.isoformat()}' AS etl_loading_ts
              FROM (SELECT * FROM judged WHERE NOT bad
                    QUALIFY row_number() OVER (PARTITION BY symbol, date ORDER BY line) = 1) {antijoin}"""
    _replace(file, lambda path: connection.execute(
        f"COPY (SELECT * FROM ({stored}{new}) ORDER BY symbol, date) TO '{path}' "
        "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072)"
    ))  # fmt: skip


def deltalake(source: str, lake: Path) -> None:
    from deltalake import DeltaTable

    new = _clean_polars(source, lake).unique(["symbol", "date"], keep="first", maintain_order=True)
    table = DeltaTable(str(lake / "delta"))
    merging = table.merge(
        with_year(new.to_arrow()), predicate=f"t.year = {YEAR} AND s.symbol = t.symbol AND s.date = t.date",
        source_alias="s", target_alias="t",
    )  # fmt: skip
    merging.when_not_matched_insert_all().execute()


def pyiceberg(source: str, lake: Path) -> None:
    import polars as pl
    from pyiceberg.expressions import EqualTo

    new = _clean_polars(source, lake).unique(["symbol", "date"], keep="first", maintain_order=True)
    table = iceberg_table(lake)
    keys = pl.from_arrow(table.scan(EqualTo("year", YEAR), selected_fields=("symbol", "date")).to_arrow())
    if keys.height:
        new = new.join(keys, on=["symbol", "date"], how="anti")
    table.append(with_year(new.to_arrow()).cast(table.schema().as_arrow()))


def upsert(source: str, lake: Path) -> None:
    new = _clean_polars(source, lake).unique(["symbol", "date"], keep="first", maintain_order=True)
    table = iceberg_table(lake)
    rows = with_year(new.to_arrow()).cast(table.schema().as_arrow())
    table.upsert(rows, join_cols=["symbol", "date"], when_matched_update_all=False)


def with_year(rows: Any) -> Any:
    import pyarrow as pa

    names = ["symbol", "date", *PRICES, "volume", "source", "etl_loading_ts"]
    types = dict(zip(names, [pa.string(), pa.date32(), *[pa.float64()] * 5, pa.string()], strict=False))
    types["etl_loading_ts"] = pa.timestamp("us", tz="UTC")
    plain = rows.select(names).cast(pa.schema(list(types.items())))
    return plain.append_column("year", pa.repeat(pa.scalar(YEAR, pa.int32()), rows.num_rows))


def iceberg_table(lake: Path) -> Any:
    from pyiceberg.catalog.sql import SqlCatalog

    catalog = SqlCatalog("bench", uri=f"sqlite:///{lake}/iceberg/catalog.db", warehouse=f"file://{lake}/iceberg")
    return catalog.load_table("stock_market.price_by_date")


def awswrangler(source: str, lake: Path) -> None:
    import awswrangler as wr
    import pandas as pd

    good = _clean_pandas(source, lake).assign(year=YEAR)
    root = f"s3://{os.environ['BENCH_BUCKET']}/price_by_date/"
    if wr.s3.list_objects(root + f"year={YEAR}/"):
        stored = wr.s3.read_parquet(root, dataset=True, partition_filter=lambda part: part["year"] == str(YEAR))
        stored = stored.assign(year=YEAR, date=pd.to_datetime(stored["date"]), symbol=stored["symbol"].astype("str"))
        good = pd.concat([stored, good], ignore_index=True)
    good = good.drop_duplicates(["symbol", "date"], keep="first")
    good["date"] = good["date"].dt.date
    wr.s3.to_parquet(good, root, dataset=True, mode="overwrite_partitions", partition_cols=["year"])


def _replace(file: Path, write: Any) -> None:
    new = file.with_suffix(".new")
    write(new)
    new.rename(file)


if __name__ == "__main__":
    WAYS = (seed, pandas, polars, duckdb, deltalake, pyiceberg, upsert, awswrangler)
    {way.__name__: way for way in WAYS}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]).resolve())
