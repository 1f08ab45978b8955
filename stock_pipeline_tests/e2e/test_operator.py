"""What an operator does to the tables with the commands, on the local AWS: rebuild a year, restore an old version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from stock_pipeline.heavy.executors import in_processes
from stock_pipeline.heavy.snapshot import moments_by_tasks
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.local_aws import Stack
from stock_pipeline_tests.support.stream import OPEN, tick

pytestmark = pytest.mark.e2e

YEAR = "price_by_date/year=2024/prices.parquet"
Bars = list[tuple[str, float]]


@pytest.fixture
def desk(local_aws_env: Stack, no_aws: None, monkeypatch: pytest.MonkeyPatch) -> Stack:
    for name, value in local_aws_env.env.items():
        monkeypatch.setenv(name, value)
    # As in AWS. The stack of `dev` goes without, because nothing there removes old versions.
    kept = {"Status": "Enabled"}
    local_aws_env.s3.put_bucket_versioning(Bucket=local_aws_env.lake.bucket, VersioningConfiguration=kept)
    return local_aws_env


@pytest.fixture
def year(desk: Stack, run: Run, tmp_path: Path) -> Bars:
    """A vendor uses one file name every month, and another file restates a bar. The bars that are stored then."""

    def ingest(name: str, rows: str, *options: str) -> None:
        (tmp_path / name).write_text(f"Date,Close\n{rows}")
        done = run("ingest", str(tmp_path / name), "--symbol", "AAPL", *options)
        assert done.exit_code == 0, done.stderr

    ingest("latest.csv", "2024-01-02,10\n2024-01-03,11\n")
    ingest("latest.csv", "2024-02-01,12\n")
    ingest("better.csv", "2024-01-03,11.5\n", "--replace")
    return bars(desk)


def bars(desk: Stack) -> Bars:
    rows = decode(desk.lake.get(YEAR).data, PRICE_BY_DATE, YEAR).to_pylist()
    return sorted((f"{row['date']}", row["close"]) for row in rows)


def damage_a_value(desk: Stack) -> None:
    """Somebody's script writes a wrong close over a right one; the log in the footer stays."""
    found = desk.lake.get(YEAR)
    rows = decode(found.data, PRICE_BY_DATE, YEAR)
    wrong = rows.set_column(rows.schema.get_field_index("close"), "close", pa.array([99.0] * rows.num_rows))
    desk.lake.put(YEAR, encode(wrong.cast(PRICE_BY_DATE.schema), PRICE_BY_DATE, footer(found.data)))


def test_rebuild_shows_what_would_change_brings_it_back_and_loses_nothing(desk: Stack, run: Run, year: Bars) -> None:
    assert year == [("2024-01-02", 10.0), ("2024-01-03", 11.5), ("2024-02-01", 12.0)]
    damage_a_value(desk)
    shown = run("rebuild", "2024", "--dry-run")
    assert "2024: 0 rows added, 3 changed, 0 lost, 3 rows in all" in shown.stderr
    assert {close for _, close in bars(desk)} == {99.0}, "a dry run writes nothing"
    assert run("rebuild", "2024", "--yes").exit_code == 0
    assert bars(desk) == year
    first = next(info for info in desk.staging.versions("daily_prices/") if info.key.endswith("latest.csv"))
    desk.s3.delete_object(Bucket=desk.staging.bucket, Key=first.key, VersionId=first.version)
    refused = run("rebuild", "2024", "--yes")
    assert refused.exit_code == 1, "the first month is nowhere but in the table"
    assert "2024-01-02" in refused.stderr
    assert bars(desk) == year


def test_a_pool_of_processes_rebuilds_years_in_the_buckets(desk: Stack, run: Run, year: Bars, tmp_path: Path) -> None:
    before = tmp_path / "before.csv"
    before.write_text("Date,Close\n2023-12-28,8\n2023-12-29,9\n")
    assert run("ingest", str(before), "--symbol", "AAPL").exit_code == 0
    damage_a_value(desk)
    done = run("rebuild", "2023-2024", "--processes", "2", "--yes")
    assert done.exit_code == 0, done.stderr
    assert "2023: 0 rows added, 0 changed" in done.stderr
    assert "2024: 0 rows added, 3 changed" in done.stderr
    assert bars(desk) == year


def test_a_pool_of_processes_reads_history_in_the_bucket(desk: Stack, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "ticks.jsonl"
    file.write_bytes(b"".join(tick(f"e{n}", f"S{n % 3}", second=600.0 * n) for n in range(30)))
    assert run("ingest", str(file)).exit_code == 0
    place = f"s3://{desk.lake.bucket}"
    assert moments_by_tasks(place, in_processes(2))(datetime.now(UTC)) == {
        f"S{n % 3}": OPEN + timedelta(seconds=600.0 * n) for n in range(27, 30)
    }


def test_restore_puts_a_version_back_and_makes_the_ingests_since_again(desk: Stack, run: Run, year: Bars) -> None:
    first = next(iter(desk.lake.versions(YEAR)))
    damage_a_value(desk)
    assert first.version in run("restore", "price_by_date", "2024").stdout
    done = run("restore", "price_by_date", "2024", "--version", first.version, "--yes")
    assert done.exit_code == 0, done.stderr
    assert "price_by_date year=2024 restored; 2 ingests made again" in done.stderr
    assert bars(desk) == year
    found = run("reconcile", "--all", "--dry-run")
    assert (found.exit_code, "latest.csv" in found.stdout) == (0, False), found.stdout + found.stderr
