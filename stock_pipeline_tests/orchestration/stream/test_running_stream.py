"""A running Dagster on the local AWS takes what Kinesis was given, and ends with the tables of the function."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from stock_pipeline.aws.sqs import depth
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.producer.live import replay
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline_tests.support.local_aws import NewStack, Stack, emulator, eventually, installed, new_stack
from stock_pipeline_tests.support.running_dagster import dagster_of
from stock_pipeline_tests.support.stream import event_of

__all__ = ["emulator", "installed", "new_stack"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster")]

SESSION = date(2024, 6, 3)
RUNS = """{ runsOrError(filter: { pipelineName: "ingest_ticks" }) { ... on Runs { results {
  status tags { key value } } } } }"""
CHECK = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename } }"""
CHECKED = """{ assetNodeOrError(assetKey: {path: ["%s"]}) { ... on AssetNode { assetChecksOrError { ... on AssetChecks {
  checks { name executionForLatestMaterialization { status evaluation { success } } } } } } } }"""


@pytest.fixture(scope="module")
def stack(new_stack: NewStack) -> Stack:
    return new_stack("dagster", hidden=5, StreamBufferSeconds="1")


@pytest.fixture(scope="module")
def dagster(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    with dagster_of(stack, tmp_path_factory.mktemp("home"), "dagster") as running:
        yield running


def lines_to_send() -> tuple[list[bytes], set[str]]:
    """A session's ticks, some of them twice, some late, some broken; and the ids of all of them."""
    table = simulate_ticks(["AAPL", "BRK.B", "MSFT"], SESSION, 7, 500)
    lines = to_json_lines(table)
    chance = random.Random(5)
    late = [lines.pop(chance.randrange(len(lines))) for _ in range(150)]
    lines += chance.sample(lines, 150) + late
    lines.append(b'{"symbol": "AAPL", "price": \n')
    lines.append(b'{"symbol": "AAPL", "price": -1, "produced_at": "2024-06-03 15:00:00"}\n')
    return lines, set(table["event_id"].to_pylist())


_STORED_BY = ["source", "line", "place", "etl_loading_ts"]
"""How a tick came, and not what was produced: Firehose may cut the ticks into objects in another way."""


def raw(stack: Stack) -> list[str]:
    return [info.key for info in stack.staging.list("stock_stream/")]


def history(stack: Stack, day: str = "year=2024/month=06/day=03") -> list[dict[str, Any]]:
    """The ticks of a day by what was produced, not by when and from where they were stored."""
    found = []
    for partition in partitions(stack.lake, STREAM_PRICES_HISTORY):
        if partition.startswith(day):
            rows = read_partition(stack.lake, STREAM_PRICES_HISTORY, partition)
            found += (
                [] if rows is None else rows.drop_columns(["source", "line", "place", "etl_loading_ts"]).to_pylist()
            )
    return found


def snapshot(stack: Stack) -> list[dict[str, Any]]:
    rows = read_partition(stack.lake, LATEST_PRICES, SNAPSHOT)
    return (
        []
        if rows is None
        else rows.drop_columns([name for name in _STORED_BY if name in rows.column_names]).to_pylist()
    )


def rejected(stack: Stack) -> Counter[tuple[str, str]]:
    rows = read_rejects(stack.lake, STREAM_PRICES_HISTORY).to_pylist()
    return Counter((row["reason"], row["raw"]) for row in rows)


def counts(stack: Stack, output: str) -> tuple[int, int]:
    """Messages of a queue that can be received, and that are hidden."""
    found = depth(stack.client("sqs"), stack.outputs[output])
    return found.waiting, found.hidden


def runs(dagster: Dagster) -> list[tuple[str, dict[str, str]]]:
    found = dagster._ask(RUNS)["runsOrError"]["results"]
    return [(run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in found]


def test_ticks_through_dagster_end_as_the_tables_that_the_function_writes(
    dagster: Dagster, stack: Stack, new_stack: NewStack
) -> None:
    other = new_stack("lambda", StreamBufferSeconds="1")
    lines, expected = lines_to_send()
    for portion in range(3):  # an object each
        for each in (stack, other):
            sent = replay(
                each.client("kinesis"), each.outputs["StreamName"], lines[portion * 600 : (portion + 1) * 600]
            )
            assert sent.failed == 0
        for each in (stack, other):
            assert eventually(lambda each=each, portion=portion: len(raw(each)) > portion), each.log()  # type: ignore[misc]

    def complete(each: Stack) -> bool:
        return {row["event_id"] for row in history(each)} == expected and rejected(each).total() == 2

    assert eventually(lambda: complete(other), within=60), other.log()
    assert eventually(lambda: complete(stack), within=120), stack.log()
    assert len(history(stack)) == len(expected)
    assert history(stack) == history(other)
    assert snapshot(stack) == snapshot(other)
    assert len(snapshot(stack)) == 3
    assert rejected(stack) == rejected(other)

    assert eventually(lambda: not dagster.unfinished("ingest_ticks"), within=60)
    assert eventually(lambda: counts(stack, "StreamQueueUrl") == (0, 0)), "every message is acknowledged"
    assert counts(stack, "StreamDlqUrl") == (0, 0)
    done = runs(dagster)
    assert {status for status, _ in done} == {"SUCCESS"}
    objects = sum(int(tags["stock_pipeline/objects"]) for _, tags in done)
    assert objects == len(raw(stack)) == 3, "each object was in one run"
    assert dagster.partitions("stream_prices_history")[SESSION.isoformat()], "the day of the ticks is green"
    assert_checks_say_so(dagster)


def assert_checks_say_so(dagster: Dagster) -> None:
    selector = {
        "jobName": "check_stream",
        "repositoryName": "__repository__",
        "repositoryLocationName": "stock_pipeline",
    }
    dagster._ask(CHECK, params={"selector": selector, "runConfigData": {}})

    def results() -> dict[str, bool]:
        found = {}
        for asset in ("latest_prices", "raw_stream_ticks"):
            for check in dagster._ask(CHECKED % asset)["assetNodeOrError"]["assetChecksOrError"]["checks"]:
                execution = check["executionForLatestMaterialization"] or {}
                found[check["name"]] = bool((execution.get("evaluation") or {}).get("success"))
        return found

    # The ticks are of a session long past, so their symbols are stale.
    expected = {"snapshot_equals_history": True, "dead_letters_none": True, "symbols_current": False}
    assert eventually(lambda: results() == expected, within=60), results()


def test_a_failed_runs_messages_come_back_and_poison_ends_in_the_dlq_alone(dagster: Dagster, stack: Stack) -> None:
    sqs = stack.client("sqs")
    broken = "price_by_date_stream/year=2021/month=03/day=01/1500.parquet"
    stack.lake.put(broken, b"this is no Parquet")
    before = len(runs(dagster))
    line = b'{"event_id":"e","symbol":"AAPL","price":1,"produced_at":"2021-03-01 15:00:01"}\n'
    stack.staging.put("stock_stream/2021/03/01/15/ü+", line)
    assert eventually(lambda: any(status == "FAILURE" for status, _ in runs(dagster)), within=60)
    stack.s3.delete_object(Bucket=stack.lake.bucket, Key=broken)
    assert eventually(lambda: [row["event_id"] for row in history(stack, "year=2021")] == ["e"], within=90), stack.log()
    assert eventually(lambda: counts(stack, "StreamQueueUrl") == (0, 0)), "the run that stored it acknowledged it"

    poison = json.dumps({"what": "is this?"})
    gone = event_of("stock_stream/2021/03/01/15/gone", bucket=stack.staging.bucket)
    for body in (poison, gone):
        sqs.send_message(QueueUrl=stack.outputs["StreamQueueUrl"], MessageBody=body)
    assert eventually(lambda: counts(stack, "StreamDlqUrl") == (2, 0), within=180)
    dead = sqs.receive_message(QueueUrl=stack.outputs["StreamDlqUrl"], MaxNumberOfMessages=10)["Messages"]
    assert {message["Body"] for message in dead} == {poison, gone}
    assert len(runs(dagster)) > before + 5
