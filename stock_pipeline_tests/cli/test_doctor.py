"""`stock-pipeline doctor`: every broken thing is named with its remedy, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline.schemas import TABLES
from stock_pipeline_tests.cli.conftest import LAKE, STAGING, Run
from stock_pipeline_tests.local_aws import Stack


def states(stdout: str) -> dict[str, str]:
    """Each check with what was found: `{"disk": "ok", …}`."""
    cells = ([cell.strip() for cell in line.split("│")] for line in stdout.splitlines() if "│" in line)
    return {check: state for check, state, *_ in cells if check}


@pytest.mark.e2e
class TestOnADeployedStack:
    def test_all_is_well(self, run: Run, stack: Stack) -> None:
        done = run("doctor")
        assert done.exit_code == 0, done.stdout
        found = states(done.stdout)
        declared = {
            t["Name"] for t in stack.client("glue").get_tables(DatabaseName=stack.settings.database)["TableList"]
        }
        undeclared = {f"{name} in Glue" for name in TABLES if name not in declared}
        assert {check for check, state in found.items() if state == "note"} == {"price_by_date", "Dagster"} | undeclared
        assert {stack.staging.bucket, stack.lake.bucket, "access", "settings", "disk", *TABLES} <= set(found)
        assert set(found.values()) == {"ok", "note"}

    def test_it_writes_nothing(self, run: Run, stack: Stack) -> None:
        run("doctor")
        assert [*stack.staging.list(""), *stack.lake.list("")] == []

    def test_rejected_rows_are_a_note_that_says_where_to_look(
        self, run: Run, stack: Stack, vendor_file: Callable[..., Path]
    ) -> None:
        run("ingest", vendor_file("AAPL.csv", ["2024-01-02,10,11,9,-1,100", "2024-01-03,10,11,9,10,100"]))
        done = run("doctor")
        assert done.exit_code == 0
        assert "stock-pipeline rejects list" in done.stdout
        found = states(done.stdout)
        assert (found["price_by_date"], found["rejected_records"]) == ("ok", "note")

    @pytest.mark.parametrize("setting", ["STOCK_PIPELINE_STAGING_BUCKET", "STOCK_PIPELINE_LAKE_BUCKET"])
    def test_a_missing_bucket_is_broken_and_its_setting_named(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, setting: str
    ) -> None:
        monkeypatch.setenv(setting, "nowhere")
        done = run("doctor")
        assert done.exit_code == 1
        assert states(done.stdout)["nowhere"] == "broken"
        assert setting in done.stdout

    @pytest.mark.parametrize(("engine", "state", "status"), [("athena", "broken", 1), ("duckdb", "note", 0)])
    def test_missing_tables_are_broken_where_athena_needs_them_and_the_rest_is_still_examined(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, engine: str, state: str, status: int
    ) -> None:
        monkeypatch.setenv("STOCK_PIPELINE_DATABASE", "nowhere")
        monkeypatch.setenv("STOCK_PIPELINE_SQL_ENGINE", engine)
        done = run("doctor")
        assert done.exit_code == status
        found = states(done.stdout)
        assert {found[f"{name} in Glue"] for name in TABLES} == {state}
        assert found["disk"] == "ok"
        assert "template.yaml" in done.stdout

    def test_an_athena_workgroup_that_is_not_there_is_broken(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STOCK_PIPELINE_SQL_ENGINE", "athena")
        monkeypatch.setenv("STOCK_PIPELINE_ATHENA_WORKGROUP", "nowhere")
        done = run("doctor")
        assert done.exit_code == 1
        assert "STOCK_PIPELINE_ATHENA_WORKGROUP" in done.stdout


def test_an_aws_that_does_not_answer_is_told_once_and_soon(
    run: Run, no_aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # the discard port: nothing listens there
    monkeypatch.setenv("STOCK_PIPELINE_STAGING_BUCKET", STAGING)
    monkeypatch.setenv("STOCK_PIPELINE_LAKE_BUCKET", LAKE)
    done = run("doctor")
    assert done.exit_code == 1
    assert states(done.stdout) == {"settings": "ok", "access": "broken", "disk": "ok"}
    assert "AWS_ENDPOINT_URL" in done.stdout
