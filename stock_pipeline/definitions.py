"""The Dagster definitions of the project, in one explicit list. `workspace.yaml` loads this module."""

import dagster as dg

from stock_pipeline.orchestration.batch.assets import daily_price_uploads, price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.checks import price_by_date_checks
from stock_pipeline.orchestration.batch.jobs import (
    after_the_close,
    check_prices,
    ingest_daily_prices,
    late_after_the_close,
    simulate_daily_prices,
)
from stock_pipeline.orchestration.batch.sensor import daily_price_arrivals
from stock_pipeline.orchestration.lineage.reconcile import every_hour, reconcile
from stock_pipeline.orchestration.lineage.sensor import lambda_receipts
from stock_pipeline.orchestration.maintenance_jobs import (
    backfill_daily_prices,
    rebuild_year,
    remove_source,
    replay_rejects,
    restate_prices,
)
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.serving import TABLES
from stock_pipeline.orchestration.stream.assets import raw_stream_ticks, stream_prices, tick_stream
from stock_pipeline.orchestration.stream.checks import (
    dead_letters_none,
    price_by_date_stream_checks,
    snapshot_equals_history,
    symbols_current,
)
from stock_pipeline.orchestration.stream.jobs import (
    check_stream,
    every_quarter_hour,
    ingest_ticks,
    refresh_latest_prices,
)
from stock_pipeline.orchestration.stream.sensor import tick_arrivals

defs = dg.Definitions(
    assets=dg.with_source_code_references(
        [raw_daily_prices, daily_price_uploads, price_by_date, tick_stream, raw_stream_ticks, stream_prices, *TABLES]
    ),
    asset_checks=[
        price_by_date_checks,
        price_by_date_stream_checks,
        snapshot_equals_history,
        symbols_current,
        dead_letters_none,
    ],
    jobs=[
        simulate_daily_prices,
        ingest_daily_prices,
        check_prices,
        ingest_ticks,
        refresh_latest_prices,
        check_stream,
        backfill_daily_prices,
        rebuild_year,
        restate_prices,
        replay_rejects,
        remove_source,
        reconcile,
    ],
    schedules=[after_the_close, late_after_the_close, every_quarter_hour, every_hour],
    sensors=[daily_price_arrivals, tick_arrivals, lambda_receipts],
    resources={"buckets": Buckets()},
    # Steps share the run's process: starting another one for each would take longer than most of them do.
    executor=dg.in_process_executor,
)
