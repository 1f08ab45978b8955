"""`stock-pipeline rebuild`: several years, what it shows, asks and refuses. The pool is tested in `heavy/`."""

from __future__ import annotations

import json

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.commands import Run

FILE = "daily_prices/uploads/A.csv"


def drop(staging: S3Store, *bars: tuple[str, float]) -> None:
    lines = [f"A,{day},,,,{close:g}," for day, close in bars]
    staging.put(FILE, "\n".join(["symbol,date,open,high,low,close,volume", *lines, ""]).encode())


def closes(lake: S3Store, year: int) -> list[float]:
    rows = read_partition(lake, PRICE_BY_DATE, f"year={year}")
    return [] if rows is None else rows["close"].to_pylist()


def test_years_and_ranges_are_built_in_order_and_told_one_by_one(run: Run, staging: S3Store, lake: S3Store) -> None:
    drop(staging, ("2021-01-04", 1), ("2022-01-04", 2), ("2024-01-04", 4))
    shown = run("rebuild", "2024", "2021-2022", "2022", "--dry-run")
    assert [line for line in shown.stderr.splitlines() if "added" in line] == [
        f"{year}: 1 row added, 0 changed, 0 lost, 1 row in all" for year in (2021, 2022, 2024)
    ]
    assert closes(lake, 2021) == [], "a dry run writes nothing"
    done = run("rebuild", "2024", "2021-2022", "--yes", "--json")
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["inserted"] for line in done.stdout.splitlines()] == [1, 1, 1]
    assert "3 years: what 3 ingests make of it" in done.stderr
    assert [closes(lake, year) for year in (2021, 2022, 2024)] == [[1.0], [2.0], [4.0]]


def test_it_asks_before_it_changes_anything(run: Run, staging: S3Store, lake: S3Store) -> None:
    drop(staging, ("2024-01-04", 1))
    asked = run("rebuild", "2024")  # nobody answers
    assert (asked.exit_code, closes(lake, 2024)) == (1, [])
    assert "swap the new 2024 in?" in asked.stderr


@pytest.mark.parametrize("years", [["24"], ["1899"], ["2024-2020"], ["2024-"], ["2024,2025"], []])
def test_what_is_no_year_is_refused_with_an_example(run: Run, aws: None, years: list[str]) -> None:
    done = run("rebuild", *years)
    assert done.exit_code == 2
    assert ("2005-2024" in done.stderr) == bool(years)
