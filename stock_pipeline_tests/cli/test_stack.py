"""`--stack`: a deployed stack's outputs in the place of the settings, and what is said when there is no such stack."""

from __future__ import annotations

import os
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from stock_pipeline.deploy import stack as deployed
from stock_pipeline.deploy.stack import outputs_of
from stock_pipeline.errors import DeployError
from stock_pipeline.settings import documented
from stock_pipeline_tests.support.commands import LAKE, STAGING, Run
from stock_pipeline_tests.support.local_aws import Stack

NAME = "stock-pipeline-main"


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the option sets is unset after the test."""
    for name in documented():
        monkeypatch.setenv(name, os.environ.get(name, ""))


OURS = [{"OutputKey": "StagingBucket", "OutputValue": "s"}, {"OutputKey": "LakeBucket", "OutputValue": "l"}]


def answering(answer: dict[str, Any] | None = None, **error: Any) -> Any:
    """A client of CloudFormation that gives one answer."""
    client = boto3.client("cloudformation", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    stubber = Stubber(client)
    if answer is None:
        stubber.add_client_error("describe_stacks", **error)
    else:
        stubber.add_response("describe_stacks", {"Stacks": [answer]})
    stubber.activate()
    return client


def test_a_command_works_on_the_stack_that_is_named(
    run: Run, aws: None, own_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {"StagingBucket": STAGING, "LakeBucket": LAKE, "Dashboard": "not a setting"}
    listed = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
    whole = {"StackName": NAME, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Outputs": listed}
    monkeypatch.setattr(deployed, "client_of", lambda _: answering(whole))
    monkeypatch.setenv("STOCK_PIPELINE_LAKE_BUCKET", "another-lake")
    done = run("--stack", NAME, "sql", "SELECT count(*) AS n FROM price_by_date", "--format", "csv")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["n", "0"]


def test_the_environment_may_name_it(
    run: Run, aws: None, own_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_STACK", "not-there")
    message = "Stack with id not-there does not exist"
    monkeypatch.setattr(
        deployed, "client_of", lambda _: answering(service_error_code="ValidationError", service_message=message)
    )
    done = run("sql", "SELECT 1")
    assert done.exit_code == 1
    assert "there is no stack not-there in us-east-1" in done.stderr
    assert "make deploy" in done.stderr


def test_help_asks_nobody(run: Run, no_aws: None) -> None:
    done = run("--stack", "not-there", "sql", "--help")
    assert (done.exit_code, "Examples" in done.stdout) == (0, True)


def test_without_a_region_the_remedy_is_named(run: Run, no_aws: None, own_environment: None) -> None:
    done = run("--stack", NAME, "doctor")
    assert done.exit_code == 1
    assert "AWS_REGION" in done.stderr


@pytest.mark.parametrize(
    ("status", "whole"),
    [
        ("CREATE_COMPLETE", True),
        ("UPDATE_COMPLETE", True),
        ("UPDATE_IN_PROGRESS", True),
        ("UPDATE_ROLLBACK_COMPLETE", True),
        ("IMPORT_COMPLETE", True),
        ("CREATE_IN_PROGRESS", False),
        ("CREATE_FAILED", False),
        ("ROLLBACK_COMPLETE", False),
        ("DELETE_IN_PROGRESS", False),
        ("DELETE_FAILED", False),
    ],
)
def test_a_stack_must_be_whole(status: str, whole: bool) -> None:
    client = answering({"StackName": NAME, "CreationTime": 0, "StackStatus": status, "Outputs": OURS})
    if whole:
        assert outputs_of(NAME, client) == {"StagingBucket": "s", "LakeBucket": "l"}
        return
    with pytest.raises(DeployError, match=rf"not complete \({status}\).*make deploy"):
        outputs_of(NAME, client)


def test_a_stack_of_somebody_else_is_refused() -> None:
    client = answering({"StackName": NAME, "CreationTime": 0, "StackStatus": "CREATE_COMPLETE", "Outputs": OURS[1:]})
    with pytest.raises(DeployError, match="has no output StagingBucket; it is not of this project"):
        outputs_of(NAME, client)


def test_a_lack_of_permission_names_what_it_takes() -> None:
    client = answering(service_error_code="AccessDenied", service_message="no", http_status_code=403)
    with pytest.raises(DeployError, match="cloudformation:DescribeStacks") as raised:
        outputs_of(NAME, client)
    assert isinstance(raised.value.__cause__, ClientError)


def test_another_refusal_is_told_as_it_is() -> None:
    client = answering(service_error_code="ExpiredToken", service_message="The security token is expired")
    with pytest.raises(DeployError, match=f"the stack {NAME} cannot be read: The security token is expired"):
        outputs_of(NAME, client)


@pytest.mark.e2e
def test_the_local_stack_can_be_named(
    run: Run, local_aws_env: Stack, no_aws: None, own_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_aws_env.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    done = run("--stack", f"stock-pipeline-{local_aws_env.aws.stage}", "doctor")
    assert done.exit_code == 0, done.output
    assert local_aws_env.outputs["LakeBucket"] in done.stdout
