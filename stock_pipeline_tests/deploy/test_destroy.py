"""What is deleted: what the stack lists, in its account and region, every version of it; and that it asks first."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from stock_pipeline.deploy.__main__ import _confirm
from stock_pipeline.deploy.destroy import Doomed, destroy, doomed, empty
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import (
    ACCOUNT,
    BEGAN,
    STACK,
    account,
    deleted,
    described,
    event,
    holds,
    unknown,
)

THERE = Doomed("stock-pipeline-main", "arn:1", ACCOUNT, "eu-central-1", ("the-staging", "the-lake"), {})


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        yield client


def test_every_version_goes_and_every_mark_of_a_deletion(s3: Any) -> None:
    for body in (b"1", b"2"):
        s3.put_object(Bucket="bucket", Key="a/one", Body=body)
    s3.delete_object(Bucket="bucket", Key="a/one")
    for number in range(1005):  # more than S3 deletes at once
        s3.put_object(Bucket="bucket", Key=f"a/{number}", Body=b"")
    s3.put_object(Bucket="bucket", Key="b/kept", Body=b"")
    assert empty("bucket", s3, ACCOUNT, prefix="a/") == 1008
    assert [each["Key"] for each in s3.list_object_versions(Bucket="bucket")["Versions"]] == ["b/kept"]
    assert empty("bucket", s3, ACCOUNT) == 1
    s3.delete_bucket(Bucket="bucket")
    assert s3.list_buckets()["Buckets"] == []


def test_every_call_names_the_owner(s3: Any) -> None:
    owners: list[Any] = []
    s3.meta.events.register(
        "provide-client-params.s3", lambda params, **_: owners.append(params["ExpectedBucketOwner"])
    )
    s3.put_object(Bucket="bucket", Key="one", Body=b"", ExpectedBucketOwner=ACCOUNT)
    assert empty("bucket", s3, ACCOUNT) == 1
    assert owners == [ACCOUNT] * 4  # put, list, delete, list


def there_is(stubbers: dict[str, Stubber], bucket: str, answer: dict[str, Any] | int) -> None:
    asked = {"Bucket": bucket, "ExpectedBucketOwner": ACCOUNT}
    if isinstance(answer, int):
        stubbers["s3"].add_client_error("head_bucket", str(answer), "", answer, expected_params=asked)
    else:
        stubbers["s3"].add_response("head_bucket", answer, asked)


def is_empty(stubbers: dict[str, Stubber], bucket: str, **prefix: str) -> None:
    asked = {"Bucket": bucket, "Prefix": "", "MaxKeys": 1000, "ExpectedBucketOwner": ACCOUNT, **prefix}
    stubbers["s3"].add_response("list_object_versions", {}, asked)


def test_what_a_stack_lists_goes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    stubbers = account(monkeypatch)
    given: Any = [{"ParameterKey": "Stage", "ParameterValue": "main"}, {"ParameterKey": "Seed", "ParameterValue": "11"}]
    described(stubbers["cloudformation"], "CREATE_COMPLETE", Parameters=given)
    kind = "AWS::S3::Bucket"
    holds(
        stubbers["cloudformation"],
        ("Lake", kind, "CREATE_COMPLETE"),
        ("Queue", "AWS::SQS::Queue", "CREATE_COMPLETE"),
        ("Former", kind, "DELETE_SKIPPED"),
        ("ByHand", kind, "CREATE_COMPLETE"),
        stack=STACK,
    )
    there_is(stubbers, "lake", {"BucketRegion": "eu-central-1"})
    there_is(stubbers, "byhand", 404)  # somebody has deleted it already
    there_are_packages(stubbers)
    is_empty(stubbers, "packages", Prefix=f"{STACK}/")
    is_empty(stubbers, "lake")
    stubbers["s3"].add_response("delete_bucket", {}, {"Bucket": "lake", "ExpectedBucketOwner": ACCOUNT})
    said: list[str] = []
    destroy("main", delete_data=True, report=said.append)
    assert said == [
        f"deleting the stack {STACK} in account {ACCOUNT}, region eu-central-1 …",
        "deleted lake and the 0 versions of objects in it",
    ]
    for stubber in stubbers.values():
        stubber.assert_no_pending_responses()


def there_are_packages(stubbers: dict[str, Stubber]) -> None:
    deleted(stubbers["cloudformation"])
    managed = {"StackName": "aws-sam-cli-managed-default", "CreationTime": BEGAN, "StackStatus": "CREATE_COMPLETE"}
    managed |= {"Outputs": [{"OutputKey": "SourceBucket", "OutputValue": "packages"}]}
    stubbers["cloudformation"].add_response("describe_stacks", {"Stacks": [managed]})


def test_of_a_deleted_stack_the_buckets_that_it_kept_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    stubbers = account(monkeypatch)
    unknown(stubbers["cloudformation"])
    stacks = [
        {
            "StackName": name,
            "StackId": f"{name}-{day}",
            "CreationTime": BEGAN + timedelta(day),
            "StackStatus": "DELETE_COMPLETE",
        }
        for name, day in ((STACK, 1), (STACK, 3), (STACK, 2), ("another", 4))
    ]
    stubbers["cloudformation"].add_response(
        "list_stacks", {"StackSummaries": stacks}, {"StackStatusFilter": ["DELETE_COMPLETE"]}
    )
    kind = "AWS::S3::Bucket"
    events = [
        event(1, "Lake", "DELETE_SKIPPED", kind=kind),
        event(1, "Staging", "DELETE_SKIPPED", kind=kind),
        event(1, "Scratch", "DELETE_COMPLETE", kind=kind),
        event(1, "Queue", "DELETE_SKIPPED"),
    ]
    stubbers["cloudformation"].add_response(
        "describe_stack_events", {"StackEvents": events}, {"StackName": f"{STACK}-3"}
    )
    there_is(stubbers, "lake", {})
    there_is(stubbers, "staging", 404)
    assert doomed("main") == Doomed(STACK, None, ACCOUNT, "eu-central-1", ("lake",), {})


@pytest.mark.parametrize("answer", [{"BucketRegion": "us-east-1"}, 403])
def test_a_bucket_of_somebody_or_somewhere_else_stops_it_before_anything_goes(
    answer: dict[str, Any] | int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubbers = account(monkeypatch)
    described(stubbers["cloudformation"], "CREATE_COMPLETE")
    holds(stubbers["cloudformation"], ("Lake", "AWS::S3::Bucket", "CREATE_COMPLETE"), stack=STACK)
    there_is(stubbers, "lake", answer)
    with pytest.raises(DeployError, match=r"lake (is in us-east-1|cannot be looked at)"):
        destroy("main", delete_data=True)  # any other call would fail: it is not stubbed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(monkeypatch: pytest.MonkeyPatch, answer: str, **given: Any) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    _confirm(argparse.Namespace(**{"stage": "main", "force": False, "delete_data": True} | given), THERE)


def test_the_answer_is_the_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked(monkeypatch, "main")
    assert (
        "in account 123456789012, region eu-central-1: the stack stock-pipeline-main and the-staging and the-lake with "
        "ALL DATA" in capsys.readouterr().out
    )


@pytest.mark.parametrize("answer", ["", "yes", "y", "Main", "stock-pipeline-main"])
def test_any_other_answer_deletes_nothing(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with pytest.raises(DeployError, match="nothing was deleted"):
        asked(monkeypatch, answer)


def test_without_a_terminal_it_takes_force(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("main\n"))
    given = argparse.Namespace(stage="main", force=False, delete_data=False)
    with pytest.raises(DeployError, match=r"region eu-central-1.*the-lake stays.*FORCE=1"):
        _confirm(given, THERE)
    given.force = True
    _confirm(given, THERE)
    assert "region eu-central-1" in capsys.readouterr().out
