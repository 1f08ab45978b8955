"""What the readers for analysts fetch and decode: partitions and row groups that can hold an answer, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake import parquet
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import day_partition, year_partition
from stock_pipeline.query import duckdb_engine, latest_prices, read_prices, read_ticks, sql
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out

YEARS, SYMBOLS, SESSIONS = (2022, 2023, 2024), [f"S{n:03}" for n in range(200)], 50
GROUPS = 20  # row groups of a year
TICK_DAYS, TICKS = [date(2024, 1, day) for day in (2, 3, 4, 5)], 20
LOADED = datetime(2024, 6, 1, tzinfo=UTC)


@dataclass
class Reads:
    """What was read since the lake was filled: objects from S3, and bytes of them that Arrow asked for."""

    objects: list[str] = field(default_factory=list)
    bytes: int = 0


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Three years of 200 symbols in 20 row groups each, four days of ticks and a snapshot, in moto's S3."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(parquet, "ROW_GROUP", len(SYMBOLS) * SESSIONS // GROUPS)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        lake = S3Store("lake")
        lay_out(lake, 5)
        for year in YEARS:
            days = [date(year, 1, 2) + timedelta(n) for n in range(SESSIONS)]
            put(lake, PRICE_BY_DATE, year_partition(year), [
                {"symbol": s, "date": day, "close": 1 + (i * 7919 + n * 104_729) % 10_007 / 7, "volume": n}
                for i, s in enumerate(SYMBOLS) for n, day in enumerate(days)
            ])  # fmt: skip
        for day in TICK_DAYS:
            opened = datetime(day.year, day.month, day.day, 15, tzinfo=UTC)
            put(lake, STREAM_PRICES_HISTORY, f"{day_partition(day)}/1500", [
                {"event_id": f"{day}-{s}-{n}", "symbol": s, "price": 10.0 + n,
                 "produced_at": opened + timedelta(seconds=n)}
                for s in SYMBOLS for n in range(TICKS)
            ])  # fmt: skip
        latest = {"price": 10.0, "produced_at": LOADED}
        put(lake, LATEST_PRICES, "latest", [{"symbol": s, "event_id": s, **latest} for s in SYMBOLS])
        yield Settings(lake_bucket="lake", sql_engine="duckdb")


def put(lake: S3Store, table: Table, partition: str, rows: list[dict[str, Any]]) -> None:
    provenance = {"source": "f", "etl_loading_ts": LOADED}
    whole = [{**{n: v for n, v in provenance.items() if n in table.schema.names}, **row} for row in rows]
    lake.put(partition_key(table, partition), encode(pa.Table.from_pylist(whole, table.schema), table))


@pytest.fixture
def reads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Reads:
    seen = Reads()
    get, read = S3Store.get, duckdb_engine._Object.read

    def counted_get(self: S3Store, key: str) -> Any:
        seen.objects.append(key)
        return get(self, key)

    def counted_read(self: duckdb_engine._Object, size: int | None = -1) -> bytes:
        data = read(self, size)
        seen.bytes += len(data)
        return data

    monkeypatch.setattr(S3Store, "get", counted_get)
    monkeypatch.setattr(duckdb_engine._Object, "read", counted_read)
    return seen


def footer_and_columns(settings: Settings, key: str, columns: list[str], groups: int) -> int:
    """At most what reading some columns of so many row groups takes, with Arrow's first look at the end of a file."""
    body = boto3.client("s3").get_object(Bucket=settings.lake_bucket or "", Key=key)["Body"].read()
    found = pq.ParquetFile(pa.BufferReader(body)).metadata
    assert found.num_row_groups == GROUPS
    sizes = sorted((found.row_group(n).total_byte_size for n in range(GROUPS)), reverse=True)
    return 65_536 + sum(sizes[:groups])


@pytest.mark.parametrize(
    ("start", "end", "years"),
    [
        (date(2023, 1, 10), date(2023, 1, 20), [2023]),
        (date(2023, 2, 1), date(2024, 1, 5), [2023, 2024]),
        (date(2024, 1, 1), None, [2024]),
        (None, date(2022, 12, 31), [2022]),
        (None, None, [2022, 2023, 2024]),
        (date(2030, 1, 1), None, []),
    ],
)
def test_only_the_years_of_a_range_are_fetched_each_by_one_get(
    settings: Settings, reads: Reads, start: date | None, end: date | None, years: list[int]
) -> None:
    found = read_prices("S007", start, end, settings=settings)
    assert sorted(reads.objects) == [partition_key(PRICE_BY_DATE, year_partition(year)) for year in years]
    assert sorted({day.year for day in found.date}) == years


@pytest.mark.parametrize(
    ("symbols", "groups"), [("S000", 1), ("S123", 1), (["S199"], 1), (["S010", "S011"], 2), (["S000", "S199"], 2)]
)
def test_only_the_row_groups_that_can_hold_a_symbol_are_decoded(
    settings: Settings, reads: Reads, symbols: str | list[str], groups: int
) -> None:
    columns = ["symbol", "date", "close"]
    found = read_prices(symbols, date(2023, 1, 1), date(2023, 12, 31), columns, settings=settings)
    assert len(found) == SESSIONS * (1 if isinstance(symbols, str) else len(symbols))
    (key,) = reads.objects
    assert 0 < reads.bytes <= footer_and_columns(settings, key, columns, groups)
    narrow, reads.bytes = reads.bytes, 0
    assert len(read_prices(None, date(2023, 1, 1), date(2023, 12, 31), columns, settings=settings)) == 10_000
    assert narrow * 3 < reads.bytes + 3 * 65_536


@pytest.mark.parametrize(
    "condition",
    [
        "symbol = 'S042'",
        "'S042' = symbol",
        "\"symbol\"='S042'",
        "p.symbol IN ('S042')",
        "'S042' = p.symbol",
        "symbol BETWEEN 'S042' AND 'S042'",
        "symbol >= 'S042' AND symbol < 'S0420'",
    ],
)
def test_a_comparison_with_symbols_narrows_what_is_decoded_however_it_is_written(
    settings: Settings, reads: Reads, condition: str
) -> None:
    statement = "SELECT symbol, count(*) AS sessions, min(close) AS least FROM price_by_date p WHERE year = 2023"
    narrow = sql(f"{statement} AND {condition} GROUP BY symbol", settings=settings)
    (key,) = reads.objects
    assert 0 < reads.bytes <= footer_and_columns(settings, key, ["symbol", "close"], 1)
    every = sql(f"{statement} GROUP BY symbol", settings=settings)  # symbols as codes: to SQL they are the same texts
    assert every.schema == narrow.schema
    assert narrow.to_pylist() == [row for row in every.to_pylist() if row["symbol"] == "S042"]
    assert every.num_rows == 200


def test_a_range_of_sessions_within_a_year_reads_less_where_the_symbols_are_given(
    settings: Settings, reads: Reads
) -> None:
    read_prices("S042", date(2024, 1, 2), date(2024, 1, 8), ["close"], settings=settings)
    assert reads.bytes <= footer_and_columns(settings, reads.objects[0], ["close", "symbol", "date"], 1)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (date(2024, 1, 3), date(2024, 1, 3), ["03"]),
        (date(2024, 1, 3), date(2024, 1, 4), ["03", "04"]),
        (datetime(2024, 1, 4, 15, 0, 5, tzinfo=UTC), None, ["04", "05"]),
    ],
)
def test_only_the_days_of_ticks_that_are_asked_for_are_fetched(
    settings: Settings, reads: Reads, start: date, end: date | None, days: list[str]
) -> None:
    found = read_ticks("S007", start, end, settings=settings)
    assert sorted(key.split("/day=")[1][:2] for key in reads.objects if "/day=" in key) == days
    assert sorted({f"{at:%d}" for at in found.produced_at}) == days


def test_arrow_gives_the_same_rows_without_pandas_types(settings: Settings) -> None:
    days = date(2024, 1, 2), date(2024, 1, 4)
    for frame, table in [
        (read_prices("S007", *days, settings=settings), read_prices("S007", *days, settings=settings, arrow=True)),
        (read_ticks("S007", *days, settings=settings), read_ticks("S007", *days, settings=settings, arrow=True)),
        (latest_prices("S007", settings=settings), latest_prices("S007", settings=settings, arrow=True)),
    ]:
        assert isinstance(table, pa.Table)
        assert table.num_rows > 0
        pd.testing.assert_frame_equal(table.to_pandas(date_as_object=False), frame)
    assert read_prices("S007", *days, settings=settings, arrow=True).schema.field("date").type == pa.date32()
