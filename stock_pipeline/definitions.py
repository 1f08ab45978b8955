"""The Dagster definitions of the project, in one explicit list, and those of the folder `defs/`.

`workspace.yaml` loads this module, and so does `dg` ([tool.dg] in pyproject.toml).
"""

import dagster as dg

from stock_pipeline.orchestration.alerts.sensor import alerts
from stock_pipeline.orchestration.batch.assets import daily_price_uploads, price_by_date, raw_daily_prices
from stock_pipeline.orchestration.batch.checks import price_by_date_checks
from stock_pipeline.orchestration.batch.jobs import (
    check_prices,
    check_prices_after_close,
    ingest_daily_prices,
    simulate_after_close,
    simulate_daily_prices,
)
from stock_pipeline.orchestration.batch.price_revisions import changes_finished, price_revisions
from stock_pipeline.orchestration.batch.sensor import daily_price_arrivals
from stock_pipeline.orchestration.lineage.reconcile import reconcile, reconcile_hourly
from stock_pipeline.orchestration.lineage.sensor import lambda_receipts
from stock_pipeline.orchestration.maintenance_jobs import (
    backfill_daily_prices,
    rebuild_year,
    remove_source,
    replay_rejects,
    restate_prices,
)
from stock_pipeline.orchestration.openlineage.sensor import openlineage
from stock_pipeline.orchestration.rejected_records import rejected_records
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.assets import raw_stream_ticks, stream_prices, tick_stream
from stock_pipeline.orchestration.stream.checks import (
    dead_letters_none,
    snapshot_equals_history,
    stream_prices_history_checks,
    symbols_current,
)
from stock_pipeline.orchestration.stream.jobs import (
    check_stream,
    check_stream_every_15_minutes,
    ingest_ticks,
    refresh_latest_prices,
)
from stock_pipeline.orchestration.stream.objects import objects_own_and_whole
from stock_pipeline.orchestration.stream.sensor import tick_arrivals
from stock_pipeline.orchestration.stream.trade_corrections import trade_corrections
from stock_pipeline.orchestration.user_definitions import with_user_definitions


def pipeline() -> dg.Definitions:
    """The pipeline's own. A function, because Dagster loads a module only if it holds exactly one `dg.Definitions`."""
    return dg.Definitions(
        assets=dg.with_source_code_references(
            [
                raw_daily_prices,
                daily_price_uploads,
                price_by_date,
                price_revisions,
                tick_stream,
                raw_stream_ticks,
                stream_prices,
                trade_corrections,
                rejected_records,
            ]
        ),
        asset_checks=[
            price_by_date_checks,
            changes_finished,
            stream_prices_history_checks,
            snapshot_equals_history,
            symbols_current,
            dead_letters_none,
            objects_own_and_whole,
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
        schedules=[simulate_after_close, check_prices_after_close, check_stream_every_15_minutes, reconcile_hourly],
        sensors=[daily_price_arrivals, tick_arrivals, lambda_receipts, alerts, openlineage],
        resources={"buckets": Buckets()},
        # Steps share the run's process: a process for each step would take longer to start than most steps take.
        executor=dg.in_process_executor,
    )


defs = with_user_definitions(pipeline())
