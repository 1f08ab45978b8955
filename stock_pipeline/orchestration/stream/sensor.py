"""The sensor over the arrivals queue. It receives no messages: it requests a run, and the run receives them.

If the sensor received a message, the message would be hidden while its run waits in Dagster's queue. It could appear
again before the run begins, and each time would count as a try. So the sensor only asks how many messages wait, and the
run receives them when it works (`assets`). If the daemon, the run or this tick ends midway, nothing is lost.
"""

from datetime import UTC, datetime

import dagster as dg

from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.jobs import ingest_ticks
from stock_pipeline.settings import variable

INTERVAL = 5  # seconds
LONGEST_RUN = 2 * 3600  # seconds; SQS keeps a message hidden for 12 hours at most
"""A run that takes longer hangs. Dagster ends it, and its messages come back."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=ingest_ticks,
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Requests a run of ingest_ticks when messages wait in the arrivals queue of the stream. One run takes all of "
        "them, but 1,000 at most. A run deletes a message when its objects are stored. The messages of a failed run "
        "come back when they are no longer hidden, and after five tries they are in the dead-letter queue."
    ),
)
def tick_arrivals(context: dg.SensorEvaluationContext, buckets: Buckets) -> dg.RunRequest | dg.SkipReason:
    settings = buckets.settings
    if settings.processor == "lambda":
        return dg.SkipReason(f"{variable('processor')} is lambda: the Lambda function consumes the arrivals")
    if not settings.stream_queue_url:
        return dg.SkipReason(
            f"{variable('stream_queue_url')} is not set, so no ticks are ingested; set it to the URL of your stack's "
            "StreamQueueUrl"
        )
    unfinished = dg.RunsFilter(job_name=ingest_ticks.name, statuses=UNFINISHED)
    if running := context.instance.get_runs(unfinished, limit=1):
        return dg.SkipReason(f"the run {running[0].run_id} is not done; the next run takes the new messages")
    waiting = buckets.tick_arrivals.waiting()
    if not waiting:
        return dg.SkipReason("no messages wait in the arrivals queue of the stream")
    return dg.RunRequest(
        partition_key=datetime.now(UTC).date().isoformat(),
        tags={"stock_pipeline/waiting": str(waiting), "dagster/max_runtime": str(LONGEST_RUN)},
    )
