"""The batch path in the deployed stack: an object arrives in staging, the function runs, the table holds the rows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.redrive import send_back
from stock_pipeline.aws.sqs import Queue, depth
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.stack import deploy
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually, nobody_told

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


def messages(stack: Stack, output: str) -> list[dict[str, Any]]:
    """The messages of a queue, which stay visible."""
    found = stack.client("sqs").receive_message(
        QueueUrl=stack.outputs[output], MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [json.loads(message["Body"]) for message in found.get("Messages", [])]


def is_idle(stack: Stack) -> bool:
    """Whether the queue of daily prices has no message, waiting or being worked on."""
    return depth(stack.client("sqs"), stack.outputs["DailyQueueUrl"]).held == 0


def calls(stack: Stack) -> int:
    """How often the function that processes daily prices was called: each call writes one line of metrics."""
    log, service = LocalFolders(stack.aws.root).log.read_text(), stack.outputs["ProcessBatchStockDataFunction"]
    return sum('"MessagesFailed"' in line and f'"service":"{service}"' in line for line in log.splitlines())


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
    assert messages(triggered, "DailyDlqUrl") == []


def test_500_files_at_once_end_in_the_table_and_poison_alone_in_the_dlq(new_stack: NewStack) -> None:
    """Three files cannot be stored, because an object of the lake that they need is damaged."""
    stack = new_stack("lambda", hidden=2)
    broken = "price_by_date/year=2013/prices.parquet"
    stack.lake.put(broken, b"this is no Parquet")
    days = sessions(date(2015, 1, 2), date(2016, 12, 30))[:497]
    good = {f"daily_prices/date={day}/{day} ü.csv": (day, bar("AAPL", str(day))) for day in days}
    poison = {f"daily_prices/uploads/2013-{n}.csv": bar(f"P{n}", "2013-05-01") for n in range(3)}
    arriving = [(key, data) for key, (_, data) in good.items()]
    arriving[100:100] = list(poison.items())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda file: stack.staging.put(*file), arriving))

    def stored() -> set[tuple[str, date]]:
        found = [read_partition(stack.lake, PRICE_BY_DATE, year_partition(year)) for year in (2015, 2016)]
        return {(row["source"], row["date"]) for rows in found if rows is not None for row in rows.to_pylist()}

    expected = {(key, day) for key, (day, _) in good.items()}
    assert eventually(lambda: stored() == expected, within=120), stack.log()
    dead = eventually(lambda: len(found := messages(stack, "DailyDlqUrl")) == 3 and found, within=60)
    keys = {record["s3"]["object"]["key"] for body in dead or [] for record in body["Records"]}
    assert keys == set(poison), stack.log()
    assert eventually(lambda: is_idle(stack)), "a message came back that did not fail"
    assert messages(stack, "FailedInvocationsUrl") == []
    assert calls(stack) < 200, "the queue calls the function with files in groups"

    stack.s3.delete_object(Bucket=stack.lake.bucket, Key=broken)
    sqs, env = stack.client("sqs"), stack.outputs
    redriven = send_back(Queue(env["DailyDlqUrl"], sqs), Queue(env["DailyQueueUrl"], sqs))
    assert (redriven.done, redriven.failed) == (3, ())
    assert eventually(holds(stack, 2013, {key: {f"P{n}"} for n, key in enumerate(poison)})), stack.log()
    assert messages(stack, "DailyDlqUrl") == []


def test_s3_can_call_the_function_itself_and_what_always_fails_is_kept(new_stack: NewStack) -> None:
    stack = new_stack("lambda", DailyTrigger="s3")
    key = "daily_prices/uploads/two words + plus % ü.csv"
    stack.staging.put(key, bar("AAPL", "2010-05-03"))
    assert eventually(holds(stack, 2010, {key: {"AAPL"}})), stack.log()
    stack.lake.put("price_by_date/year=2013/prices.parquet", b"this is no Parquet")
    key = "daily_prices/uploads/2013 ü.csv"
    stack.staging.put(key, bar("AAPL", "2013-05-01"))
    (kept,) = eventually(lambda: messages(stack, "FailedInvocationsUrl")) or [{}]
    assert kept["requestContext"]["condition"] == "RetriesExhausted", stack.log()
    record = kept["requestPayload"]["Records"][0]
    assert record["s3"]["object"]["key"] == "daily_prices/uploads/2013+%C3%BC.csv"
    assert kept["responsePayload"]["errorMessage"]
    assert messages(stack, "DailyDlqUrl") == []
    assert is_idle(stack)

    # A function at its limit refuses who waits for its answer. What S3 sends is tried again, and is no failure.
    function, service = stack.outputs["ProcessBatchStockDataFunction"], stack.client("lambda")
    reserved = service.get_function_concurrency(FunctionName=function)["ReservedConcurrentExecutions"]
    service.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    key = "daily_prices/uploads/2014.csv"
    stack.staging.put(key, bar("AAPL", "2014-05-01"))
    with pytest.raises(service.exceptions.TooManyRequestsException, match="ReservedConcurrentExecutions"):
        service.invoke(FunctionName=function, Payload=b"{}")
    time.sleep(5)  # longer than three tries take
    service.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=reserved)
    assert eventually(holds(stack, 2014, {key: {"AAPL"}})), stack.log()
    assert len(messages(stack, "FailedInvocationsUrl")) == 1, "only what failed before"


def test_the_stack_heals_what_no_event_told_of(triggered: Stack) -> None:
    """No Dagster, and nobody who runs a command: the function of the schedule finds it."""
    key = "daily_prices/uploads/2017 ü.csv"
    with nobody_told(triggered):
        triggered.staging.put(key, bar("AAPL", "2017-05-01"))
    function = triggered.outputs["ReconcileTablesFunction"]

    def reconcile(event: dict[str, Any]) -> dict[str, Any]:
        reply = triggered.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        answer: dict[str, Any] = json.load(reply["Payload"])
        assert "FunctionError" not in reply, answer
        return answer

    assert reconcile({})["unseen"] == 0, "it may still be on its way"
    answer = eventually(lambda: (found := reconcile({"age": 0}))["inserted"] and found)
    assert (answer["inserted"], answer["failed"]) == (1, 0), triggered.log()
    assert holds(triggered, 2017, {key: {"AAPL"}})()
    schedule = triggered.client("scheduler").get_schedule(Name=f"stock-pipeline-{triggered.aws.stage}-reconcile")
    assert (schedule["State"], schedule["ScheduleExpression"]) == ("ENABLED", "rate(1 hour)")
    assert schedule["Target"]["Arn"].endswith(f":{function}")


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
        functions = [c["LambdaFunctionArn"] for c in found.get("LambdaFunctionConfigurations", [])]
        queues = [c["QueueArn"] for c in found.get("QueueConfigurations", [])]
        return sorted(
            arn.split(":")[-1].removeprefix(f"stock-pipeline-{stack.aws.stage}-") for arn in functions + queues
        )

    assert targets() == ["daily-arrivals", "stream-arrivals"]
    for changed, expected in (
        ({"Processor": "dagster"}, ["stream-arrivals"]),
        ({"Processor": "lambda", "DailyTrigger": "s3"}, ["process_batch_stock_data", "stream-arrivals"]),
        ({"Processor": "lambda", "DailyTrigger": "sqs"}, ["daily-arrivals", "stream-arrivals"]),
    ):
        parameters = {**changed, "Database": stack.outputs["Database"]}
        deploy(stack.aws.endpoint, stack.aws.key, LocalFolders(installed), stage=stack.aws.stage, parameters=parameters)
        assert targets() == expected
