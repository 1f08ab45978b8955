"""Buckets that are left are imported, each of them, or nothing happens. That it works is in test_deployment.py."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from stock_pipeline.deploy.takeover import exists, left_behind, take_over
from stock_pipeline.deploy.template import load_template
from stock_pipeline.deploy.values import Values
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import BEGAN, STACK, STACK_ID, deleted, described, failed, holds, stubbed

VALUES = Values(load_template(), {"Stage": "main"}, "123456789012", "eu-central-1")
STAGING = "stock-pipeline-main-staging-123456789012-eu-central-1-an"
LAKE = "stock-pipeline-main-lake-123456789012-eu-central-1-an"
LEFT = {"StagingBucket": STAGING, "LakeBucket": LAKE}
CREATED = {"Id": "arn:aws:cloudformation:::changeSet/1", "StackId": STACK_ID}


def planned(stubber: Stubber, plan: dict[str, str], status: str = "CREATE_COMPLETE", reason: str = "") -> None:
    stubber.add_response("create_change_set", CREATED)
    stubber.add_response("describe_change_set", {"Status": status, "StatusReason": reason})
    if status == "CREATE_COMPLETE":
        changes = [{"ResourceChange": {"LogicalResourceId": name, "Action": does}} for name, does in plan.items()]
        stubber.add_response("describe_change_set", {"Changes": changes})


def test_the_change_set_imports_literal_names_and_never_deletes() -> None:
    client, stubber = stubbed("cloudformation")
    sent: dict[str, Any] = {}
    client.meta.events.register(
        "provide-client-params.cloudformation.CreateChangeSet", lambda params, **_: sent.update(params)
    )
    planned(stubber, dict.fromkeys(LEFT, "Import"))
    stubber.add_response("execute_change_set", {}, {"StackName": STACK, "ChangeSetName": ANY})
    described(stubber, "IMPORT_COMPLETE")
    take_over(STACK, LEFT, VALUES, client)
    stubber.assert_no_pending_responses()
    assert sent["ChangeSetType"] == "IMPORT"
    assert [each["ResourceIdentifier"] for each in sent["ResourcesToImport"]] == [
        {"BucketName": STAGING},
        {"BucketName": LAKE},
    ]
    template = json.loads(sent["TemplateBody"])
    assert set(template) == {"AWSTemplateFormatVersion", "Resources"}, "an import may add nothing else"
    for logical, resource in template["Resources"].items():
        assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
        assert resource["Properties"] == {"BucketNamespace": "account-regional", "BucketName": LEFT[logical]}


@pytest.mark.parametrize(
    "plan",
    [
        {"StagingBucket": "Add", "LakeBucket": "Add"},
        {"StagingBucket": "Import", "LakeBucket": "Add"},
        {"StagingBucket": "Import"},
        {"StagingBucket": "Import", "LakeBucket": "Import", "Queue": "Add"},
        {"StagingBucket": "Import", "LakeBucket": "Modify"},
        {},
    ],
    ids=str,
)
def test_a_change_set_that_does_anything_else_is_refused_and_leaves_no_stack(plan: dict[str, str]) -> None:
    client, stubber = stubbed("cloudformation")
    planned(stubber, plan)
    failed(stubber)
    described(stubber, "REVIEW_IN_PROGRESS")
    holds(stubber)
    deleted(stubber, STACK_ID)
    told = ", ".join(f"{does} {name}" for name, does in plan.items()) or "nothing"
    with pytest.raises(DeployError, match=f"could not take over {STAGING} and {LAKE}: .*but: {told}$"):
        take_over(STACK, LEFT, VALUES, client)
    stubber.assert_no_pending_responses()


def test_a_change_set_that_fails_is_told_with_its_reason() -> None:
    client, stubber = stubbed("cloudformation")
    why = f"Resource {LAKE} already exists in stack other"
    planned(stubber, {}, "FAILED", why)
    change_set = {"ChangeSetId": CREATED["Id"], "ChangeSetName": "take-over-1", "Status": "FAILED", "StatusReason": why}
    failed(stubber, change_sets=({**change_set, "CreationTime": BEGAN},))
    described(stubber, "REVIEW_IN_PROGRESS")
    holds(stubber)
    deleted(stubber, STACK_ID)
    with pytest.raises(DeployError, match=why):
        take_over(STACK, LEFT, VALUES, client)


def test_a_stack_that_somebody_else_has_made_meanwhile_stays() -> None:
    client, stubber = stubbed("cloudformation")
    stubber.add_client_error("create_change_set", "ValidationError", "the stack is CREATE_IN_PROGRESS")
    failed(stubber)
    described(stubber, "CREATE_IN_PROGRESS")
    with pytest.raises(DeployError, match="the stack is CREATE_IN_PROGRESS"):
        take_over(STACK, LEFT, VALUES, client)
    stubber.assert_no_pending_responses()


# --- which buckets are left -----------------------------------------------------------------------------------------


def asked(stubber: Stubber, bucket: str, answer: dict[str, Any] | int) -> None:
    params = {"Bucket": bucket, "ExpectedBucketOwner": "123456789012"}
    if isinstance(answer, int):
        code = {404: "404", 403: "403"}[answer]
        stubber.add_client_error("head_bucket", code, http_status_code=answer, expected_params=params)
    else:
        stubber.add_response("head_bucket", answer, params)


def test_only_what_exists_is_left() -> None:
    client, stubber = stubbed("s3")
    asked(stubber, STAGING, 404)
    asked(stubber, LAKE, {"BucketRegion": "eu-central-1"})
    assert left_behind(VALUES, client) == {"LakeBucket": LAKE}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (403, "another account than 123456789012, or the permission"),
        ({"BucketRegion": "us-east-1"}, "is in us-east-1, not in"),
    ],
)
def test_a_bucket_of_somebody_or_somewhere_else_is_refused(answer: dict[str, Any] | int, told: str) -> None:
    client, stubber = stubbed("s3")
    asked(stubber, LAKE, answer)
    with pytest.raises(DeployError, match=told):
        exists(LAKE, client, "123456789012", "eu-central-1")
