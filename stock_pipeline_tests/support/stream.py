"""A stream without its transport: a test drops raw objects of ticks and notifies the queue, as S3 does."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import boto3
import dagster as dg
import pytest
from moto.sqs import models as sqs_models

from stock_pipeline.aws import sqs as queue_module
from stock_pipeline.aws.sqs import Queue, depth
from stock_pipeline.definitions import defs
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.pipeline import RANGE, Pipeline

OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
DAY = "2024-06-03"
HIDDEN = 60  # seconds
TRIES = 2
Row = dict[str, Any]


def tick(event_id: str, symbol: str = "AAPL", price: float = 10.5, at: datetime = OPEN, second: float = 0) -> bytes:
    """One tick as a producer sends it: a line of JSON."""
    moment = (at + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f")
    return json.dumps({"event_id": event_id, "symbol": symbol, "price": price, "produced_at": moment}).encode() + b"\n"


def event_of(*keys: str, bucket: str = "staging") -> str:
    """What S3 tells a queue of new objects."""
    return json.dumps(
        {
            "Records": [
                {
                    "eventName": "ObjectCreated:Put",
                    "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/")}},
                }
                for key in keys
            ]
        }
    )


@dataclass
class Stream:
    """What a test drives: raw objects, messages, runs; and what it looks at: tables, queues, events."""

    pipeline: Pipeline
    queue: Queue
    dead: Queue
    sqs: Any
    passed: float = 0

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.pipeline.instance

    @property
    def settings(self) -> Settings:
        return Settings.from_env()

    def drop(self, name: str, *lines: bytes, hour: str = "2024/06/03/13", told: bool = True) -> str:
        """A raw object; the queue is told of it unless it is not to be."""
        key = f"stock_stream/{hour}/{name}"
        self.pipeline.staging.put(key, b"".join(lines))
        if told:
            self.send(event_of(key))
        return key

    def send(self, body: str) -> None:
        self.sqs.send_message(QueueUrl=self.queue.url, MessageBody=body)

    def pass_time(self, seconds: float = HIDDEN + 1) -> None:
        """Move the queues' clock; by default, until what is hidden appears again."""
        self.passed += seconds

    def run(
        self,
        job: str = "ingest_ticks",
        day: str | None = DAY,
        last: str | None = None,
        *,
        assets: Sequence[str] = (),
        succeeds: bool = True,
        **config: Any,
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or materialize assets, with a config; for a day, a range of days, or none."""
        if assets:
            job = "by_hand"
            by_hand = dg.define_asset_job(job, dg.AssetSelection.assets(*assets).without_checks())
            resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[by_hand])).resolve_job_def(job)
        else:
            resolved = defs.resolve_job_def(job)
        span = {f"{RANGE}_start": day, f"{RANGE}_end": last} if day and last else {}
        result = resolved.execute_in_process(
            run_config={"ops": {"stream_prices": {"config": config}}} if config else None,
            instance=self.instance,
            tags=span,
            partition_key=None if last else day,
            raise_on_error=False,
        )
        assert result.success == succeeds, [e.message for e in result.all_events if e.is_failure]
        return result

    def history(self) -> list[Row]:
        parts = (read_partition(self.pipeline.lake, STREAM_PRICES_HISTORY, name) for name in self.buckets())
        return [row for part in parts if part is not None for row in part.to_pylist()]

    def buckets(self) -> list[str]:
        return partitions(self.pipeline.lake, STREAM_PRICES_HISTORY)

    def ids(self) -> list[str]:
        return sorted(row["event_id"] for row in self.history())

    def latest(self) -> dict[str, str]:
        """The event id of each symbol's latest tick."""
        rows = read_partition(self.pipeline.lake, LATEST_PRICES, SNAPSHOT)
        return {} if rows is None else {row["symbol"]: row["event_id"] for row in rows.to_pylist()}

    def held(self) -> int:
        """Messages that are in the queue, received or not."""
        return depth(self.sqs, self.queue.url).held


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of everything that a run materialized, by the day, or by the asset where there is no day."""
    found = {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_MATERIALIZATION":
            done = event.step_materialization_data.materialization
            name = done.partition or done.asset_key.to_user_string()
            found[name] = {name: value.value for name, value in done.metadata.items()}
    return found


@pytest.fixture
def stream(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Stream:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": TRIES})
    attributes = {"VisibilityTimeout": str(HIDDEN), "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName="arrivals", Attributes=attributes)["QueueUrl"]
    environment = {
        "STOCK_PIPELINE_STREAM_QUEUE_URL": url,
        "STOCK_PIPELINE_STREAM_DLQ_URL": dead,
        "STOCK_PIPELINE_SQL_ENGINE": "duckdb",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Stream(pipeline, Queue(url), Queue(dead), sqs)
    monkeypatch.setattr(sqs_models, "unix_time_millis", lambda: (time.time() + made.passed) * 1000)
    monkeypatch.setattr(queue_module, "WAIT_SECONDS", 0)
    return made
