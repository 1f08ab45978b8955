"""Why a deployment failed: each cause is told, once, and nothing of the past."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from stock_pipeline.deploy.events import clock, reasons
from stock_pipeline_tests.deploy.stubs import BEGAN, STACK, STACK_ID, event, failed, stubbed

DENIED = "User is not authorized to perform iam:CreateRole"
CONFLICT = "Resource of type 'AWS::S3::Bucket' with identifier 'x' already exists."


def test_causes_come_first_and_consequences_not_at_all() -> None:
    client, stubber = stubbed("cloudformation")
    failed(
        stubber,
        event(0, STACK, "CREATE_IN_PROGRESS", "User Initiated"),
        event(1, "Role", "CREATE_FAILED", DENIED),
        event(2, "Queue", "CREATE_FAILED", "Resource creation cancelled"),
        event(3, "Key", "CREATE_FAILED", "Limit exceeded"),
        event(4, STACK, "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [Role]"),
        event(5, "Queue", "DELETE_COMPLETE"),
        event(6, STACK, "ROLLBACK_COMPLETE"),
    )
    assert reasons(STACK, client) == [f"Role: {DENIED}", "Key: Limit exceeded"]


def test_an_earlier_operation_is_not_told() -> None:
    client, stubber = stubbed("cloudformation")
    failed(
        stubber,
        event(0, STACK, "UPDATE_IN_PROGRESS"),
        event(1, "Role", "UPDATE_FAILED", "of yesterday"),
        event(10, STACK, "UPDATE_IN_PROGRESS"),
        event(11, "Queue", "UPDATE_FAILED", "of today"),
    )
    assert reasons(STACK, client) == ["Queue: of today"]
    failed(stubber, event(0, STACK, "UPDATE_IN_PROGRESS"), event(1, "Role", "UPDATE_FAILED", "of yesterday"))
    assert reasons(STACK, client, BEGAN + timedelta(minutes=2)) == []


def test_only_consequences_are_told_rather_than_nothing() -> None:
    client, stubber = stubbed("cloudformation")
    failed(
        stubber,
        event(0, STACK, "UPDATE_IN_PROGRESS"),
        event(1, "Queue", "UPDATE_FAILED", "Resource update cancelled"),
    )
    assert reasons(STACK, client) == ["Queue: Resource update cancelled"]


def test_change_sets_and_checks_before_a_deployment_are_told() -> None:
    client, stubber = stubbed("cloudformation")
    change_set: dict[str, Any] = {"ChangeSetName": "samcli-1", "ChangeSetId": "arn:aws:cloudformation:::changeSet/1"}
    change_set |= {"CreationTime": BEGAN, "Status": "FAILED", "StatusReason": "Parameters: [Seed] must be at least 0"}
    check = {"LogicalResourceId": "LakeBucket", "Timestamp": BEGAN, "ValidationStatusReason": CONFLICT}
    failed(stubber, change_sets=(change_set,), checks=({"StackId": STACK_ID, "EventId": "1", **check},))
    assert reasons(STACK, client) == [
        "the change set failed: Parameters: [Seed] must be at least 0",
        f"LakeBucket: {CONFLICT}",
    ]


def test_what_may_not_be_read_is_left_out() -> None:
    client, stubber = stubbed("cloudformation")
    for call in ("list_change_sets", "describe_events", "describe_stack_events"):
        stubber.add_client_error(call, "AccessDenied")
    assert reasons(STACK, client) == []


def test_the_clock_is_that_of_aws() -> None:
    answer = {"ResponseMetadata": {"HTTPHeaders": {"date": "Mon, 01 Jun 2026 12:00:00 GMT"}}}
    assert clock(answer) == BEGAN
    assert clock({}).tzinfo
