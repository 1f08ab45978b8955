"""Why CloudFormation did not do something: the reasons in a stack's events, change sets and checks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

_STARTS = {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "IMPORT_IN_PROGRESS", "DELETE_IN_PROGRESS"}
_CONSEQUENCE = "cancelled"  # so ends what was under way when something else failed
_STACK = "AWS::CloudFormation::Stack"
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def reasons(stack: str, cloudformation: Any, since: datetime = _EVER) -> list[str]:
    """Why the last operation on a stack failed, by the clock of AWS not before `since`.

    Gives a sentence for each change set, check and resource that failed, the first cause first. `stack` is a name, or
    the id of a deleted stack. What the caller may not read is left out.
    """
    found: list[str] = []
    for source in (_of_change_sets, _of_checks, _of_events):
        try:
            found += source(stack, cloudformation, since)
        except ClientError:  # the reasons are an addition to an error that is told in any case
            continue
    return list(dict.fromkeys(found))


def clock(answer: Any) -> datetime:
    """The time of AWS, to the second, when it gave an answer."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)


def _of_change_sets(stack: str, cloudformation: Any, since: datetime) -> Iterator[str]:
    for page in cloudformation.get_paginator("list_change_sets").paginate(StackName=stack):
        for each in page["Summaries"]:
            if each.get("Status") != "FAILED" or each["CreationTime"] < since:
                continue
            yield f"the change set failed: {each.get('StatusReason', '')}"
            yield from _checked(cloudformation.describe_events(ChangeSetName=each["ChangeSetId"]), since)


def _of_checks(stack: str, cloudformation: Any, since: datetime) -> Iterator[str]:
    """CloudFormation checks names and properties before it begins. The stack's own events only say that it did."""
    yield from _checked(cloudformation.describe_events(StackName=stack, Filters={"FailedEvents": True}), since)


def _checked(answer: Any, since: datetime) -> Iterator[str]:
    for event in answer["OperationEvents"]:
        if event["Timestamp"] >= since and (why := event.get("ValidationStatusReason")):
            yield f"{event.get('LogicalResourceId', 'the template')}: {why}"


def _of_events(stack: str, cloudformation: Any, since: datetime) -> list[str]:
    causes: list[str] = []
    consequences: list[str] = []
    of_stack: list[str] = []
    for event in _last_operation(stack, cloudformation, since):
        status, why = event.get("ResourceStatus", ""), event.get("ResourceStatusReason")
        if not why:
            continue
        if event["ResourceType"] == _STACK:
            of_stack += [why] if "ROLLBACK_IN_PROGRESS" in status or status.endswith("_FAILED") else []
        elif status.endswith("_FAILED"):
            told = f"{event['LogicalResourceId']}: {why}"
            (consequences if _CONSEQUENCE in why.lower() else causes).append(told)
    return list(reversed(causes or of_stack or consequences))


def _last_operation(stack: str, cloudformation: Any, since: datetime) -> Iterator[dict[str, Any]]:
    """The events of the last operation, the newest first."""
    for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            if event["Timestamp"] < since:
                return
            yield event
            if event["ResourceType"] == _STACK and event.get("ResourceStatus") in _STARTS:
                return
