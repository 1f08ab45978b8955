"""A running Dagster on the local AWS: a backfill, as the UI asks for it, and a vendor's file end as checked rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.local.dev.dagster import Dagster
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.local_aws import Stack, emulator, eventually, installed, local_aws_env, new_stack
from stock_pipeline_tests.support.running_dagster import dagster_of

__all__ = ["emulator", "installed", "local_aws_env", "new_stack"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(600), pytest.mark.xdist_group("dagster")]

BACKFILL = """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
CHECKS = """{ assetNodeOrError(assetKey: {path: ["price_by_date"]}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name partitionStatuses {
    ... on AssetCheckTimePartitionStatuses { ranges { status startKey endKey } } } } } } } } }"""
RUNS = """{ runsOrError { ... on Runs { results { jobName status tags { key value } } } } }"""


@pytest.fixture
def dagster(local_aws_env: Stack, tmp_path: Path) -> Iterator[Dagster]:
    with dagster_of(local_aws_env, tmp_path, "dagster") as running:
        yield running


def close_of(stack: Stack, year: int) -> dict[tuple[str, date], float]:
    rows = read_partition(stack.lake, PRICE_BY_DATE, year_partition(year))
    return {} if rows is None else {(r["symbol"], r["date"]): r["close"] for r in rows.to_pylist()}


def test_a_backfill_and_a_dropped_file_become_rows_and_are_checked(dagster: Dagster, local_aws_env: Stack) -> None:
    days = sessions(date(2023, 12, 20), date(2024, 1, 5))
    wanted = {"assetSelection": [{"path": ["raw_daily_prices"]}], "partitionNames": [day.isoformat() for day in days]}
    assert dagster._ask(BACKFILL, params=wanted)["launchPartitionBackfill"]["__typename"] == "LaunchBackfillSuccess"
    expected = {(symbol, day) for symbol in DEFAULT_SYMBOLS for day in days}

    def stored() -> set[tuple[str, date]]:
        return {key for year in (2023, 2024) for key in close_of(local_aws_env, year)}

    assert eventually(lambda: stored() == expected, within=150), f"{len(stored())} of {len(expected)} rows"

    long = "Date,Open,High,Low,Close,Volume\n" + "".join(f"{year}-03-01,10,12,9,11,5\n" for year in range(2021, 2025))
    local_aws_env.staging.put("daily_prices/uploads/IBM.csv", long.encode())
    assert eventually(lambda: close_of(local_aws_env, 2021) == {("IBM", date(2021, 3, 1)): 11.0}, within=90)
    assert eventually(lambda: not dagster.unfinished("ingest_daily_prices"), within=60)

    runs: list[dict[str, Any]] = dagster._ask(RUNS)["runsOrError"]["results"]
    tags = [{tag["key"]: tag["value"] for tag in run["tags"]} for run in runs]
    assert {run["status"] for run in runs} == {"SUCCESS"}
    assert len([t for t in tags if "dagster/backfill" in t]) == 1, "a backfill is a single run"
    handed_over = sum(int(t["stock_pipeline/objects"]) for t in tags if "stock_pipeline/objects" in t)
    assert handed_over == len(days) + 1, "each object was handed over once"
    checks = dagster._ask(CHECKS)["assetNodeOrError"]["assetChecksOrError"]["checks"]
    found = {check["name"]: check["partitionStatuses"]["ranges"] for check in checks}
    everywhere = {"status": "SUCCEEDED", "startKey": "2021", "endKey": "2024"}
    assert found["keys_unique"] == found["ohlc_consistent"] == found["sessions_complete"] == [everywhere]
