"""write_records_to_stream: what an event may ask for, what it answers and when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.errors import EventError, NotSent, SettingsError, SimulationError
from stock_pipeline_tests.support.lambdas import STREAM, Context


@pytest.fixture
def kinesis(s3: Any) -> Iterator[Any]:
    client = boto3.client("kinesis")
    client.create_stream(StreamName=STREAM, ShardCount=1)
    return client


@pytest.fixture
def handler(cold_start: Callable[[str], ModuleType], kinesis: Any) -> ModuleType:
    return cold_start("write_records_to_stream")


def lines(kinesis: Any) -> list[bytes]:
    (shard,) = kinesis.list_shards(StreamName=STREAM)["Shards"]
    at = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = kinesis.get_records(ShardIterator=at["ShardIterator"])["Records"]
    return [line for record in records for line in record["Data"].splitlines()]


def test_an_event_decides_how_many_ticks_of_which_symbols(
    handler: ModuleType, kinesis: Any, context: LambdaContext
) -> None:
    event = {"seconds": 0.5, "rate": 100, "symbols": ["aapl", "MSFT"], "seed": 3}
    answer = handler.lambda_handler(event, context)
    assert (answer["lines"], answer["failed"]) == (50, 0)
    ticks = [json.loads(line) for line in lines(kinesis)]
    assert len({tick["event_id"] for tick in ticks}) == 50
    assert {tick["symbol"] for tick in ticks} == {"AAPL", "MSFT"}
    json.dumps(answer)  # Lambda must be able to send it


@pytest.mark.parametrize("faults", [{"malformed": 1, "duplicates": 1}, "malformed=1,duplicates=1"])
def test_faults_are_sent_as_asked_for(faults: Any, handler: ModuleType, kinesis: Any, context: LambdaContext) -> None:
    answer = handler.lambda_handler({"seconds": 0.25, "rate": 40, "faults": faults}, context)
    assert answer["lines"] == len(lines(kinesis)) == 30


def test_symbols_and_seed_come_from_the_settings(
    cold_start: Callable[[str], ModuleType], kinesis: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_SYMBOLS", "ONLY")
    cold_start("write_records_to_stream").lambda_handler({"seconds": 0.25, "rate": 20}, context)
    assert {json.loads(line)["symbol"] for line in lines(kinesis)} == {"ONLY"}


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"secs": 1}, "the event has 'secs'; it takes seconds, rate, symbols, seed, faults"),
        ({"seconds": "1"}, "seconds is '1'; it takes a number"),
        ({"seconds": True}, "seconds is True; it takes a number"),
        ({"seconds": 81}, "seconds is 81; this function has time for 80"),
        ({"rate": None}, "rate is None; it takes a number"),
        ({"symbols": ["A", 1]}, r"symbols is \['A', 1\]; it takes a list of symbols"),
        ({"symbols": ""}, "symbols is ''; it takes a list of symbols"),
        ({"seed": 1.5}, "seed is 1.5; it takes a whole number from 0"),
        ({"faults": [1]}, "faults is an object of shares"),
    ],
)
def test_what_it_does_not_do_is_an_error_that_says_what_it_takes(
    event: dict[str, Any], message: str, handler: ModuleType, kinesis: Any, context: LambdaContext
) -> None:
    with pytest.raises(EventError, match=message):
        handler.lambda_handler(event, context)
    assert lines(kinesis) == []


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"seconds": 0}, SimulationError),
        ({"rate": 0}, SimulationError),
        ({"faults": {"sleep": 0.1}}, SimulationError),
        ({"symbols": "../x"}, SimulationError),
        ({"symbols": []}, SettingsError),
        ({"seed": -1}, SettingsError),
    ],
)
def test_what_cannot_be_simulated_is_an_error(
    event: dict[str, Any], error: type[Exception], handler: ModuleType, kinesis: Any, context: LambdaContext
) -> None:
    with pytest.raises(error):
        handler.lambda_handler({"seconds": 0.25} | event, context)
    assert lines(kinesis) == []


def test_it_fails_when_the_stream_does_not_take_all(handler: ModuleType, kinesis: Any, context: LambdaContext) -> None:
    kinesis.delete_stream(StreamName=STREAM)
    with pytest.raises(NotSent, match=r"5 of 5 lines did not reach the stream: .*ResourceNotFoundException"):
        handler.lambda_handler({"seconds": 60, "rate": 20}, context)


def test_it_leaves_time_for_what_the_stream_does_not_take_at_once(handler: ModuleType, context: Context) -> None:
    context.remaining = 30_000
    with pytest.raises(EventError, match="has time for 0"):
        handler.lambda_handler({"seconds": 1}, context)
    assert handler.KEPT_BACK > handler.DEADLINE


def test_a_missing_setting_stops_the_cold_start_and_is_named(
    cold_start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_STREAM_NAME")
    with pytest.raises(SettingsError, match="STOCK_PIPELINE_STREAM_NAME"):
        cold_start("write_records_to_stream")
