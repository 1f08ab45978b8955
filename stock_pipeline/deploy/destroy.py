"""Deletes a stage's stack. Its buckets and their data stay, unless `delete_data` is given.

Only what the stack itself lists is deleted: that a name looks like the stage's is not enough. CloudFormation lists a
deleted stack for 90 days, so the buckets that it kept can still be deleted then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from stock_pipeline.deploy.readiness import delete
from stock_pipeline.deploy.stack import account_of, client_of, described, parameters_of, resources_of, stack_of, tagged
from stock_pipeline.deploy.tags import tags_for
from stock_pipeline.deploy.takeover import exists
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

_AT_ONCE = 1000  # objects that S3 deletes in one call
_BUCKET = "AWS::S3::Bucket"


@dataclass(frozen=True)
class Doomed:
    """A stage's stack, where it is, and the buckets that it lists. One that is deleted already has no `stack_id`."""

    stack: str
    stack_id: str | None
    account: str
    region: str
    buckets: tuple[str, ...]
    parameters: Mapping[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"account {self.account}, region {self.region}"


def doomed(stage: str, environ: Mapping[str, str] = os.environ) -> Doomed:
    """What there is of a stage in the account and the region that an environment names. Raises DeployError."""
    stack, cloudformation, s3 = stack_of(stage), client_of("cloudformation", environ), client_of("s3", environ)
    account, region = account_of(environ), cloudformation.meta.region_name
    found = described(stack, cloudformation)
    listed = (
        resources_of(stack, cloudformation, _BUCKET).values() if found else _kept_by_the_last(stack, cloudformation)
    )
    buckets = tuple(sorted(name for name in listed if exists(name, s3, account, region)))
    parameters = _unlike_the_defaults(parameters_of(found)) if found else {}
    own = tagged(found or {}).items() - tags_for(stage, None, {}).items()
    return Doomed(stack, found["StackId"] if found else None, account, region, buckets, parameters, dict(sorted(own)))


def destroy(
    stage: str, *, delete_data: bool = False, report: Say = print, environ: Mapping[str, str] = os.environ
) -> None:
    """Delete a stage's stack and the packages that were uploaded for it; with `delete_data`, also its buckets.

    If it fails halfway, run it again. Raises DeployError.
    """
    gone = doomed(stage, environ)
    cloudformation, s3 = client_of("cloudformation", environ), client_of("s3", environ)
    if gone.stack_id is None:
        report(f"there is no stack {gone.stack} in {gone.where}")
    else:
        report(f"deleting the stack {gone.stack} in {gone.where} …")
        delete(gone.stack, cloudformation)
    if artifacts := artifacts_bucket(cloudformation):
        empty(artifacts, s3, gone.account, prefix=f"{gone.stack}/")
    for bucket in gone.buckets:
        if delete_data:
            report(f"deleted {bucket} and the {empty(bucket, s3, gone.account):,} versions of objects in it")
            s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=gone.account)
        else:
            report(f"kept {bucket}; the next deployment of this stage takes it over")
    for what, variable, values in (("parameters", "PARAMS", gone.parameters), ("tags", "TAGS", gone.tags)):
        if values and not delete_data:
            words = [f"{name}={value}" for name, value in values.items()]
            given = " ".join(f'"{word}"' if " " in word else word for word in words)
            report(f"its {what} were {variable}='{given}'; give them to the next deployment")


def artifacts_bucket(cloudformation: Any) -> str | None:
    """The bucket that SAM keeps packages in, if it has made one."""
    managed = described("aws-sam-cli-managed-default", cloudformation)
    outputs = (managed or {}).get("Outputs", [])
    return next((output["OutputValue"] for output in outputs if output["OutputKey"] == "SourceBucket"), None)


def empty(bucket: str, s3: Any, account: str, prefix: str = "") -> int:
    """Delete every version of every object below a prefix; returns how many there were. Raises DeployError."""
    deleted = 0
    for versions in _versions(bucket, s3, account, prefix):
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": versions, "Quiet": True}, ExpectedBucketOwner=account
        )
        if errors := answer.get("Errors"):
            raise DeployError(f"{bucket} could not be emptied: {errors[0].get('Key')}: {errors[0].get('Message')}")
        deleted += len(versions)
    return deleted


def _versions(bucket: str, s3: Any, account: str, prefix: str) -> Iterator[list[dict[str, str]]]:
    """The versions that exist, in groups that one call can delete. Lists anew each time, because they get deleted."""
    while True:
        page = s3.list_object_versions(Bucket=bucket, Prefix=prefix, MaxKeys=_AT_ONCE, ExpectedBucketOwner=account)
        found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        if not found:
            return
        yield [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]


def _kept_by_the_last(stack: str, cloudformation: Any) -> list[str]:
    """The buckets that the last deleted stack of a name has kept."""
    pages = cloudformation.get_paginator("list_stacks").paginate(StackStatusFilter=["DELETE_COMPLETE"])
    deleted = [each for page in pages for each in page["StackSummaries"] if each["StackName"] == stack]
    if not deleted:
        return []
    last = max(deleted, key=lambda each: each["CreationTime"])
    events = cloudformation.get_paginator("describe_stack_events").paginate(StackName=last["StackId"])
    skipped = {
        event["PhysicalResourceId"]
        for page in events
        for event in page["StackEvents"]
        if event["ResourceType"] == _BUCKET and event.get("ResourceStatus") == "DELETE_SKIPPED"
    }
    return sorted(skipped - {""})


def _unlike_the_defaults(parameters: Mapping[str, str]) -> dict[str, str]:
    from stock_pipeline.deploy.template import load_template  # its YAML comes with the extra

    defaults = {name: str(given.get("Default", "")) for name, given in load_template()["Parameters"].items()}
    return {name: value for name, value in parameters.items() if name != "Stage" and value != defaults.get(name, value)}
