"""The job that ingests what no table has seen, and its schedule. It calls `stock_pipeline.maintenance.reconcile`."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
from pydantic import Field

from stock_pipeline.maintenance.reconcile import AGE, SINCE, Repaired, Unseen, find_unseen, repair
from stock_pipeline.orchestration.batch.checks import evaluate_year
from stock_pipeline.orchestration.lineage.cancelled import without_cancelled
from stock_pipeline.orchestration.lineage.events import by_target, materialization, warnings_of
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.ui.metadata import progress

_LISTED = 50  # objects named in the log


class ReconcileConfig(dg.Config):
    """Which raw objects are looked up in the tables."""

    since_days: float = Field(default=SINCE / timedelta(days=1), ge=0, description="Only objects from the last N days.")
    everything: bool = Field(default=False, description="All objects, however old they are.")
    age_minutes: float = Field(
        default=AGE / timedelta(minutes=1),
        ge=0,
        description="Leave out objects of the last N minutes: they are on their way.",
    )
    cancelled: bool = Field(
        default=False, description="Also the objects of runs that a person has cancelled; else they are left out."
    )
    dry_run: bool = Field(default=False, description="Only list what no table has seen; ingest nothing.")


@dg.op(
    out={}, description="Ingests the raw objects that no table has seen, and shows the same events as the assets' runs."
)
def ingest_unseen(
    context: dg.OpExecutionContext, buckets: Buckets, config: ReconcileConfig
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]:
    with as_dagster_failures():
        unseen = _find(context, buckets, config)
        if config.dry_run or not unseen:
            return
        staging, lake = buckets.staging, buckets.lake
        report = progress(context.log.info, "raw objects")
        repaired = repair(unseen, staging=staging, lake=lake, settings=buckets.settings, on_progress=report)
        _log(context, repaired)
        touched = by_target(repaired.receipts)
        for target, receipts in touched.items():
            yield materialization(target, receipts, staging, lake)
        for target in touched:
            for year in target.years:
                yield from evaluate_year(lake, context.instance, year)
    if repaired.failed:
        key, reason = next(iter(repaired.failed.items()))
        raise dg.Failure(f"{len(repaired.failed)} objects were not ingested; {key}: {reason}", allow_retries=False)


@dg.job(
    description=(
        "Find the raw objects in staging that no table has seen, and ingest them. This repairs lost notifications, for "
        "Dagster and for the Lambda functions. It compares staging with the tables, so it is safe at any time."
    )
)
def reconcile() -> None:
    ingest_unseen()


@dg.schedule(
    job=reconcile,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour: reconcile staging with the tables. A run that finds nothing costs a few listings.",
)
def reconcile_hourly(buckets: Buckets) -> dg.RunRequest | dg.SkipReason:
    if not (buckets.settings.staging_bucket and buckets.settings.lake_bucket):
        return dg.SkipReason("STOCK_PIPELINE_STAGING_BUCKET or STOCK_PIPELINE_LAKE_BUCKET is not set")
    return dg.RunRequest()


def _find(context: dg.OpExecutionContext, buckets: Buckets, config: ReconcileConfig) -> Unseen:
    unseen = find_unseen(
        staging=buckets.staging,
        lake=buckets.lake,
        since=None if config.everything else timedelta(days=config.since_days),
        age=timedelta(minutes=config.age_minutes),
        on_progress=progress(context.log.info, "raw objects accounted for"),
    )
    context.log.info(f"{len(unseen.objects):,} of {unseen.looked_at:,} raw objects were seen by no table")
    if buckets.settings.processor == "dagster" and not config.cancelled:
        found, unseen = unseen, without_cancelled(unseen, context.instance)
        if left := len(found.objects) - len(unseen.objects):
            context.log.warning(
                f"{left:,} of these are left out, because a person has cancelled their runs; to ingest them, launch "
                "this job with cancelled: true"
            )
    for year in unseen.rebuilds:
        context.log.warning(f"the rebuild of {year} was stopped before its end")
    for info in unseen.objects[:_LISTED]:
        context.log.warning(f"no table has seen {info.key} of {info.modified:%Y-%m-%d %H:%M:%S} UTC")
    context.instance.add_run_tags(context.run_id, {"stock_pipeline/unseen": str(len(unseen.objects))})
    return unseen


def _log(context: dg.OpExecutionContext, repaired: Repaired) -> None:
    for line in warnings_of(repaired.receipts):
        context.log.warning(line)
    for key, reason in repaired.failed.items():
        context.log.error(f"{key} was not ingested: {reason}")
    context.log.info(f"{sum(receipt.inserted for receipt in repaired.receipts):,} rows stored for the first time")
