"""Ingests the raw objects of ticks that SQS messages or an S3 event name into stream_prices_history and latest_prices.

From SQS: the event has any number of messages, and each message names any number of objects. The objects of all
messages are merged together. The answer names the messages that failed. Only those come back, and after five tries they
are in the dead-letter queue. A message fails if it is not an S3 event, or if one of its objects could not be
ingested. If no object could be ingested (for example, the store does not answer), the whole
function fails after one try, and all messages come back.

From S3: the answer has a receipt for each object. If one of the objects failed, the function fails, and Lambda calls it
again. To repeat a call is safe at any point.

The event names a version of each object, and that version is read, whatever is under its key by then. An object that is
not ticks is refused, and the reason is on record. That is not a failure; neither is a version that was deleted for good
before it was read (`file_gone` on record). The receipts also go to the
lineage queue. If the queue does not take them, the function logs and counts that, and does not fail.

Environment: STOCK_PIPELINE_STAGING_BUCKET and STOCK_PIPELINE_LAKE_BUCKET; optional STOCK_PIPELINE_MAX_OBJECT_MB,
STOCK_PIPELINE_MAX_CLOCK_SKEW_SECONDS and STOCK_PIPELINE_LINEAGE_QUEUE_URL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.aws.lambda_reporter import Reporter
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.s3_events import read_messages, read_notification
from stock_pipeline.ingest.partial_failure import Ingested, ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import Named
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))
LAKE = S3Store(SETTINGS.require("lake_bucket"))

KEPT_BACK = 30_000  # milliseconds
"""The function starts no further group of objects with less time left than this: a group may take that long."""

logger = Logger()
metrics = Metrics(namespace="StockPipeline")
reporter = Reporter(logger, metrics, SETTINGS.lineage_queue_url)


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Ingest the objects that an event names.

    Returns {"batchItemFailures": [{"itemIdentifier": message id}]} to SQS, {"receipts": [one for each object]} to S3.
    Raises EventError when the event is from neither; what `ingest_each` raises; and, for an event from S3,
    ObjectsFailed when an object failed or is gone.
    """

    def go_on() -> bool:
        return context.get_remaining_time_in_millis() > KEPT_BACK

    records = event.get("Records")
    if isinstance(records, list) and records and all(_is_message(record) for record in records):
        return {"batchItemFailures": [{"itemIdentifier": name} for name in process_messages(records, go_on)]}
    notification = read_notification(event, bucket=STAGING.bucket, prefix=RAW_TICKS)
    _log_passed_over(notification.passed_over)
    ingested = process(notification.objects, go_on)
    if ingested.not_done:
        raise ingested.failure()
    return {"receipts": [receipt.to_record() for receipt in ingested.receipts]}


def process_messages(records: Iterable[dict[str, Any]], go_on: Callable[[], bool]) -> list[str]:
    """Ingest the objects that SQS messages name; returns the ids of the messages that failed, in their order."""
    bodies = {record["messageId"]: record["body"] for record in records}
    messages = read_messages(bodies, bucket=STAGING.bucket, prefix=RAW_TICKS)
    _log_passed_over(messages.passed_over)
    left = messages.left(process(messages.distinct, go_on).not_done)
    for name, reason in left.items():
        logger.error(
            "the message failed", message_id=name, keys=[found.key for found in messages.objects[name]], reason=reason
        )
    metrics.add_metric("MessagesFailed", MetricUnit.Count, len(left))
    return list(left)


def process(keys: Sequence[Named], go_on: Callable[[], bool]) -> Ingested:
    """Ingest objects together and report what is done. If one object fails, only that one fails."""

    def ingest(some: Sequence[Named]) -> list[Receipt]:
        return ingest_ticks(some, staging=STAGING, lake=LAKE, **options_of(SETTINGS), go_on=go_on)

    ingested = ingest_each(keys, ingest, go_on)
    reporter.report(ingested.receipts)
    return ingested


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


def _log_passed_over(passed_over: Iterable[tuple[str, str]]) -> None:
    for key, reason in passed_over:
        logger.info("passed over", key=key, reason=reason)
