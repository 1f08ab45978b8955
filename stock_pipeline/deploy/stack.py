"""A deployed stack, and what its outputs mean.

Each output has the name of the setting that it is the value of: StagingBucket is STOCK_PIPELINE_STAGING_BUCKET.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, NoRegionError

from stock_pipeline.credentials import region_of
from stock_pipeline.errors import DeployError
from stock_pipeline.settings import Settings, variable

LOOPBACK = ("http://127.0.0.1", "http://localhost")
"""What the address of a local AWS begins with."""

_NEEDED = ("StagingBucket", "LakeBucket")
_GONE = ("DELETE_COMPLETE", "DELETE_SKIPPED")
_HIDDEN = "****"
_WHOLE = ("CREATE_COMPLETE", "IMPORT_COMPLETE")  # and every state of an update: the old stack goes on working


def settings_of(outputs: Mapping[str, str]) -> dict[str, str]:
    """A stack's outputs as settings: {"LakeBucket": …} → {"STOCK_PIPELINE_LAKE_BUCKET": …}."""
    names = {re.sub(r"(?:^|_)(.)", lambda m: m[1].upper(), f.name): f.name for f in fields(Settings)}
    return {variable(names[key]): value for key, value in outputs.items() if key in names}


def outputs_of(stack: str, cloudformation: Any = None) -> dict[str, str]:
    """The outputs of a stack of this project; by default in the AWS that the environment names.

    Raises DeployError when there is no such stack, or it may not be read, is not complete or is not of this project.
    """
    found = described(stack, cloudformation)
    if found is None:
        raise DeployError(
            f"there is no stack {stack} in {_where(cloudformation)}; check the name, AWS_REGION and AWS_PROFILE, "
            "or make one: `make deploy`"
        )
    status = found["StackStatus"]
    if status not in _WHOLE and not status.startswith("UPDATE_"):
        raise DeployError(f"the stack {stack} is not complete ({status}); run `make deploy` again, which says why")
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
    if missing := [name for name in _NEEDED if name not in outputs]:
        raise DeployError(
            f"the stack {stack} has no output {missing[0]}; it is not of this project, or it is old: run `make deploy`"
        )
    return outputs


def described(stack: str, cloudformation: Any = None) -> dict[str, Any] | None:
    """CloudFormation's description of a stack, or None if there is none. Raises DeployError when it cannot be read."""
    try:
        client = cloudformation or client_of("cloudformation")
        answer: dict[str, Any] = client.describe_stacks(StackName=stack)["Stacks"][0]
    except NoRegionError:
        raise DeployError("no region is set; set AWS_REGION to the region of the stack, or set AWS_PROFILE") from None
    except ClientError as error:
        said = error.response["Error"]
        if said.get("Code") == "ValidationError" and "does not exist" in said.get("Message", ""):
            return None
        if said.get("Code") in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}:
            raise DeployError(
                f"reading the stack {stack} is not allowed: {said.get('Message')}; allow "
                "cloudformation:DescribeStacks, or set the STOCK_PIPELINE_… variables instead of --stack"
            ) from error
        raise DeployError(f"the stack {stack} cannot be read: {said.get('Message') or error}") from error
    return answer


def stack_of(stage: str) -> str:
    """The name of a stage's stack."""
    return f"stock-pipeline-{stage}"


def resources_of(stack: str, cloudformation: Any, kind: str = "") -> dict[str, str]:
    """What a stack holds, of a type or of all: physical names by logical names."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceStatus"] not in _GONE and each["ResourceType"] == (kind or each["ResourceType"])
    }


def parameters_of(found: Mapping[str, Any]) -> dict[str, str]:
    """The parameters of a stack that CloudFormation has described; without those that it hides."""
    given = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    return {name: value for name, value in given.items() if value != _HIDDEN}


def tagged(found: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a stack that CloudFormation has described."""
    return {each["Key"]: each["Value"] for each in found.get("Tags", [])}


def account_of(environ: Mapping[str, str] = os.environ) -> str:
    """The number of the account that an environment's credentials are of."""
    return str(client_of("sts", environ).get_caller_identity()["Account"])


def client_of(service: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """A client of the AWS that an environment names, with short timeouts."""
    config = Config(connect_timeout=5, retries={"mode": "standard"})
    session = boto3.Session(
        aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environ.get("AWS_SESSION_TOKEN"),
        region_name=region_of(environ),
        profile_name=environ.get("AWS_PROFILE"),
    )
    return session.client(service, endpoint_url=environ.get("AWS_ENDPOINT_URL"), config=config)


def patience(client: Any) -> dict[str, float]:
    """How long a waiter waits: half an hour, by which time CloudFormation has ended each of our operations."""
    delay = 0.1 if client.meta.endpoint_url.startswith(LOOPBACK) else 2
    return {"Delay": delay, "MaxAttempts": 1800 / delay}


def _where(cloudformation: Any) -> str:
    region: str = (cloudformation or client_of("cloudformation")).meta.region_name
    return region
