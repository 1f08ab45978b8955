"""Ingests the raw objects in staging that no table has seen. The stack calls it every hour, so lost events are healed.

The event may name `since` (days, default 3), `age` (minutes, default 15) and `all` (true: however old the objects are).
Objects that are younger than `age` are left out: they may still be on their way. Without an event, the defaults hold.

An object that cannot be ingested is logged and counted (ObjectsNotRepaired), and the others are ingested; the next call
tries it again. What no time is left for is counted as ObjectsLeft, and the next call does it. The function fails only
if the work could not be done, for example because the store does not answer. The receipts go to the lineage queue, as
those of the processing functions do.

Environment: STOCK_PIPELINE_STAGING_BUCKET and STOCK_PIPELINE_LAKE_BUCKET; optional STOCK_PIPELINE_MAX_OBJECT_MB,
STOCK_PIPELINE_MAX_CLOCK_SKEW_SECONDS and STOCK_PIPELINE_LINEAGE_QUEUE_URL.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.aws.lambda_reporter import Reporter
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import EventError
from stock_pipeline.ingest.arrivals import time_left
from stock_pipeline.ingest.partial_failure import NO_TIME
from stock_pipeline.maintenance.reconcile import AGE, SINCE, find_unseen, repair
from stock_pipeline.settings import Settings

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))
LAKE = S3Store(SETTINGS.require("lake_bucket"))

logger = Logger()
metrics = Metrics(namespace="StockPipeline")
reporter = Reporter(logger, metrics, SETTINGS.lineage_queue_url)

_FIELDS = ("since", "age", "all")


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any] | None, context: LambdaContext) -> dict[str, int]:
    """Find what no table has seen, and ingest it.

    Returns {"looked_at": versions of objects in the window, "unseen": those that no table had seen, "ingested",
    "inserted": rows, "failed": objects, "left": objects that there was no time for}. Raises EventError, which says what
    the event takes; StoreUnavailable and MergeContention when the work could not be done: calling again is safe.
    """
    since, age = window_of(event or {})
    unseen = find_unseen(staging=STAGING, lake=LAKE, since=since, age=age)
    repaired = repair(unseen, staging=STAGING, lake=LAKE, settings=SETTINGS, go_on=time_left(context))
    reporter.report(repaired.receipts)
    failed = {key: reason for key, reason in repaired.failed.items() if reason != NO_TIME}
    for key, reason in failed.items():
        logger.error("the object could not be ingested", key=key, reason=reason)
    answer = {
        "looked_at": unseen.looked_at,
        "unseen": len(unseen.objects),
        "ingested": len(repaired.receipts),
        "inserted": sum(receipt.inserted for receipt in repaired.receipts),
        "failed": len(failed),
        "left": len(repaired.failed) - len(failed),
    }
    logger.info("reconciled", counts=answer)
    for name, count in (("ObjectsUnseen", "unseen"), ("ObjectsNotRepaired", "failed"), ("ObjectsLeft", "left")):
        metrics.add_metric(name, MetricUnit.Count, answer[count])
    return answer


def window_of(event: dict[str, Any]) -> tuple[timedelta | None, timedelta]:
    """How old the objects may be (None: of any age), and how old they must be. Raises EventError."""
    if unknown := sorted(set(event) - set(_FIELDS)):
        raise EventError(f"the event has {unknown[0]!r}; it takes {', '.join(_FIELDS)}")
    everything = event.get("all", False)
    if not isinstance(everything, bool):
        raise EventError(f"all is {everything!r}; it takes true or false")
    if everything and "since" in event:
        raise EventError("the event has all and since; it takes one of them")
    since = SINCE if "since" not in event else timedelta(days=_number(event, "since"))
    age = AGE if "age" not in event else timedelta(minutes=_number(event, "age"))
    return (None if everything else since), age


def _number(event: dict[str, Any], name: str) -> float:
    value = event[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 36_500:
        raise EventError(f"{name} is {value!r}; it takes a number from 0 to 36500")
    return float(value)
