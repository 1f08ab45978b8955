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

from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.aws.lambda_reporter import Reporter
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.ingest.arrivals import Arrivals, GoOn, time_left
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import Named
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))
LAKE = S3Store(SETTINGS.require("lake_bucket"))

logger = Logger()
metrics = Metrics(namespace="StockPipeline")
reporter = Reporter(logger, metrics, SETTINGS.lineage_queue_url)


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Ingest the objects that an event names; answers and raises as `Arrivals.answer`."""
    return arrivals().answer(event, time_left(context))


def arrivals() -> Arrivals:
    """The raw objects of ticks in staging, and their ingest."""

    def ingest(keys: Sequence[Named], go_on: GoOn) -> list[Receipt]:
        return ingest_ticks(keys, staging=STAGING, lake=LAKE, **options_of(SETTINGS), go_on=go_on)

    return Arrivals(STAGING.bucket, RAW_TICKS, ingest, logger, metrics, reporter)
