"""Takes over the buckets that an earlier stack of a stage left behind, with what is in them.

CloudFormation imports a resource by its literal name only, and takes over its properties as they are. So the new stack
begins with an import of the buckets, whose properties are left out. The update that follows it adds everything else and
sets all properties. If that update fails, the stack holds its buckets, and the next deployment goes on from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from stock_pipeline.deploy.events import reasons
from stock_pipeline.deploy.readiness import delete, is_empty
from stock_pipeline.deploy.stack import described, patience
from stock_pipeline.deploy.values import Values
from stock_pipeline.errors import DeployError

_BUCKET = "AWS::S3::Bucket"
_NEVER_UPDATED = ("BucketName", "BucketNamespace")  # a change of these replaces the bucket


def named_buckets(values: Values) -> dict[str, str]:
    """The buckets that a template makes for its parameters: their names by their logical names."""
    named = {logical: values.of(properties.get("BucketName")) for logical, properties in values.made(_BUCKET)}
    return {logical: name for logical, name in named.items() if name}


def left_behind(values: Values, s3: Any) -> dict[str, str]:
    """Those of a template's buckets that exist already: their names by their logical names. Raises DeployError."""
    named = named_buckets(values)
    return {logical: name for logical, name in named.items() if exists(name, s3, values.account, values.region)}


def exists(bucket: str, s3: Any, account: str, region: str) -> bool:
    """Whether an account has a bucket of this name in a region.

    Raises DeployError if the bucket is in another region, or may not be looked at.
    """
    try:
        found = s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return False
        raise DeployError(
            f"{bucket} cannot be looked at ({error.response['Error'].get('Message') or error}); it belongs to another "
            f"account than {account}, or the permission s3:ListBucket is missing"
        ) from error
    if (where := found.get("BucketRegion", region)) != region:
        raise DeployError(
            f"{bucket} is in {where}, not in {region}; set AWS_REGION to {where} if that is what you mean"
        )
    return True


def take_over(stack: str, left: Mapping[str, str], values: Values, cloudformation: Any) -> None:
    """Create a stack of existing buckets: their names by their logical names in the template.

    Raises DeployError, with the reasons, and then leaves no stack. The buckets stay as they are in any case.
    """
    change_set = f"take-over-{int(time.time())}"
    try:
        cloudformation.create_change_set(
            StackName=stack,
            ChangeSetName=change_set,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps(_of_buckets(left, values)),
            ResourcesToImport=[
                {"ResourceType": _BUCKET, "LogicalResourceId": logical, "ResourceIdentifier": {"BucketName": name}}
                for logical, name in left.items()
            ],
        )
        _wait(cloudformation, "change_set_create_complete", StackName=stack, ChangeSetName=change_set)
        _check(stack, change_set, left, cloudformation)
        cloudformation.execute_change_set(StackName=stack, ChangeSetName=change_set)
        _wait(cloudformation, "stack_import_complete", StackName=stack)
    except (ClientError, WaiterError, DeployError) as error:
        why = "; ".join(reasons(stack, cloudformation)) or str(error)
        if (made := described(stack, cloudformation)) and is_empty(made, cloudformation):
            delete(made["StackId"], cloudformation)
        raise DeployError(f"the stack {stack} could not take over {' and '.join(left.values())}: {why}") from error


def _of_buckets(left: Mapping[str, str], values: Values) -> dict[str, Any]:
    """A template of the buckets alone. They are kept whatever becomes of the stack: it did not create them."""
    resources = {}
    written = dict(values.made(_BUCKET))
    for logical, name in left.items():
        properties = {key: value for key, value in written[logical].items() if key in _NEVER_UPDATED}
        resources[logical] = {
            "Type": _BUCKET,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": properties | {"BucketName": name},
        }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def _check(stack: str, change_set: str, left: Mapping[str, str], cloudformation: Any) -> None:
    """Refuse a change set that would do anything else than import each bucket."""
    planned: dict[str, str] = {}
    for page in cloudformation.get_paginator("describe_change_set").paginate(StackName=stack, ChangeSetName=change_set):
        for change in page["Changes"]:
            planned[change["ResourceChange"]["LogicalResourceId"]] = change["ResourceChange"]["Action"]
    if planned != dict.fromkeys(left, "Import"):
        told = ", ".join(f"{action} {logical}" for logical, action in planned.items()) or "nothing"
        raise DeployError(f"CloudFormation would not import each bucket, but: {told}")


def _wait(cloudformation: Any, waiter: str, **what: str) -> None:
    cloudformation.get_waiter(waiter).wait(**what, WaiterConfig=patience(cloudformation))
