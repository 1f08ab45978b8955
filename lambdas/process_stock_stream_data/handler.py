"""SQS, or S3 itself, tells of raw objects of ticks; they are brought into stream_prices_history and latest_prices.

From SQS come any number of messages that name any number of objects each. The objects of all of them are merged
together, and the answer names the messages that failed: only these come back, and end in the dead-letter queue after
five tries. A message fails when the work on one of its objects could not be done, when such an object is gone, and when
it is no S3 event. When nothing can be done for any object (the store does not answer, other writers were always
faster), the function fails as a whole after one try, and all messages come back. From S3 directly the answer holds a
receipt for each object, and when one of them failed the function fails, so that Lambda calls it again. Either is safe
at any point. An object that is not ticks is refused with its reason on record, which is no failure. The receipts of
what is stored go to the lineage queue too; if that does not take them, this is logged and counted, and no failure
either.

Environment: STOCK_PIPELINE_STAGING_BUCKET and STOCK_PIPELINE_LAKE_BUCKET; optional STOCK_PIPELINE_MAX_OBJECT_MB,
STOCK_PIPELINE_TICK_BUCKET_MINUTES, STOCK_PIPELINE_MAX_CLOCK_SKEW_SECONDS and STOCK_PIPELINE_LINEAGE_QUEUE_URL.
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
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS

# Read while the function starts: a missing setting stops it there, named, and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))
LAKE = S3Store(SETTINGS.require("lake_bucket"))

KEPT_BACK = 30_000  # milliseconds
"""No further group of objects is begun when less of the function's time is left: one may take so long."""

logger = Logger()
metrics = Metrics(namespace="StockPipeline")
reporter = Reporter(logger, metrics, SETTINGS.lineage_queue_url)


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Ingest the objects that an event names.

    Returns {"batchItemFailures": [{"itemIdentifier": message id}]} to SQS, {"receipts": [one for each object]} to S3.
    Raises EventError when the event is from neither, what `ingest_each` raises, and, for an event of S3, ObjectsFailed
    when an object failed or is gone.
    """

    def go_on() -> bool:
        return context.get_remaining_time_in_millis() > KEPT_BACK

    records = event.get("Records")
    if isinstance(records, list) and records and all(_is_message(record) for record in records):
        return {"batchItemFailures": [{"itemIdentifier": name} for name in process_messages(records, go_on)]}
    notification = read_notification(event, bucket=STAGING.bucket, prefix=RAW_TICKS)
    _log_passed_over(notification.passed_over)
    ingested = process(notification.keys, go_on)
    if ingested.not_done:
        raise ingested.failure()
    return {"receipts": [receipt.to_record() for receipt in ingested.receipts]}


def process_messages(records: Iterable[dict[str, Any]], go_on: Callable[[], bool]) -> list[str]:
    """Ingest what some SQS messages name; returns the ids of those that failed, in their order."""
    bodies = {record["messageId"]: record["body"] for record in records}
    messages = read_messages(bodies, bucket=STAGING.bucket, prefix=RAW_TICKS)
    _log_passed_over(messages.passed_over)
    left = messages.left(process(messages.distinct, go_on).not_done)
    for name, reason in left.items():
        logger.error("the message failed", message_id=name, keys=messages.keys[name], reason=reason)
    metrics.add_metric("MessagesFailed", MetricUnit.Count, len(left))
    return list(left)


def process(keys: Sequence[str], go_on: Callable[[], bool]) -> Ingested:
    """Ingest some objects together and report what is done; one that breaks the ingest fails alone."""

    def ingest(some: Sequence[str]) -> list[Receipt]:
        return ingest_ticks(some, staging=STAGING, lake=LAKE, **options_of(SETTINGS), go_on=go_on)

    ingested = ingest_each(keys, ingest, go_on)
    reporter.report(ingested.receipts)
    return ingested


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


def _log_passed_over(passed_over: Iterable[tuple[str, str]]) -> None:
    for key, reason in passed_over:
        logger.info("passed over", key=key, reason=reason)
