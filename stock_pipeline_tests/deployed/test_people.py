"""The managed policies of the stack, each with nothing beside it: what somebody can do with them, and what not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.deployed.account import Account, new_tick_object
from stock_pipeline_tests.deployed.people import Somebody, somebody

pytestmark = pytest.mark.deployed

BARS = "symbol,date,open,high,low,close,volume\n{symbol},2019-03-01,10,12,9,11,5\n"
REFUSED = "AccessDenied"


@pytest.fixture(scope="module")
def reader(account: Account) -> Somebody:
    return somebody(account, "reader", ["ReaderPolicy"])


@pytest.fixture(scope="module")
def dagster(account: Account) -> Somebody:
    """A Dagster outside AWS, or an operator."""
    return somebody(account, "dagster", ["ReaderPolicy", "DagsterPolicy"])


@pytest.fixture(scope="module")
def vendor(account: Account) -> Somebody:
    return somebody(account, "vendor", ["VendorPolicy"])


def stored(account: Account) -> list[str]:
    rows = read_partition(account.lake, PRICE_BY_DATE, "year=2019")
    return [] if rows is None else sorted(rows["symbol"].to_pylist())


@pytest.mark.parametrize("processor", ["lambda", "dagster"])
def test_doctor_finds_nothing_broken_for_a_dagster(dagster: Somebody, processor: str) -> None:
    done = dagster.run("doctor", STOCK_PIPELINE_PROCESSOR=processor)
    assert done.returncode == 0, done.stdout + done.stderr


def test_doctor_finds_nothing_broken_for_a_reader(reader: Somebody) -> None:
    done = reader.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dagster_ingests_redrives_and_sends_ticks(account: Account, dagster: Somebody, tmp_path: Path) -> None:
    file = tmp_path / "P1.csv"
    file.write_text(BARS.format(symbol="P1"))
    done = dagster.run("ingest", str(file), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inserted"] == 1
    assert "P1" in stored(account)
    account.messages("FailedInvocationsUrl")  # those of other tests may fail again
    body = json.dumps(account.arrival("stock_stream/2024/gone"))
    account.client("sqs").send_message(QueueUrl=account.outputs["DailyDlqUrl"], MessageBody=body)
    for what in ("prices", "ticks", "receipts", "events"):
        done = dagster.run("redrive", what)
        assert done.returncode == 0, done.stdout + done.stderr
    _, _, data = new_tick_object()
    ticks = tmp_path / "ticks.ndjson"
    ticks.write_bytes(data)
    done = dagster.run("stream", "--file", str(ticks))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("engine", ["duckdb", "athena"])
def test_a_reader_reads(account: Account, reader: Somebody, dagster: Somebody, engine: str, tmp_path: Path) -> None:
    file = tmp_path / f"{engine}.csv"
    file.write_text(BARS.format(symbol=f"R{engine.upper()}"))
    assert dagster.run("ingest", str(file)).returncode == 0
    statement = f"SELECT close FROM price_by_date WHERE symbol = 'R{engine.upper()}' AND year = 2019"
    done = reader.run("sql", statement, "--format", "json", STOCK_PIPELINE_SQL_ENGINE=engine)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [{"close": 11.0}]


def test_a_reader_changes_nothing(account: Account, reader: Somebody, tmp_path: Path) -> None:
    file = tmp_path / "W1.csv"
    file.write_text(BARS.format(symbol="W1"))
    done = reader.run("ingest", str(file))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "W1" not in stored(account)
    for key in ("price_by_date/year=1990/nobody.parquet", "_anywhere"):
        with pytest.raises(ClientError, match=REFUSED):
            reader.s3.put_object(Bucket=account.lake.bucket, Key=key, Body=b"", IfNoneMatch="*")


def test_a_vendor_uploads_into_its_folder_and_sees_nothing(account: Account, vendor: Somebody) -> None:
    own = {"Bucket": account.staging.bucket, "Key": "daily_prices/uploads/acme/V1.csv"}
    vendor.s3.put_object(**own, Body=BARS.format(symbol="V1").encode())
    with pytest.raises(ClientError, match=REFUSED):
        vendor.s3.get_object(**own)
    with pytest.raises(ClientError, match=REFUSED):
        vendor.s3.list_objects_v2(Bucket=account.staging.bucket)
    for key in ("daily_prices/uploads/V2.csv", "daily_prices/uploads/other/V2.csv", "stock_stream/V2"):
        with pytest.raises(ClientError, match=REFUSED):
            vendor.s3.put_object(**(own | {"Key": key}), Body=b"")
    assert account.staging.get(own["Key"]).data


def test_nobody_deletes(account: Account, reader: Somebody, dagster: Somebody, vendor: Somebody) -> None:
    account.staging.put("daily_prices/uploads/acme/D1.csv", BARS.format(symbol="D1").encode())
    for each in (reader, dagster, vendor):
        with pytest.raises(ClientError, match=REFUSED):
            each.s3.delete_object(Bucket=account.staging.bucket, Key="daily_prices/uploads/acme/D1.csv")
