"""The batch path in the deployed stack: an object arrives in staging, the function runs, the table holds the rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.stack import deploy
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually

pytestmark = pytest.mark.e2e

HEADER = "symbol,date,open,high,low,close,volume\n"


@pytest.fixture(scope="module")
def triggered(new_stack: NewStack) -> Stack:
    """A stack whose functions consume arrivals; tests keep apart by the years that they write."""
    return new_stack("lambda")


def bar(symbol: str, day: str) -> bytes:
    return (HEADER + f"{symbol},{day},10,12,9,11,500\n").encode()


def symbols_by_source(stack: Stack, year: int) -> dict[str, set[str]]:
    found = read_partition(stack.lake, PRICE_BY_DATE, year_partition(year), ["symbol", "source"])
    rows = [] if found is None else found.to_pylist()
    return {
        source: {row["symbol"] for row in rows if row["source"] == source} for source in {r["source"] for r in rows}
    }


def holds(stack: Stack, year: int, expected: dict[str, set[str]]) -> Callable[[], bool]:
    return lambda: symbols_by_source(stack, year) == expected


def invoke(stack: Stack, event: dict[str, Any]) -> dict[str, Any]:
    name = stack.outputs["GenerateStockBatchDataFunction"]
    reply = stack.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    answer: dict[str, Any] = json.load(reply["Payload"])
    assert "FunctionError" not in reply, answer
    return answer


def messages(stack: Stack) -> list[dict[str, Any]]:
    url = stack.outputs["FailedInvocationsUrl"]
    found = stack.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(message["Body"]) for message in found]


def test_an_arrival_is_in_the_table(triggered: Stack) -> None:
    key = "daily_prices/uploads/two words + plus % ü.csv"
    triggered.staging.put(key, bar("AAPL", "2010-05-03"))
    assert eventually(holds(triggered, 2010, {key: {"AAPL"}})), triggered.log()
    found = read_partition(triggered.lake, PRICE_BY_DATE, "year=2010")
    assert found is not None
    row = found.to_pylist()[0]
    assert (row["date"], row["high"], row["volume"]) == (date(2010, 5, 3), 12.0, 500)


def test_arrivals_at_the_same_time_for_the_same_year(triggered: Stack) -> None:
    expected = {f"daily_prices/uploads/2011-{symbol}.csv": {symbol} for symbol in DEFAULT_SYMBOLS}
    for key, symbols in expected.items():
        triggered.staging.put(key, bar(*symbols, "2011-05-02"))
    assert eventually(holds(triggered, 2011, expected)), triggered.log()


def test_what_the_generator_writes_is_processed(triggered: Stack) -> None:
    answer = invoke(triggered, {"start": "2012-05-01", "end": "2012-05-02"})
    assert (answer["sessions"], answer["rows"], answer["written"]) == (2, 32, 2)
    expected = {raw["key"]: set(DEFAULT_SYMBOLS) for raw in answer["objects"]}
    assert eventually(holds(triggered, 2012, expected)), triggered.log()
    assert invoke(triggered, {"start": "2012-05-01", "end": "2012-05-02"})["written"] == 0


def test_what_the_generator_refuses_is_an_error_with_its_reason(triggered: Stack) -> None:
    name = triggered.outputs["GenerateStockBatchDataFunction"]
    reply = triggered.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"date": "2024-07-04"}))
    assert reply["FunctionError"]
    assert "no trading session" in json.load(reply["Payload"])["errorMessage"]


def test_a_file_that_is_no_prices_is_on_record_with_the_reason(triggered: Stack) -> None:
    key = "daily_prices/uploads/cats.csv"
    triggered.staging.put(key, b"name,colour\nTom,grey\n")
    rejects = eventually(lambda: read_rejects(triggered.lake, PRICE_BY_DATE, key).to_pylist())
    assert [(r["line"], r["reason"]) for r in rejects] == [(0, "file_refused")], triggered.log()
    assert messages(triggered) == []


def test_an_event_that_always_fails_is_kept_with_its_error(triggered: Stack) -> None:
    triggered.lake.put("price_by_date/year=2013/prices.parquet", b"this is no Parquet")
    key = "daily_prices/uploads/2013 ü.csv"
    triggered.staging.put(key, bar("AAPL", "2013-05-01"))
    (kept,) = eventually(lambda: messages(triggered)) or [{}]
    assert kept["requestContext"]["condition"] == "RetriesExhausted", triggered.log()
    record = kept["requestPayload"]["Records"][0]
    assert record["s3"]["object"]["key"] == "daily_prices/uploads/2013+%C3%BC.csv"
    assert kept["responsePayload"]["errorMessage"]


def test_with_the_processor_dagster_nothing_is_triggered(triggered: Stack, local_aws_env: Stack) -> None:
    local_aws_env.staging.put("daily_prices/uploads/a.csv", bar("AAPL", "2014-05-01"))
    triggered.staging.put("daily_prices/uploads/2014.csv", bar("AAPL", "2014-05-01"))
    assert eventually(holds(triggered, 2014, {"daily_prices/uploads/2014.csv": {"AAPL"}})), triggered.log()
    assert list(local_aws_env.lake.list("")) == []
    function = local_aws_env.outputs["ProcessBatchStockDataFunction"]
    streams = local_aws_env.client("logs").describe_log_streams(logGroupName=f"/aws/lambda/{function}")["logStreams"]
    assert streams == [], "the function ran"


def test_the_processor_can_be_changed_while_it_runs(new_stack: NewStack, installed: Path) -> None:
    stack = new_stack("lambda")
    staging = stack.outputs["StagingBucket"]

    def targets() -> list[str]:
        found = stack.s3.get_bucket_notification_configuration(Bucket=staging)
        return [c["LambdaFunctionArn"].split(":")[-1] for c in found.get("LambdaFunctionConfigurations", [])]

    assert targets() == [stack.outputs["ProcessBatchStockDataFunction"]]
    for processor, expected in (("dagster", []), ("lambda", [stack.outputs["ProcessBatchStockDataFunction"]])):
        parameters = {"Processor": processor, "Database": stack.outputs["Database"]}
        deploy(stack.aws.endpoint, stack.aws.key, LocalFolders(installed), stage=stack.aws.stage, parameters=parameters)
        assert targets() == expected
