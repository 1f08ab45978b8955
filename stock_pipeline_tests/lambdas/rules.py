"""What must hold of the template, as rules over what SAM makes of it: cfn-lint and checkov miss most of this.

A rule looks at a template and gives a sentence for each thing that is wrong. `RULES` has them all by name.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stock_pipeline.local import LocalFolders
from stock_pipeline_tests.lambdas.needed import needed_by

Rule = Callable[["Template"], Iterator[str]]
RULES: dict[str, Rule] = {}

EXCEPTIONS = {("xray:PutTraceSegments", "*"), ("xray:PutTelemetryRecords", "*")}  # X-Ray has no resources to name
BUCKET = re.compile(r"arn:\$\{AWS::Partition\}:s3:::stock-pipeline-\$\{Stage\}-(staging|lake)-\$\{AWS::AccountId\}")
TLS = {"Bool": {"aws:SecureTransport": "false"}}
ACCOUNT = {"Ref": "AWS::AccountId"}
FORTNIGHT = 14 * 86_400


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@dataclass(frozen=True)
class Template:
    """A template after SAM's transform."""

    resources: dict[str, Any]
    parameters: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, Any]:
        return {name: r["Properties"] for name, r in self.resources.items() if r["Type"] == kind}

    def functions(self) -> dict[str, Any]:
        return self.of_type("AWS::Lambda::Function")

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every statement of every policy, with the role or the policy that it is in."""
        for name, role in self.of_type("AWS::IAM::Role").items():
            for policy in role.get("Policies", []):
                yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
        for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy"):
            for name, policy in self.of_type(kind).items():
                yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])

    def policy_of(self, kind: str, resource: str) -> list[dict[str, Any]]:
        """The statements of the resource policies that are attached to a resource."""
        found: list[dict[str, Any]] = []
        for policy in self.of_type(kind).values():
            targets = [policy["Bucket"]] if "Bucket" in policy else policy.get("Queues") or policy.get("Topics") or []
            if {"Ref": resource} in targets:
                found += policy["PolicyDocument"]["Statement"]
        return found


# The emulator's environment has the transform; it pins pydantic, so the project's own does without.
_TRANSFORM = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
sources = json.load(sys.stdin)
made = [Translator({}, Parser()).translate(template, defaults)["Resources"] for template, defaults in sources]
json.dump(made, sys.stdout)
"""


def transformed(templates: Sequence[dict[str, Any]], installed: Path) -> list[Template]:
    """What SAM makes of templates: every function, role and configuration as CloudFormation gets it."""
    sources = []
    for template in copy.deepcopy(list(templates)):
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Serverless::Function":
                resource["Properties"]["CodeUri"] = "s3://bucket/key"  # where `sam package` would have put it
        sources.append((template, {name: parameter["Default"] for name, parameter in template["Parameters"].items()}))
    done = subprocess.run(
        [str(LocalFolders(installed).python), "-c", _TRANSFORM],
        input=json.dumps(sources), env={"AWS_DEFAULT_REGION": "us-east-1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return [Template(resources, template["Parameters"]) for resources, (template, _) in zip(made, sources, strict=True)]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A name as written: the template of a Fn::Sub, or what a Ref or a Fn::GetAtt names; our buckets by their role."""
    if isinstance(value, dict):
        value = next(iter(value.values()))
    written = ".".join(value) if isinstance(value, list) else str(value)
    return BUCKET.sub(r"\1", written.removesuffix(".Arn"))


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
        found, wanted = set(permissions(template, name)), needed_by(name, set(template.resources))
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
                if resource.get(policy) != "Retain":
                    yield f"{name} goes with the stack ({policy})"


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


@rule
def queues_are_encrypted_and_keep_for_a_fortnight(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if queue.get("SqsManagedSseEnabled") is not True:
            yield f"{name} is not encrypted"
        if queue.get("MessageRetentionPeriod") != FORTNIGHT:
            yield f"{name} forgets messages after less than 14 days"


def dead_letter_queues(template: Template) -> set[str]:
    """The queues that hold what failed: those that other queues redrive to, and the functions' failure destinations."""
    found = set()
    for queue in template.of_type("AWS::SQS::Queue").values():
        if "RedrivePolicy" in queue:
            found.add(text(queue["RedrivePolicy"]["deadLetterTargetArn"]))
    for config in template.of_type("AWS::Lambda::EventInvokeConfig").values():
        if failures := config.get("DestinationConfig", {}).get("OnFailure"):
            found.add(text(failures["Destination"]))
    return found


@rule
def no_message_is_lost_or_tried_for_ever(template: Template) -> Iterator[str]:
    for name, queue in template.of_type("AWS::SQS::Queue").items():
        if name not in dead_letter_queues(template):
            if "RedrivePolicy" not in queue:
                yield f"{name} has no dead-letter queue"
            elif not 3 <= queue["RedrivePolicy"]["maxReceiveCount"] <= 20:
                yield f"{name} gives up too early or too late"


@rule
def streams_are_encrypted(template: Template) -> Iterator[str]:
    for name, stream in template.of_type("AWS::Kinesis::Stream").items():
        if stream.get("StreamEncryption", {}).get("EncryptionType") != "KMS":
            yield f"{name} is not encrypted"


@rule
def queries_are_bounded(template: Template) -> Iterator[str]:
    for name, group in template.of_type("AWS::Athena::WorkGroup").items():
        configuration = group["WorkGroupConfiguration"]
        if configuration.get("EnforceWorkGroupConfiguration") is not True:
            yield f"{name} lets queries have settings of their own"
        if "BytesScannedCutoffPerQuery" not in configuration:
            yield f"{name} lets a query scan everything"
        if not configuration["ResultConfiguration"].get("EncryptionConfiguration"):
            yield f"{name} leaves results unencrypted"


# --- functions ------------------------------------------------------------------------------------------------------


@rule
def functions_do_not_lose_what_fails(template: Template) -> Iterator[str]:
    kept = set()
    for config in template.of_type("AWS::Lambda::EventInvokeConfig").values():
        if config.get("DestinationConfig", {}).get("OnFailure") and config.get("MaximumRetryAttempts", 0) > 0:
            kept.add(text(config["FunctionName"]))
    yield from (f"{name} has neither a failure destination nor retries" for name in set(template.functions()) - kept)


@rule
def functions_are_bounded(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if not 0 < function.get("Timeout", 0) <= 900:
            yield f"{name} has no timeout of its own"
        if function.get("MemorySize", 0) < 1024:
            yield f"{name} has little memory"
        if not function.get("ReservedConcurrentExecutions"):
            yield f"{name} may run any number of times at once"


@rule
def functions_are_traced_and_logged(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if function.get("TracingConfig") != {"Mode": "Active"}:
            yield f"{name} is not traced"
        group = template.resources.get(text(function.get("LoggingConfig", {}).get("LogGroup", "")))
        if group is None:
            yield f"{name} logs into a group that keeps everything"
        elif text(group["Properties"]["LogGroupName"]) != f"/aws/lambda/{text(function['FunctionName'])}":
            yield f"{name} logs where nobody looks for it"
    for name, group in template.of_type("AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group:
            yield f"{name} keeps logs for good"


@rule
def each_function_has_a_role_of_its_own(template: Template) -> Iterator[str]:
    roles = [text(function["Role"]) for function in template.functions().values()]
    yield from (f"{role} is shared" for role in sorted({role for role in roles if roles.count(role) > 1}))


@rule
def what_is_being_worked_on_is_hidden(template: Template) -> Iterator[str]:
    """AWS's advice: at least six times as long as the function may take."""
    for name, mapping in template.of_type("AWS::Lambda::EventSourceMapping").items():
        queue = template.resources[text(mapping["EventSourceArn"])]["Properties"]
        hidden = queue.get("VisibilityTimeout", 30)
        if isinstance(hidden, dict):
            hidden = template.parameters[hidden["Ref"]]["Default"]
        if hidden < 6 * template.functions()[text(mapping["FunctionName"])].get("Timeout", 3):
            yield f"{name} delivers again what is being worked on"
        if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name} gives back messages that did not fail"
        if not mapping.get("ScalingConfig", {}).get("MaximumConcurrency"):
            yield f"{name} takes messages that nobody is free for"


# --- alarms ---------------------------------------------------------------------------------------------------------


def _watched(template: Template) -> Iterator[tuple[str, str, str]]:
    """What the alarms look at: the metric, and the name and value of its dimension."""
    for alarm in template.of_type("AWS::CloudWatch::Alarm").values():
        metrics = [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m]
        for metric in metrics or [alarm]:
            for dimension in metric["Dimensions"]:
                yield metric["MetricName"], dimension["Name"], text(dimension["Value"]).removesuffix(".QueueName")


@rule
def failures_ring(template: Template) -> Iterator[str]:
    watched = set(_watched(template))
    for queue in sorted(dead_letter_queues(template)):
        if ("ApproximateNumberOfMessagesVisible", "QueueName", queue) not in watched:
            yield f"nobody hears of messages in {queue}"
    for function in template.functions():
        for metric in ("Errors", "Throttles"):
            if (metric, "FunctionName", function) not in watched:
                yield f"nobody hears of {function}'s {metric}"
    for stream in template.of_type("AWS::KinesisFirehose::DeliveryStream"):
        for metric in ("DeliveryToS3.Success", "DeliveryToS3.DataFreshness"):
            if (metric, "DeliveryStreamName", stream) not in watched:
                yield f"nobody hears of {stream}'s {metric}"
    for function in ("ProcessBatchStockData", "ProcessStockStreamData"):
        for metric in ("RowsRejected", "FilesRefused"):
            if (metric, "service", function) not in watched:
                yield f"nobody hears of {function}'s {metric}"
    if ("ApproximateAgeOfOldestMessage", "QueueName", "StreamArrivals") not in watched:
        yield "nobody hears when ticks are not taken"
    stale = [a for a in template.of_type("AWS::CloudWatch::Alarm").values() if a.get("MetricName") == "RowsInserted"]
    if not any(a["ComparisonOperator"] == "LessThanThreshold" and a.get("InsufficientDataActions") for a in stale):
        yield "nobody hears when daily prices stay away"


@rule
def alarms_reach_the_topic(template: Template) -> Iterator[str]:
    for name, alarm in template.of_type("AWS::CloudWatch::Alarm").items():
        if alarm.get("AlarmActions") != [{"Ref": "Alarms"}] or alarm.get("ActionsEnabled", True) is not True:
            yield f"{name} rings where nobody is"
        if not text(alarm["AlarmName"]).startswith("stock-pipeline-${Stage}-"):
            yield f"{name} may not publish: the topic takes alarms of this stage"
