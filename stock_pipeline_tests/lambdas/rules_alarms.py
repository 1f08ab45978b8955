"""Rules: whatever fails, waits or stays away, somebody hears of it."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline_tests.lambdas.template import Template, dead_letter_queues, rule, text

PROCESSING = ("ProcessBatchStockData", "ProcessStockStreamData")


def _watched(template: Template) -> Iterator[tuple[str, str, str]]:
    """What the alarms look at: the metric, and the name and value of its dimension."""
    for alarm in template.of_type("AWS::CloudWatch::Alarm").values():
        metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        for metric in metrics or [alarm]:
            for dimension in metric["Dimensions"]:
                yield metric["MetricName"], dimension["Name"], text(dimension["Value"]).removesuffix(".QueueName")


def _unheard(template: Template, wanted: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    watched = set(_watched(template))
    yield from (f"nobody hears of {of}'s {metric}" for metric, kind, of in wanted if (metric, kind, of) not in watched)


@rule
def failures_ring(template: Template) -> Iterator[str]:
    def wanted() -> Iterator[tuple[str, str, str]]:
        for queue in sorted(dead_letter_queues(template)):
            yield "ApproximateNumberOfMessagesVisible", "QueueName", queue
        for function in template.functions():
            for metric in ("Errors", "Throttles"):
                yield metric, "FunctionName", function
        for function in PROCESSING:
            yield "MessagesFailed", "service", function
        yield "ObjectsNotRepaired", "service", "ReconcileTables"

    yield from _unheard(template, wanted())


@rule
def what_is_lost_on_the_way_rings(template: Template) -> Iterator[str]:
    """Where a queue or a destination itself fails, nothing is in any dead-letter queue."""

    def wanted() -> Iterator[tuple[str, str, str]]:
        for function in template.functions():
            for metric in ("AsyncEventsDropped", "DestinationDeliveryFailures"):
                yield metric, "FunctionName", function
        for function in (*PROCESSING, "ReconcileTables"):
            yield "ReceiptsNotSent", "service", function
        for stream in template.of_type("AWS::Kinesis::Stream"):
            yield "WriteProvisionedThroughputExceeded", "StreamName", stream
        for stream in template.of_type("AWS::KinesisFirehose::DeliveryStream"):
            for metric in ("DeliveryToS3.Success", "DeliveryToS3.DataFreshness", "KinesisMillisBehindLatest"):
                yield metric, "DeliveryStreamName", stream

    yield from _unheard(template, wanted())


@rule
def what_is_refused_rings(template: Template) -> Iterator[str]:
    def wanted() -> Iterator[tuple[str, str, str]]:
        for function in PROCESSING:
            for metric in ("RowsRejected", "FilesRefused"):
                yield metric, "service", function
        for metric in ("RowsSkipped", "UnknownMessages"):
            yield metric, "service", "ProcessStockStreamData"

    yield from _unheard(template, wanted())


@rule
def what_waits_or_stays_away_rings(template: Template) -> Iterator[str]:
    queues = {text(m["EventSourceArn"]) for m in template.of_type("AWS::Lambda::EventSourceMapping").values()}
    yield from _unheard(template, (("ApproximateAgeOfOldestMessage", "QueueName", queue) for queue in sorted(queues)))
    alarms = template.of_type("AWS::CloudWatch::Alarm")
    stale = [alarm for alarm in alarms.values() if alarm.get("MetricName") == "RowsInserted"]
    if not any(a["ComparisonOperator"] == "LessThanThreshold" and a.get("InsufficientDataActions") for a in stale):
        yield "nobody hears when daily prices stay away"
    ticks = alarms.get("NoTicksAlarm", {"Metrics": []})
    metrics = [m["MetricStat"]["Metric"]["MetricName"] for m in ticks["Metrics"] if "MetricStat" in m]
    if metrics != ["GetRecords.Records"] or ticks.get("TreatMissingData") != "breaching":
        yield "nobody hears when ticks stay away during a session"


@rule
def alarms_are_silent_while_nothing_is_wrong(template: Template) -> Iterator[str]:
    """A metric of failures has no value while nothing fails: that is no breach, and sums may not lack one of them."""
    for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items():
        if alarm["ComparisonOperator"] == "GreaterThanThreshold" and alarm.get("TreatMissingData") != "notBreaching":
            yield f"{name} rings when there is nothing to tell"
        metrics = {m["Id"]: m for m in alarm.get("Metrics", [])}
        own = [
            i
            for i, m in metrics.items()
            if m.get("MetricStat", {}).get("Metric", {}).get("Namespace") == "StockPipeline"
        ]
        for expression in (m["Expression"] for m in metrics.values() if "Expression" in m):
            if " + " in expression and not expression.startswith("IF("):
                yield from (f"{name} is blind without {i}" for i in own if f"FILL({i}, 0)" not in expression)
        if len(metrics) - sum("Expression" in m for m in metrics.values()) > 10:
            yield f"{name} has more metrics than an alarm takes"


@rule
def alarms_reach_the_topic(template: Template) -> Iterator[str]:
    for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items():
        if alarm.get("AlarmActions") != [{"Ref": "Alarms"}] or alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} rings where nobody is"
        if not text(alarm["AlarmName"]).startswith("stock-pipeline-${Stage}-"):
            yield f"{name} may not publish: the topic takes alarms of this stage"
