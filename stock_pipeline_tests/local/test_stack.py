"""The template as deployed locally, and what its outputs mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from stock_pipeline.deploy.stack import settings_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.errors import DeployError
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.stack import deploy, parameters_of_environment
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.local_aws import NewStack, Stack

pytestmark = pytest.mark.e2e


def test_outputs_become_settings(local_aws_env: Stack) -> None:
    settings = local_aws_env.settings
    assert settings.staging_bucket == local_aws_env.outputs["StagingBucket"]
    assert settings.lake_bucket == local_aws_env.outputs["LakeBucket"]
    assert settings.processor == "dagster"
    assert settings.stream_name == local_aws_env.outputs["StreamName"]
    assert settings.stream_queue_url == local_aws_env.outputs["StreamQueueUrl"]
    assert settings.stream_dlq_url == local_aws_env.outputs["StreamDlqUrl"]
    assert settings.max_clock_skew_seconds == 300
    assert settings.database.startswith("stock_market_test")
    assert settings.sql_engine == "duckdb"  # the environment names an endpoint


def test_outputs_that_are_no_settings_are_left_out() -> None:
    assert settings_of({"LakeBucket": "l", "SomethingElse": "x"}) == {"STOCK_PIPELINE_LAKE_BUCKET": "l"}


def test_stacks_in_one_account_share_nothing(new_stack: NewStack) -> None:
    one, other = new_stack().outputs, new_stack().outputs
    alike = {name for name in one if one[name] == other[name]}
    assert alike == {"Processor", "MaxClockSkewSeconds"}


def test_deploying_again_changes_nothing(local_aws_env: Stack, installed: Path) -> None:
    aws = local_aws_env.aws
    local_aws_env.staging.put("daily_prices/uploads/a.csv", b"kept")
    parameters = {"Processor": "dagster", "Database": aws.outputs["Database"]}
    again = deploy(aws.endpoint, aws.key, LocalFolders(installed), stage=aws.stage, parameters=parameters)
    assert again == aws.outputs
    assert local_aws_env.staging.get("daily_prices/uploads/a.csv").data == b"kept"


def test_the_lake_does_not_grow_with_every_merge(local_aws_env: Stack) -> None:
    for _ in range(3):
        local_aws_env.lake.put("price_by_date/year=2024/prices.parquet", b"merged")
    versions = local_aws_env.s3.list_object_versions(Bucket=local_aws_env.outputs["LakeBucket"])["Versions"]
    assert len(versions) == 1


def test_parameters_come_from_the_settings(new_stack: NewStack) -> None:
    given = {"SYMBOLS": "AAPL,BRK.B", "SEED": " 11 ", "MAX_CLOCK_SKEW_SECONDS": "60"}
    parameters = parameters_of_environment({f"STOCK_PIPELINE_{name}": value for name, value in given.items()})
    stack = new_stack(**parameters)
    functions = stack.client("lambda")
    found = functions.get_function_configuration(FunctionName=stack.outputs["GenerateStockBatchDataFunction"])
    settings = Settings.from_env(found["Environment"]["Variables"])
    assert (settings.symbols, settings.seed) == (("AAPL", "BRK.B"), 11)
    assert stack.settings.max_clock_skew_seconds == 60
    assert parameters_of_environment({"STOCK_PIPELINE_SYMBOLS": " "}) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: !Ref b", {"a": {"Ref": "b"}}),
        ("a: !GetAtt b.c.d", {"a": {"Fn::GetAtt": ["b", "c.d"]}}),
        ("a: !Sub '${b}'", {"a": {"Fn::Sub": "${b}"}}),
        ("a: !If [b, !Ref c, {d: !Condition e}]", {"a": {"Fn::If": ["b", {"Ref": "c"}, {"d": {"Condition": "e"}}]}}),
        ("a: !Transform {b: !Ref c}", {"a": {"Fn::Transform": {"b": {"Ref": "c"}}}}),
    ],
)
def test_short_forms(text: str, expected: object, tmp_path: Path) -> None:
    (tmp_path / "template.yaml").write_text(text)
    assert load_template(tmp_path / "template.yaml") == expected


@pytest.mark.parametrize("text", [None, "a: [", "a: !!python/object/apply:os.getcwd []"])
def test_a_template_that_cannot_be_read(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    if text:
        path.write_text(text)
    with pytest.raises(DeployError, match=r"template\.yaml"):
        load_template(path)


def test_alarms_the_topic_and_the_dashboard_are_deployed(local_aws_env: Stack) -> None:
    stage = local_aws_env.aws.stage
    prefix = f"stock-pipeline-{stage}-"
    found = local_aws_env.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix, MaxRecords=100)
    ours = {alarm["AlarmName"]: alarm for alarm in found["MetricAlarms"]}
    assert {f"{prefix}{name}" for name in ("stream-dlq", "delivery-failed", "daily-rejected")} <= set(ours)
    assert {action for alarm in ours.values() for action in alarm["AlarmActions"]} == {
        local_aws_env.outputs["AlarmsTopic"]
    }
    body = local_aws_env.client("cloudwatch").get_dashboard(DashboardName=local_aws_env.outputs["Dashboard"])
    assert f"stock-pipeline-{stage}-process_batch_stock_data" in body["DashboardBody"]
