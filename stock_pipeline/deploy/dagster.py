"""Deploys and deletes a Dagster that stays: the stack of deploy/dagster-ecs.yaml, or that of deploy/dagster-small.yaml.

Its inputs are the outputs of the pipeline's stack of the same stage, read anew at each deployment. A stage has one
Dagster, in one of the two forms, because both have the same stack's name: so there is never a second daemon.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from stock_pipeline.deploy import dagster_inputs as inputs
from stock_pipeline.deploy.destroy import artifacts_bucket, empty
from stock_pipeline.deploy.events import clock, reasons
from stock_pipeline.deploy.readiness import delete, made_ready
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.deploy.stack import account_of, client_of, described, outputs_of, patience, resources_of, stack_of
from stock_pipeline.deploy.tags import tags_for
from stock_pipeline.errors import DeployError
from stock_pipeline.progress import Say

FORMS: Mapping[str, Path] = {form: CHECKOUT / "deploy" / f"dagster-{form}.yaml" for form in ("ecs", "small")}
"""The template of each form."""

_UNCHANGED = "No updates are to be performed"


def dagster_stack_of(stage: str) -> str:
    """The name of the stack of a stage's Dagster."""
    return f"{stack_of(stage)}-dagster"


def deploy_dagster(
    form: str,
    stage: str,
    given: Mapping[str, str],
    *,
    tags: Mapping[str, str] | None = None,
    report: Say = print,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Create or update the stack of a stage's Dagster, and return its outputs.

    Parameters that are not given keep the stack's values, or their defaults; so do `tags` that are None. Raises
    DeployError, with every reason that CloudFormation gives; then an existing stack works as before.
    """
    from stock_pipeline.deploy.template import load_template  # its YAML comes with the extra

    stack, cloudformation = dagster_stack_of(stage), client_of("cloudformation", environ)
    pipeline = outputs_of(stack_of(stage), cloudformation)
    ready = made_ready(stack, cloudformation, report, undo=f"`make destroy DAGSTER={form}`")
    if ready.exists:
        _refuse_another_form(form, stack, cloudformation)
    parameters = load_template(FORMS[form])["Parameters"]
    known = {**ready.parameters, **given}
    values = {**inputs.of_stack(parameters, pipeline, given), "Stage": stage, **given}
    values |= inputs.network(form, known, client_of("ec2", environ), report)
    _refuse_another_zone(ready.parameters, values)
    if form == "ecs" and "ImageDigest" not in given:
        values |= inputs.image(parameters, known, client_of("ecr", environ))
    elif form == "small":
        values |= inputs.program(stack, artifacts_bucket(cloudformation), client_of("s3", environ), account_of(environ))
    asked: list[dict[str, Any]] = [
        {"ParameterKey": name, "ParameterValue": value} for name, value in sorted(values.items())
    ]
    if ready.exists:
        kept = sorted(ready.parameters.keys() & parameters.keys() - values.keys())
        asked += [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]
    else:
        kept_of_a_failed_one = {n: v for n, v in ready.parameters.items() if n in parameters and n not in values}
        asked += [{"ParameterKey": name, "ParameterValue": value} for name, value in kept_of_a_failed_one.items()]
    labels = [{"Key": key, "Value": value} for key, value in tags_for(stage, tags, ready.tags).items()]
    _carry_out(
        "update" if ready.exists else "create", stack, FORMS[form], asked, labels, cloudformation, report, environ
    )
    return _outputs(stack, cloudformation)


def destroy_dagster(stage: str, *, report: Say = print, environ: Mapping[str, str] = os.environ) -> None:
    """Delete the stack of a stage's Dagster. Its history stays as a snapshot. Raises DeployError."""
    stack, cloudformation, s3 = dagster_stack_of(stage), client_of("cloudformation", environ), client_of("s3", environ)
    account = account_of(environ)
    found = described(stack, cloudformation)
    if found is None:
        report(f"there is no stack {stack} in account {account}, region {cloudformation.meta.region_name}")
        return
    report(f"deleting the stack {stack}; its history stays as a snapshot …")
    for bucket in resources_of(stack, cloudformation, "AWS::S3::Bucket").values():
        _emptied(bucket, s3, account)
    try:
        delete(stack, cloudformation)
    except DeployError:
        # A run that still lived has written its log meanwhile.
        left = [b for b in resources_of(stack, cloudformation, "AWS::S3::Bucket").values() if _emptied(b, s3, account)]
        if not left:
            raise
        delete(stack, cloudformation)
    if artifacts := artifacts_bucket(cloudformation):
        empty(artifacts, s3, account, prefix=f"{stack}/")
    report(f"{stack} is gone; to begin with its history again, give RestoreSnapshot to the next deployment")


def _emptied(bucket: str, s3: Any, account: str) -> int:
    try:
        return empty(bucket, s3, account)
    except s3.exceptions.NoSuchBucket:
        return 0


def _refuse_another_form(form: str, stack: str, cloudformation: Any) -> None:
    """An update to the other form would take the history away, and for a while there would be two daemons."""
    there = _outputs(stack, cloudformation).get("Form", form)
    if there != form:
        raise DeployError(
            f"the stack {stack} has the form {there}; `make destroy DAGSTER={there}` first, which keeps its history "
            f"as a snapshot, then deploy with DAGSTER={form}"
        )


def _refuse_another_zone(held: Mapping[str, str], values: Mapping[str, str]) -> None:
    """A volume cannot move: in another zone the history would begin anew."""
    if "Zone" in held and held["Zone"] != values.get("Zone"):
        raise DeployError(
            f"the history is in the zone {held['Zone']}, and the subnet is in {values['Zone']}; give a subnet of "
            "the same zone, or destroy the stack and deploy it with RestoreSnapshot"
        )


def _outputs(stack: str, cloudformation: Any) -> dict[str, str]:
    found = described(stack, cloudformation) or {}
    return {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}


def _carry_out(
    what: str, stack: str, template: Path, parameters: list[dict[str, Any]], tags: list[dict[str, str]],
    cloudformation: Any, report: Say, environ: Mapping[str, str],
) -> None:  # fmt: skip
    since = clock(client_of("sts", environ).get_caller_identity())
    call = cloudformation.update_stack if what == "update" else cloudformation.create_stack
    report(f"{what.removesuffix('e')}ing the stack {stack}; the first time it takes a quarter of an hour …")
    try:
        call(
            StackName=stack, TemplateBody=template.read_text(), Parameters=parameters, Tags=tags,
            Capabilities=["CAPABILITY_IAM"],
        )  # fmt: skip
        waiter = cloudformation.get_waiter(f"stack_{what}_complete")
        waiter.wait(StackName=stack, WaiterConfig=patience(cloudformation))
    except ClientError as error:
        if what == "update" and _UNCHANGED in str(error):
            report("nothing has changed")
            return
        raise DeployError(
            f"the stack {stack} could not be {what}d: {error.response['Error'].get('Message')}"
        ) from error
    except WaiterError as error:
        why = reasons(stack, cloudformation, since)
        raise DeployError("\n  ".join([f"the stack {stack} could not be {what}d", *why])) from error
