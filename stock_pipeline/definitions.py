"""The Dagster definitions of the project, in one explicit list. `workspace.yaml` loads this module."""

import dagster as dg

from stock_pipeline.orchestration.batch.assets import daily_price_uploads, price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.checks import price_by_date_checks
from stock_pipeline.orchestration.batch.jobs import after_the_close, ingest_daily_prices, simulate_daily_prices
from stock_pipeline.orchestration.batch.sensor import daily_price_arrivals
from stock_pipeline.orchestration.resources import Buckets

defs = dg.Definitions(
    assets=dg.with_source_code_references([raw_daily_prices, daily_price_uploads, price_by_date]),
    asset_checks=[price_by_date_checks],
    jobs=[simulate_daily_prices, ingest_daily_prices],
    schedules=[after_the_close],
    sensors=[daily_price_arrivals],
    resources={"buckets": Buckets()},
    # Steps share the run's process: starting another one for each would take longer than most of them do.
    executor=dg.in_process_executor,
)
