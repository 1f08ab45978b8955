"""Every state that a stack can be in: it is updated, or replaced because it is empty, or refused with the remedy."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from stock_pipeline.deploy.readiness import Ready, made_ready
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import STACK, deleted, described, event, failed, holds, stubbed, unknown

SERVICE: Any = boto3.client("cloudformation", "eu-central-1").meta.service_model
STATES = SERVICE.shape_for("StackStatus").enum
WORKING = {
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"),
}
EMPTY = {"ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS", "IMPORT_ROLLBACK_COMPLETE"}
WHY = "Role: User is not authorized"
FAILURE = (event(0, STACK, "CREATE_IN_PROGRESS"), event(1, "Role", "CREATE_FAILED", "User is not authorized"))
GIVEN: Any = [{"ParameterKey": "Seed", "ParameterValue": "11"}, {"ParameterKey": "Secret", "ParameterValue": "****"}]


def test_no_stack_is_to_be_created() -> None:
    client, stubber = stubbed("cloudformation")
    unknown(stubber)
    assert made_ready(STACK, client, print) == Ready(False, {})


@pytest.mark.parametrize("state", sorted(set(STATES) - {"DELETE_COMPLETE"}))  # a name never finds a deleted stack
def test_a_stack_with_resources_is_updated_or_refused_with_the_remedy(state: str) -> None:
    client, stubber = stubbed("cloudformation")
    described(stubber, state, Parameters=GIVEN)
    if state in EMPTY:
        holds(stubber, ("StagingBucket", "AWS::S3::Bucket", "CREATE_COMPLETE"))
    if state in WORKING:
        assert made_ready(STACK, client, print) == Ready(True, {"Seed": "11"})
    elif state.endswith("_IN_PROGRESS") and state != "REVIEW_IN_PROGRESS":
        with pytest.raises(DeployError, match=rf"being changed \({state}\); wait"):
            made_ready(STACK, client, print)
    else:
        failed(stubber, *FAILURE)
        with pytest.raises(
            DeployError, match=rf"(?s)cannot be updated \({state}\); .*(make destroy|aws cloudf|AWS Sup).*{WHY}"
        ):
            made_ready(STACK, client, print)
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize("state", sorted(EMPTY))
def test_an_empty_stack_is_deleted_with_its_reasons_and_its_parameters_are_kept(state: str) -> None:
    client, stubber = stubbed("cloudformation")
    described(stubber, state, Parameters=GIVEN)
    gone = [("Queue", "AWS::SQS::Queue", "DELETE_COMPLETE"), ("LakeBucket", "AWS::S3::Bucket", "DELETE_SKIPPED")]
    holds(stubber, *gone)
    if state == "REVIEW_IN_PROGRESS":
        stubber.add_response("list_change_sets", {"Summaries": []})
    failed(stubber, *FAILURE)
    deleted(stubber)
    said: list[str] = []
    assert made_ready(STACK, client, said.append) == Ready(False, {"Seed": "11"})
    assert said == [
        f"deleting the stack {STACK}: its first deployment failed ({state}), and nothing is in it",
        f"  {WHY}",
    ]
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize("status", ["CREATE_PENDING", "CREATE_IN_PROGRESS"])
def test_a_stack_that_somebody_is_creating_stays(status: str) -> None:
    client, stubber = stubbed("cloudformation")
    described(stubber, "REVIEW_IN_PROGRESS")
    holds(stubber)
    stubber.add_response("list_change_sets", {"Summaries": [{"ChangeSetName": "samcli-1", "Status": status}]})
    with pytest.raises(DeployError, match="somebody is creating"):
        made_ready(STACK, client, print)
    stubber.assert_no_pending_responses()


def test_an_empty_stack_that_cannot_be_deleted_is_told() -> None:
    client, stubber = stubbed("cloudformation")
    described(stubber, "ROLLBACK_COMPLETE")
    holds(stubber)
    failed(stubber, *FAILURE)
    stubber.add_client_error("delete_stack", "ValidationError", "termination protection is on")
    described(stubber, "ROLLBACK_COMPLETE")
    with pytest.raises(DeployError, match=r"could not be deleted: .*termination protection"):
        made_ready(STACK, client, print)
