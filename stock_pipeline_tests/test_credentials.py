"""Regions and credentials as users of boto3 and the AWS CLI have them, and the remedy for each error of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError, ProfileNotFound, UnauthorizedSSOTokenError

from stock_pipeline.aws.clients import client_of
from stock_pipeline.credentials import is_denied, region_of, remedy_of
from stock_pipeline.deploy import stack
from stock_pipeline_tests.support.commands import Run, run

__all__ = ["run"]

ALL = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL")
GENERIC = remedy_of(ValueError())


@pytest.fixture(autouse=True)
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no region, and a profile that has one."""
    config = tmp_path / "config"
    config.write_text(
        "[profile prices]\nregion = ap-southeast-2\naws_access_key_id = x\naws_secret_access_key = x\n"
        "[profile signed-out]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = reader\n"
        "region = eu-west-1\n"
        "[sso-session work]\nsso_region = eu-west-1\nsso_start_url = http://127.0.0.1:9/start\n"
    )
    for name in ALL:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-central-1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_PROFILE": "prices"}, "ap-southeast-2"),
        ({"AWS_PROFILE": "prices", "AWS_REGION": "eu-central-1"}, "eu-central-1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [client_of, stack.client_of], ids=["the commands and Dagster", "deploying"])
def test_a_client_is_of_the_region_that_the_aws_cli_would_use(
    make: Any, environment: dict[str, str], region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert make("sqs").meta.region_name == region
    assert region_of() == (None if set(environment) == {"AWS_PROFILE"} else region)


def test_a_profile_that_is_signed_out_is_told_with_the_command_that_signs_in(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_PROFILE", "signed-out")
    done = run("--stack", "stock-pipeline-main", "doctor")
    assert done.exit_code == 1
    assert "aws sso login --profile signed-out" in done.stderr
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    done = run("--stack", "stock-pipeline-main", "doctor")
    assert done.exit_code == 1
    assert "set AWS_PROFILE to one of `aws configure list-profiles`" in done.stderr


ABOUT_WHO_AND_WHERE = [
    name
    for name, kind in vars(botocore.exceptions).items()
    if isinstance(kind, type)
    and issubclass(kind, botocore.exceptions.BotoCoreError)
    and any(
        word in name
        for word in ("SSO", "Login", "Credentials", "Profile", "TokenRetrieval", "NoRegion", "InvalidRegion")
    )
]


@pytest.mark.parametrize("name", ABOUT_WHO_AND_WHERE)
def test_each_error_of_credentials_and_regions_has_a_remedy_of_its_own(name: str) -> None:
    kind = getattr(botocore.exceptions, name)
    error = kind.__new__(kind)
    assert remedy_of(error) != GENERIC


CODES = (
    *("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "AccessDenied"),
    *("SignatureDoesNotMatch", "RequestTimeTooSkewed"),
)


@pytest.mark.parametrize("code", CODES)
def test_each_answer_of_aws_about_credentials_has_a_remedy_of_its_own(code: str) -> None:
    error = ClientError({"Error": {"Code": code, "Message": "no"}}, "GetCallerIdentity")
    assert remedy_of(error) != GENERIC
    assert is_denied(error) == (code == "AccessDenied")


def test_the_remedy_names_the_profile() -> None:
    assert (
        remedy_of(UnauthorizedSSOTokenError(), {"AWS_PROFILE": "work"}) == "sign in again: aws sso login --profile work"
    )
    assert remedy_of(UnauthorizedSSOTokenError(), {}) == "sign in again: aws sso login"
    assert "list-profiles" in remedy_of(ProfileNotFound(profile="x"), {"AWS_PROFILE": "x"})
    assert remedy_of(ValueError()) == GENERIC
