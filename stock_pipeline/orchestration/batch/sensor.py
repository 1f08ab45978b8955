"""The sensor over `daily_prices/` in staging: it misses no object and requests one run per year."""

import time
from os.path import commonprefix

import dagster as dg

from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.config import IngestConfig, as_version
from stock_pipeline.orchestration.batch.cursor import Cursor, identity
from stock_pipeline.orchestration.batch.jobs import ingest_daily_prices
from stock_pipeline.orchestration.batch.run_requests import Request, RunState, plan_runs
from stock_pipeline.orchestration.priorities import ARRIVALS_FIRST, ONE_AT_A_TIME
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, session_of

INTERVAL = 10  # seconds


@dg.sensor(
    job=ingest_daily_prices,
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Finds every new version of an object under daily_prices/ in staging, also those that others have replaced by "
        "now, and requests one run of price_by_date per year (or per range of years, for files that have several). It "
        "requests the objects of a failed run again, but not those of a run that a person has cancelled. "
        "Resetting the cursor requests runs for all objects again, which adds nothing twice."
    ),
)
def daily_price_arrivals(context: dg.SensorEvaluationContext, buckets: Buckets) -> dg.SensorResult | dg.SkipReason:
    if buckets.settings.processor == "lambda":
        return dg.SkipReason("STOCK_PIPELINE_PROCESSOR is lambda: the Lambda functions consume the arrivals")
    staging, now = buckets.staging, time.time()
    cursor = Cursor.from_text(context.cursor, now)
    listed = versions_of(staging)
    requests = plan_runs(cursor, listed, staging, lambda key: _state(context.instance, key), now, context.log.error)
    waiting = sum(len(batch.objects) for batch in cursor.batches)
    return dg.SensorResult(
        run_requests=[_run_request(request, staging.bucket) for request in requests],
        cursor=cursor.to_text(),
        skip_reason=None
        if requests
        else dg.SkipReason(
            f"nothing new among {len(listed):,} objects under s3://{staging.bucket}/{RAW_DAILY_PRICES}"
            + (f"; {waiting:,} of them are in runs that are not done" if waiting else "")
        ),
    )


def versions_of(staging: ObjectStore) -> list[ObjectInfo]:
    """Every version of every raw object. One with the content of an earlier version of its key is the same version."""
    found: dict[int, ObjectInfo] = {}
    for info in staging.versions(RAW_DAILY_PRICES):
        if not info.key.endswith("/"):
            found.setdefault(identity(info), info)
    return list(found.values())


def _state(instance: dg.DagsterInstance, run_key: str) -> RunState:
    runs = instance.get_runs(dg.RunsFilter(job_name=ingest_daily_prices.name, tags={"dagster/run_key": run_key}))
    if any(run.is_success for run in runs):
        return "succeeded"
    if any(not run.is_finished for run in runs):
        return "running"
    if any(run.status is dg.DagsterRunStatus.CANCELED for run in runs):
        return "cancelled"
    return "failed" if runs else "gone"


def _run_request(request: Request, bucket: str) -> dg.RunRequest:
    batch, keys = request.batch, request.keys
    tags = {
        "stock_pipeline/objects": str(len(keys)),
        "stock_pipeline/prefix": f"s3://{bucket}/{commonprefix(keys)}",  # noqa: RUF071 (a prefix may end within a name)
        "stock_pipeline/attempt": str(batch.attempt),
        **ARRIVALS_FIRST,
        **({} if all(map(session_of, keys)) else ONE_AT_A_TIME),
    }
    versions = [as_version(info) for info in request.objects if info.version]
    config = dg.RunConfig(ops={price_by_date.op.name: IngestConfig(sources=list(keys), versions=versions)})
    if batch.first == batch.last:
        return dg.RunRequest(batch.run_key, config, tags, partition_key=str(batch.first))
    tags |= {
        "dagster/asset_partition_range_start": str(batch.first),
        "dagster/asset_partition_range_end": str(batch.last),
    }
    return dg.RunRequest(batch.run_key, config, tags)
