"""The stack of Dagster gets the outputs of the pipeline's, has one form, and leaves its history when it goes."""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from stock_pipeline.deploy import __main__ as command
from stock_pipeline.deploy.dagster import FORMS, deploy_dagster, destroy_dagster
from stock_pipeline.deploy.dagster_inputs import LOOKED_UP, packed_program
from stock_pipeline.deploy.template import load_template
from stock_pipeline.errors import DeployError
from stock_pipeline_tests.deploy.stubs import ACCOUNT, BEGAN, STACK, account, deleted, event, failed, holds, unknown

DAGSTER = f"{STACK}-dagster"
DAGSTER_ID = f"arn:aws:cloudformation:eu-central-1:{ACCOUNT}:stack/{DAGSTER}/1"
DIGEST = f"sha256:{'a' * 64}"
PARAMETERS = {form: load_template(path)["Parameters"] for form, path in FORMS.items()}
INPUTS = {
    form: {
        name: f"of-{name}" for name, each in of.items() if "Default" not in each and name not in LOOKED_UP[form]
    }
    for form, of in PARAMETERS.items()
}  # fmt: skip
NETWORK = [
    {"SubnetId": "subnet-b", "AvailabilityZone": "eu-central-1b", "VpcId": "vpc-1"},
    {"SubnetId": "subnet-a", "AvailabilityZone": "eu-central-1a", "VpcId": "vpc-1"},
]


def says(stubber: Stubber, name: str, status: str = "CREATE_COMPLETE", **more: Any) -> None:
    stack = {"StackName": name, "StackId": DAGSTER_ID, "CreationTime": BEGAN, "StackStatus": status}
    for part, (key, value) in {
        "outputs": ("OutputKey", "OutputValue"),
        "held": ("ParameterKey", "ParameterValue"),
    }.items():
        if part in more:
            listed = [{key: one, value: other} for one, other in more[part].items()]
            stack["Outputs" if part == "outputs" else "Parameters"] = listed
    stubber.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": name})


def pipeline(stubber: Stubber, form: str, without: str = "") -> None:
    outputs = {"StagingBucket": "s", "LakeBucket": "l", "Dashboard": "not asked for", **INPUTS[form]}
    says(stubber, STACK, outputs={name: value for name, value in outputs.items() if name != without})


def default_network(stubber: Stubber, subnets: list[dict[str, str]] = NETWORK) -> None:
    stubber.add_response("describe_vpcs", {"Vpcs": [{"VpcId": "vpc-1"}]})
    stubber.add_response("describe_subnets", {"Subnets": subnets})


def tagged_image(stubber: Stubber, tag: str = "latest") -> None:
    asked = {"repositoryName": "stock-pipeline", "imageIds": [{"imageTag": tag}]}
    stubber.add_response("describe_images", {"imageDetails": [{"imageDigest": DIGEST}]}, asked)


def sam_bucket(stubber: Stubber) -> None:
    says(stubber, "aws-sam-cli-managed-default", outputs={"SourceBucket": "sam"})


def carried_out(stubber: Stubber, what: str, form: str, values: dict[str, Any], kept: tuple[str, ...] = ()) -> None:
    asked = [{"ParameterKey": name, "ParameterValue": value} for name, value in sorted(values.items())]
    asked += [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]
    call = {
        "StackName": DAGSTER, "TemplateBody": FORMS[form].read_text(), "Parameters": asked,
        "Tags": [{"Key": "project", "Value": "stock-pipeline"}, {"Key": "stage", "Value": "main"}],
        "Capabilities": ["CAPABILITY_IAM"],
    }  # fmt: skip
    stubber.add_response(f"{what}_stack", {"StackId": DAGSTER_ID}, call)
    says(stubber, DAGSTER, f"{what.upper()}_COMPLETE")
    says(stubber, DAGSTER, f"{what.upper()}_COMPLETE", outputs={"Form": form})


def test_a_new_one_on_ecs_gets_the_outputs_of_the_pipeline_the_default_network_and_the_image_of_the_tag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    unknown(stubs["cloudformation"], DAGSTER)
    default_network(stubs["ec2"])
    tagged_image(stubs["ecr"], "2.1")
    looked_up = {"Vpc": "vpc-1", "Subnets": "subnet-a,subnet-b", "ImageDigest": DIGEST}
    values = {**INPUTS["ecs"], **looked_up, "Stage": "main", "ImageTag": "2.1"}
    carried_out(stubs["cloudformation"], "create", "ecs", values)
    assert deploy_dagster("ecs", "main", {"ImageTag": "2.1"}, report=lambda _: None) == {"Form": "ecs"}
    for stub in stubs.values():
        stub.assert_no_pending_responses()


def test_a_new_small_one_gets_the_program_and_the_zone_of_its_subnet(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "small")
    unknown(stubs["cloudformation"], DAGSTER)
    default_network(stubs["ec2"])
    sam_bucket(stubs["cloudformation"])
    asked = {"Bucket": "sam", "Key": ANY, "Body": packed_program(), "ExpectedBucketOwner": ACCOUNT}
    stubs["s3"].add_response("put_object", {}, asked)
    stubs["sts"].add_response("get_caller_identity", {"Account": ACCOUNT})
    looked_up = {
        "Vpc": "vpc-1",
        "Subnet": "subnet-a",
        "Zone": "eu-central-1a",
        "PackageBucket": "sam",
        "PackageKey": ANY,
    }
    carried_out(stubs["cloudformation"], "create", "small", {**INPUTS["small"], **looked_up, "Stage": "main"})
    assert deploy_dagster("small", "main", {}, report=lambda _: None) == {"Form": "small"}


def test_an_update_keeps_what_is_not_given_and_reads_the_pipeline_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    held = {"Subnets": "subnet-a,subnet-b", "AlarmEmail": "a@b.c", "LakeBucket": "old", "GoneParameter": "x"}
    says(stubs["cloudformation"], DAGSTER, held=held)
    says(stubs["cloudformation"], DAGSTER, outputs={"Form": "ecs"})
    stubs["ec2"].add_response("describe_subnets", {"Subnets": NETWORK}, {"SubnetIds": ["subnet-a", "subnet-b"]})
    looked_up = {"Vpc": "vpc-1", "Subnets": "subnet-a,subnet-b"}
    values = {**INPUTS["ecs"], **looked_up, "Stage": "main", "ImageDigest": DIGEST}
    carried_out(stubs["cloudformation"], "update", "ecs", values, kept=("AlarmEmail",))
    deploy_dagster("ecs", "main", {"ImageDigest": DIGEST}, report=lambda _: None)


def test_nothing_to_update_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, told = account(monkeypatch), []
    pipeline(stubs["cloudformation"], "ecs")
    says(stubs["cloudformation"], DAGSTER, held={"Subnets": "subnet-a"})
    says(stubs["cloudformation"], DAGSTER, outputs={"Form": "ecs"})
    stubs["ec2"].add_response("describe_subnets", {"Subnets": NETWORK})
    tagged_image(stubs["ecr"])
    stubs["cloudformation"].add_client_error("update_stack", "ValidationError", "No updates are to be performed.")
    says(stubs["cloudformation"], DAGSTER, outputs={"Form": "ecs"})
    deploy_dagster("ecs", "main", {}, report=told.append)
    assert told[-1] == "nothing has changed"


def test_a_stage_has_one_dagster_in_one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    says(stubs["cloudformation"], DAGSTER)
    says(stubs["cloudformation"], DAGSTER, outputs={"Form": "small"})
    with pytest.raises(DeployError, match="has the form small; `make destroy DAGSTER=small` first"):
        deploy_dagster("ecs", "main", {}, report=lambda _: None)


def test_a_history_does_not_begin_anew_in_another_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "small")
    says(stubs["cloudformation"], DAGSTER, held={"Subnet": "subnet-a", "Zone": "eu-central-1a"})
    says(stubs["cloudformation"], DAGSTER, outputs={"Form": "small"})
    stubs["ec2"].add_response("describe_subnets", {"Subnets": NETWORK[:1]}, {"SubnetIds": ["subnet-b"]})
    with pytest.raises(DeployError, match="the history is in the zone eu-central-1a"):
        deploy_dagster("small", "main", {"Subnet": "subnet-b"}, report=lambda _: None)


@pytest.mark.parametrize(
    ("given", "says_"),
    [({"Colour": "red"}, "no parameter Colour"), ({"LakeBucket": "mine"}, "no parameter LakeBucket to give")],
)
def test_what_is_no_parameter_or_comes_from_the_pipeline_is_not_given(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says_: str
) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    unknown(stubs["cloudformation"], DAGSTER)
    with pytest.raises(DeployError, match=says_):
        deploy_dagster("ecs", "main", given, report=lambda _: None)


def test_an_old_pipeline_is_to_be_deployed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs", without="DagsterPolicy")
    unknown(stubs["cloudformation"], DAGSTER)
    with pytest.raises(DeployError, match="no output DagsterPolicy; it is old"):
        deploy_dagster("ecs", "main", {}, report=lambda _: None)


@pytest.mark.parametrize(
    ("vpcs", "subnets", "why"),
    [
        ([], [], "no default network here; give subnets of yours: PARAMS='Subnets=subnet-…'"),
        ([{"VpcId": "vpc-1"}], NETWORK[:1], "two availability zones"),
        ([{"VpcId": "vpc-1"}], [*NETWORK, {**NETWORK[0], "VpcId": "vpc-2"}], "of 2 networks"),
    ],
)
def test_a_network_that_does_not_do_is_refused_with_what_to_give(
    monkeypatch: pytest.MonkeyPatch, vpcs: list[dict[str, str]], subnets: list[dict[str, str]], why: str
) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    unknown(stubs["cloudformation"], DAGSTER)
    stubs["ec2"].add_response("describe_vpcs", {"Vpcs": vpcs})
    stubs["ec2"].add_response("describe_subnets", {"Subnets": subnets})
    with pytest.raises(DeployError, match=why):
        deploy_dagster("ecs", "main", {}, report=lambda _: None)


@pytest.mark.parametrize("code", ["RepositoryNotFoundException", "ImageNotFoundException"])
def test_an_image_that_is_not_there_is_to_be_pushed_first(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    unknown(stubs["cloudformation"], DAGSTER)
    default_network(stubs["ec2"])
    stubs["ecr"].add_client_error("describe_images", code)
    with pytest.raises(DeployError, match="no image stock-pipeline:latest in the account's registry"):
        deploy_dagster("ecs", "main", {}, report=lambda _: None)


def test_a_failure_is_told_with_its_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs = account(monkeypatch)
    pipeline(stubs["cloudformation"], "ecs")
    unknown(stubs["cloudformation"], DAGSTER)
    default_network(stubs["ec2"])
    tagged_image(stubs["ecr"])
    stubs["cloudformation"].add_response("create_stack", {"StackId": DAGSTER_ID})
    says(stubs["cloudformation"], DAGSTER, "ROLLBACK_COMPLETE")
    monkeypatch.setattr("stock_pipeline.deploy.dagster.clock", lambda _: BEGAN)
    failed(stubs["cloudformation"], event(1, "History", "CREATE_FAILED", "no such class"), stack=DAGSTER)
    with pytest.raises(DeployError, match=r"could not be created\n  History: no such class"):
        deploy_dagster("ecs", "main", {}, report=lambda _: None)


def test_it_goes_with_its_logs_and_the_history_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, told = account(monkeypatch), []
    says(stubs["cloudformation"], DAGSTER)
    holds(stubs["cloudformation"], ("RunLogs", "AWS::S3::Bucket", "CREATE_COMPLETE"), stack=DAGSTER)
    for _ in range(2):
        stubs["s3"].add_response("list_object_versions", {})
    deleted(stubs["cloudformation"], DAGSTER)
    sam_bucket(stubs["cloudformation"])
    destroy_dagster("main", report=told.append)
    stubs["cloudformation"].assert_no_pending_responses()
    assert "RestoreSnapshot" in told[-1]


def test_one_that_is_not_there_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stubs, told = account(monkeypatch), []
    unknown(stubs["cloudformation"], DAGSTER)
    destroy_dagster("main", report=told.append)
    assert told == [f"there is no stack {DAGSTER} in account {ACCOUNT}, region eu-central-1"]


def test_the_pipeline_does_not_go_before_its_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's roles have the managed policies of the pipeline."""
    says(account(monkeypatch)["cloudformation"], DAGSTER)
    given = argparse.Namespace(stage="main", delete_data=False, force=True, command="destroy", dagster=None)
    with pytest.raises(DeployError, match=f"{DAGSTER} uses this one; `make destroy DAGSTER=ecs`"):
        command._run(given)


def test_the_history_is_not_deleted_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    account(monkeypatch)
    given = argparse.Namespace(stage="main", delete_data=True, force=True, command="destroy", dagster="ecs")
    with pytest.raises(DeployError, match="delete the snapshots"):
        command._run(given)


def test_the_program_is_the_same_bytes_each_time_and_whole(tmp_path: Path) -> None:
    packed = packed_program()
    assert packed == packed_program()
    names = set(zipfile.ZipFile(io.BytesIO(packed)).namelist())
    assert {"requirements/serve.txt", "stock_pipeline/orchestration/dagster.yaml", "deploy/systemd/alive.sh"} <= names
    assert not any("__pycache__" in name for name in names)
