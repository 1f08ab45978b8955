"""What sensors, schedules and people start: ingest what the queue tells of, refresh the snapshot, check both."""

import dagster as dg

from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.assets import (
    latest_prices,
    raw_stream_ticks,
    stream_prices,
    stream_prices_history,
)
from stock_pipeline.orchestration.stream.config import TicksConfig

_STREAM = (raw_stream_ticks.key, stream_prices_history.key, latest_prices.key)

ingest_ticks = dg.define_asset_job(
    "ingest_ticks",
    selection=dg.AssetSelection.assets(stream_prices_history.key, latest_prices.key).without_checks(),
    config=dg.RunConfig(ops={stream_prices.op.name: TicksConfig(arrivals=True)}),
    description=(
        "Take what the arrivals queue tells of: store its ticks in stream_prices_history, update latest_prices, "
        "acknowledge the messages. The events name the days that the ticks belong to, whichever day the run is for. "
        "It has no checks, to be quick; check_stream has them."
    ),
)

refresh_latest_prices = dg.define_asset_job(
    "refresh_latest_prices",
    selection=dg.AssetSelection.assets(latest_prices.key),
    description=(
        "Recompute latest_prices from all of history through SQL, merge it in, and tell whether the two "
        "differed. With rebuild: true in its config, rows that history does not have are taken out."
    ),
)

check_stream = dg.define_asset_job(
    "check_stream",
    selection=dg.AssetSelection.checks_for_assets(*_STREAM),
    description="Check yesterday's and today's ticks, the snapshot against history, and the dead-letter queue.",
)


@dg.schedule(
    job=check_stream,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every quarter of an hour: the checks of the stream, whoever consumes it, Dagster or Lambda.",
)
def check_stream_every_15_minutes(buckets: Buckets) -> dg.RunRequest | dg.SkipReason:
    if not buckets.settings.lake_bucket:
        return dg.SkipReason("STOCK_PIPELINE_LAKE_BUCKET is not set: there are no tables to check")
    return dg.RunRequest()
