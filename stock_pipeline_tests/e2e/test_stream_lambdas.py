"""The stream in the deployed stack: from Kinesis through Firehose, S3, SQS and the function to what SQL sees.

Tests that share a stack keep apart by the times of their ticks.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.local import LocalFolders
from stock_pipeline.producer.live import replay
from stock_pipeline.query import duckdb_engine
from stock_pipeline.schemas import STREAM_PRICES_HISTORY
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually

pytestmark = pytest.mark.e2e

# What a tick looks like that nothing went wrong with; every fault changes that.
TICK = re.compile(
    rb'\{"event_id":"(?P<id>[0-9a-f]+-\d+)","symbol":"[A-Z.]+","price":\d+\.\d\d,"size":\d+,'
    rb'"produced_at":"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"\}'
)
GREATEST = (
    "SELECT symbol, max_by(event_id, (produced_at, event_id)) FROM stream_prices_history GROUP BY ALL ORDER BY ALL"
)


@pytest.fixture(scope="module")
def streaming(new_stack: NewStack) -> Stack:
    return new_stack("lambda", StreamBufferSeconds="1")


def ids(stack: Stack, day: str = "") -> list[str]:
    """The ids in history, of one day (`year=2024/month=06/day=03`) or of all, as often as they are there."""
    found: list[str] = []
    for partition in partitions(stack.lake, STREAM_PRICES_HISTORY):
        if partition.startswith(day):
            rows = read_partition(stack.lake, STREAM_PRICES_HISTORY, partition, ["event_id"])
            found += [] if rows is None else rows["event_id"].to_pylist()
    return sorted(found)


def hold(stack: Stack, expected: set[str], day: str = "") -> Callable[[], bool]:
    return lambda: ids(stack, day) == sorted(expected)


def rows(stack: Stack, statement: str) -> list[tuple[Any, ...]]:
    found = duckdb_engine.run(statement, (), stack.lake, stack.settings.database)
    return [tuple(row.values()) for row in found.to_pylist()]


def assert_snapshot_is_historys_maximum(stack: Stack) -> None:
    latest = "SELECT symbol, event_id FROM latest_prices ORDER BY ALL"
    assert eventually(lambda: rows(stack, latest) == rows(stack, GREATEST)), stack.log()
    assert rows(stack, latest)


def lines_of(session: date, ticks: int) -> tuple[list[bytes], set[str]]:
    table = simulate_ticks(["AAPL", "BRK.B"], session, 7, ticks)
    return to_json_lines(table), set(table["event_id"].to_pylist())


def sent_lines(stack: Stack) -> list[bytes]:
    """Every line that is in the stream."""
    kinesis, stream = stack.client("kinesis"), stack.outputs["StreamName"]
    found: list[bytes] = []
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        at = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")[
            "ShardIterator"
        ]
        while records := (answer := kinesis.get_records(ShardIterator=at))["Records"]:
            found += [line for record in records for line in record["Data"].split(b"\n")[:-1]]
            at = answer["NextShardIterator"]
    return found


def messages(stack: Stack, output: str, *, leave: bool = True) -> list[dict[str, Any]]:
    """Messages of a queue; with `leave` they stay visible."""
    sqs, url = stack.client("sqs"), stack.outputs[output]
    more = {"VisibilityTimeout": 0} if leave else {}
    found: list[dict[str, Any]] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get("Messages", [])
    return found


def failures(stack: Stack, message_id: str) -> int:
    """How often the function said that a message failed."""
    log = LocalFolders(stack.aws.root).log.read_text().splitlines()
    return sum('"the message failed"' in entry and message_id in entry for entry in log)


def test_produced_ticks_with_every_fault_end_as_exactly_the_valid_ones(streaming: Stack) -> None:
    faults = {"duplicates": 0.1, "late": 0.1, "malformed": 0.05}
    event = {"seconds": 2, "rate": 500, "seed": 11, "faults": faults}
    name = streaming.outputs["WriteRecordsToStreamFunction"]
    reply = streaming.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    answer = json.load(reply["Payload"])
    assert "FunctionError" not in reply, answer

    lines = sent_lines(streaming)
    assert len(lines) == answer["lines"] > 1100
    valid = [match["id"].decode() for line in lines if (match := TICK.fullmatch(line))]
    assert len(set(valid)) == 1000 < len(valid)
    assert eventually(hold(streaming, set(valid))), streaming.log()
    malformed = len(lines) - len(valid)
    assert eventually(lambda: read_rejects(streaming.lake, STREAM_PRICES_HISTORY).num_rows == malformed) > 0
    assert rows(streaming, "SELECT count(*), count(DISTINCT event_id) FROM stream_prices_history") == [(1000, 1000)]
    assert_snapshot_is_historys_maximum(streaming)
    assert messages(streaming, "StreamDlqUrl") == []


def test_what_kinesis_reports_as_failed_is_sent_again_and_stored_once(streaming: Stack) -> None:
    """The worst case: all of it was taken, but entries are reported as failed, and whole answers get lost."""
    chance, lost = random.Random(3), 0

    def misreport(parsed: dict[str, Any], **_: Any) -> None:
        nonlocal lost
        if chance.random() < 0.3:
            lost += len(parsed["Records"])
            raise EndpointConnectionError(endpoint_url="kinesis")
        for entry in parsed["Records"]:
            if chance.random() < 0.3:
                lost += 1
                entry |= {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"}

    kinesis = streaming.client("kinesis")
    kinesis.meta.events.register("after-call.kinesis.PutRecords", misreport)
    lines, expected = lines_of(date(2024, 6, 3), 2000)
    sent = replay(kinesis, streaming.outputs["StreamName"], lines)
    assert (sent.lines, sent.failed, sent.retries) == (4000, 0, lost)
    assert lost > 0
    assert eventually(hold(streaming, expected, "year=2024/month=06/day=03")), streaming.log()
    assert_snapshot_is_historys_maximum(streaming)


def test_a_poison_message_ends_in_the_dlq_alone_and_can_be_redriven(new_stack: NewStack) -> None:
    stack = new_stack("lambda", hidden=2)
    broken = "price_by_date_stream/year=2021/month=03/day=01/1500.parquet"
    stack.lake.put(broken, b"this is no Parquet")
    good, poison = set[str](), set[str]()
    for n in range(10):
        symbol_ids = poison if n == 5 else good
        at = "2021-03-01 15:00:01" if n == 5 else f"2021-03-02 15:00:{n:02}"
        symbol_ids.add(f"e{n}")
        line = {"event_id": f"e{n}", "symbol": "AAPL", "price": 1 + n, "produced_at": at}
        stack.staging.put(f"stock_stream/2021/03/02/15/{n} ü", json.dumps(line).encode())

    assert eventually(hold(stack, good, "year=2021/month=03/day=02")), stack.log()
    (dead,) = eventually(lambda: messages(stack, "StreamDlqUrl")) or [{}]
    assert "5+%C3%BC" in dead["Body"], stack.log()
    assert eventually(lambda: failures(stack, dead["MessageId"]) == 5), stack.log()
    assert messages(stack, "StreamQueueUrl") == []
    assert [key for key in (info.key for info in stack.lake.list("price_by_date_stream/")) if "day=01" in key] == [
        broken
    ]

    stack.s3.delete_object(Bucket=stack.lake.bucket, Key=broken)
    for _ in range(2):
        stack.client("sqs").send_message(QueueUrl=stack.outputs["StreamQueueUrl"], MessageBody=dead["Body"])
    assert eventually(hold(stack, good | poison)), stack.log()
    assert eventually(lambda: not messages(stack, "StreamQueueUrl"))
    assert ids(stack) == sorted(good | poison)
    assert len(messages(stack, "StreamDlqUrl")) == 1
    assert_snapshot_is_historys_maximum(stack)


def test_s3_can_call_the_function_itself(new_stack: NewStack) -> None:
    stack = new_stack("lambda", StreamTrigger="s3", StreamBufferSeconds="1", StreamCompression="GZIP")
    lines, expected = lines_of(date(2024, 6, 4), 200)
    assert replay(stack.client("kinesis"), stack.outputs["StreamName"], lines + lines[:50]).failed == 0
    assert eventually(hold(stack, expected)), stack.log()
    assert_snapshot_is_historys_maximum(stack)

    stack.lake.put("price_by_date_stream/year=2021/month=03/day=01/1500.parquet", b"this is no Parquet")
    line = b'{"event_id":"e","symbol":"AAPL","price":1,"produced_at":"2021-03-01 15:00:01"}\n'
    stack.staging.put("stock_stream/2021/03/01/15/poison", line)
    (kept,) = eventually(lambda: messages(stack, "FailedInvocationsUrl")) or [{"Body": "{}"}]
    body = json.loads(kept["Body"])
    assert body["requestPayload"]["Records"][0]["s3"]["object"]["key"].endswith("poison"), stack.log()
    assert body["responsePayload"]["errorMessage"].startswith("1 of 1 objects failed")
    assert messages(stack, "StreamQueueUrl") == []


def test_with_the_processor_dagster_the_queue_waits_for_it(local_aws_env: Stack) -> None:
    local_aws_env.staging.put("stock_stream/2024/06/03/13/a", lines_of(date(2024, 6, 3), 4)[0][0])
    local_aws_env.staging.put("stock_stream_errors/processing-failed/b", b"no arrival")

    def told() -> list[str]:
        bodies = [json.loads(message["Body"]) for message in messages(local_aws_env, "StreamQueueUrl")]
        return [record["s3"]["object"]["key"] for body in bodies for record in body.get("Records", [])]

    assert eventually(told) == ["stock_stream/2024/06/03/13/a"]
    assert list(local_aws_env.lake.list("")) == []
    mappings = local_aws_env.client("lambda").list_event_source_mappings(
        FunctionName=local_aws_env.outputs["ProcessStockStreamDataFunction"]
    )["EventSourceMappings"]
    assert mappings == []
