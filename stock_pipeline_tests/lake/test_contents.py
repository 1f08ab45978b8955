"""What is the pipeline's own in a table's folder, and what is foreign."""

from __future__ import annotations

from datetime import date

import pytest

from stock_pipeline.lake.contents import foreign_objects, own_objects, own_partitions
from stock_pipeline.lake.layout import Section
from stock_pipeline.schemas import (
    LATEST_PRICES,
    PRICE_BY_DATE,
    REJECTED_RECORDS,
    STREAM_PRICES_HISTORY,
    TRADE_CORRECTIONS,
    Table,
)
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

HASH = "0123456789abcdef" * 2
DAY = "year=2024/month=06/day=03"


@pytest.mark.parametrize(
    ("table", "own", "foreign"),
    [
        (
            PRICE_BY_DATE,
            ["year=2024/prices.parquet"],
            ["prices.parquet", "year=2024/prices (1).parquet", "year=2024/part-00000-ab.snappy.parquet",
             "year=2024/x/prices.parquet", "year=24/prices.parquet", "year=2024/readme.txt",
             "YEAR=2024/prices.parquet"],
        ),
        (
            STREAM_PRICES_HISTORY,
            [f"{DAY}/1400.parquet", "year=2024/month=06/day=04/1405-03.parquet"],
            [f"{DAY}/1405.parquet", f"{DAY}/1400-00.parquet", f"{DAY}/1400 (1).parquet", f"{DAY}/part-0.parquet",
             "year=2024/month=06/day=04/1405.parquet", "year=2024/month=06/day=04/1405-04.parquet",
             "year=2024/month=02/day=31/1400.parquet", "year=2024/month=6/day=3/1400.parquet",
             f"{DAY}/1400.parquet.bak"],
        ),
        (TRADE_CORRECTIONS, [f"{DAY}/corrections.parquet"], [f"{DAY}/x.parquet", "corrections.parquet"]),
        (LATEST_PRICES, ["latest.parquet"], ["latest (1).parquet", "old/latest.parquet", "latest.parquet.tmp"]),
        (
            REJECTED_RECORDS,
            [f"table=price_by_date/{HASH}.parquet"],
            [f"table=price_by_date/{HASH}-copy.parquet", f"{HASH}.parquet"],
        ),
    ],
)  # fmt: skip
def test_own_and_foreign_objects(table: Table, own: list[str], foreign: list[str]) -> None:
    lake = MemoryStore()
    lay_out(lake, 60, 1, Section(date(2024, 6, 4), 5, 4))
    unseen = ["_SUCCESS", f"{own[0].rpartition('/')[0]}/.hidden.parquet", "_temporary/0/x.parquet", "year=2024/"]
    for name in (*own, *foreign, *unseen):
        lake.put(table.prefix + name, b"x")
    names = [info.key.removeprefix(table.prefix) for info in own_objects(lake, table)]
    assert names == sorted(own)
    assert own_partitions(lake, table) == [name.removesuffix(table.suffix) for name in sorted(own)]
    assert [info.key.removeprefix(table.prefix) for info in foreign_objects(lake, table)] == sorted(foreign)


def test_only_some_folders_are_listed() -> None:
    lake = MemoryStore()
    lay_out(lake, 60)
    for day in ("03", "04"):
        lake.put(f"{STREAM_PRICES_HISTORY.prefix}year=2024/month=06/day={day}/1400.parquet", b"x")
        lake.put(f"{STREAM_PRICES_HISTORY.prefix}year=2024/month=06/day={day}/copy.parquet", b"x")
    within = "year=2024/month=06/day=04/"
    assert own_partitions(lake, STREAM_PRICES_HISTORY, within) == [f"{within}1400"]
    (only,) = foreign_objects(lake, STREAM_PRICES_HISTORY, within)
    assert only.key.endswith("day=04/copy.parquet")


def test_without_ticks_no_layout_is_needed() -> None:
    lake = MemoryStore()
    assert own_objects(lake, STREAM_PRICES_HISTORY) == []
    assert lake.gets == []
