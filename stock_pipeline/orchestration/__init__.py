"""All the Dagster code, thin over the functions that the Lambdas and the command line call too.

    partitions   sessions, years and days
    resources    the buckets, queues and settings, read from the environment by each run and tick
    catalog      what the asset graph says of each asset: owners, columns and their origin, the code behind it
    metadata     what runs show in the UI: column schemas, previews, receipts, progress
    charts       small drawings in that metadata: prices, rejected rows by reason, lags
    ledger       which objects of a bucket have been handed over, in a cursor of fixed size
    failures     which errors are worth a retry, and how the others are told
    launcher     runs as processes of this machine, found dead when they are
    evaluations  what checks find, and the results that Dagster gets of it
    rejected_share  how large a part of the rows that came was rejected
    batch/       raw_daily_prices → price_by_date: assets, checks, sensor, jobs and schedule
    stream/      raw_stream_ticks → stream_prices_history → latest_prices: the same, and the queue of arrivals
    rejected_records  the table of rejected records, which every ingest writes beside its own
    operations   jobs that people start by hand: backfill, rebuild, restate, replay
    lineage/     what Lambda functions wrote, as events of the assets; the job that reconciles

`stock_pipeline.definitions` puts them together. `dagster.yaml` is the instance that `stock-pipeline dev` runs on.
"""

import warnings

import dagster as dg

# What is used of Dagster's beta and preview features (partitioned checks, single-run backfills, code references) is
# held by the tests against the pinned version; a warning at each load would tell the reader nothing.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
