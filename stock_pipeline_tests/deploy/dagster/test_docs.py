"""docs/operations.md says of the Dagster that stays what the templates have: roles, alarms, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stock_pipeline.deploy.dagster import FORMS
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.deploy.template import load_template
from stock_pipeline_tests.deploy.dagster.needed import NEEDED, WITH_THE_PIPELINE
from stock_pipeline_tests.lambdas.template import text

PAGE = (CHECKOUT / "docs" / "operations.md").read_text()
TEMPLATES = {form: load_template(path) for form, path in FORMS.items()}
HOURS = 730  # of a month

# US dollars, us-east-1
VCPU_HOUR, GB_HOUR, ADDRESS_HOUR = 0.03238, 0.00356, 0.005
CLASS_HOUR = {"db.t4g.micro": 0.016, "t4g.small": 0.0168}
DATABASE_GB, VOLUME_GB, SNAPSHOT_GB = 0.115, 0.08, 0.05
SECRET, ALARM, METRIC = 0.40, 0.10, 0.30


def _default(form: str, name: str) -> Any:
    return TEMPLATES[form]["Parameters"][name]["Default"]


def _alarms(form: str) -> list[dict[str, Any]]:
    resources = TEMPLATES[form]["Resources"].values()
    return [each["Properties"] for each in resources if each["Type"] == "AWS::CloudWatch::Alarm"]


def _short(resource: str) -> str:
    """An ARN without the parts that are the same everywhere: `ecs task/…`."""
    prefix = r"arn:\$\{AWS::Partition\}:(\w+):(?:\$\{AWS::Region\})?:(?:\$\{AWS::AccountId\})?:"
    return re.sub(prefix, r"\1 ", resource)


def permissions() -> str:
    rows = ["| form | role | on | may |", "|---|---|---|---|"]
    for form, roles in NEEDED.items():
        for role, needed in roles.items():
            mark = "*" if role in WITH_THE_PIPELINE else ""
            for resource in sorted({resource for _, resource in needed}):
                actions = ", ".join(f"`{action}`" for action in sorted(a for a, on in needed if on == resource))
                rows.append(f"| `{form}` | `{role}`{mark} | `{_short(resource)}` | {actions} |")
    return "\n".join(rows) + "\n"


def a_task(cpu: float, megabytes: float) -> float:
    """US dollars an hour, of units of a 1,024th of a vCPU."""
    return cpu / 1024 * VCPU_HOUR + megabytes / 1024 * GB_HOUR


def of_a_month(form: str) -> Mapping[str, float]:
    if form == "ecs":
        return {
            "Fargate, the task": a_task(_default(form, "Cpu"), _default(form, "MemoryMb")) * HOURS,
            "RDS, the database": CLASS_HOUR[_default(form, "DatabaseClass")] * HOURS,
            "storage of the database": _default(form, "DatabaseGb") * DATABASE_GB,
            "public address": ADDRESS_HOUR * HOURS,
            "secret": SECRET,
            "alarms": ALARM * len(_alarms(form)),
        }
    machine = TEMPLATES[form]["Resources"]["MachineTemplate"]["Properties"]["LaunchTemplateData"]
    disk = sum(each["Ebs"]["VolumeSize"] for each in machine["BlockDeviceMappings"])
    own = {alarm["MetricName"] for alarm in _alarms(form) if alarm["Namespace"] == "StockPipeline"}
    return {
        "EC2, the machine": CLASS_HOUR[_default(form, "MachineType")] * HOURS,
        "its disk and the volume": (disk + _default(form, "VolumeGb")) * VOLUME_GB,
        "snapshots": _default(form, "VolumeGb") * SNAPSHOT_GB,
        "public address": ADDRESS_HOUR * HOURS,
        "metrics": METRIC * len(own),
        "alarms": ALARM * len(_alarms(form)),
    }


def costs() -> str:
    rows = ["| form | what | US dollars a month |", "|---|---|---|"]
    for form in ("small", "ecs"):
        costs = of_a_month(form)
        rows += [f"| `{form}` | {what} | {cost:.2f} |" for what, cost in costs.items()]
        rows.append(f"| `{form}` | **all of it** | **{sum(costs.values()):.2f}** |")
    return "\n".join(rows) + "\n"


def a_minute_of_a_run() -> str:
    return f"${a_task(_default('ecs', 'RunCpu'), _default('ecs', 'RunMemoryMb')) / 60:.4f}"


def test_the_page_says_what_each_role_may() -> None:
    assert permissions() in PAGE


def test_the_page_says_what_each_form_costs_a_month() -> None:
    assert costs() in PAGE
    assert f"a minute of it is {a_minute_of_a_run()}" in PAGE


def test_the_page_names_the_prices_that_it_counts_with() -> None:
    section = PAGE[PAGE.index("#### What it costs") : PAGE.index("#### Take it away")]
    prices = [VCPU_HOUR, GB_HOUR, ADDRESS_HOUR, *CLASS_HOUR.values(), DATABASE_GB, VOLUME_GB, SNAPSHOT_GB]
    for price in prices:
        assert f"${price:g}" in section
    for price in (SECRET, ALARM, METRIC):
        assert f"${price:.2f}" in section


def test_the_page_says_what_to_do_when_each_alarm_rings() -> None:
    section = PAGE[PAGE.index("#### When an alarm of Dagster rings") : PAGE.index("#### What it costs")]
    prefix = "stock-pipeline-${Stage}-dagster-"
    for form in FORMS:
        for alarm in _alarms(form):
            name = text(alarm["AlarmName"])
            assert name.startswith(prefix)
            assert f"`{name.removeprefix(prefix)}`" in section
