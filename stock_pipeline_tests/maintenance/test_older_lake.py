"""A lake that an older version wrote: read, merged into, rebuilt and reconciled by the code of today."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.parquet import footer
from stock_pipeline.lake.partitions import partition_key, partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance import snapshot
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.query import duckdb_engine as duck
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, TABLES, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore
from stock_pipeline_tests.support.older_lake import V1, opened

LOADED = datetime(2024, 6, 5, 12, tzinfo=UTC)
NOW = LOADED + timedelta(days=1)
UPLOADS = "daily_prices/uploads/"
Row = dict[str, Any]


class Older:
    """The buckets of version 1."""

    def __init__(self) -> None:
        self.staging, self.lake = opened(V1)

    def ingest(self, key: str, data: bytes | None = None, **how: Any) -> Receipt:
        if data is not None:
            self.staging.put(key, data)
        ingest = ingest_ticks if key.startswith("stock_stream/") else ingest_daily_prices
        (receipt,) = ingest([key], staging=self.staging, lake=self.lake, **{"now": NOW, **how})
        return receipt

    def rows(self, table: Table) -> list[Row]:
        names = [SNAPSHOT] if table is LATEST_PRICES else partitions(self.lake, table)
        parts = [read_partition(self.lake, table, name) for name in names]
        return [row for part in parts if part is not None for row in part.to_pylist()]

    def bar(self, symbol: str, day: str) -> Row:
        (row,) = (r for r in self.rows(PRICE_BY_DATE) if r["symbol"] == symbol and r["date"].isoformat() == day)
        return row

    def sql(self, statement: str) -> list[Row]:
        return list(duck.run(statement, (), self.lake, "stock_market").to_pylist())


@pytest.fixture
def older() -> Older:
    return Older()


def test_it_is_of_the_first_version(older: Older) -> None:
    for key, found in older.lake.objects.items():
        assert "schema_version" not in footer(found.data), key
    stored = pq.read_schema(pa.BufferReader(older.lake.objects[partition_key(PRICE_BY_DATE, "year=2024")].data))
    assert stored.field("volume").type == pa.int64()


def test_every_object_reads_as_its_table(older: Older) -> None:
    counts = {table.name: len(older.rows(table)) for table in TABLES.values()}
    assert counts["price_by_date"] == 764
    assert (counts["stream_prices_history"], counts["latest_prices"]) == (31, 4)
    for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY):
        for name in partitions(older.lake, table):
            part = read_partition(older.lake, table, name)
            assert part is not None
            assert part.schema.equals(table.schema)
    assert older.bar("BRK.B", "2023-12-29")["volume"] == 2000.0
    reasons = read_rejects(older.lake, PRICE_BY_DATE)["reason"].to_pylist()
    assert sorted(reasons) == sorted(
        ["conflict", "conflict", "inconsistent_ohlc", "bad_date", "non_positive_price", "fractional_volume", "conflict",
         "replaced"]
    )  # fmt: skip


def test_it_is_queried_beside_what_is_written_today(older: Older) -> None:
    older.ingest(f"{UPLOADS}ACME.csv", b"symbol,date,close,volume\nACME,2022-01-03,10,0.25\n")
    found = older.sql(
        "SELECT year, count(*) AS bars, sum(volume) AS volume FROM price_by_date GROUP BY year ORDER BY year"
    )
    volumes = [
        sum(r["volume"] or 0 for r in older.rows(PRICE_BY_DATE) if r["date"].year == y) for y in (2022, 2023, 2024)
    ]
    assert [(r["year"], r["bars"], r["volume"]) for r in found] == [
        (2022, 1, 0.25), (2023, 751, volumes[1]), (2024, 13, volumes[2]),
    ]  # fmt: skip
    assert older.sql("SELECT symbol FROM price_by_date WHERE volume > 0.2 AND volume < 1") == [{"symbol": "ACME"}]


def test_all_of_it_delivered_again_changes_only_what_was_wanting(older: Older) -> None:
    before = {table.name: older.rows(table) for table in (STREAM_PRICES_HISTORY, LATEST_PRICES)}
    keys = sorted(older.staging.objects)
    receipts = {key.rpartition("/")[2]: older.ingest(key) for key in keys if "restated" not in key}
    assert {name: (r.inserted, r.updated) for name, r in receipts.items() if r.inserted or r.updated} == {
        "2-bars.csv": (0, 2),  # they were conflicts, as the closes alone were stored
        "3-broken.csv": (1, 0),  # its fraction of a share was
    }
    completed = older.bar("AAPL", "2024-01-04")
    names = ("open", "high", "low", "close", "adj_close", "volume", "source")
    assert [completed[name] for name in names] == [184.0, 189.0, 180.0, 184.5, 184.1, 1004.0, f"{UPLOADS}2-bars.csv"]
    assert older.bar("AMZN", "2024-01-08")["volume"] == 1000.5
    assert {table.name: older.rows(table) for table in (STREAM_PRICES_HISTORY, LATEST_PRICES)} == before
    again = [older.ingest(key, now=NOW + timedelta(1)) for key in keys if "restated" not in key]
    assert all((r.inserted, r.updated) == (0, 0) for r in again)


def test_a_merge_leaves_the_rows_of_before_and_writes_the_schema_of_today(older: Older) -> None:
    before = [r for r in older.rows(PRICE_BY_DATE) if r["date"].year == 2023]
    older.ingest(f"{UPLOADS}ACME.csv", b"symbol,date,close,volume\nACME,2023-01-03,10,1.5\n")
    assert [r for r in older.rows(PRICE_BY_DATE) if r["date"].year == 2023 and r["symbol"] != "ACME"] == before
    data = older.lake.objects[partition_key(PRICE_BY_DATE, "year=2023")].data
    assert footer(data)["schema_version"] == str(PRICE_BY_DATE.version)
    assert pq.read_schema(pa.BufferReader(data)).field("volume").type == pa.float64()


def test_a_tick_is_completed_in_history_and_in_the_snapshot(older: Older) -> None:
    (latest,) = (r for r in older.rows(LATEST_PRICES) if r["symbol"] == "AAPL")
    (stored,) = (r for r in older.rows(STREAM_PRICES_HISTORY) if r["event_id"] == latest["event_id"])
    sizeless = [r for r in older.rows(STREAM_PRICES_HISTORY) if r["size"] is None]
    lines = "".join(
        f'{{"event_id":"{r["event_id"]}","symbol":"{r["symbol"]}","price":{r["price"]},"size":7.5,'
        f'"produced_at":"{r["produced_at"].isoformat()}"}}\n'
        for r in sizeless
    )
    receipt = older.ingest("stock_stream/2024/06/03/15/sizes.jsonl", lines.encode())
    assert (receipt.rows, receipt.updated) == (len(sizeless), len(sizeless))
    assert all(r["size"] is not None for r in older.rows(STREAM_PRICES_HISTORY))
    history = {r["event_id"]: (r["price"], r["size"]) for r in older.rows(STREAM_PRICES_HISTORY)}
    assert {r["event_id"]: (r["price"], r["size"]) for r in older.rows(LATEST_PRICES)}.items() <= history.items()
    assert stored["produced_at"] == latest["produced_at"]


def test_a_year_is_rebuilt_as_it_would_be_from_nothing(older: Older) -> None:
    fresh = Older()
    fresh.lake = MemoryStore("lake")
    for key in sorted(k for k in fresh.staging.objects if k.startswith("daily_prices/")):
        fresh.ingest(key, replace="restated" in key)
    for year in (2023, 2024):
        rebuild_year(year, staging=older.staging, lake=older.lake, now=NOW)
    # A row that says the same stays as it was stored, with the time when it was stored.
    assert [r | {"etl_loading_ts": None} for r in older.rows(PRICE_BY_DATE)] == [
        r | {"etl_loading_ts": None} for r in fresh.rows(PRICE_BY_DATE)
    ]


def test_nothing_of_it_is_unseen_and_what_comes_is_found(older: Older) -> None:
    def unseen() -> list[str]:
        found = find_unseen(staging=older.staging, lake=older.lake, since=None, age=timedelta(), now=NOW)
        return [info.key for info in found.objects]

    assert unseen() == []
    key = f"{UPLOADS}lost.csv"
    older.staging.put(key, b"symbol,date,open,close\nMSFT,2024-01-02,370,372.25\n")
    assert unseen() == [key]
    found = find_unseen(staging=older.staging, lake=older.lake, since=None, age=timedelta(), now=NOW)
    (receipt,) = repair(found, staging=older.staging, lake=older.lake, settings=Settings(), now=NOW).receipts
    assert receipt.updated == 1
    assert unseen() == []


def test_the_snapshot_is_recomputed_from_it(older: Older, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        snapshot,
        "sql",
        lambda statement, parameters, settings: duck.run(statement, parameters, older.lake, "stock_market"),
    )
    assert snapshot.compare(snapshot.stored_snapshot(older.lake), snapshot.recompute(Settings(), older.lake)).equal
    assert snapshot.rebuild(Settings(), older.lake).equal
