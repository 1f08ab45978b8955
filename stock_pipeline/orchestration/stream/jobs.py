"""The jobs and schedules of the streaming path: ingest from the queue, refresh the snapshot, check both."""

import dagster as dg

from stock_pipeline.orchestration.priorities import CHECKS_LAST
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
        "Ingest the objects that the messages in the arrivals queue name: store the ticks in stream_prices_history, "
        "update latest_prices, acknowledge the messages. The run reports the days of the ticks, which may differ from "
        "its own partition. It has no checks, so that it is quick; check_stream has them."
    ),
)

refresh_latest_prices = dg.define_asset_job(
    "refresh_latest_prices",
    selection=dg.AssetSelection.assets(latest_prices.key),
    description=(
        "Recompute latest_prices from all of history through SQL, merge it in, and report whether the two "
        "differed. With rebuild: true in its config, it also takes out rows that are not in history. With executor: "
        "pool, processes read all of history in the place of SQL."
    ),
)

check_stream = dg.define_asset_job(
    "check_stream",
    selection=dg.AssetSelection.checks_for_assets(*_STREAM),
    tags=CHECKS_LAST,
    description="Check yesterday's and today's ticks, the snapshot against history, and the dead-letter queue.",
)


@dg.schedule(
    job=check_stream,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every 15 minutes: check the stream, whether Dagster or Lambda consumes it.",
)
def check_stream_every_15_minutes(buckets: Buckets) -> dg.RunRequest | dg.SkipReason:
    if not buckets.settings.lake_bucket:
        return dg.SkipReason("STOCK_PIPELINE_LAKE_BUCKET is not set: there are no tables to check")
    return dg.RunRequest()
