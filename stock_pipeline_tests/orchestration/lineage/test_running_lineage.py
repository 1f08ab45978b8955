"""A running Dagster shows what the functions of the local AWS wrote, and takes up what nobody told them of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stock_pipeline.aws.sqs import depth
from stock_pipeline.local.dev.dagster import LOCATION, Dagster
from stock_pipeline_tests.support.local_aws import NewStack, Stack, emulator, eventually, installed, new_stack
from stock_pipeline_tests.support.running_dagster import dagster_of

__all__ = ["emulator", "installed", "new_stack"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster")]

MATERIALIZED = """query ($key: AssetKeyInput!) { assetOrError(assetKey: $key) { ... on Asset {
  assetMaterializations(limit: 20) { runId partition metadataEntries { label __typename
  ... on IntMetadataEntry { intValue } } } } } }"""
CHECKED = """{ assetNodeOrError(assetKey: {path: ["price_by_date"]}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization { status } } } } } } }"""
LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } } }"""


@pytest.fixture(scope="module")
def stack(new_stack: NewStack) -> Stack:
    return new_stack("lambda", StreamBufferSeconds="1")


@pytest.fixture(scope="module")
def dagster(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    with dagster_of(stack, tmp_path_factory.mktemp("home"), "lambda") as running:
        yield running


def materialized(dagster: Dagster, asset: str) -> list[dict[str, Any]]:
    """The materializations of an asset, newest first, each with its partition, its run and its metadata."""
    found = dagster._ask(MATERIALIZED, key={"path": [asset]})["assetOrError"].get("assetMaterializations", [])
    return [
        {"partition": m["partition"], "run": m["runId"]}
        | {entry["label"]: entry.get("intValue", entry["__typename"]) for entry in m["metadataEntries"]}
        for m in found
    ]


def prices(day: str) -> bytes:
    return f"symbol,date,open,high,low,close,volume\nAAPL,{day},10,11,9,10,100\n".encode()


def ticks(name: str, at: datetime) -> bytes:
    return f'{{"event_id":"{name}","symbol":"AAPL","price":1,"produced_at":"{at:%Y-%m-%d %H:%M:%S}"}}\n'.encode()


def held(stack: Stack, output: str) -> int:
    return depth(stack.client("sqs"), stack.outputs[output]).held


def test_what_functions_write_is_shown_with_its_metadata_and_checks(dagster: Dagster, stack: Stack) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    stack.staging.put("daily_prices/date=2024-01-02/prices-1.csv", prices("2024-01-02"))
    stack.staging.put("daily_prices/uploads/AAPL.csv", prices("2024-01-03"))
    stack.staging.put(f"stock_stream/{now:%Y/%m/%d/%H}/a", ticks("e1", now))
    assert eventually(lambda: materialized(dagster, "latest_prices"), within=90), stack.log()
    assert eventually(lambda: dagster.partitions("price_by_date")["2024"], within=60), stack.log()
    (raw,) = materialized(dagster, "raw_daily_prices")
    assert (raw["partition"], raw["dagster/row_count"]) == ("2024-01-02", 1)
    assert eventually(lambda: sum(m["inserted"] for m in materialized(dagster, "price_by_date")) == 2, within=60)
    year = materialized(dagster, "price_by_date")[0]
    assert year["run"] == "", "no run of Dagster's wrote it"
    assert (year["preview"], year["dagster/column_schema"]) == ("TableMetadataEntry", "TableSchemaMetadataEntry")
    (day,) = materialized(dagster, "stream_prices_history")
    assert (day["partition"], day["inserted"]) == (f"{now:%Y-%m-%d}", 1)

    def checks() -> set[str]:
        found = dagster._ask(CHECKED)["assetNodeOrError"]["assetChecksOrError"]["checks"]
        return {(check["executionForLatestMaterialization"] or {}).get("status", "") for check in found}

    assert eventually(lambda: "SUCCEEDED" in checks() and "" not in checks(), within=90), checks()
    assert eventually(lambda: held(stack, "LineageQueueUrl") == 0, within=60), "what is shown is deleted"
    assert held(stack, "LineageDlqUrl") == 0


def test_what_nobody_told_of_is_reconciled_by_the_job(dagster: Dagster, stack: Stack) -> None:
    told = stack.s3.get_bucket_notification_configuration(Bucket=stack.staging.bucket)
    del told["ResponseMetadata"]
    stack.s3.put_bucket_notification_configuration(Bucket=stack.staging.bucket, NotificationConfiguration={})
    stack.staging.put("daily_prices/uploads/lost.csv", prices("2023-05-02"))
    stack.s3.put_bucket_notification_configuration(Bucket=stack.staging.bucket, NotificationConfiguration=told)
    selector = {"jobName": "reconcile", "repositoryName": "__repository__", "repositoryLocationName": LOCATION}
    config = {"ops": {"ingest_unseen": {"config": {"age_minutes": 0.0}}}}
    answer = dagster._ask(LAUNCH, params={"selector": selector, "runConfigData": config})["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run = answer["run"]["runId"]
    assert eventually(lambda: dagster.is_done(run), within=90)
    (year,) = [m for m in materialized(dagster, "price_by_date") if m["partition"] == "2023"]
    assert (year["run"], year["inserted"], year["sources"]) == (run, 1, 1)
