"""Rules: no message is lost, tried for ever, or worked on twice at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stock_pipeline_tests.lambdas.template import Template, dead_letter_queues, rule, text

DAY = 86_400
SOURCES, DEAD = (4 * DAY, 7 * DAY), 14 * DAY
"""How long messages are kept: in a queue whose consumer may be away for some days, and in a dead-letter queue."""

QUEUE_ARN = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"


@rule
def queues_are_encrypted(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True:
            yield f"{name} is not encrypted"


@rule
def dead_letters_outlive_their_queue(template: Template) -> Iterator[str]:
    """A message's time counts from when it was first sent, in its dead-letter queue too. Kept there for as long as in
    its queue, a message that comes on its last day is gone the same day.
    """
    dead = dead_letter_queues(template)
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        kept = queue.get("MessageRetentionPeriod", 4 * DAY)
        if name in dead and kept != DEAD:
            yield f"{name} forgets messages after less than 14 days"
        if name not in dead and not SOURCES[0] <= kept <= SOURCES[1]:
            yield f"{name} keeps messages for less than 4 days, or leaves its dead-letter queue less than 7"


@rule
def dead_letter_queues_take_from_their_queues_only(template: Template) -> Iterator[str]:
    queues = template.of_type("AWS::SQS::Queue")
    for name in sorted(dead_letter_queues(template)):
        sources = [
            q for q in queues.values() if text(q.get("RedrivePolicy", {}).get("deadLetterTargetArn", "")) == name
        ]
        names = {f"{QUEUE_ARN}{text(queue['QueueName'])}" for queue in sources}
        allowed = queues[name].get("RedriveAllowPolicy", {})
        if not sources and allowed != {"redrivePermission": "denyAll"}:
            yield f"any queue may send its dead letters to {name}, which is for something else"
        if sources and (
            allowed.get("redrivePermission") != "byQueue"
            or {text(arn) for arn in allowed.get("sourceQueueArns", [])} != names
        ):
            yield f"{name} does not take the dead letters of {', '.join(sorted(names))} and no others"


@rule
def no_message_is_lost_or_tried_for_ever(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if name not in dead_letter_queues(template):
            if "RedrivePolicy" not in queue:
                yield f"{name} has no dead-letter queue"
            elif not 3 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 20:
                yield f"{name} gives up too early or too late"


@rule
def what_is_being_worked_on_is_hidden(template: Template) -> Iterator[str]:
    """AWS's advice: at least six times as long as the function may take. With less than once, AWS refuses it."""
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        queue = template.resources[text(mapping["EventSourceArn"])]["Properties"]
        timeout = template.functions()[text(mapping["FunctionName"])].get("Timeout", 3)
        default, least = _hidden(template, queue.get("VisibilityTimeout", 30))
        if default < 6 * timeout:
            yield f"{name} delivers again what is being worked on"
        if least < timeout:
            yield f"{name} is refused by AWS with a value that the parameter allows"


def _hidden(template: Template, hidden: Any) -> tuple[int, int]:
    """For how many seconds a queue hides messages: by default, and at least, if a parameter says so."""
    if not isinstance(hidden, dict):
        return hidden, hidden
    parameter = template.parameters[hidden["Ref"]]
    return parameter["Default"], parameter.get("MinValue", 0)


@rule
def only_what_failed_comes_back(template: Template) -> Iterator[str]:
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name} gives back messages that did not fail"
        if mapping.get("BatchSize", 10) > 10 and not mapping.get("MaximumBatchingWindowInSeconds"):
            yield f"{name} is refused by AWS: more than 10 messages take a window"


@rule
def a_queue_calls_no_more_functions_than_are_free(template: Template) -> Iterator[str]:
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        most = mapping.get("ScalingConfig", {}).get("MaximumConcurrency")
        reserved = template.functions()[text(mapping["FunctionName"])].get("ReservedConcurrentExecutions", {})
        if not most:
            yield f"{name} takes messages that nobody is free for"
            continue
        bound = most["Fn::If"][1] if "Fn::If" in most else most
        if reserved.get("Fn::If", [None, None])[1] != bound:
            yield f"{name} calls another number of functions than are reserved"
        parameter = bound.get("Ref")
        if template.parameters[parameter].get("MinValue", 0) < 2 and not _forbids_one(template, parameter):
            yield f"{name} is refused by AWS with less than 2, which {parameter} allows"


def _forbids_one(template: Template, parameter: str) -> bool:
    wanted = {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, 1]}]}
    assertions = [one for found in template.given.get("Rules", {}).values() for one in found["Assertions"]]
    return any(one["Assert"] == wanted for one in assertions)
