"""`python -m stock_pipeline.deploy build|deploy|destroy …`: what `make build`, `make deploy` and `make destroy` run."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.credentials import remedy_of
from stock_pipeline.deploy import sam
from stock_pipeline.deploy.dagster import FORMS, dagster_stack_of, deploy_dagster, destroy_dagster
from stock_pipeline.deploy.dependencies import TARGETS
from stock_pipeline.deploy.destroy import Doomed, destroy, doomed
from stock_pipeline.deploy.stack import account_of, client_of, described, outputs_of, stack_of
from stock_pipeline.deploy.tags import tags_of
from stock_pipeline.errors import DeployError, ExtraMissing
from stock_pipeline.extras import require

_LOOPBACK_KEY = "local"  # opens nothing


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m stock_pipeline.deploy", description=__doc__)
    commands = arguments.add_subparsers(dest="command", required=True)
    for name in ("build", "deploy"):
        command = commands.add_parser(name)
        command.add_argument("--target", choices=TARGETS, help="default: that of the stack, else arm64")
        command.add_argument("--parameters", default="", help="parameters of the template: 'Seed=11 Symbols=AAPL,MSFT'")
        command.add_argument("--tags", default="", help="tags of the stack, instead of those that it has: 'team=data'")
        command.add_argument("--stage", default="main")
    ended = commands.add_parser("destroy")
    for command in (commands.choices["deploy"], ended):
        command.add_argument("--dagster", choices=FORMS, help="the Dagster that stays, in this form, not the pipeline")
    ended.add_argument("--delete-data", action="store_true", help="also delete its buckets, with all data in them")
    ended.add_argument("--force", action="store_true", help="do not ask")
    ended.add_argument("--stage", default="main")
    given = arguments.parse_args()
    try:
        require("local", "deploying")
        _run(given)
    except (DeployError, ExtraMissing) as error:
        sys.exit(str(error))
    except (BotoCoreError, ClientError) as error:
        sys.exit(f"AWS: {error}; {remedy_of(error)}")


def _run(given: argparse.Namespace) -> None:
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://127.0.0.1"):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            os.environ.setdefault(name, _LOOPBACK_KEY)
        os.environ.setdefault("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION") or "us-east-1")
    if given.command == "build":
        _build(given.target or sam.DEFAULT_MACHINE)
    elif given.dagster:
        (_deploy_dagster if given.command == "deploy" else _destroy_dagster)(given)
    elif given.command == "deploy":
        _deploy(given)
    else:
        _destroy(given)


def _build(target: str) -> Path:
    template = sam.build(target)
    for package in sorted(template.parent.glob("*.zip")):
        _say(f"{package.stat().st_size / 2**20:6.1f} MiB  {package.relative_to(Path.cwd())}")
    return template


def _deploy(given: argparse.Namespace) -> None:
    began = time.monotonic()
    stack, parameters = stack_of(given.stage), sam.parameters_of(given.parameters)
    tags = tags_of(given.tags) if given.tags.strip() else None
    _say(f"deploying {stack} to account {account_of()}, region {client_of('cloudformation').meta.region_name}")
    machine = sam.machine_of(given.stage, given.target, parameters)
    built = _build("host" if given.target == "host" else machine)
    sam.deploy(built, given.stage, {**parameters, "Architecture": machine}, tags=tags)
    outputs = outputs_of(stack)
    _say(f"\n{stack} is deployed ({time.monotonic() - began:.1f} s)\n")
    width = max(map(len, outputs))
    for name, value in sorted(outputs.items()):
        _say(f"  {name:{width}}  {value}")
    _say("\nnext:")
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        key = os.environ.get("AWS_ACCESS_KEY_ID")
        _say(f"  export AWS_ENDPOINT_URL={endpoint} AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY=…")
    _say(f"  export AWS_REGION={client_of('cloudformation').meta.region_name}")
    for command in ("doctor", "ingest docs/samples/ACME.csv", 'sql "SELECT count(*) FROM price_by_date"'):
        _say(f"  .venv/bin/stock-pipeline --stack {stack} {command}")


def _deploy_dagster(given: argparse.Namespace) -> None:
    where = f"account {account_of()}, region {client_of('cloudformation').meta.region_name}"
    _say(f"deploying {dagster_stack_of(given.stage)} ({given.dagster}) to {where}")
    tags = tags_of(given.tags) if given.tags.strip() else None
    parameters = sam.parameters_of(given.parameters)
    for name, value in sorted(deploy_dagster(given.dagster, given.stage, parameters, tags=tags, report=_say).items()):
        _say(f"  {name:13}  {value}")
    _say("\nnext: confirm the e-mail if you gave AlarmEmail; docs/operations.md, Reaching the UI, forwards the port")


def _destroy_dagster(given: argparse.Namespace) -> None:
    if given.delete_data:
        raise DeployError("DATA=delete is for the pipeline; delete the snapshots of Dagster's history by yourself")
    _agreed(given, f"this deletes, in account {account_of()}: the stack {dagster_stack_of(given.stage)}")
    destroy_dagster(given.stage, report=_say)


def _destroy(given: argparse.Namespace) -> None:
    if described(dagster_stack_of(given.stage)):
        raise DeployError(
            f"the stack {dagster_stack_of(given.stage)} uses this one; `make destroy DAGSTER=ecs` (or small) first"
        )
    there = doomed(given.stage)
    if there.stack_id or (there.buckets and given.delete_data):
        _confirm(given, there)
    destroy(given.stage, delete_data=given.delete_data, report=_say)


def _confirm(given: argparse.Namespace, there: Doomed) -> None:
    """Say what goes, and ask. Raises DeployError when the answer is not the stage's name, or without a terminal."""
    names = " and ".join(there.buckets) or "no bucket"
    data = f"{names} with ALL DATA" if given.delete_data else f"(the data in {names} stays)"
    stack = f"the stack {there.stack} {'and ' if given.delete_data else ''}" if there.stack_id else ""
    _agreed(given, f"this deletes, in {there.where}: {stack}{data}")


def _agreed(given: argparse.Namespace, what: str) -> None:
    if given.force:
        _say(what)
        return
    if not sys.stdin.isatty():
        raise DeployError(f"{what}; if you want that, give FORCE=1")
    answer = input(f"{what}. Type the stage's name to go on: ")
    if answer.strip() != given.stage:
        raise DeployError("nothing was deleted")


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
