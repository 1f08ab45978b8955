"""A stack whose functions ingest, and a Dagster that learns of it only through the lineage queue."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import boto3
import dagster as dg
import pytest
from moto.sqs import models as sqs_models

from stock_pipeline.aws import sqs as queue_module
from stock_pipeline.aws.receipt_queue import send
from stock_pipeline.aws.sqs import depth
from stock_pipeline.definitions import defs
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.orchestration.lineage.sensor import lambda_receipts
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.receipts import Receipt
from stock_pipeline_tests.support.pipeline import Pipeline

HEADER = "symbol,date,open,high,low,close,volume\n"
HIDDEN = 60  # seconds
TRIES = 3


def bar(day: str, symbol: str = "AAPL", close: float = 10) -> str:
    return f"{symbol},{day},{close},{close + 1},{close - 1},{close},100\n"


def tick(event_id: str, at: str = "2024-06-03 13:30:00", symbol: str = "AAPL") -> str:
    return json.dumps({"event_id": event_id, "symbol": symbol, "price": 10.5, "produced_at": at}) + "\n"


@dataclass
class Lineage:
    """What a test drives: functions that ingest, and ticks of the sensor; and what it looks at: events and queues."""

    pipeline: Pipeline
    sqs: Any
    url: str
    dead: str
    cursor: str | None = None
    passed: float = 0

    @property
    def instance(self) -> dg.DagsterInstance:
        return self.pipeline.instance

    def arrive(self, key: str, *rows: str, tell: bool = True) -> list[Receipt]:
        """An object arrives, a function ingests it and sends its receipt."""
        self.pipeline.staging.put(key, (("" if "stream" in key else HEADER) + "".join(rows)).encode())
        return self.ingest([key], tell=tell)

    def ingest(self, keys: Sequence[str], *, tell: bool = True) -> list[Receipt]:
        ingest = ingest_ticks if keys[0].startswith("stock_stream/") else ingest_daily_prices
        receipts = ingest(keys, staging=self.pipeline.staging, lake=self.pipeline.lake)  # type: ignore[operator]
        if tell:
            self.tell(receipts)
        return receipts  # type: ignore[no-any-return]

    def tell(self, receipts: Sequence[Receipt]) -> None:
        assert send(receipts, self.sqs, self.url) == []

    def evaluate(self) -> dg.SensorResult:
        """A tick of the sensor of which nothing is committed yet."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"buckets": Buckets()}, definitions=defs
        )
        answer = lambda_receipts(context)
        assert isinstance(answer, dg.SensorResult)
        return answer

    def commit(self, result: dg.SensorResult, *, events: int | None = None, cursor: bool = True) -> None:
        """What the daemon does after a tick; it may die after some of the events, or before the cursor is stored."""
        for event in result.asset_events[:events]:
            self.instance.report_runless_asset_event(event)
        if cursor:
            self.cursor = result.cursor

    def tick(self) -> dg.SensorResult:
        result = self.evaluate()
        self.commit(result)
        return result

    def run_ticks(self, day: str, *keys: str) -> dg.ExecuteInProcessResult:
        """Let Dagster ingest raw objects of ticks itself."""
        config = {"ops": {"stream_prices": {"config": {"sources": list(keys)}}}}
        job = defs.resolve_job_def("ingest_ticks")
        return job.execute_in_process(run_config=config, instance=self.instance, partition_key=day)

    def check(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run the checks that the sensor asked for."""
        job = defs.resolve_job_def("check_prices")
        return job.execute_in_process(run_config=request.run_config, instance=self.instance)

    def held(self, url: str | None = None) -> int:
        """Messages in a queue, received or not."""
        return depth(self.sqs, url or self.url).held

    def pass_time(self, seconds: float = HIDDEN + 1) -> None:
        """Move the queues' clock; by default, until what is hidden appears again."""
        self.passed += seconds

    def materialized(self, asset: str, partition: str | None = None) -> list[dict[str, Any]]:
        """The metadata of an asset's materializations, or of a partition's, newest first."""
        records = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition] if partition else None)
        found = self.instance.fetch_materializations(records, limit=1000).records
        return [{n: v.value for n, v in r.asset_materialization.metadata.items()} for r in found]  # type: ignore[union-attr]

    def shown(self) -> list[tuple[str, str | None]]:
        """Every materialization there is, as (asset, partition), in order."""
        return sorted(
            ((key.to_user_string(), record.partition_key)
            for key in defs.resolve_asset_graph().get_all_asset_keys()
            for record in self.instance.fetch_materializations(dg.AssetRecordsFilter(key), limit=1000).records),
            key=str,
        )  # fmt: skip


@pytest.fixture
def lineage(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Lineage:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="lineage-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": TRIES})
    attributes = {"VisibilityTimeout": str(HIDDEN), "RedrivePolicy": redrive}
    url = sqs.create_queue(QueueName="lineage", Attributes=attributes)["QueueUrl"]
    for name, value in {
        "STOCK_PIPELINE_PROCESSOR": "lambda",
        "STOCK_PIPELINE_LINEAGE_QUEUE_URL": url,
        "STOCK_PIPELINE_SQL_ENGINE": "duckdb",
    }.items():
        monkeypatch.setenv(name, value)
    made = Lineage(pipeline, sqs, url, dead)
    monkeypatch.setattr(sqs_models, "unix_time_millis", lambda: (time.time() + made.passed) * 1000)
    monkeypatch.setattr(queue_module, "WAIT_SECONDS", 0)
    return made
