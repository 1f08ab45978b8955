"""reconcile_tables: it ingests what no table has seen, tells of what it could not, and stops in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import EventError, SettingsError, StoreUnavailable
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.maintenance.reconcile import AGE, SINCE
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.lambdas import LAKE, STAGING, Context

HEADER = "symbol,date,open,high,low,close,volume\n"
NOW: dict[str, Any] = {"all": True, "age": 0}
"""An event for objects that came just now; the clock of the test and that of the bucket are the same."""


@pytest.fixture
def handler(cold_start: Callable[[str], ModuleType]) -> ModuleType:
    return cold_start("reconcile_tables")


@pytest.fixture
def lost(s3: Any) -> tuple[list[str], list[str]]:
    """Files and objects of ticks that nobody told of: their keys."""
    files = [f"daily_prices/uploads/{symbol}.csv" for symbol in "ABC"]
    for key, symbol in zip(files, "ABC", strict=True):
        s3.put_object(Bucket=STAGING, Key=key, Body=(HEADER + f"{symbol},2024-05-01,10,12,9,11,5\n").encode())
    ticks = [f"stock_stream/2024/06/03/13/{n}" for n in range(3)]
    for n, key in enumerate(ticks):
        line = {"event_id": f"e{n}", "symbol": "AAPL", "price": 10.5, "produced_at": f"2024-06-03 13:3{n}:00"}
        s3.put_object(Bucket=STAGING, Key=key, Body=json.dumps(line).encode() + b"\n")
    return files, ticks


def stored(s3: Any) -> list[str]:
    lake = S3Store(LAKE, s3)
    names = ((PRICE_BY_DATE, "symbol"), (STREAM_PRICES_HISTORY, "event_id"))
    found = [(read_partition(lake, table, p), column) for table, column in names for p in partitions(lake, table)]
    return sorted(value for rows, column in found if rows is not None for value in rows[column].to_pylist())


def test_what_no_table_has_seen_is_ingested_once(
    handler: ModuleType, s3: Any, lost: tuple[list[str], list[str]], context: LambdaContext
) -> None:
    answer = handler.lambda_handler(NOW, context)
    assert answer == {"looked_at": 6, "unseen": 6, "ingested": 6, "inserted": 6, "failed": 0, "left": 0}
    assert stored(s3) == ["A", "B", "C", "e0", "e1", "e2"]
    again = handler.lambda_handler(NOW, context)
    assert again == {"looked_at": 6, "unseen": 0, "ingested": 0, "inserted": 0, "failed": 0, "left": 0}


def test_what_is_young_is_left_to_its_event(
    handler: ModuleType, s3: Any, lost: tuple[list[str], list[str]], context: LambdaContext
) -> None:
    for event in (None, {}, {"since": 1}, {"all": True, "age": 15.5}):
        assert handler.lambda_handler(event, context)["looked_at"] == 0
    assert stored(s3) == []


def test_an_object_that_fails_is_counted_and_the_others_are_ingested(
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    lost: tuple[list[str], list[str]],
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler, get = cold_start("reconcile_tables"), S3Store.get  # here: the logger prints to the stdout of its start

    def poisoned(self: S3Store, key: str, **more: Any) -> Any:
        if key in {lost[0][1], lost[1][2]}:
            raise ValueError("SECRET")
        return get(self, key, **more)

    monkeypatch.setattr(S3Store, "get", poisoned)
    answer = handler.lambda_handler(NOW, context)
    assert (answer["ingested"], answer["failed"], answer["left"]) == (4, 2, 0)
    assert stored(s3) == ["A", "C", "e0", "e1"]
    logged = capsys.readouterr().out
    assert lost[0][1] in logged
    assert "SECRET" not in logged
    assert '"ObjectsNotRepaired":[2.0]' in logged
    assert '"ObjectsUnseen":[6.0]' in logged


def test_it_stops_in_time_and_the_next_call_goes_on(
    handler: ModuleType, s3: Any, lost: tuple[list[str], list[str]], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stock_pipeline.ingest.daily.GROUP_BYTES", 1)  # each object is a group of its own
    monkeypatch.setattr("stock_pipeline.ingest.ticks.GROUP_BYTES", 1)
    put = S3Store.put

    def slow(self: S3Store, key: str, *arguments: Any, **more: Any) -> str:
        context.remaining -= 40_000 * key.startswith(("price_by_date/year=", "price_by_date_stream/year="))
        return put(self, key, *arguments, **more)

    monkeypatch.setattr(S3Store, "put", slow)
    left, expected = [], (4, 2, 0)
    for _ in expected:
        context.remaining = 100_000
        answer = handler.lambda_handler(NOW, context)
        assert answer["failed"] == 0
        left.append(answer["left"])
    assert tuple(left) == expected
    assert stored(s3) == ["A", "B", "C", "e0", "e1", "e2"]


def test_it_fails_when_the_work_could_not_be_done(
    handler: ModuleType,
    s3: Any,
    lost: tuple[list[str], list[str]],
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("price_by_date/", "S3 answered 503 SlowDown")

    monkeypatch.setattr(S3Store, "put", broken)
    with pytest.raises(StoreUnavailable, match="503"):
        handler.lambda_handler(NOW, context)


def test_its_receipts_go_to_the_lineage_queue(
    cold_start: Callable[[str], ModuleType],
    lost: tuple[list[str], list[str]],
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    monkeypatch.setenv("STOCK_PIPELINE_LINEAGE_QUEUE_URL", url)
    cold_start("reconcile_tables").lambda_handler(NOW, context)
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert {json.loads(message["Body"])["source"] for message in messages} == {*lost[0], *lost[1]}


@pytest.mark.parametrize(
    ("event", "window"),
    [
        ({}, (SINCE, AGE)),
        ({"since": 14}, (timedelta(days=14), AGE)),
        ({"all": False, "since": 0.5, "age": 0}, (timedelta(days=0.5), timedelta(0))),
        ({"all": True}, (None, AGE)),
    ],
)
def test_an_event_names_the_window(
    event: dict[str, Any], window: tuple[timedelta | None, timedelta], handler: ModuleType
) -> None:
    assert handler.window_of(event) == window


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"days": 3}, "it takes since, age, all"),
        ({"all": "yes"}, "true or false"),
        ({"all": True, "since": 3}, "one of them"),
        ({"since": "3"}, "a number from 0"),
        ({"since": -1}, "a number from 0"),
        ({"since": True}, "a number from 0"),
        ({"age": 1e9}, "a number from 0"),
        ({"age": float("nan")}, "a number from 0"),
    ],
)
def test_another_event_is_an_error_that_says_what_it_takes(
    event: dict[str, Any], message: str, handler: ModuleType, context: LambdaContext
) -> None:
    with pytest.raises(EventError, match=message):
        handler.lambda_handler(event, context)


@pytest.mark.parametrize("missing", ["STOCK_PIPELINE_STAGING_BUCKET", "STOCK_PIPELINE_LAKE_BUCKET"])
def test_a_missing_setting_stops_the_cold_start_and_is_named(
    missing: str, cold_start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=missing):
        cold_start("reconcile_tables")
