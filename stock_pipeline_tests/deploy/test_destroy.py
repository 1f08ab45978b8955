"""Emptying buckets of every version, and asking before anything goes."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from stock_pipeline.deploy.__main__ import _confirm
from stock_pipeline.deploy.destroy import empty
from stock_pipeline.errors import DeployError


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
    assert empty("bucket", s3, prefix="a/") == 1008
    assert [each["Key"] for each in s3.list_object_versions(Bucket="bucket")["Versions"]] == ["b/kept"]
    assert empty("bucket", s3) == 1
    s3.delete_bucket(Bucket="bucket")
    assert s3.list_buckets()["Buckets"] == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def asked(monkeypatch: pytest.MonkeyPatch, answer: str, **given: Any) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    _confirm(argparse.Namespace(**{"stage": "main", "force": False, "delete_data": True} | given))


def test_the_answer_is_the_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked(monkeypatch, "main")
    assert "stock-pipeline-main and its buckets with ALL DATA" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ["", "yes", "y", "Main", "stock-pipeline-main"])
def test_any_other_answer_deletes_nothing(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    with pytest.raises(DeployError, match="nothing was deleted"):
        asked(monkeypatch, answer)


def test_without_a_terminal_it_takes_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("main\n"))
    given = argparse.Namespace(stage="main", force=False, delete_data=False)
    with pytest.raises(DeployError, match="FORCE=1"):
        _confirm(given)
    given.force = True
    assert _confirm(given) is None
