"""All the Dagster code. It is a thin layer: the Lambda functions and the command line call the same functions.

    partitions         sessions, years and days
    resources          the buckets, queues and settings; each run and each sensor tick reads the environment
    retries            which errors are worth a retry, and how Dagster shows the others
    cancellation       a run that a person cancels ends as cancelled
    priorities         which runs go first in the queue
    history            how long Dagster's history is kept; it goes on after a clock was ahead
    daemon             Dagster's daemon, which purges the history
    launcher           starts runs as processes of this machine, and notices when a process has ended
    evaluations        the findings of checks as results in Dagster
    batch/             raw_daily_prices → price_by_date: assets, checks, sensor, jobs and schedules
    stream/            raw_stream_ticks → stream_prices_history → latest_prices: the same
    rejected_records   the table of rejected records; every ingest writes it together with its own table
    maintenance_jobs   jobs that people start by hand: backfill, rebuild, restate, replay
    lineage/           shows what the Lambda functions wrote as events of the assets; the job that reconciles
    alerts/            tells people what goes wrong
    ui/                what the UI shows: columns and their origin, previews, receipts, progress, charts
    user_definitions   what users put into the folder defs/

`stock_pipeline.definitions` puts them together. `dagster.yaml` is the instance that `stock-pipeline dev` runs on.
"""

import warnings

import dagster as dg

# The tests cover the beta and preview features of Dagster that we use (partitioned checks, single-run backfills, code
# references) with the pinned version. So a warning at each load would be of no use.
for category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=category)
