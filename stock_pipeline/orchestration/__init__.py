"""All the Dagster code, thin over the functions that the Lambdas and the command line call too.

    partitions         sessions, years and days
    resources          the buckets, queues and settings, read from the environment by each run and tick
    retries            which errors are worth a retry, and how Dagster shows the others
    launcher           runs as processes of this machine, found dead when they are
    evaluations        what checks find, and the results that Dagster gets of it
    batch/             raw_daily_prices → price_by_date: assets, checks, sensor, jobs and schedules
    stream/            raw_stream_ticks → stream_prices_history → latest_prices: the same
    rejected_records   the table of rejected records, which every ingest writes beside its own
    maintenance_jobs   jobs that people start by hand: backfill, rebuild, restate, replay
    lineage/           what Lambda functions wrote, as events of the assets; the job that reconciles
    ui/                what the UI shows: columns and their origin, previews, receipts, progress, charts
    user_definitions   what users put into the folder defs/

`stock_pipeline.definitions` puts them together. `dagster.yaml` is the instance that `stock-pipeline dev` runs on.
"""

import warnings

import dagster as dg

# What is used of Dagster's beta and preview features (partitioned checks, single-run backfills, code references) is
# held by the tests against the pinned version; a warning at each load would tell the reader nothing.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
