"""Rules: who may do what. Roles, policies, buckets, queues and streams. cfn-lint and checkov miss most of this."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import boto3

from stock_pipeline_tests.lambdas.needed import needed_by
from stock_pipeline_tests.lambdas.template import ACCOUNT, Template, listed, rule, text

EXCEPTIONS = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}  # X-Ray has no resources to name
REGIONS = {
    region
    for partition in boto3.Session().get_available_partitions()
    for region in boto3.Session().get_available_regions("s3", partition)
}
TLS = {"Bool": {"aws:SecureTransport": "false"}}


def permissions(template: Template, role: str) -> Iterator[tuple[str, str]]:
    for name, statement in template.statements():
        if name == role:
            for action in listed(statement["Action"]):
                yield from ((action, text(resource)) for resource in listed(statement["Resource"]))


# --- roles and policies ---------------------------------------------------------------------------------------------


@rule
def no_action_is_a_wildcard(template: Template) -> Iterator[str]:
    for name, statement in template.statements():
        if statement["Effect"] == "Allow":
            yield from (f"{name} allows {action}" for action in listed(statement["Action"]) if "*" in action)


@rule
def no_resource_is_a_wildcard(template: Template) -> Iterator[str]:
    """A prefix of a bucket may end in `/*`, nothing else."""
    for name in template.of_type("AWS::IAM::Role"):
        for action, resource in permissions(template, name):
            below_a_prefix = re.fullmatch(r"(staging|lake)/[a-z_]+/\*", resource)
            if "*" in resource and not below_a_prefix and (action, resource) not in EXCEPTIONS:
                yield f"{name} allows {action} on {resource}"


@rule
def each_role_may_do_what_its_work_takes_and_no_more(template: Template) -> Iterator[str]:
    for name in template.of_type("AWS::IAM::Role"):
        found, wanted = set(permissions(template, name)), needed_by(name)
        yield from (f"{name} lacks {action} on {resource}" for action, resource in sorted(wanted - found))
        yield from (f"{name} does not need {action} on {resource}" for action, resource in sorted(found - wanted))


@rule
def roles_have_their_own_policies_only(template: Template) -> Iterator[str]:
    for name, role in template.of_type("AWS::IAM::Role").items():
        if role.get("ManagedPolicyArns"):
            yield f"{name} has policies of AWS, which allow more than it needs"
    if template.of_type("AWS::IAM::Policy") or template.of_type("AWS::IAM::ManagedPolicy"):
        yield "a policy stands apart from its role"


@rule
def roles_are_for_one_service_of_this_account(template: Template) -> Iterator[str]:
    for name, role in template.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = statement["Principal"].get("Service") if isinstance(statement["Principal"], dict) else None
        if not isinstance(service, str) or set(statement["Principal"]) != {"Service"}:
            yield f"{name} can be taken by other than one service"
        elif service != "lambda.amazonaws.com" and statement.get("Condition") != {
            "StringEquals": {"aws:SourceAccount": ACCOUNT}
        }:
            yield f"{name} can be taken by {service} for another account"


@rule
def nobody_is_let_in_by_a_resource(template: Template) -> Iterator[str]:
    """Who may use a resource by its own policy: one service, for one thing of this account."""
    for name, statement in template.statements():
        if statement["Effect"] != "Allow" or "Principal" not in statement:
            continue
        principal = statement["Principal"]
        if not isinstance(principal, dict) or set(principal) != {"Service"}:
            yield f"{name} lets {principal} in"
        conditions = statement.get("Condition", {})
        source = conditions.get("ArnEquals", conditions.get("ArnLike", {})).get("aws:SourceArn")
        if not source or text(source) == "*":
            yield f"{name} lets a service in for any resource (no aws:SourceArn)"
        if conditions.get("StringEquals", {}).get("aws:SourceAccount") != ACCOUNT:
            yield f"{name} lets a service in for any account (no aws:SourceAccount)"


@rule
def functions_are_called_by_our_own_resources(template: Template) -> Iterator[str]:
    for name, permission in template.of_type("AWS::Lambda::Permission").items():
        if text(permission.get("SourceArn", "*")) != "staging":
            yield f"{name} is not for the staging bucket alone"
        if permission.get("SourceAccount") != ACCOUNT:
            yield f"{name} is for any account"
        if permission["Action"] != "lambda:InvokeFunction" or permission["Principal"] != "s3.amazonaws.com":
            yield f"{name} allows more than S3's calls"
    if template.of_type("AWS::Lambda::Url"):
        yield "a function has an address of its own"


# --- buckets, queues, streams, the topic ----------------------------------------------------------------------------


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
        if not any(r.get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for r in rules):
            yield f"{name} is not encrypted"


@rule
def buckets_keep_old_versions(template: Template) -> Iterator[str]:
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        if bucket.get("VersioningConfiguration") != {"Status": "Enabled"}:
            yield f"{name} forgets what is overwritten"
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any(r.get("NoncurrentVersionExpiration") for r in rules):
            yield f"{name} keeps old versions for good"


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
