"""`stock-pipeline reconcile`: what nobody was told of is found and ingested, once; and `doctor` counts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli import reconcile as command
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.maintenance import reconcile
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.commands import Run

MakeFile = Callable[..., Path]
GOOD = ["2024-01-02,10,11,9,10.5,100", "2024-01-03,10.5,12,10,11,200"]
TICK = b'{"event_id":"e1","symbol":"AAPL","price":1,"produced_at":"2024-06-03 14:00:00"}\n'


@pytest.fixture
def lost(run: Run, staging: S3Store, vendor_file: MakeFile) -> list[str]:
    """Two raw objects that no event told of, beside one that is ingested."""
    run("ingest", vendor_file("MSFT.csv", GOOD))
    run("ingest", vendor_file("AAPL.csv", GOOD), "--stage-only")
    staging.put("stock_stream/uploads/ticks.jsonl", TICK)
    return ["daily_prices/uploads/AAPL.csv", "stock_stream/uploads/ticks.jsonl"]


def symbols(lake: S3Store) -> list[str]:
    rows = read_partition(lake, PRICE_BY_DATE, "year=2024")
    return [] if rows is None else sorted(set(rows["symbol"].to_pylist()))


def test_what_no_table_has_seen_is_ingested_and_then_nothing_is_left(run: Run, lost: list[str], lake: S3Store) -> None:
    done = run("reconcile", "--age", "0")
    assert done.exit_code == 0, done.stderr
    assert "AAPL.csv" in done.stdout
    assert "MSFT.csv" not in done.stdout
    assert "2 of 3 objects were unseen; 3 rows stored for the first time" in done.stderr
    assert symbols(lake) == ["AAPL", "MSFT"]
    again = run("reconcile", "--age", "0")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "0 of 3 objects unseen" in again.stderr


def test_a_dry_run_only_tells(run: Run, lost: list[str], lake: S3Store) -> None:
    done = run("reconcile", "--dry-run", "--age", "0")
    assert done.exit_code == 0
    assert all(key in done.stdout for key in lost)
    assert symbols(lake) == ["MSFT"]
    listed = run("reconcile", "--dry-run", "--age", "0", "--json").stdout.splitlines()
    assert [json.loads(line)["key"] for line in listed] == lost


def test_receipts_as_json(run: Run, lost: list[str]) -> None:
    done = run("reconcile", "--age", "0", "--json")
    assert [Receipt.from_json(line).source for line in done.stdout.splitlines()] == lost


def test_young_and_old_objects_are_left_out(run: Run, lost: list[str], lake: S3Store) -> None:
    assert "0 of 0 objects unseen" in run("reconcile").stderr, "all of them are younger than a quarter of an hour"
    assert "0 of 0 objects unseen" in run("reconcile", "--since", "0", "--age", "0").stderr
    assert run("reconcile", "--all", "--age", "0").exit_code == 0
    assert symbols(lake) == ["AAPL", "MSFT"]


def test_a_refused_file_is_told_and_fails_the_command_once(run: Run, staging: S3Store) -> None:
    staging.put("daily_prices/uploads/cats.csv", b"name,colour\nTom,grey\n")
    done = run("reconcile", "--age", "0")
    assert done.exit_code == 1
    assert "cats.csv" in done.stderr
    assert run("reconcile", "--age", "0").exit_code == 0, "it is on record now"


def test_the_defaults_in_the_help_are_those_of_the_function() -> None:
    assert timedelta(days=command.DAYS) == reconcile.SINCE
    assert timedelta(minutes=command.MINUTES) == reconcile.AGE
