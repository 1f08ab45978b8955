"""Rules: who may do what. Roles, policies of people and of resources. cfn-lint and checkov miss most of this."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stock_pipeline_tests.lambdas.needed import needed_by
from stock_pipeline_tests.lambdas.template import ACCOUNT, NOTHING, Template, listed, rule, text

EXCEPTIONS = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}  # X-Ray has no resources to name


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
    """One policy stands apart: that for a key of the customer's, which a stack without such a key does not have."""
    for name, role in template.of_type("AWS::IAM::Role").items():
        if role.get("ManagedPolicyArns"):
            yield f"{name} has policies of AWS, which allow more than it needs"
    for name, policy in template.of_type("AWS::IAM::Policy").items():
        if set(permissions(template, name)) != needed_by(name):
            yield f"{name} stands apart from its role"
        roles, wanted = {text(role) for role in policy["Roles"]}, _roles_on_buckets(template)
        yield from (f"{role} cannot use the key" for role in sorted(wanted - roles))
        yield from (f"{role} does not need the key" for role in sorted(roles - wanted))


def _roles_on_buckets(template: Template) -> set[str]:
    return {
        name
        for name in template.of_type("AWS::IAM::Role")
        if any(resource.startswith(("staging/", "lake/")) for _, resource in permissions(template, name))
    }


@rule
def every_role_can_be_bounded(template: Template) -> Iterator[str]:
    wanted = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, NOTHING]}
    for name, role in template.of_type("AWS::IAM::Role").items():
        if role.get("PermissionsBoundary") != wanted:
            yield f"{name} ignores the boundary of an organization"


@rule
def people_may_do_what_is_documented_and_no_more(template: Template) -> Iterator[str]:
    for name, policy in template.of_type("AWS::IAM::ManagedPolicy").items():
        found, wanted = set(permissions(template, name)), needed_by(name)
        yield from (f"{name} lacks {action} on {resource}" for action, resource in sorted(wanted - found))
        yield from (f"{name} does not need {action} on {resource}" for action, resource in sorted(found - wanted))
        if set(policy) & {"Users", "Groups", "Roles"}:
            yield f"{name} is attached to somebody"


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
