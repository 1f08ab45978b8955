"""Rules: buckets are private, encrypted, kept, and written by compare-and-swap; only TLS is answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import boto3

from stock_pipeline.lake.layout_object import LAYOUT_KEY
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import TABLES, Table
from stock_pipeline_tests.lambdas.template import NOTHING, Template, listed, rule, text

TLS = {"Bool": {"aws:SecureTransport": "false"}}
WITHOUT_CONDITION = {
    "Null": {"s3:if-match": "true", "s3:if-none-match": "true"},
    "Bool": {"s3:ObjectCreationOperation": "true"},  # the parts of a multipart upload take no condition
}
KEY = {"Ref": "KmsKey"}
REGIONS = {
    region
    for partition in boto3.Session().get_available_partitions()
    for region in boto3.Session().get_available_regions("s3", partition)
}


@rule
def buckets_are_private(template: Template) -> Iterator[str]:
    wanted = {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if {key for key, value in block.items() if value is True} != wanted:
            yield f"{name} can be made public"
        if bucket.get("OwnershipControls") != {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}:
            yield f"{name} takes access control lists"


@rule
def buckets_are_encrypted(template: Template) -> Iterator[str]:
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        rules = bucket.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        if not rules:
            yield f"{name} is not encrypted"
        for one in rules:
            own, ours = one.get("ServerSideEncryptionByDefault", {}).get("Fn::If", [None, {}, {}])[1:]
            if own != {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY} or ours != {"SSEAlgorithm": "AES256"}:
                yield f"{name} is not encrypted by the key that is given, or by S3's own"
            if one.get("BucketKeyEnabled") != {"Fn::If": ["HasKmsKey", True, NOTHING]}:
                yield f"{name} asks KMS for every object"


@rule
def access_can_be_logged(template: Template) -> Iterator[str]:
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        condition, where, otherwise = bucket.get("LoggingConfiguration", {}).get("Fn::If", [None, {}, None])
        if (condition, where.get("DestinationBucketName"), otherwise) != ("LogsAccess", {"Ref": "LogBucket"}, NOTHING):
            yield f"nobody can see who read and wrote {name}"


@rule
def raw_objects_can_be_read_at_once_for_as_long_as_they_are_kept(template: Template) -> Iterator[str]:
    """A day is built again from its raw objects, so they neither expire unasked nor need to be restored first."""
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        for one in bucket.get("LifecycleConfiguration", {}).get("Rules", []):
            if one.get("Prefix") == "athena_results/":
                continue
            classes = {move["StorageClass"] for move in one.get("Transitions", [])}
            if classes - {"STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR"}:
                yield f"{name} keeps objects where nobody can read them at once"
            expires = one.get("ExpirationInDays", NOTHING)
            if expires not in (NOTHING, {"Fn::If": ["ExpiresRawTicks", {"Ref": "RawTicksKeepDays"}, NOTHING]}):
                yield f"{name} forgets objects unasked"
    if template.parameters["RawTicksKeepDays"]["Default"] != 0:
        yield "raw ticks expire unasked"


@rule
def buckets_keep_old_versions(template: Template) -> Iterator[str]:
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} forgets what is overwritten"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any(r.get("NoncurrentVersionExpiration") for r in rules):
            yield f"{name} keeps old versions for good"


@rule
def tables_are_written_by_compare_and_swap_only(template: Template) -> Iterator[str]:
    """A PUT that neither says which version it replaces, nor that there is none, is refused in every table."""
    wanted = {f"${{LakeBucket.Arn}}/{table.prefix}{_rows_of(table)}" for table in TABLES.values()}
    wanted.add(f"${{LakeBucket.Arn}}/{LAYOUT_KEY}")
    denied: set[str] = set()
    for statement in template.policy_of("AWS::S3::BucketPolicy", "LakeBucket"):
        if (statement["Effect"], statement["Principal"], statement["Action"], statement["Condition"]) == (
            "Deny", "*", "s3:PutObject", WITHOUT_CONDITION,
        ):  # fmt: skip
            denied |= {text(resource) for resource in listed(statement["Resource"])}
    yield from (f"{resource} can be written over" for resource in sorted(wanted - denied))
    yield from (f"{resource} is no object of a table" for resource in sorted(denied - wanted))


def _rows_of(table: Table) -> str:
    """The names of a table's objects below its prefix; notes, which are no rows, begin with an underscore."""
    return f"{table.partition[0]}=*" if table.partition else f"{SNAPSHOT}{table.suffix}"


@rule
def data_outlives_the_stack(template: Template) -> Iterator[str]:
    for name, resource in template.resources.items():
        if resource["Type"] == "AWS::S3::Bucket":
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if resource.get(policy) not in ("Retain", "RetainExceptOnCreate"):
                    yield f"{name} goes with the stack ({policy})"


@rule
def a_failed_first_deployment_leaves_nothing_behind(template: Template) -> Iterator[str]:
    for name, resource in template.resources.items():
        if resource.get("DeletionPolicy") == "Retain":
            yield f"{name} stays when its first deployment fails, and its name is taken at the next one"


@rule
def bucket_names_are_of_one_account_and_region(template: Template) -> Iterator[str]:
    """With such a name, a call in another region or account cannot reach the bucket, and nobody else can create it."""
    suffix = "-${AWS::AccountId}-${AWS::Region}-an"
    longest = int(re.fullmatch(r".*\{0,(\d+)\}", template.parameters["Stage"]["AllowedPattern"]).group(1)) + 1  # type: ignore[union-attr]
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        written = bucket.get("BucketName", {}).get("Fn::Sub", "")
        if not written.endswith(suffix) or bucket.get("BucketNamespace") != "account-regional":
            yield f"{name} may be in another region or account than it seems"
        prefix = written.removesuffix(suffix).replace("${Stage}", "s" * longest)
        if len(prefix) + len("-123456789012--an") + max(map(len, REGIONS)) > 63:
            yield f"{name} can have a name that is longer than S3 allows"


@rule
def only_tls_is_answered(template: Template) -> Iterator[str]:
    kinds = {"AWS::S3::Bucket": "s3:*", "AWS::SQS::Queue": "sqs:*", "AWS::SNS::Topic": "sns:Publish"}
    for kind, action in kinds.items():
        policy = kind.rsplit("::", 1)[-1] + "Policy"
        for name in template.of_type(kind):
            statements = template.policy_of(f"{kind.rsplit('::', 1)[0]}::{policy}", name)
            if not any(_denies_plain_http(statement, action, name) for statement in statements):
                yield f"{name} answers without TLS"


def _denies_plain_http(statement: dict[str, Any], action: str, name: str) -> bool:
    wanted = {name, f"${{{name}.Arn}}/*"} if action == "s3:*" else {name}
    return (
        (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", action)
        and statement.get("Condition") == TLS
        and {text(resource) for resource in listed(statement["Resource"])} == wanted
    )
