"""The templates of the Dagster that stays as data: that they agree with the pipeline's, the package and each other."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cfnlint import api as cfnlint

from stock_pipeline.deploy.dagster import FORMS
from stock_pipeline.deploy.dagster_inputs import LOOKED_UP
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.deploy.stack import settings_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.local.dev.instance_file import VARIABLES, instance_file
from stock_pipeline.orchestration.openlineage.catalog import VARIABLES as CATALOG
from stock_pipeline.settings import documented
from stock_pipeline_tests.lambdas.template import text

TEMPLATES = {form: load_template(path) for form, path in FORMS.items()}
OUTPUTS = load_template()["Outputs"]
UNITS = sorted((CHECKOUT / "deploy" / "systemd").glob("dagster-*.service"))
MOST = 51_200  # bytes of a template that CloudFormation takes without a bucket


def containers() -> dict[str, Any]:
    tasks = [each["Properties"] for each in TEMPLATES["ecs"]["Resources"].values() if "TaskDefinition" in each["Type"]]
    return {one["Name"]: one for task in tasks for one in task["ContainerDefinitions"]}


def user_data() -> str:
    machine = TEMPLATES["small"]["Resources"]["MachineTemplate"]["Properties"]["LaunchTemplateData"]
    written: str = machine["UserData"]["Fn::Base64"]["Fn::Sub"]
    return written


def environment_file() -> dict[str, str]:
    (block,) = re.findall(r"(?s)environment <<'END'\n(.*?)\nEND\n", user_data())
    return dict(line.split("=", 1) for line in block.splitlines())


@pytest.mark.parametrize("form", FORMS)
def test_cfn_lint_finds_nothing(form: str) -> None:
    found = cfnlint.lint(FORMS[form].read_text(), config=cfnlint.ManualArgs(regions=["us-east-1", "eu-central-1"]))
    assert [str(match) for match in found] == []


@pytest.mark.parametrize("form", FORMS)
def test_cloudformation_takes_it_as_it_is(form: str) -> None:
    written = FORMS[form].read_text()
    assert len(written.encode()) <= MOST
    assert not re.search(r"(?m)^[^#\"']*(:|-) +[&*]\w|<<:", written), "anchors, aliases and merges"


@pytest.mark.parametrize("form", FORMS)
def test_its_inputs_are_outputs_of_the_pipeline(form: str) -> None:
    parameters = TEMPLATES[form]["Parameters"]
    inputs = {name for name, each in parameters.items() if "Default" not in each} - set(LOOKED_UP[form])
    settings = {name for name in OUTPUTS if settings_of({name: "x"})}
    assert inputs == settings | {"ReaderPolicy", "DagsterPolicy"}
    assert inputs <= OUTPUTS.keys()


def test_every_process_on_ecs_gets_the_settings_of_the_pipeline() -> None:
    wanted = {variable: {"Ref": name} for name in OUTPUTS for variable in settings_of({name: ""})}
    for one in containers().values():
        given = {each["Name"]: each["Value"] for each in one["Environment"]}
        assert wanted.items() <= given.items()
        own = {name for name in given if name.startswith("STOCK_PIPELINE")}
        assert own <= documented().keys()
        assert {name for name in given if name.startswith("DAGSTER")} <= VARIABLES.keys()


def test_the_instance_file_on_ecs_has_postgres_the_bucket_and_the_launcher() -> None:
    for one in containers().values():
        env = {each["Name"]: "5432" if "PORT" in each["Name"] else "x" for each in one["Environment"]}
        made = instance_file({**env, "DAGSTER_POSTGRES_PASSWORD": "x"})  # pragma: allowlist secret
        assert all(word in made for word in ("postgres_db", "S3ComputeLogManager", "EcsRunLauncher"))


def test_the_machine_gets_the_settings_of_the_pipeline_and_keeps_the_history_on_the_volume() -> None:
    given = environment_file()
    wanted = {variable: f"${{{name}}}" for name in OUTPUTS for variable in settings_of({name: ""})}
    assert wanted.items() <= given.items()
    assert {name for name in given if name.startswith("STOCK_PIPELINE")} <= documented().keys()
    assert not VARIABLES.keys() & given.keys()
    assert given["DAGSTER_HOME"] == "/var/lib/dagster"
    assert "mount /var/lib/dagster\n" in user_data()


def test_the_code_server_which_evaluates_the_sensors_gets_the_address_of_the_catalog() -> None:
    given = {each["Name"]: each["Value"] for each in containers()["code"]["Environment"]}
    assert {name for name in given if name.startswith("OPENLINEAGE")} <= CATALOG.keys()
    assert given["OPENLINEAGE_URL"] == {"Ref": "OpenLineageUrl"}
    assert environment_file()["OPENLINEAGE_URL"] == "${OpenLineageUrl}"
    assert environment_file()["OPENLINEAGE_NAMESPACE"] == text(given["OPENLINEAGE_NAMESPACE"])


def test_the_scripts_are_scripts(tmp_path: Path) -> None:
    """As CloudFormation writes them: `${…}` is its own, and no variable of the shell is among them."""
    names = set(re.findall(r"\$\{([^}]+)\}", user_data()))
    known = {"AWS::Region", "AWS::StackName", *TEMPLATES["small"]["Parameters"], *TEMPLATES["small"]["Resources"]}
    assert names <= known
    bash = shutil.which("bash")
    assert bash
    script = tmp_path / "user-data"
    script.write_text(re.sub(r"\$\{[^}]+\}", "x", user_data()))
    for path in (script, CHECKOUT / "deploy" / "systemd" / "alive.sh"):
        done = subprocess.run([bash, "-n", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_volume_that_may_have_the_history_is_never_formatted() -> None:
    """blkid ends with 2 if nothing is on a disk, and with others if it cannot tell."""
    assert [line for line in user_data().splitlines() if "mkfs" in line] == [
        'blkid -p "$disk" || { [ $? = 2 ]; mkfs.ext4 -q "$disk"; }'
    ]
    assert "set -euo pipefail" in user_data()


@pytest.mark.parametrize("part", ["code", "webserver", "daemon"])
def test_each_part_is_a_unit_that_starts_again_and_may_write_only_its_history(part: str) -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CHECKOUT / "deploy" / "systemd" / f"dagster-{part}.service")
    service = dict(unit["Service"])
    assert service["ExecStart"] == f"/opt/venv/bin/python -m stock_pipeline serve {part}"
    assert (service["User"], service["Restart"], service["NoNewPrivileges"]) == ("dagster", "always", "yes")
    assert (service["ProtectSystem"], service["ReadWritePaths"]) == ("strict", "/var/lib/dagster")
    assert unit["Unit"]["RequiresMountsFor"] == "/var/lib/dagster"
    assert f"dagster-{part}" in user_data()


def test_there_is_a_unit_of_each_part_and_of_what_looks_after_them() -> None:
    assert [path.stem for path in UNITS] == [f"dagster-{name}" for name in ("alive", "code", "daemon", "webserver")]
