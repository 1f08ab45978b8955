"""The sensor over the arrivals queue. It receives no messages: it requests a run, and the run receives them.

If the sensor received a message, the message would be hidden while its run waits in Dagster's queue. It could appear
again before the run begins, and each time would count as a try. So the sensor only asks how many messages wait, and the
run receives them when it works (`assets`). If the daemon, the run or this tick ends midway, nothing is lost.
"""

from datetime import UTC, datetime

import dagster as dg

from stock_pipeline.orchestration.priorities import ARRIVALS_FIRST
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
    if cancelled := _cancelled_since_start(context):
        return dg.SkipReason(
            f"a person cancelled the last run ({cancelled}); about {waiting} messages wait in the queue; to go on, "
            "launch ingest_ticks, or turn this sensor off and on"
        )
    return dg.RunRequest(
        partition_key=datetime.now(UTC).date().isoformat(),
        tags={
            "stock_pipeline/waiting": str(waiting),
            "dagster/max_runtime": str(LONGEST_RUN),
            **ARRIVALS_FIRST,
        },
    )


def _cancelled_since_start(context: dg.SensorEvaluationContext) -> str | None:
    """The id of the last run, if a person has cancelled it since this sensor was last turned on."""
    last = context.instance.get_run_records(dg.RunsFilter(job_name=ingest_ticks.name), limit=1)
    if not last or last[0].dagster_run.status is not dg.DagsterRunStatus.CANCELED:
        return None
    turned_on = context.last_sensor_start_time or 0.0
    return None if (last[0].end_time or 0.0) < turned_on else last[0].dagster_run.run_id
