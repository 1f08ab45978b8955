"""CloudFormation as it answers in states that the local AWS does not get into: botocore's Stubber checks each call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

STACK = "stock-pipeline-main"
ACCOUNT = "123456789012"
STACK_ID = f"arn:aws:cloudformation:eu-central-1:123456789012:stack/{STACK}/1"
BEGAN = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def stubbed(service: Any) -> tuple[Any, Stubber]:
    """A client that answers only what is added to its stubber, in that order."""
    client = boto3.client(service, "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    stubber.activate()
    return client, stubber


def account(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stubber]:
    """Let what deploys talk to stubbed services; their stubbers by the services' names."""
    services = ("cloudformation", "s3", "sts", "lambda", "ec2", "ecr")
    made = {service: stubbed(service) for service in services}
    session = SimpleNamespace(client=lambda service, **_: made[service][0])
    monkeypatch.setattr("stock_pipeline.deploy.stack.boto3", SimpleNamespace(Session=lambda **_: session))
    stubbers = {service: stubber for service, (_, stubber) in made.items()}
    stubbers["sts"].add_response("get_caller_identity", {"Account": ACCOUNT})
    return stubbers


def described(stubber: Stubber, status: str, **more: Any) -> None:
    stack = {"StackName": STACK, "StackId": STACK_ID, "CreationTime": BEGAN, "StackStatus": status, **more}
    stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})


def unknown(stubber: Stubber, name: str = STACK) -> None:
    why = f"Stack with id {name} does not exist"
    stubber.add_client_error("describe_stacks", "ValidationError", why, expected_params={"StackName": name})


def holds(stubber: Stubber, *resources: tuple[str, str, str], stack: str = STACK_ID) -> None:
    """`resources`: logical name, type, state."""
    summaries = [
        {
            "LogicalResourceId": name,
            "PhysicalResourceId": name.lower(),
            "ResourceType": kind,
            "ResourceStatus": state,
            "LastUpdatedTimestamp": BEGAN,
        }
        for name, kind, state in resources
    ]
    stubber.add_response("list_stack_resources", {"StackResourceSummaries": summaries}, {"StackName": stack})


def event(minute: int, name: str, status: str, why: str = "", kind: str = "AWS::SQS::Queue") -> dict[str, Any]:
    return {
        "StackId": STACK_ID,
        "EventId": f"{minute}-{name}-{status}",
        "StackName": STACK,
        "LogicalResourceId": name,
        "PhysicalResourceId": name.lower(),
        "ResourceType": "AWS::CloudFormation::Stack" if name == STACK else kind,
        "Timestamp": BEGAN + timedelta(minutes=minute),
        "ResourceStatus": status,
        **({"ResourceStatusReason": why} if why else {}),
    }


def failed(
    stubber: Stubber,
    *events: dict[str, Any],
    change_sets: tuple[dict[str, Any], ...] = (),
    checks: tuple[dict[str, Any], ...] = (),
    stack: str = STACK,
) -> None:
    """What CloudFormation says when it is asked why: `events` from the oldest to the newest."""
    stubber.add_response("list_change_sets", {"Summaries": list(change_sets)}, {"StackName": stack})
    for each in change_sets:
        if each["Status"] == "FAILED":
            stubber.add_response("describe_events", {"OperationEvents": []}, {"ChangeSetName": each["ChangeSetId"]})
    asked = {"StackName": stack, "Filters": {"FailedEvents": True}}
    stubber.add_response("describe_events", {"OperationEvents": list(checks)}, asked)
    newest_first = sorted(events, key=lambda each: each["Timestamp"], reverse=True)
    stubber.add_response("describe_stack_events", {"StackEvents": newest_first}, {"StackName": stack})


def deleted(stubber: Stubber, stack: str = STACK) -> None:
    stubber.add_response("delete_stack", {}, {"StackName": stack})
    unknown(stubber, stack)
