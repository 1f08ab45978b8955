"""`stock-pipeline doctor`: every broken thing is named with its remedy, and nothing is written."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from rich.console import Console

from stock_pipeline.cli.doctor import checks as examination
from stock_pipeline.cli.doctor import command as doctor
from stock_pipeline.cli.doctor.diagnosis import Diagnosis
from stock_pipeline.errors import StockPipelineError
from stock_pipeline.maintenance.reconcile import find_unseen
from stock_pipeline.schemas import TABLES
from stock_pipeline_tests.support.commands import LAKE, STAGING, Run
from stock_pipeline_tests.support.local_aws import Stack


def states(stdout: str) -> dict[str, str]:
    """Each check with what was found: `{"disk": "ok", …}`."""
    found = re.findall(r"^(ok|note|broken) +(.+?)  +\S", stdout, re.M)
    return {check: state for state, check in found}


EMPTY = {"price_by_date", "stream_prices_history", "arrivals of ticks"}
"""Notes of a new stack: nothing came, and S3 has sent a test event that nobody took."""


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
        assert {check for check, state in found.items() if state == "note"} == EMPTY | {"Dagster"} | undeclared
        assert {stack.staging.bucket, stack.lake.bucket, "access", "settings", "disk", *TABLES} <= set(found)
        assert set(found.values()) == {"ok", "note"}
        assert (found["stream"], found["Firehose"], found["dead letters of ticks"]) == ("ok", "ok", "ok")

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

    def test_objects_that_no_table_has_seen_are_counted_with_the_remedy(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack.staging.put("daily_prices/uploads/AAPL.csv", b"Date,Close\n2024-01-02,10\n")
        later = run("doctor")
        assert states(later.stdout)["raw objects"] == "ok", "a young object is on its way"
        monkeypatch.setattr(find_unseen, "__kwdefaults__", {**find_unseen.__kwdefaults__, "age": timedelta(days=-1)})
        done = run("doctor")
        assert (done.exit_code, states(done.stdout)["raw objects"]) == (0, "note")
        assert "1 of 1 object of the last 3 days unseen, such as daily_prices/uploads/AAPL.csv" in done.stdout
        assert "stock-pipeline reconcile" in done.stdout

    def test_receipts_that_could_not_be_shown_are_broken(self, run: Run, stack: Stack) -> None:
        sqs = stack.client("sqs")
        sqs.send_message(QueueUrl=stack.outputs["LineageQueueUrl"], MessageBody="{}")
        found = states(run("doctor").stdout)
        assert (found["receipts"], found["dead letters of receipts"]) == ("note", "ok")
        sqs.send_message(QueueUrl=stack.outputs["LineageDlqUrl"], MessageBody="{}")
        done = run("doctor")
        assert (done.exit_code, states(done.stdout)["dead letters of receipts"]) == (1, "broken")


@pytest.mark.e2e
class TestTheWayOfTicks:
    def test_ticks_of_today_are_counted(self, run: Run, stack: Stack, tmp_path: Path) -> None:
        file = tmp_path / "ticks.jsonl"
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
        file.write_text(f'{{"symbol":"AAPL","price":1,"produced_at":"{now}"}}\n')
        assert run("ingest", file).exit_code == 0
        done = run("doctor")
        assert states(done.stdout)["stream_prices_history"] == "ok"
        assert "1 tick since yesterday" in done.stdout

    def test_dead_letters_are_broken_with_what_to_do(self, run: Run, stack: Stack) -> None:
        stack.client("sqs").send_message(QueueUrl=stack.outputs["StreamDlqUrl"], MessageBody="{}")
        done = run("doctor")
        assert done.exit_code == 1
        assert states(done.stdout)["dead letters of ticks"] == "broken"
        assert "stock-pipeline redrive ticks" in done.stdout
        assert f"in {stack.outputs['StreamDlqUrl'].rpartition('/')[2]}" in done.stdout

    @pytest.mark.parametrize(
        ("setting", "check"),
        [("NAME", "stream"), ("QUEUE_URL", "arrivals of ticks"), ("DLQ_URL", "dead letters of ticks")],
    )
    def test_what_is_not_set_is_a_note_and_what_is_not_there_is_broken(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch, setting: str, check: str
    ) -> None:
        name = f"STOCK_PIPELINE_STREAM_{setting}"
        monkeypatch.setenv(name, "")
        done = run("doctor")
        assert (done.exit_code, states(done.stdout)[check]) == (0, "note")
        assert f"{name} is not set" in done.stdout
        monkeypatch.setenv(name, f"{stack.aws.endpoint}/000000000000/nowhere" if setting != "NAME" else "nowhere")
        done = run("doctor")
        assert (done.exit_code, states(done.stdout)[check]) == (1, "broken")
        assert f"check {name}" in done.stdout

    def test_a_firehose_that_writes_elsewhere_is_broken(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("STOCK_PIPELINE_STAGING_BUCKET", stack.lake.bucket)
        done = run("doctor")
        assert states(done.stdout)["Firehose"] == "broken"
        assert f"looks for ticks under s3://{stack.lake.bucket}/stock_stream/" in done.stdout

    def test_a_stream_without_a_firehose_of_its_name_is_a_note(
        self, run: Run, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = f"{stack.outputs['StreamName']}-alone"
        stack.client("kinesis").create_stream(StreamName=name, ShardCount=2)
        monkeypatch.setenv("STOCK_PIPELINE_STREAM_NAME", name)
        done = run("doctor")
        assert (states(done.stdout)["stream"], states(done.stdout)["Firehose"]) == ("ok", "note")
        assert "shards: 2" in done.stdout


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


def test_every_check_that_can_fail_unexpectedly_has_a_remedy_and_a_tally_ends_the_list(
    run: Run, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> NoReturn:
        raise StockPipelineError("access denied")

    checks = examination._CHECKS
    monkeypatch.setattr(examination, "_CHECKS", {name: refused for name in checks if name not in {"settings", "disk"}})
    done = run("doctor")
    assert done.exit_code == 1
    blocks = re.split(r"^broken +", done.stdout, flags=re.M)[1:]
    assert [re.search(r"→ \S+", block) is not None for block in blocks] == [True] * len(blocks)
    assert done.stderr.strip().splitlines()[-1] == f"{len(blocks)} broken, 1 ok"  # without access only the disk is left


@pytest.mark.parametrize("width", [80, 120])
def test_findings_fit_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state, a long name and a long sentence: nothing is lost, and no line is longer than the screen."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    diagnoses = [Diagnosis("stock-pipeline-local-staging-000000000000", "note", "word " * 40, "mend it " * 20)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(doctor._listed(diagnoses))
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert text.count("word") == 40
    assert text.count("mend") == 20
