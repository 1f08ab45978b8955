"""The sensor that tells people what goes wrong."""

from __future__ import annotations

import time

import dagster as dg

from stock_pipeline.aws.alert_channels import channels_of
from stock_pipeline.errors import AlertNotSent
from stock_pipeline.orchestration.alerts.delivery import Delivery
from stock_pipeline.orchestration.alerts.events import Event, events_since
from stock_pipeline.orchestration.alerts.memory import load
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.settings import variable

INTERVAL = 30  # seconds
_UI = "http://localhost:3000"  # where a forwarded port ends
_SENDING = 30.0  # seconds after which a tick begins no further message: it must end within 60


@dg.sensor(
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Tells people what goes wrong: runs that failed, checks that failed with the severity error, sensors and "
        "schedules that failed, assets that are late. Each problem is said once, with a link to its page: to an SNS "
        "topic, a Slack webhook or a file, whichever is set."
    ),
)
def alerts(context: dg.SensorEvaluationContext, buckets: Buckets) -> dg.SkipReason:
    settings, instance = buckets.settings, context.instance
    channels = channels_of(settings)
    if not channels:
        names = [variable(name) for name in ("alerts_topic_arn", "alerts_slack_webhook", "alerts_file")]
        return dg.SkipReason(f"nobody is told: set {names[0]}, {names[1]} or {names[2]}")
    now, deadline = time.time(), time.monotonic() + _SENDING
    read: dict[float, list[Event]] = {}
    sent, failed = 0, []
    for channel in channels:
        memory = load(instance, channel.name, now)
        if memory.since not in read:
            read[memory.since] = events_since(instance, memory.since)
        delivery = Delivery(instance, channel, memory, settings.dagster_url or _UI, now, deadline)
        try:
            delivery.tell(read[memory.since])
        except AlertNotSent as error:  # the other channels get theirs, and this one at the next look
            failed.append(str(error))
        sent += delivery.sent
    if failed:
        raise AlertNotSent("; ".join(failed))
    return dg.SkipReason(f"{sent} messages sent" if sent else "nothing new went wrong")
