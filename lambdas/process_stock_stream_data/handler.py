"""SQS, or S3 itself, tells of raw objects of ticks; they are brought into stream_prices_history and latest_prices.

From SQS come any number of messages that name any number of objects each. The objects of all of them are merged
together, and the answer names the messages that failed: only these come back, and end in the dead-letter queue after
five tries. A message fails when the work on one of its objects could not be done, when such an object is gone, and when
it is no S3 event. From S3 directly the answer holds a receipt for each object, and the function fails as a whole, so
that Lambda calls it again. Either is safe at any point. An object that is not ticks is refused with its reason on
record, which is no failure. The receipts of what is stored go to the lineage queue too; if that does not take them,
this is logged and counted, and no failure either.

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
from stock_pipeline.aws.s3_events import Notification, read_message, read_notification
from stock_pipeline.errors import EventError, ObjectsFailed, StockPipelineError
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

Failures = dict[str, str]
"""Why each of some keys failed."""


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Ingest the objects that an event names.

    Returns {"batchItemFailures": [{"itemIdentifier": message id}]} to SQS, {"receipts": [one for each object]} to S3.
    Raises EventError when the event is from neither, and, for an event of S3, ObjectsFailed when an object failed.
    """

    def go_on() -> bool:
        return context.get_remaining_time_in_millis() > KEPT_BACK

    records = event.get("Records")
    if isinstance(records, list) and records and all(_is_message(record) for record in records):
        return {"batchItemFailures": [{"itemIdentifier": name} for name in process_messages(records, go_on)]}
    notification = read_notification(event, bucket=STAGING.bucket, prefix=RAW_TICKS)
    _log_passed_over(notification)
    receipts, failures = process(notification.keys, go_on)
    if failures:
        key, reason = next(iter(failures.items()))
        raise ObjectsFailed(f"{len(failures)} of {len(notification.keys)} objects failed; {key}: {reason}")
    return {"receipts": [receipt.to_record() for receipt in receipts]}


def process_messages(records: Iterable[dict[str, Any]], go_on: Callable[[], bool]) -> list[str]:
    """Ingest what some SQS messages name; returns the ids of those that failed, in their order."""
    named: dict[str, tuple[str, ...]] = {}
    failed: dict[str, str] = {}
    for record in records:
        name = record["messageId"]
        named[name] = ()
        try:
            notification = read_message(record["body"], bucket=STAGING.bucket, prefix=RAW_TICKS)
        except EventError as error:
            failed[name] = str(error)
            continue
        _log_passed_over(notification)
        named[name] = notification.keys
    _, failures = process(list(dict.fromkeys(key for keys in named.values() for key in keys)), go_on)
    failed |= {name: failures[key] for name, keys in named.items() for key in keys if key in failures}
    for name, reason in failed.items():
        logger.error("the message failed", message_id=name, keys=named[name], reason=reason)
    metrics.add_metric("MessagesFailed", MetricUnit.Count, len(failed))
    return [name for name in named if name in failed]


def process(keys: Sequence[str], go_on: Callable[[], bool]) -> tuple[list[Receipt], Failures]:
    """Ingest some objects together; one that cannot be ingested fails alone, as do those that there is no time for."""
    try:
        receipts, failures = _ingest(keys, go_on), Failures()
    except Exception as error:
        # One of them is at fault, or the store. Tried one by one, the others are stored; what was stored stays so.
        logger.warning("trying the objects one by one", objects=len(keys), reason=_said(error))
        receipts, failures = _one_by_one(keys, go_on)
    done = {receipt.source: receipt for receipt in receipts}
    for key in keys:
        if key in done and not done[key].etag:
            failures[key] = done[key].refused or "the object does not exist"
        elif key not in done and key not in failures:
            failures[key] = "no time was left for it"
    reporter.report([receipt for receipt in receipts if receipt.source not in failures])
    return receipts, failures


def _one_by_one(keys: Sequence[str], go_on: Callable[[], bool]) -> tuple[list[Receipt], Failures]:
    receipts: list[Receipt] = []
    failures: Failures = {}
    for key in keys:
        if not go_on():
            break
        try:
            receipts += _ingest([key], go_on)
        except Exception as error:
            failures[key] = _said(error)
    return receipts, failures


def _ingest(keys: Sequence[str], go_on: Callable[[], bool]) -> list[Receipt]:
    return ingest_ticks(
        keys,
        staging=STAGING,
        lake=LAKE,
        **options_of(SETTINGS),
        go_on=go_on,
    )


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"


def _said(error: Exception) -> str:
    """An error in words of ours; of any other only its kind, as its message may hold what stood in a row."""
    return str(error) if isinstance(error, StockPipelineError) else type(error).__name__


def _log_passed_over(notification: Notification) -> None:
    for key, reason in notification.passed_over:
        logger.info("passed over", key=key, reason=reason)
