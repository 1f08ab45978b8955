"""What people and schedules start: simulate sessions, ingest years, and the schedule after the close."""

from datetime import date

import dagster as dg

from stock_pipeline.orchestration.batch.assets import price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.checks import YearsConfig, check_years
from stock_pipeline.orchestration.partitions import DAILY, EXCHANGE_TIME
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.trading_calendar.sessions import is_session

simulate_daily_prices = dg.define_asset_job(
    "simulate_daily_prices",
    selection=dg.AssetSelection.assets(raw_daily_prices).without_checks(),
    tags={"dagster/max_retries": "2"},  # of a run whose process was killed: nobody else would start it again
    description="Simulate trading sessions and write one raw CSV object for each. Launch it over a range to backfill.",
)

ingest_daily_prices = dg.define_asset_job(
    "ingest_daily_prices",
    selection=dg.AssetSelection.assets(price_by_date),
    description=(
        "Bring years of price_by_date in line with the raw objects in staging, then check them. Its config can name "
        "the objects to take, restate from them, or rebuild the years from nothing."
    ),
)


@dg.job(
    description=(
        "Check years of price_by_date that no run of it wrote: the sensor lambda_receipts asks for those that Lambda "
        "functions wrote. Started by hand without a config, it checks every stored year."
    )
)
def check_prices() -> None:
    check_years()


# Five past eight in the evening is past midnight UTC all year round, when the session's partition has come into being.
@dg.schedule(
    job=simulate_daily_prices,
    cron_schedule="5 20 * * 1-5",
    execution_timezone=EXCHANGE_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="After each session of XNYS: simulate its raw prices. daily_price_arrivals takes it from there.",
)
def simulate_after_close(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    session: date = context.scheduled_execution_time.date()
    if not is_session(session):
        return dg.SkipReason(f"{session} is a holiday of XNYS")
    key = session.isoformat()
    if not DAILY.has_partition_key(key):
        return dg.SkipReason(f"{key} is no partition of raw_daily_prices")
    return dg.RunRequest(run_key=key, partition_key=key, tags={"stock_pipeline/session": key})


# Stale is what nothing came for, so no arrival can ask for this check.
@dg.schedule(
    job=check_prices,
    cron_schedule="0 22 * * 1-5",
    execution_timezone=EXCHANGE_TIME,
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Late after each session of XNYS: the checks of the current year, whoever wrote it.",
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
