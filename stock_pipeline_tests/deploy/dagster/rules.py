"""Rules over the templates of the Dagster that stays: who may do what, what comes in, what is kept, what rings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stock_pipeline.deploy.dagster_inputs import LOOKED_UP
from stock_pipeline_tests.deploy.dagster import rules_daemon
from stock_pipeline_tests.deploy.dagster.needed import BOUND, NEEDED, WITH_THE_PIPELINE
from stock_pipeline_tests.deploy.dagster.shared import RULES, containers, form_of, rule
from stock_pipeline_tests.lambdas.rules_access import permissions
from stock_pipeline_tests.lambdas.template import ACCOUNT, NOTHING, Template, listed, text

__all__ = ["RULES", "rules_daemon"]

# --- who may do what -------------------------------------------------------------------------------------------------


@rule
def each_role_may_do_what_its_place_takes_and_no_more(template: Template) -> Iterator[str]:
    for name in template.of_type("AWS::IAM::Role"):
        found, wanted = set(permissions(template, name)), NEEDED[form_of(template)].get(name, set())
        yield from (f"{name} lacks {action} on {resource}" for action, resource in sorted(wanted - found))
        yield from (f"{name} does not need {action} on {resource}" for action, resource in sorted(found - wanted))


@rule
def wide_permissions_are_bound_by_a_condition(template: Template) -> Iterator[str]:
    for name, statement in template.statements():
        keys = {key for test in statement.get("Condition", {}).values() for key in test}
        for action in listed(statement["Action"]):
            if (key := BOUND.get((name, action))) and key not in keys:
                yield f"{name} may {action} wherever it likes, without {key}"


@rule
def dagster_has_the_policies_of_the_pipeline_and_others_have_none(template: Template) -> Iterator[str]:
    for name, role in template.of_type("AWS::IAM::Role").items():
        wanted = [{"Ref": "ReaderPolicy"}, {"Ref": "DagsterPolicy"}] if name in WITH_THE_PIPELINE else []
        if role.get("ManagedPolicyArns", []) != wanted:
            yield f"{name} has other managed policies than it takes"


@rule
def roles_are_for_one_service_of_this_account(template: Template) -> Iterator[str]:
    """EC2 names no source when a machine takes its role."""
    for name, role in template.of_type("AWS::IAM::Role").items():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        if set(statement["Principal"]) != {"Service"} or not isinstance(statement["Principal"]["Service"], str):
            yield f"{name} can be taken by other than one service"
        elif statement["Principal"]["Service"] != "ec2.amazonaws.com" and statement.get("Condition") != {
            "StringEquals": {"aws:SourceAccount": ACCOUNT}
        }:
            yield f"{name} can be taken for another account"


# --- nothing comes in ------------------------------------------------------------------------------------------------


@rule
def no_port_is_open_but_from_the_tasks_to_the_database(template: Template) -> Iterator[str]:
    allowed = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432}
    inside = {"SourceSecurityGroupId": {"Fn::GetAtt": ["TaskGroup", "GroupId"]}}
    rules = [
        *((name, one) for name, g in template.of_type("AWS::EC2::SecurityGroup").items()
          for one in g.get("SecurityGroupIngress", [])),
        *template.of_type("AWS::EC2::SecurityGroupIngress").items(),
    ]  # fmt: skip
    for name, one in rules:
        if {key: value for key, value in one.items() if key != "Description"} != allowed | inside:
            yield f"{name} lets somebody in"
    yield from (f"{name} maps a port" for name, one in containers(template) if one.get("PortMappings"))
    for kind in ("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::Lambda::Url"):
        yield from (f"{name} is an address of its own" for name in template.of_type(kind))


@rule
def what_goes_out_is_named(template: Template) -> Iterator[str]:
    for name, group in template.of_type("AWS::EC2::SecurityGroup").items():
        out = group.get("SecurityGroupEgress")
        if not out:
            yield f"{name} lets everything out"
        for one in out or []:
            tls = (one["IpProtocol"], one.get("FromPort"), one.get("ToPort")) == ("tcp", 443, 443)
            if not tls and one.get("CidrIp") != "127.0.0.1/32":
                yield f"{name} lets more out than TLS"


@rule
def people_come_in_by_a_session(template: Template) -> Iterator[str]:
    for name, service in template.of_type("AWS::ECS::Service").items():
        if service.get("EnableExecuteCommand") is not True:
            yield f"nobody can reach the UI of {name}"
    for name, machine in template.of_type("AWS::EC2::LaunchTemplate").items():
        data = machine["LaunchTemplateData"]
        if data.get("KeyName"):
            yield f"{name} can be entered with a key"
        if data.get("MetadataOptions") != {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}:
            yield f"{name} gives its role to whoever can make it fetch an address"


# --- what is kept ----------------------------------------------------------------------------------------------------


@rule
def the_history_outlives_the_stack(template: Template) -> Iterator[str]:
    for kind in ("AWS::RDS::DBInstance", "AWS::EC2::Volume"):
        for name in template.of_type(kind):
            for policy in ("DeletionPolicy", "UpdateReplacePolicy"):
                if template.resources[name].get(policy) != "Snapshot":
                    yield f"{name} goes with the stack ({policy})"


@rule
def the_history_is_private_encrypted_and_backed_up(template: Template) -> Iterator[str]:
    unless = {"Fn::If": ["Restores", NOTHING, True]}  # a snapshot brings its own
    for name, database in template.of_type("AWS::RDS::DBInstance").items():
        if database.get("StorageEncrypted") != unless:
            yield f"{name} is not encrypted"
        if database.get("PubliclyAccessible") is not False:
            yield f"{name} has a public address"
        if database.get("ManageMasterUserPassword") is not True or "MasterUserPassword" in database:
            yield f"{name} has a password that somebody knows"
        if database.get("BackupRetentionPeriod") != {"Ref": "BackupDays"}:
            yield f"{name} has no backups"
        if "MaxAllocatedStorage" not in database:
            yield f"{name} does not grow"
    volumes = template.of_type("AWS::EC2::Volume")
    for name, volume in volumes.items():
        if volume.get("Encrypted") is not True:
            yield f"{name} is not encrypted"
        tags = [{"Key": t["Key"], "Value": t["Value"]} for t in volume.get("Tags", [])]
        policies = template.of_type("AWS::DLM::LifecyclePolicy").values()
        if not any(p.get("State") == "ENABLED" and p["PolicyDetails"]["TargetTags"][0] in tags for p in policies):
            yield f"nobody makes snapshots of {name}"
    for name, machine in template.of_type("AWS::EC2::LaunchTemplate").items():
        for disk in machine["LaunchTemplateData"]["BlockDeviceMappings"]:
            if disk["Ebs"].get("Encrypted") is not True:
                yield f"{name} has a disk that is not encrypted"


@rule
def logs_are_kept_for_a_time(template: Template) -> Iterator[str]:
    groups = template.of_type("AWS::Logs::LogGroup")
    for name, group in groups.items():
        if group.get("RetentionInDays") != {"Ref": "LogRetentionDays"}:
            yield f"{name} keeps logs for good"
    for name, one in containers(template):
        options = one.get("LogConfiguration", {}).get("Options", {})
        if text(options.get("awslogs-group", "")) not in groups:
            yield f"{name} logs nowhere"
    for name, bucket in template.of_type("AWS::S3::Bucket").items():
        rules = bucket.get("LifecycleConfiguration", {}).get("Rules", [])
        if not any(one.get("ExpirationInDays") == {"Ref": "LogRetentionDays"} for one in rules):
            yield f"{name} keeps logs for good"
        if "BucketEncryption" not in bucket:
            yield f"{name} is not encrypted"


@rule
def no_secret_is_written_down(template: Template) -> Iterator[str]:
    words = re.compile(r"PASSWORD|SECRET|WEBHOOK|TOKEN")
    for name, one in containers(template):
        yield from (f"{name} has {e['Name']} in the open" for e in one["Environment"] if words.search(e["Name"]))
    for name, parameter in template.parameters.items():
        if re.search(r"(?i)password|webhook$", name) and not parameter.get("NoEcho"):
            yield f"{name} is shown to whoever sees the stack"


# --- who hears of it, and what may be set ----------------------------------------------------------------------------


@rule
def what_stands_still_or_runs_full_rings(template: Template) -> Iterator[str]:
    alarms = template.of_type("AWS::CloudWatch::Alarm").values()
    rings = {(alarm["Namespace"], alarm["MetricName"], alarm["ComparisonOperator"]) for alarm in alarms}
    less, more = "LessThanThreshold", "GreaterThanThreshold"
    wanted = {
        "ecs": {
            ("AWS/ECS", "CPUUtilization", less), ("AWS/ECS", "CPUUtilization", more),
            ("AWS/ECS", "MemoryUtilization", more),
            ("AWS/RDS", "FreeStorageSpace", less), ("AWS/RDS", "CPUUtilization", more),
        },
        "small": {
            ("StockPipeline", "DagsterPartsAlive", less), ("StockPipeline", "DagsterDiskUsedPercent", more),
            ("AWS/EC2", "CPUUtilization", more),
        },
    }  # fmt: skip
    yield from (f"nobody hears of {what}" for what in sorted(wanted[form_of(template)] - rings))
    for alarm in alarms:
        if alarm["ComparisonOperator"] == less and alarm.get("TreatMissingData") != "breaching":
            yield f"{text(alarm['AlarmName'])} is silent when nothing is left to measure"


@rule
def a_wrong_value_is_refused_before_anything_is_made(template: Template) -> Iterator[str]:
    """What is not looked up or taken from the pipeline has a default."""
    form, pipeline = form_of(template), set(_pipelines_inputs(template))
    for name, parameter in template.parameters.items():
        if parameter["Type"] == "Number" and not parameter.keys() & {"MinValue", "AllowedValues"}:
            yield f"{name} takes any number"
        if parameter["Type"] == "String" and not parameter.keys() & {"AllowedPattern", "AllowedValues"}:
            yield f"{name} takes any text"
        if "Default" not in parameter and name not in LOOKED_UP[form] and name not in pipeline:
            yield f"{name} must be given: a deployment without parameters fails"


def _pipelines_inputs(template: Template) -> list[str]:
    groups = template.given["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    found: list[str] = groups[-1]["Parameters"]
    return found
