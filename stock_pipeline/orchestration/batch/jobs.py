"""The jobs and schedules of the batch path: simulate sessions, ingest years, check them after the close."""

from datetime import date

import dagster as dg

from stock_pipeline.orchestration.batch.assets import price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.checks import YearsConfig, check_years
from stock_pipeline.orchestration.partitions import DAILY, EXCHANGE_TIME
from stock_pipeline.orchestration.priorities import CHECKS_LAST
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.trading_calendar.sessions import is_session

simulate_daily_prices = dg.define_asset_job(
    "simulate_daily_prices",
    selection=dg.AssetSelection.assets(raw_daily_prices).without_checks(),
    tags={"dagster/max_retries": "2"},  # for a run whose process was killed: nothing else would start it again
    description="Simulate trading sessions and write one raw CSV object for each. Launch it over a range to backfill.",
)

ingest_daily_prices = dg.define_asset_job(
    "ingest_daily_prices",
    selection=dg.AssetSelection.assets(price_by_date),
    description=(
        "Ingest the raw objects of years of price_by_date, then check the years. The config can name the objects, "
        "restate from them, or rebuild the years from the raw objects only."
    ),
)


@dg.job(
    description=(
        "Check years of price_by_date. The sensor lambda_receipts requests it for years that Lambda functions wrote. "
        "Started by hand without a config, it checks every stored year."
    ),
    tags=CHECKS_LAST,
)
def check_prices() -> None:
    check_years()


# 20:05 in New York is after midnight UTC all year round. By then the session's partition exists.
@dg.schedule(
    job=simulate_daily_prices,
    cron_schedule="5 20 * * 1-5",
    execution_timezone=EXCHANGE_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="After each session of XNYS: simulate its raw prices. Then the sensor daily_price_arrivals sees them.",
)
def simulate_after_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    session: date = context.scheduled_execution_time.date()
    if not is_session(session):
        return dg.SkipReason(f"{session} is a holiday of XNYS")
    key = session.isoformat()
    if not DAILY.has_partition_key(key):
        return dg.SkipReason(f"{key} is not a partition of raw_daily_prices")
    return dg.RunRequest(run_key=key, partition_key=key, tags={"stock_pipeline/session": key})


# A symbol is stale if no new object has it, so no arrival can start this check.
@dg.schedule(
    job=check_prices,
    cron_schedule="0 22 * * 1-5",
    execution_timezone=EXCHANGE_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="At 22:00 after each session of XNYS: check the current year of price_by_date.",
)
def check_prices_after_close(context: dg.ScheduleEvaluationContext, buckets: Buckets) -> dg.RunRequest | dg.SkipReason:
    session: date = context.scheduled_execution_time.date()
    if not is_session(session):
        return dg.SkipReason(f"{session} is a holiday of XNYS")
    if not buckets.settings.lake_bucket:
        return dg.SkipReason("STOCK_PIPELINE_LAKE_BUCKET is not set: there are no tables to check")
    return dg.RunRequest(
        run_key=session.isoformat(),
        run_config=dg.RunConfig(ops={check_years.name: YearsConfig(years=[session.year])}),
        tags={"stock_pipeline/session": session.isoformat()},
    )
