"""`doctor` tells of a Dagster that stays in the account: of the service of ECS, or of the one machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from stock_pipeline.cli.doctor import service_checks
from stock_pipeline.cli.doctor.diagnosis import Diagnosis
from stock_pipeline.deploy.dagster import FORMS, dagster_stack_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.settings import Settings

NAME = "stock-pipeline-main-dagster"
ON_AWS = Settings(lake_bucket="lake", staging_bucket="staging", athena_workgroup="stock-pipeline-main")
Stubs = dict[str, Stubber]


@pytest.fixture
def stubs(monkeypatch: pytest.MonkeyPatch) -> Stubs:
    services: tuple[Any, ...] = ("ecs", "autoscaling")
    clients = {
        name: boto3.client(name, "eu-central-1", aws_access_key_id="x", aws_secret_access_key="x") for name in services
    }
    made = {name: Stubber(client) for name, client in clients.items()}
    for stubber in made.values():
        stubber.activate()
    monkeypatch.setattr(service_checks, "impatient", clients.__getitem__)
    return made


def on_ecs(stubs: Stubs, running: int, desired: int = 1, rollout: str = "COMPLETED", status: str = "ACTIVE") -> None:
    at = datetime.now(UTC)
    events = [
        {"id": "1", "createdAt": at - timedelta(hours=9), "message": "has started 1 tasks"},
        {"id": "2", "createdAt": at - timedelta(minutes=7), "message": "has reached a steady state"},
    ]
    service = {
        "status": status,
        "runningCount": running,
        "desiredCount": desired,
        "events": events,
        "deployments": [{"rolloutState": rollout}],
    }
    stubs["ecs"].add_response("describe_services", {"services": [service]}, {"cluster": NAME, "services": [NAME]})


def no_service(stubs: Stubs) -> None:
    stubs["ecs"].add_client_error("describe_services", "ClusterNotFoundException")


def machines(stubs: Stubs, *states: str, desired: int = 1) -> None:
    group = {
        "AutoScalingGroupName": "group", "MinSize": 0, "MaxSize": 1, "DesiredCapacity": desired, "DefaultCooldown": 300,
        "AvailabilityZones": ["a"], "HealthCheckType": "EC2", "CreatedTime": datetime.now(UTC),
        "Instances": [
            {
                "InstanceId": f"i-{n}", "LifecycleState": state, "AvailabilityZone": "a", "HealthStatus": "Healthy",
                "ProtectedFromScaleIn": False,
            }
            for n, state in enumerate(states)
        ],
    }  # fmt: skip
    asked = {"Filters": [{"Name": "tag:aws:cloudformation:stack-name", "Values": [NAME]}]}
    stubs["autoscaling"].add_response("describe_auto_scaling_groups", {"AutoScalingGroups": [group]}, asked)


def told() -> list[Diagnosis]:
    return list(service_checks.service(ON_AWS))


def test_a_service_that_runs_is_told_with_its_last_event(stubs: Stubs) -> None:
    on_ecs(stubs, running=1)
    (found,) = told()
    assert (found.state, found.remedy) == ("ok", "")
    assert found.what == "1 of 1 task running; 7 minutes ago: has reached a steady state"


@pytest.mark.parametrize(
    ("running", "desired", "rollout", "state", "remedy"),
    [
        (0, 1, "COMPLETED", "broken", "aws logs tail /stock-pipeline/main/dagster --since 1h"),
        (1, 1, "FAILED", "broken", "aws logs tail"),
        (1, 1, "IN_PROGRESS", "note", "a deployment is under way"),
        (0, 0, "COMPLETED", "broken", "--desired-count 1"),
    ],
)
def test_a_service_that_does_not_run_is_told_with_what_to_do(
    stubs: Stubs, running: int, desired: int, rollout: str, state: str, remedy: str
) -> None:
    on_ecs(stubs, running, desired, rollout)
    (found,) = told()
    assert found.state == state
    assert f"{running} of {desired} task" in found.what
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("states", "desired", "state"),
    [(["InService"], 1, "ok"), (["Pending"], 1, "broken"), ([], 1, "broken"), ([], 0, "broken")],
)
def test_the_machine_of_the_small_form_is_told(stubs: Stubs, states: list[str], desired: int, state: str) -> None:
    no_service(stubs)
    machines(stubs, *states, desired=desired)
    (found,) = told()
    assert found.state == state
    assert ("i-0" in found.what) == (state == "ok")
    assert ("describe-scaling-activities" in found.remedy) == (state != "ok")


@pytest.mark.parametrize("gone", [no_service, lambda stubs: on_ecs(stubs, 0, 0, status="INACTIVE")])
def test_without_a_dagster_in_the_account_there_is_nothing_to_say(stubs: Stubs, gone: Callable[[Stubs], None]) -> None:
    gone(stubs)
    stubs["autoscaling"].add_response("describe_auto_scaling_groups", {"AutoScalingGroups": []})
    assert told() == []


def test_what_a_role_may_not_look_at_is_a_note(stubs: Stubs) -> None:
    stubs["ecs"].add_client_error("describe_services", "AccessDeniedException")
    no_service(stubs)
    stubs["autoscaling"].add_client_error("describe_auto_scaling_groups", "AccessDenied")
    for permission in ("ecs:DescribeServices", "autoscaling:DescribeAutoScalingGroups"):
        (found,) = told()
        assert (found.state, permission in found.remedy) == ("note", True)


def test_it_looks_for_what_is_deployed() -> None:
    service = load_template(FORMS["ecs"])["Resources"]
    for kind, name in (("Service", "ServiceName"), ("Cluster", "ClusterName")):
        written = service[kind]["Properties"][name]["Fn::Sub"]
        assert written.replace("${Stage}", "main") == NAME == dagster_stack_of("main")
    workgroup = load_template()["Resources"]["Workgroup"]["Properties"]["Name"]["Fn::Sub"]
    assert workgroup.replace("${Stage}", "main") == ON_AWS.athena_workgroup
    assert service["Log"]["Properties"]["LogGroupName"] == {"Fn::Sub": "/stock-pipeline/${Stage}/dagster"}
