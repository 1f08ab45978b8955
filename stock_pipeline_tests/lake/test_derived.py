"""Derived tables: computed from the newest input, once for each of its versions, whoever is at work."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pyarrow as pa
import pytest

from stock_pipeline.errors import NewerSchema, ObjectNotFound
from stock_pipeline.lake.derived import derive
from stock_pipeline.lake.partitions import merge_into_partition, read_partition
from stock_pipeline.schemas import PRICE_BY_DATE, SYMBOL, Column, Table
from stock_pipeline_tests.support.memory_store import MemoryStore
from stock_pipeline_tests.support.rows import bar, table

HIGHEST = Table(
    name="highest_close",
    prefix="highest_close/",
    description="One row is one symbol's highest close of a year.",
    columns=(Column("symbol", SYMBOL, "ticker"), Column("close", pa.float64(), "highest close of the year")),
    key=("symbol",),
    sort=("symbol",),
    partition=("year",),
    suffix="/highest.parquet",
    keep="replace",
    dictionary=("symbol",),
)
YEAR = "year=2024"


def highest(rows: pa.Table) -> pa.Table:
    plain = pa.table({"symbol": rows["symbol"].cast(pa.string()), "close": rows["close"]})
    found = plain.group_by("symbol").aggregate([("close", "max")]).rename_columns(["symbol", "close"])
    return found.sort_by("symbol").cast(HIGHEST.schema)


def stored(lake: MemoryStore) -> dict[str, float]:
    rows = read_partition(lake, HIGHEST, YEAR)
    assert rows is not None
    return dict(zip(rows["symbol"].to_pylist(), rows["close"].to_pylist(), strict=True))


@pytest.fixture
def lake() -> MemoryStore:
    lake = MemoryStore("lake")
    merge_into_partition(lake, PRICE_BY_DATE, YEAR, table(bar("A", 2, 1.0), bar("A", 3, 4.0), bar("B", 2, 2.0)))
    return lake


def test_a_partition_is_computed_once_for_each_version_of_its_input(lake: MemoryStore) -> None:
    assert derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
    assert stored(lake) == {"A": 4.0, "B": 2.0}
    assert not derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
    merge_into_partition(lake, PRICE_BY_DATE, YEAR, table(bar("B", 3, 9.0)))
    assert derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
    assert stored(lake) == {"A": 4.0, "B": 9.0}


def test_whoever_computed_from_an_older_input_does_not_have_the_last_word(lake: MemoryStore) -> None:
    def overtaken(rows: pa.Table) -> pa.Table:
        """While this one computes, the input changes, and another worker derives from that."""
        if rows.num_rows == 3:
            merge_into_partition(lake, PRICE_BY_DATE, YEAR, table(bar("A", 4, 7.0)))
            assert derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
        return highest(rows)

    assert not derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, overtaken)
    assert stored(lake)["A"] == 7.0


def test_a_newer_schema_is_computed_anew_and_an_older_one_takes_no_place_of_it(lake: MemoryStore) -> None:
    days = Column("days", pa.int64(), "sessions", nullable=True, since=2)
    newer = replace(HIGHEST, columns=(*HIGHEST.columns, days))

    def counted(rows: pa.Table) -> pa.Table:
        found = highest(rows)
        return found.append_column("days", pa.nulls(found.num_rows, pa.int64())).cast(newer.schema)

    assert derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
    assert derive(lake, newer, YEAR, PRICE_BY_DATE, counted)
    assert not derive(lake, newer, YEAR, PRICE_BY_DATE, counted)
    with pytest.raises(NewerSchema, match="days"):
        derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, highest)
    assert stored(lake) == {"A": 4.0, "B": 2.0}


def test_without_an_input_there_is_nothing_to_compute(lake: MemoryStore) -> None:
    with pytest.raises(ObjectNotFound):
        derive(lake, HIGHEST, "year=1999", PRICE_BY_DATE, highest)


def test_rows_of_another_schema_and_tables_that_are_merged_are_refused(lake: MemoryStore) -> None:
    with pytest.raises(ValueError, match="highest_close have the schema"):
        derive(lake, HIGHEST, YEAR, PRICE_BY_DATE, lambda rows: pa.table({"day": [date(2024, 1, 2)]}))
    with pytest.raises(ValueError, match='price_by_date keeps the first; a derived table has keep="replace"'):
        derive(lake, PRICE_BY_DATE, YEAR, PRICE_BY_DATE, lambda rows: rows)
