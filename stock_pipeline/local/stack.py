"""The project's stack on the local AWS: deploys lambdas/template.yaml with the few changes of `_for_here`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from stock_pipeline.deploy.packages import function_zip
from stock_pipeline.deploy.stack import described, stack_of
from stock_pipeline.deploy.takeover import left_behind, take_over
from stock_pipeline.deploy.values import Values
from stock_pipeline.deploy.years import PARAMETER as YEARS
from stock_pipeline.deploy.years import around
from stock_pipeline.errors import LocalAwsError
from stock_pipeline.local.environment import dependencies_of
from stock_pipeline.local.folders import LocalFolders
from stock_pipeline.settings import variable

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

REGION = "us-east-1"
# In AWS each object costs money, so a longer wait is worth it there, but not here. And each function that runs is a
# process of this machine.
_DEFAULTS = {"StreamBufferSeconds": "2", "ProcessingConcurrency": "2"}

_ARTIFACTS = "stock-pipeline-local-artifacts"
_PATIENCE = 60.0  # seconds
_POLL = 0.05


def new_key() -> str:
    """A random access key, which is the secret key as well. Only who knows it may use the local AWS of one start."""
    return f"LOCAL{secrets.token_hex(16).upper()}"


def client(service: Any, endpoint: str, key: str) -> Any:
    """A boto3 client of the local AWS with its key, whatever the environment says about the real one."""
    config = Config(proxies={}, retries={"mode": "standard"}, s3={"addressing_style": "path"})
    return boto3.Session(key, key, region_name=REGION).client(service, endpoint_url=endpoint, config=config)


def deploy(
    endpoint: str, key: str, folders: LocalFolders, *, stage: str, parameters: Mapping[str, str]
) -> dict[str, str]:
    """Create or update the stack of a stage and return its outputs.

    `parameters` are those of the template. Parameters that are not given have the defaults of `_DEFAULTS` or of the
    template. Deploying the same again does nothing. Raises LocalAwsError, with the reason of each failed resource.
    """
    from stock_pipeline.deploy.template import load_template

    template = load_template()
    location = _for_here(template, endpoint, key, folders)
    stack = stack_of(stage)
    years = {YEARS: around(datetime.now(UTC).date())}
    given = {"Stage": stage, **_DEFAULTS, **years, **parameters}
    request: list[ParameterTypeDef] = [{"ParameterKey": k, "ParameterValue": v} for k, v in given.items()]
    cloudformation: CloudFormationClient = client("cloudformation", endpoint, key)
    try:
        if described(stack, cloudformation) is None:
            account = client("sts", endpoint, key).get_caller_identity()["Account"]
            values = Values(template, given, account, REGION)
            if left := left_behind(values, client("s3", endpoint, key)):
                take_over(stack, left, values, cloudformation)
        _put_stack(cloudformation, stack, location, request)
        return _outputs(cloudformation, stack)
    except ClientError as error:
        raise LocalAwsError(f"the stack {stack} was refused: {error.response['Error'].get('Message')}") from error


def give_buckets_their_names(objects: Path) -> None:
    """Rename the folders of buckets from before their names had a region, so that their objects are found."""
    for folder in list(objects.glob("*/stock-pipeline-*")):
        if folder.name.endswith(f"-{folder.parent.name}"):
            named = folder.with_name(f"{folder.name}-{REGION}-an")
            if not named.exists():
                folder.rename(named)


def _for_here(template: dict[str, Any], endpoint: str, access_key: str, folders: LocalFolders) -> str:
    """Upload each function's code, and the template, which points to the installed dependencies.

    Returns the address of the template; with more than 51,200 bytes, it is too large to be sent directly.

    The lake keeps no old versions here: every merge would add one, and the emulator has no lifecycle to remove them.
    """
    del template["Resources"]["LakeBucket"]["Properties"]["VersioningConfiguration"]
    s3 = client("s3", endpoint, access_key)
    with contextlib.suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=_ARTIFACTS)
    uploaded = set()
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        properties = resource["Properties"]
        name = properties["CodeUri"].rstrip("/")
        code = function_zip(name)
        key = f"{name}/{hashlib.sha256(code).hexdigest()}.zip"
        s3.put_object(Bucket=_ARTIFACTS, Key=key, Body=code)
        uploaded.add(key)
        properties["CodeUri"] = {"Bucket": _ARTIFACTS, "Key": key}
        variables = properties.setdefault("Environment", {}).setdefault("Variables", {})
        variables["PYTHONPATH"] = str(dependencies_of(name, folders))
    body = json.dumps(template).encode()
    at = f"template/{hashlib.sha256(body).hexdigest()}.json"
    s3.put_object(Bucket=_ARTIFACTS, Key=at, Body=body)
    uploaded.add(at)
    for stale in {entry["Key"] for entry in s3.list_objects_v2(Bucket=_ARTIFACTS)["Contents"]} - uploaded:
        s3.delete_object(Bucket=_ARTIFACTS, Key=stale)
    return f"{endpoint}/{_ARTIFACTS}/{at}"


def _put_stack(cloudformation: CloudFormationClient, stack: str, location: str, given: list[ParameterTypeDef]) -> None:
    capabilities: Any = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    try:
        cloudformation.describe_stacks(StackName=stack)
    except ClientError:
        cloudformation.create_stack(
            StackName=stack, TemplateURL=location, Parameters=given, Capabilities=capabilities, DisableRollback=True
        )
        return
    try:
        cloudformation.update_stack(StackName=stack, TemplateURL=location, Parameters=given, Capabilities=capabilities)
    except ClientError as error:
        if "No updates are to be performed" not in error.response["Error"].get("Message", ""):
            raise


def _outputs(cloudformation: CloudFormationClient, stack: str) -> dict[str, str]:
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
        status = found["StackStatus"]
        if status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}
        if not status.endswith("_IN_PROGRESS"):
            raise LocalAwsError(f"the stack {stack} ended as {status}: {_failures(cloudformation, stack)}")
        if time.monotonic() > deadline:
            raise LocalAwsError(f"the stack {stack} is still {status} after {_PATIENCE:.0f} s")
        time.sleep(_POLL)


def _failures(cloudformation: CloudFormationClient, stack: str) -> str:
    events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [e for e in events if e.get("ResourceStatus", "").endswith("_FAILED")]
    return "; ".join(f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in reversed(failed))


def parameters_of_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The template's parameters that are set in an environment, by the settings of the same meaning."""
    names = {
        "Symbols": "symbols",
        "Seed": "seed",
        "MaxClockSkewSeconds": "max_clock_skew_seconds",
    }
    given = {parameter: environ.get(variable(setting), "").strip() for parameter, setting in names.items()}
    return {parameter: text for parameter, text in given.items() if text}
