"""What the readers for analysts fetch and decode: partitions and row groups that can hold an answer, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import DamagedObject
from stock_pipeline.lake import parquet
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import day_partition, year_partition
from stock_pipeline.query import latest_prices, read_prices, read_ticks, sql
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

YEARS, SYMBOLS, SESSIONS = (2022, 2023, 2024), [f"S{n:03}" for n in range(200)], 50
GROUPS = 20  # row groups of a year
TICK_DAYS, TICKS = [date(2024, 1, day) for day in (2, 3, 4, 5)], 20
LOADED = datetime(2024, 6, 1, tzinfo=UTC)


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
def fetched(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the objects that were read since the lake was filled."""
    keys: list[str] = []
    get = S3Store.get

    def counted_get(self: S3Store, key: str) -> Any:
        keys.append(key)
        return get(self, key)

    monkeypatch.setattr(S3Store, "get", counted_get)
    return keys


def spoil(year: int, columns: list[str], symbols: list[str]) -> int:
    """Spoil all of a year's object but the named columns of the row groups that can hold a symbol; returns how many.

    Whoever decodes more than these finds a damaged object.
    """
    client, key = boto3.client("s3"), partition_key(PRICE_BY_DATE, year_partition(year))
    body = bytearray(client.get_object(Bucket="lake", Key=key)["Body"].read())
    found = pq.ParquetFile(pa.BufferReader(bytes(body))).metadata
    assert found.num_row_groups == GROUPS
    whole = 0
    for group in map(found.row_group, range(GROUPS)):
        chunks = [group.column(n) for n in range(group.num_columns)]
        bounds = next(c.statistics for c in chunks if c.path_in_schema == "symbol")
        needed = any(bounds.min <= symbol <= bounds.max for symbol in symbols)
        whole += needed
        for chunk in chunks:
            if not needed or chunk.path_in_schema not in columns:
                begin = chunk.dictionary_page_offset or chunk.data_page_offset
                body[begin : begin + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    client.put_object(Bucket="lake", Key=key, Body=bytes(body))
    return whole


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
    settings: Settings, fetched: list[str], start: date | None, end: date | None, years: list[int]
) -> None:
    found = read_prices("S007", start, end, settings=settings)
    assert sorted(fetched) == [partition_key(PRICE_BY_DATE, year_partition(year)) for year in years]
    assert sorted({day.year for day in found.date}) == years


@pytest.mark.parametrize(
    ("symbols", "groups"), [("S000", 1), ("S123", 1), (["S199"], 1), (["S010", "S011"], 1), (["S009", "S010"], 2)]
)
def test_only_the_row_groups_and_columns_that_can_hold_an_answer_are_decoded(
    settings: Settings, symbols: str | list[str], groups: int
) -> None:
    columns, named = ["symbol", "date", "close"], [symbols] if isinstance(symbols, str) else symbols
    year = date(2023, 1, 1), date(2023, 12, 31)
    before = read_prices(symbols, *year, columns, settings=settings)
    assert len(before) == SESSIONS * len(named)
    assert spoil(2023, columns, named) == groups
    pd.testing.assert_frame_equal(read_prices(symbols, *year, columns, settings=settings), before)
    for more in ((None, columns), (symbols, ["close", "volume"])):
        with pytest.raises(DamagedObject, match="year=2023"):
            read_prices(more[0], *year, more[1], settings=settings)


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
    settings: Settings, condition: str
) -> None:
    statement = "SELECT symbol, count(*) AS sessions, min(close) AS least FROM price_by_date p WHERE year = 2023"
    every = sql(f"{statement} GROUP BY symbol", settings=settings)  # symbols as codes: to SQL they are the same texts
    assert every.num_rows == 200
    assert spoil(2023, ["symbol", "close"], ["S042"]) == 1
    narrow = sql(f"{statement} AND {condition} GROUP BY symbol", settings=settings)
    assert every.schema == narrow.schema
    assert narrow.to_pylist() == [row for row in every.to_pylist() if row["symbol"] == "S042"]


def test_a_range_of_sessions_within_a_year_reads_less_where_the_symbols_are_given(settings: Settings) -> None:
    spoil(2024, ["close", "symbol", "date"], ["S042"])
    assert len(read_prices("S042", date(2024, 1, 2), date(2024, 1, 8), ["close"], settings=settings)) == 7


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (date(2024, 1, 3), date(2024, 1, 3), ["03"]),
        (date(2024, 1, 3), date(2024, 1, 4), ["03", "04"]),
        (datetime(2024, 1, 4, 15, 0, 5, tzinfo=UTC), None, ["04", "05"]),
    ],
)
def test_only_the_days_of_ticks_that_are_asked_for_are_fetched(
    settings: Settings, fetched: list[str], start: date, end: date | None, days: list[str]
) -> None:
    found = read_ticks("S007", start, end, settings=settings)
    assert sorted(key.split("/day=")[1][:2] for key in fetched if "/day=" in key) == days
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
