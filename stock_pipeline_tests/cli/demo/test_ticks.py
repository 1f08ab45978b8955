"""The demo's stream where something is amiss: it says what is missing and leaves nothing running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import boto3
import pytest

from stock_pipeline.cli.demo import ticks as demo_ticks
from stock_pipeline.cli.demo.ticks import TickDemo
from stock_pipeline.errors import DevError, NotSent
from stock_pipeline.settings import Settings

URL = "http://127.0.0.1:3000"


@contextmanager
def timed(step: str) -> Iterator[None]:
    yield


@pytest.fixture
def settings(aws: None, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A stream that nobody reads, and a queue with one message that nobody takes; everything is impatient."""
    for name, value in (("SECONDS", 1), ("_PATIENCE", 0.5), ("_POLL", 0.1)):
        monkeypatch.setattr(demo_ticks, name, value)
    boto3.client("kinesis").create_stream(StreamName="ticks", ShardCount=1)
    sqs = boto3.client("sqs")
    queue = sqs.create_queue(QueueName="arrivals")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="{}")
    return replace(Settings.from_env(), stream_name="ticks", stream_queue_url=queue, symbols=("AAPL", "MSFT"))


@pytest.mark.parametrize(("processor", "where"), [("dagster", URL), ("lambda", ".local/aws.log")])
def test_ticks_that_do_not_arrive_are_counted_with_where_to_look(
    settings: Settings, processor: str, where: str
) -> None:
    with pytest.raises(DevError) as failure:
        TickDemo(replace(settings, processor=processor), URL, lambda: None, timed).run()
    assert f"0 of {demo_ticks.RATE} ticks are in stream_prices_history" in str(failure.value)
    assert "1 messages wait" in str(failure.value)
    assert where in str(failure.value)


def test_a_stream_that_refuses_ticks_ends_the_demo_with_the_count(settings: Settings) -> None:
    with pytest.raises(NotSent, match="nowhere"):
        TickDemo(replace(settings, stream_name="nowhere"), URL, lambda: None, timed).run()


def test_when_a_process_has_ended_producing_stops_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_ticks, "SECONDS", 10_000)

    def ended() -> None:
        raise DevError("the daemon ended by itself")

    before = threading.active_count()
    with pytest.raises(DevError, match="daemon"):
        TickDemo(settings, URL, ended, timed).run()
    assert threading.active_count() <= before


def test_without_a_stream_it_says_so_and_goes_on(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    TickDemo(replace(settings, stream_name=None), URL, lambda: None, timed).run()
    assert "STOCK_PIPELINE_STREAM_NAME is not set" in capsys.readouterr().err
