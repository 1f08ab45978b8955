"""Deploying from GitHub: no stored secret, one repository and environment, and no input that becomes a command."""

from __future__ import annotations

import re
from typing import Any

import yaml
from cfnlint import api as cfnlint

from stock_pipeline.deploy.dagster import FORMS
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.deploy.template import load_template

GITHUB = CHECKOUT / ".github"
TEXT = (GITHUB / "workflows" / "deploy.yml").read_text()
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
ROLE = GITHUB / "deploy-role.yaml"


def test_it_runs_when_somebody_starts_it_and_only_one_at_a_time_for_a_stage() -> None:
    assert set(WORKFLOW[True]) == {"workflow_dispatch"}  # YAML reads `on` as true
    assert WORKFLOW["concurrency"] == "deploy-${{ inputs.stage }}"
    assert WORKFLOW["jobs"]["deploy"]["environment"] == "${{ inputs.environment }}"


def test_it_has_no_secret_and_only_the_permissions_that_it_takes() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read", "id-token": "write"}
    assert "secrets." not in TEXT
    assert not re.search(r"aws-(access-key-id|secret-access-key)", TEXT)


def test_no_input_becomes_a_part_of_a_command() -> None:
    """They are variables of make's environment, which make passes on unread; test_make.py holds that."""
    (step,) = [step for step in WORKFLOW["jobs"]["deploy"]["steps"] if "run" in step]
    assert step["run"] == "make deploy"
    assert set(step["env"]) == {"REGION", "STAGE", "PARAMS", "TAGS", "DAGSTER"}
    inputs = set(WORKFLOW[True]["workflow_dispatch"]["inputs"]) - {"environment"}
    assert {value.removeprefix("${{ inputs.").removesuffix(" }}") for value in step["env"].values()} >= inputs


def test_it_deploys_the_pipeline_or_a_form_of_the_dagster_that_stays() -> None:
    form = WORKFLOW[True]["workflow_dispatch"]["inputs"]["dagster"]
    assert (form["type"], form["default"]) == ("choice", "")
    assert set(form["options"]) == {"", *FORMS}


def test_cfn_lint_finds_nothing_in_the_role() -> None:
    found = cfnlint.lint(ROLE.read_text(), config=cfnlint.ManualArgs(regions=["us-east-1", "eu-central-1"]))
    assert [str(match) for match in found] == []


def test_only_one_environment_of_one_repository_can_take_the_role() -> None:
    role = load_template(ROLE)["Resources"]["DeployRole"]["Properties"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": {"Fn::Sub": "repo:${Repository}:environment:${Environment}"},
        }
    }
    assert role["MaxSessionDuration"] == 3600
