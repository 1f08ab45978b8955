"""`doctor` under the roles that docs/operations.md describes, each with exactly its permissions: nothing is broken."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from stock_pipeline.aws import clients
from stock_pipeline.cli.doctor.queue_checks import queue_settings
from stock_pipeline.credentials import region_of
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.settings import variable
from stock_pipeline_tests.cli.doctor.test_command import states
from stock_pipeline_tests.support.commands import Run
from stock_pipeline_tests.support.local_aws import Stack

Role = Callable[[str, dict[str, Any]], bool]
"""Whether a role may do an action, by what is sent."""

_SAME = {  # the action that a call takes, where it has another name
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
}
_READS = {"s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject"}
_SQL = {"athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup"}
_SQL |= {"glue:GetDatabase", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"}


def documented() -> set[str]:
    """The actions in the table for a Dagster outside AWS."""
    page = (CHECKOUT / "docs" / "operations.md").read_text()
    (section,) = re.findall(r"(?s)\n## What a Dagster outside AWS may need\n(.*?)\n## ", page)
    return set(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", section))


def dagster(stack: Stack) -> Role:
    allowed = documented()

    def may(action: str, sent: dict[str, Any]) -> bool:
        if action == "s3:PutObject" and sent["Bucket"] == stack.staging.bucket:
            return bool(sent["Key"].startswith("daily_prices/"))
        return action in allowed

    return may


def reader(stack: Stack) -> Role:
    def may(action: str, sent: dict[str, Any]) -> bool:
        return action in _SQL or (action in _READS and sent.get("Bucket") == stack.lake.bucket)

    return may


def allow_only(role: Role, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let AWS refuse what a role may not do; returns the refused actions as they come."""
    refused: list[str] = []

    def asked(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["sent"] = params

    def answered(model: Any, context: dict[str, Any], **_: Any) -> Any:
        action = f"{model.service_model.endpoint_prefix}:{model.name}"
        action = _SAME.get(action, action)
        if action == "sts:GetCallerIdentity" or role(action, context["sent"]):
            return None
        refused.append(action)
        error = {"Code": "AccessDenied", "Message": f"not authorized to perform {action}"}
        return SimpleNamespace(status_code=403), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}

    def session(*_: Any) -> boto3.Session:
        made = boto3.Session(region_name=region_of())
        made.events.register("provide-client-params", asked)
        made.events.register("before-call", answered)
        return made

    monkeypatch.setattr(clients, "_session", session)
    return refused


@pytest.mark.e2e
@pytest.mark.parametrize("role", [dagster, reader])
@pytest.mark.parametrize("processor", ["lambda", "dagster"])
def test_nothing_is_broken_under_a_documented_role(
    role: Callable[[Stack], Role], processor: str, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", processor)
    refused = allow_only(role(stack), monkeypatch)
    done = run("doctor")
    assert done.exit_code == 0, done.stdout
    found = states(done.stdout)
    assert "broken" not in found.values()
    assert refused, "each of these roles lacks something"
    assert found["stream"] == found["Firehose"] == "note"
    if role is dagster:
        assert found[stack.staging.bucket] == found[stack.lake.bucket] == found["failed invocations"] == "ok"
    else:
        assert found[stack.staging.bucket] == found[stack.lake.bucket] == found["failed invocations"] == "note"


@pytest.mark.e2e
def test_without_the_lake_something_is_broken(run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    allow_only(lambda action, _: action != "s3:ListBucket", monkeypatch)
    done = run("doctor")
    assert (done.exit_code, states(done.stdout)[stack.lake.bucket]) == (1, "broken")


QUEUES = queue_settings()


@pytest.mark.e2e
@pytest.mark.parametrize("setting", QUEUES)
def test_every_queue_is_looked_at(setting: str, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "lambda")
    sqs = stack.client("sqs")
    url = sqs.create_queue(QueueName=f"looked-at-{setting.replace('_', '-')}")["QueueUrl"]
    monkeypatch.setenv(variable(setting), url)
    before = states(run("doctor").stdout)
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    after = states(run("doctor").stdout)
    changed = {check: state for check, state in after.items() if before.get(check) != state}
    assert list(changed.values()) == ["note" if setting.endswith("_queue_url") else "broken"], changed
