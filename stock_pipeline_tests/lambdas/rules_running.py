"""Rules: what runs is bounded, what fails is kept, and somebody hears of it."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline_tests.lambdas.template import Template, dead_letter_queues, rule, text

FORTNIGHT = 14 * 86_400


# --- queues, streams, queries ---------------------------------------------------------------------------------------


@rule
def queues_are_encrypted_and_keep_for_a_fortnight(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True:
            yield f"{name} is not encrypted"
        if queue.get("MessageRetentionPeriod") != FORTNIGHT:
            yield f"{name} forgets messages after less than 14 days"


@rule
def no_message_is_lost_or_tried_for_ever(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if name not in dead_letter_queues(template):
            if "RedrivePolicy" not in queue:
                yield f"{name} has no dead-letter queue"
            elif not 3 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 20:
                yield f"{name} gives up too early or too late"


@rule
def streams_are_encrypted(template: Template) -> Iterator[str]:
    for name, stream in template.of_type("AWS::Kinesis::Stream").items():
        if stream.get("StreamEncryption", {}).get("EncryptionType") != "KMS":
            yield f"{name} is not encrypted"


@rule
def queries_are_bounded(template: Template) -> Iterator[str]:
    for name, group in template.of_type("AWS::Athena::WorkGroup").items():
        configuration = group["WorkGroupConfiguration"]
        if configuration.get("EnforceWorkGroupConfiguration") is not True:
            yield f"{name} lets queries have settings of their own"
        if "BytesScannedCutoffPerQuery" not in configuration:
            yield f"{name} lets a query scan everything"
        if not configuration["ResultConfiguration"].get("EncryptionConfiguration"):
            yield f"{name} leaves results unencrypted"


# --- functions ------------------------------------------------------------------------------------------------------


@rule
def functions_do_not_lose_what_fails(template: Template) -> Iterator[str]:
    kept = set()
    for config in template.of_type("AWS::Lambda::EventInvokeConfig").values():
        if config.get("DestinationConfig", {}).get("OnFailure") and config.get("MaximumRetryAttempts", 0) > 0:
            kept.add(text(config["FunctionName"]))
    yield from (f"{name} has neither a failure destination nor retries" for name in set(template.functions()) - kept)


@rule
def functions_are_bounded(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if not 0 < function.get("Timeout", 0) <= 900:
            yield f"{name} has no timeout of its own"
        if function.get("MemorySize", 0) < 1024:
            yield f"{name} has little memory"
        if not function.get("ReservedConcurrentExecutions"):
            yield f"{name} may run any number of times at once"


@rule
def functions_are_traced_and_logged(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if function.get("TracingConfig") != {"Mode": "Active"}:
            yield f"{name} is not traced"
        group = template.resources.get(text(function.get("LoggingConfig", {}).get("LogGroup", "")))
        if group is None:
            yield f"{name} logs into a group that keeps everything"
        elif text(group["Properties"]["LogGroupName"]) != f"/aws/lambda/{text(function['FunctionName'])}":
            yield f"{name} logs where nobody looks for it"
    for name, group in template.of_type("AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group:
            yield f"{name} keeps logs for good"


@rule
def each_function_has_a_role_of_its_own(template: Template) -> Iterator[str]:
    roles = [text(function["Role"]) for function in template.functions().values()]
    yield from (f"{role} is shared" for role in sorted({role for role in roles if roles.count(role) > 1}))


@rule
def what_is_being_worked_on_is_hidden(template: Template) -> Iterator[str]:
    """AWS's advice: at least six times as long as the function may take."""
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        queue = template.resources[text(mapping["EventSourceArn"])]["Properties"]
        hidden = queue.get("VisibilityTimeout", 30)
        if isinstance(hidden, dict):
            hidden = template.parameters[hidden["Ref"]]["Default"]
        if hidden < 6 * template.functions()[text(mapping["FunctionName"])].get("Timeout", 3):
            yield f"{name} delivers again what is being worked on"
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name} gives back messages that did not fail"
        if not mapping.get("ScalingConfig", {}).get("MaximumConcurrency"):
            yield f"{name} takes messages that nobody is free for"


# --- alarms ---------------------------------------------------------------------------------------------------------


def _watched(template: Template) -> Iterator[tuple[str, str, str]]:
    """What the alarms look at: the metric, and the name and value of its dimension."""
    for alarm in template.of_type("AWS::CloudWatch::Alarm").values():
        metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        for metric in metrics or [alarm]:
            for dimension in metric["Dimensions"]:
                yield metric["MetricName"], dimension["Name"], text(dimension["Value"]).removesuffix(".QueueName")


@rule
def failures_ring(template: Template) -> Iterator[str]:
    watched = set(_watched(template))
    for queue in sorted(dead_letter_queues(template)):
        if ("ApproximateNumberOfMessagesVisible", "QueueName", queue) not in watched:
            yield f"nobody hears of messages in {queue}"
    for function in template.functions():
        for metric in ("Errors", "Throttles"):
            if (metric, "FunctionName", function) not in watched:
                yield f"nobody hears of {function}'s {metric}"
    for stream in template.of_type("AWS::KinesisFirehose::DeliveryStream"):
        for metric in ("DeliveryToS3.Success", "DeliveryToS3.DataFreshness"):
            if (metric, "DeliveryStreamName", stream) not in watched:
                yield f"nobody hears of {stream}'s {metric}"
    for function in ("ProcessBatchStockData", "ProcessStockStreamData"):
        for metric in ("RowsRejected", "FilesRefused"):
            if (metric, "service", function) not in watched:
                yield f"nobody hears of {function}'s {metric}"
    for metric in ("RowsSkipped", "UnknownMessages"):
        if (metric, "service", "ProcessStockStreamData") not in watched:
            yield f"nobody hears of messages that are not ticks: {metric}"
    if ("ApproximateAgeOfOldestMessage", "QueueName", "StreamArrivals") not in watched:
        yield "nobody hears when ticks are not taken"
    stale = [a for a in template.of_type("AWS::CloudWatch::Alarm").values() if a.get("MetricName") == "RowsInserted"]
    if not any(a["ComparisonOperator"] == "LessThanThreshold" and a.get("InsufficientDataActions") for a in stale):
        yield "nobody hears when daily prices stay away"


@rule
def alarms_reach_the_topic(template: Template) -> Iterator[str]:
    for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items():
        if alarm.get("AlarmActions") != [{"Ref": "Alarms"}] or alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} rings where nobody is"
        if not text(alarm["AlarmName"]).startswith("stock-pipeline-${Stage}-"):
            yield f"{name} may not publish: the topic takes alarms of this stage"
