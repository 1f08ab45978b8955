"""The check of `doctor` on a Dagster that stays in the account: the service of ECS, or the one small machine.

It asks AWS, so it tells of a Dagster whose UI nobody has forwarded the port of. `make deploy DAGSTER=…` gives both the
name of the pipeline's stack, which its workgroup has, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from stock_pipeline.aws.clients import ClientError, impatient
from stock_pipeline.cli.console import counted
from stock_pipeline.cli.doctor.diagnosis import Diagnosis, State, is_local, not_looked_at, refused
from stock_pipeline.settings import Settings

CHECK = "Dagster in AWS"
_NONE_THERE = {"ClusterNotFoundException"}


def service(settings: Settings) -> Iterator[Diagnosis]:
    """How many tasks or machines run of how many there should be, and the last event. Nothing where there are none."""
    if is_local(settings):
        return
    name = f"{settings.athena_workgroup}-dagster"
    try:
        found = _service(name)
        if found:
            yield _of_ecs(found, settings.athena_workgroup)
            return
    except ClientError as error:
        if not refused(error):
            raise
        yield not_looked_at(CHECK, error, "ecs:DescribeServices")
        return
    try:
        groups = impatient("autoscaling").describe_auto_scaling_groups(
            Filters=[{"Name": "tag:aws:cloudformation:stack-name", "Values": [name]}]
        )["AutoScalingGroups"]
    except ClientError as error:
        if not refused(error):
            raise
        yield not_looked_at(CHECK, error, "autoscaling:DescribeAutoScalingGroups")
        return
    yield from (_of_machine(group) for group in groups)


def _service(name: str) -> Mapping[str, Any] | None:
    try:
        answer = impatient("ecs").describe_services(cluster=name, services=[name])
    except ClientError as error:
        if error.response["Error"].get("Code") in _NONE_THERE:
            return None
        raise
    there = [each for each in answer["services"] if each.get("status") != "INACTIVE"]
    return there[0] if there else None


def _of_ecs(found: Mapping[str, Any], stack: str) -> Diagnosis:
    running, desired = found["runningCount"], found["desiredCount"]
    rollouts = {each.get("rolloutState") for each in found.get("deployments", [])}
    state: State = "ok"
    if running < desired or not desired or "FAILED" in rollouts:
        state = "broken"
    elif "IN_PROGRESS" in rollouts:
        state = "note"
    what = f"{running} of {counted(desired, 'task')} running{_last_event(found.get('events', []))}"
    if state == "ok":
        return Diagnosis(CHECK, "ok", what)
    log = f"aws logs tail /{stack.replace('stock-pipeline-', 'stock-pipeline/', 1)}/dagster --since 1h"
    if not desired:
        remedy = f"aws ecs update-service --cluster {stack}-dagster --service {stack}-dagster --desired-count 1"
    elif state == "note":
        remedy = "a deployment is under way; wait some minutes"
    else:
        remedy = f"its log says why: {log}"
    return Diagnosis(CHECK, state, what, remedy)


def _last_event(events: list[Mapping[str, Any]]) -> str:
    """ECS says every six hours that a service is steady, so the last event also tells since when it has been."""
    if not events:
        return ""
    last = max(events, key=lambda each: each["createdAt"])
    minutes = max(0, round((datetime.now(UTC) - last["createdAt"]).total_seconds() / 60))
    return f"; {counted(minutes, 'minute')} ago: {last['message']}"


def _of_machine(group: Mapping[str, Any]) -> Diagnosis:
    desired = group["DesiredCapacity"]
    working = [each for each in group.get("Instances", []) if each["LifecycleState"] == "InService"]
    what = f"{len(working)} of {counted(desired, 'machine')} running"
    if desired and len(working) == desired:
        return Diagnosis(CHECK, "ok", f"{what}: {working[0]['InstanceId']}")
    name = group["AutoScalingGroupName"]
    say_why = f"aws autoscaling describe-scaling-activities --auto-scaling-group-name {name}"
    return Diagnosis(CHECK, "broken", what, f"its activities say why: {say_why}")
