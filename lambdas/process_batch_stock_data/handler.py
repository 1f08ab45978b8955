"""Ingests the raw objects of daily prices that an S3 event names into the table `price_by_date`.

The event names any number of objects, and the answer has a receipt for each. The function fails if the work could not
be done, for example because the store does not answer. Lambda then calls it again with the same event, which is safe at
any point. If one object fails, the others are stored before the function fails.

The event names a version of each object, and that version is read, whatever is under its key by then. An object that is
not daily prices is refused, and the reason is on record. That is not a failure; neither is a version that was deleted
for good before it was read (`file_gone` on record). The receipts also go
to the lineage queue. If the queue does not take them, the function logs and counts that, and does not fail.

Environment: STOCK_PIPELINE_STAGING_BUCKET and STOCK_PIPELINE_LAKE_BUCKET; optional STOCK_PIPELINE_MAX_OBJECT_MB and
STOCK_PIPELINE_LINEAGE_QUEUE_URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.aws.lambda_reporter import Reporter
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.s3_events import read_notification
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.partial_failure import ingest_each
from stock_pipeline.lake.object_store import Named, named
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_DAILY_PRICES

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))
LAKE = S3Store(SETTINGS.require("lake_bucket"))

logger = Logger()
metrics = Metrics(namespace="StockPipeline")
reporter = Reporter(logger, metrics, SETTINGS.lineage_queue_url)


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda gives it
    """Ingest the objects that an S3 event names; returns {"receipts": [one for each object]}.

    Raises EventError when the event is not from S3, or is from another bucket than staging; ObjectsFailed when one of
    the objects failed; and what `ingest_each` raises.
    """
    notification = read_notification(event, bucket=STAGING.bucket, prefix=RAW_DAILY_PRICES)
    for key, reason in notification.passed_over:
        logger.info("passed over", key=key, reason=reason)

    def ingest(keys: Sequence[Named]) -> list[Receipt]:
        return ingest_daily_prices(keys, staging=STAGING, lake=LAKE, max_bytes=SETTINGS.max_object_bytes)

    ingested = ingest_each(notification.objects, ingest)
    reporter.report(ingested.receipts)
    for failed, reason in ingested.not_done.items():
        logger.error("the object failed", key=named(failed).key, reason=reason)
    if ingested.not_done:
        raise ingested.failure()
    return {"receipts": [receipt.to_record() for receipt in ingested.receipts]}
