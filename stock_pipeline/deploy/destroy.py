"""Deletes a stage's stack. Its buckets and their data stay, unless `delete_data` is given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from stock_pipeline.deploy.sam import artifacts_bucket, buckets_left
from stock_pipeline.deploy.stack import client_of, described, stack_of
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

_AT_ONCE = 1000  # objects that S3 deletes in one call
_PATIENCE = {"Delay": 2, "MaxAttempts": 900}


def destroy(
    stage: str, *, delete_data: bool = False, report: Say = print, environ: Mapping[str, str] = os.environ
) -> None:
    """Delete a stage's stack and the packages that were uploaded for it; with `delete_data`, also its buckets.

    If it fails halfway, run it again. Raises DeployError.
    """
    stack, cloudformation = stack_of(stage), client_of("cloudformation", environ)
    if described(stack, cloudformation) is None:
        report(f"there is no stack {stack}")
    else:
        report(f"deleting the stack {stack} …")
        _delete_stack(stack, cloudformation)
    s3 = client_of("s3", environ)
    if artifacts := artifacts_bucket(cloudformation):
        empty(artifacts, s3, prefix=f"{stack}/")
    for bucket in buckets_left(stage, environ):
        if delete_data:
            report(f"deleted {bucket} and the {empty(bucket, s3):,} versions of objects in it")
            s3.delete_bucket(Bucket=bucket)
        else:
            report(f"kept {bucket}; the next deployment of this stage takes it over")


def _delete_stack(stack: str, cloudformation: Any) -> None:
    try:
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig=_PATIENCE)
    except (ClientError, WaiterError) as error:
        found = described(stack, cloudformation) or {}
        why = found.get("StackStatusReason") or str(error)
        raise DeployError(f"the stack {stack} could not be deleted: {why}; fix that and run it again") from error


def empty(bucket: str, s3: Any, prefix: str = "") -> int:
    """Delete every version of every object below a prefix; returns how many there were."""
    deleted = 0
    for versions in _versions(bucket, s3, prefix):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        if errors := answer.get("Errors"):
            raise DeployError(f"{bucket} could not be emptied: {errors[0].get('Key')}: {errors[0].get('Message')}")
        deleted += len(versions)
    return deleted


def _versions(bucket: str, s3: Any, prefix: str) -> Iterator[list[dict[str, str]]]:
    """The versions that exist, in groups that one call can delete. Lists anew each time, because they get deleted."""
    while True:
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=_AT_ONCE)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            return
        yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
