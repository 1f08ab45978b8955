"""The template as data: that it agrees with the package, and that nothing in it is more open than it must be."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cfnlint import api as cfnlint
from hypothesis import given as for_every
from hypothesis import strategies as st

from stock_pipeline.clean.ticks import MAX_SKEW
from stock_pipeline.deploy.dependencies import LAMBDA_PYTHON, TARGETS
from stock_pipeline.deploy.packages import code_of
from stock_pipeline.deploy.sources import CHECKOUT, TEMPLATE, functions
from stock_pipeline.deploy.stack import settings_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.deploy.years import around
from stock_pipeline.lake.transforms import by_bucket
from stock_pipeline.schemas import (
    DATABASE,
    PRICE_BY_DATE,
    REJECTED_RECORDS,
    STREAM_PRICES_HISTORY,
    TABLES,
    TIMESTAMP,
    Table,
)
from stock_pipeline.settings import DEFAULT_SYMBOLS, Settings, documented, variable
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, RAW_TICKS

TEMPLATE_DATA = load_template()
RESOURCES: dict[str, Any] = TEMPLATE_DATA["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE_DATA["Parameters"]
GLOBALS: dict[str, Any] = TEMPLATE_DATA["Globals"]["Function"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
BUCKETS = of_type("AWS::S3::Bucket")
GLUE_TABLES = {properties["TableInput"]["Name"]: properties for properties in of_type("AWS::Glue::Table").values()}
SCHEDULES = of_type("AWS::Scheduler::Schedule")
QUEUES = of_type("AWS::SQS::Queue")
MAPPINGS = of_type("AWS::Lambda::EventSourceMapping")
ENVIRONMENT = GLOBALS["Environment"]["Variables"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A name as written: the template of a Fn::Sub, or what a Fn::GetAtt names."""
    if isinstance(value, dict):
        value = next(iter(value.values()))
    return ".".join(value) if isinstance(value, list) else str(value)


def test_cfn_lint_finds_nothing() -> None:
    found = cfnlint.lint(TEMPLATE.read_text(), config=cfnlint.ManualArgs(regions=["us-east-1", "eu-central-1"]))
    assert [str(match) for match in found] == []


def test_it_uses_no_yaml_that_cloudformation_does_not_read() -> None:
    assert not re.search(r"(?m)^[^#\"']*(:|-) +[&*]\w|<<:", TEMPLATE.read_text()), "anchors, aliases and merges"


# --- agreement with the package ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_glue_tables_are_the_schemas(table: Table) -> None:
    given = GLUE_TABLES[table.name]["TableInput"]
    columns = [(c["Name"], c["Type"], c["Comment"]) for c in given["StorageDescriptor"]["Columns"]]
    assert columns == [(c.name, c.athena_type, c.description) for c in table.columns]
    assert given["Description"] == table.description
    assert [key["Name"] for key in given["PartitionKeys"]] == list(table.partition)


@pytest.mark.parametrize("table", [t for t in TABLES.values() if t.partition], ids=lambda table: table.name)
def test_every_partition_is_projected_to_where_it_is_written(table: Table) -> None:
    given = GLUE_TABLES[table.name]["TableInput"]
    parameters = given["Parameters"]
    assert parameters["projection.enabled"] == "true"
    assert {f"projection.{name}.type" for name in table.partition} <= set(parameters)
    folders = "".join(f"{name}=${{!{name}}}/" for name in table.partition)
    assert text(parameters["storage.location.template"]) == f"s3://${{LakeBucket}}/{table.prefix}{folders}"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_table_is_read_from_where_it_is_written(table: Table) -> None:
    given = GLUE_TABLES[table.name]["TableInput"]
    assert text(given["StorageDescriptor"]["Location"]) == f"s3://${{LakeBucket}}/{table.prefix}"
    assert given["Parameters"].get("projection.enabled") == ("true" if table.partition else None)


def test_every_table_can_have_rejected_records() -> None:
    values = GLUE_TABLES[REJECTED_RECORDS.name]["TableInput"]["Parameters"]["projection.table.values"].split(",")
    assert values == [PRICE_BY_DATE.name, STREAM_PRICES_HISTORY.name]  # the snapshot takes from history


def test_every_year_that_a_date_may_have_is_projected() -> None:
    parameters = GLUE_TABLES["price_by_date"]["TableInput"]["Parameters"]
    first, last = map(int, parameters["projection.year.range"].split(","))
    assert first <= 1900
    assert last >= 2100


@for_every(st.datetimes(datetime(2024, 1, 1), datetime(9997, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_tick_of_its_year_is_projected_by_a_stack_that_is_new_then(at: datetime) -> None:
    _, (partition,) = by_bucket(pa.table({"produced_at": pa.array([at], TIMESTAMP)}), 5)
    values = dict(part.split("=") for part in partition.split("/")[:3])
    parameters = GLUE_TABLES["stream_prices_history"]["TableInput"]["Parameters"]
    assert parameters["projection.year.range"] == {"Ref": "TickYears"}
    years = around(at.date())
    assert re.fullmatch(PARAMETERS["TickYears"]["AllowedPattern"], years)
    first, last = map(int, years.split(","))
    assert first < at.year < last, "this year, the one before and the next"
    for name, span, digits in (("year", years, 4), ("month", "1,12", 2), ("day", "1,31", 2)):
        assert len(values[name]) == digits
        assert parameters[f"projection.{name}.type"] == "integer"
        assert parameters.get(f"projection.{name}.digits", "4") == str(digits)
        assert name == "year" or parameters[f"projection.{name}.range"] == span
        first, last = map(int, span.split(","))
        assert first <= int(values[name]) <= last


@pytest.mark.parametrize("table", [t for t in TABLES.values() if t.partition], ids=lambda table: table.name)
def test_a_query_without_a_condition_lists_fewer_than_2000_folders(table: Table) -> None:
    """Athena lists every folder that it projects, whether there is one or not, at $0.005 a thousand."""
    folders = 1
    for name in table.partition:
        given = GLUE_TABLES[table.name]["TableInput"]["Parameters"]
        if values := given.get(f"projection.{name}.values"):
            folders *= len(values.split(","))
            continue
        span = given[f"projection.{name}.range"]
        first, last = map(int, (PARAMETERS[span["Ref"]]["Default"] if isinstance(span, dict) else span).split(","))
        folders *= last - first + 1
    assert folders < 2_000


def test_defaults_are_those_of_the_settings() -> None:
    settings = Settings()
    defaults = {name: parameter["Default"] for name, parameter in PARAMETERS.items()}
    assert defaults["Symbols"] == ",".join(DEFAULT_SYMBOLS)
    assert defaults["Seed"] == settings.seed
    assert defaults["MaxObjectMb"] <= settings.max_object_mb  # held by what fits into memory: limits/test_limits.py
    assert timedelta(seconds=defaults["MaxClockSkewSeconds"]) == MAX_SKEW
    assert defaults["MaxClockSkewSeconds"] == settings.max_clock_skew_seconds
    assert defaults["Database"] == settings.database == DATABASE


def test_outputs_give_the_settings_of_a_client() -> None:
    given = settings_of(dict.fromkeys(TEMPLATE_DATA["Outputs"], "x"))
    wanted = (
        "staging_bucket lake_bucket database athena_workgroup processor stream_name stream_queue_url stream_dlq_url "
        "daily_queue_url daily_dlq_url lineage_queue_url lineage_dlq_url"
    )
    wanted += " max_clock_skew_seconds"  # whoever processes ticks beside the function must reject the same
    assert set(given) >= {variable(name) for name in wanted.split()}


def test_every_queue_is_an_output_and_a_setting_that_doctor_looks_at() -> None:
    outputs = {text(output["Value"]): name for name, output in TEMPLATE_DATA["Outputs"].items()}
    queues = of_type("AWS::SQS::Queue")
    assert set(queues) <= set(outputs)
    settings = settings_of({outputs[queue]: queue for queue in queues})
    assert sorted(settings.values()) == sorted(queues)
    assert all(name.endswith("_URL") for name in settings)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_get_documented_settings_only(name: str) -> None:
    folder = FUNCTIONS[name]["CodeUri"].rstrip("/")
    variables = ENVIRONMENT | FUNCTIONS[name]["Environment"]["Variables"]
    assert {v for v in variables if v.startswith("STOCK_PIPELINE_")} <= set(documented())
    read = set(re.findall(r'SETTINGS\.require\("(\w+)"\)', (TEMPLATE.parent / folder / "handler.py").read_text()))
    assert read
    assert {variable(setting) for setting in read} <= set(variables)


def test_each_function_is_deployed_from_its_folder() -> None:
    assert sorted(properties["CodeUri"].rstrip("/") for properties in FUNCTIONS.values()) == functions()


def test_the_runtime_is_what_packages_are_built_for() -> None:
    assert GLOBALS["Runtime"] == f"python{LAMBDA_PYTHON}"
    assert set(PARAMETERS["Architecture"]["AllowedValues"]) == {name for name in TARGETS if name != "host"}


def test_each_function_is_built_by_the_makefile() -> None:
    targets = re.findall(r"(?m)^build-(\w+):\n\t.* (\w+) \"\$", (TEMPLATE.parent / "Makefile").read_text())
    assert dict(targets) == {name: properties["CodeUri"].rstrip("/") for name, properties in FUNCTIONS.items()}
    for name in FUNCTIONS:
        assert RESOURCES[name]["Metadata"] == {"BuildMethod": "makefile", "ContextPath": "."}


@pytest.mark.parametrize("name", functions())
def test_each_function_has_pinned_requirements_with_hashes(name: str) -> None:
    lines = (TEMPLATE.parent / name / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pinned
    assert all("==" in line for line in pinned)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)


@pytest.mark.parametrize("name", ["process_batch_stock_data", "process_stock_stream_data"])
def test_processing_functions_bring_no_pandas(name: str) -> None:
    assert "pandas" not in (TEMPLATE.parent / name / "requirements.txt").read_text()


# --- no more open than it must be ----------------------------------------------------------------------------------


STAGING = text(BUCKETS["StagingBucket"]["BucketName"])
NOTHING = {"Ref": "AWS::NoValue"}


def resolved(value: Any, true: set[str]) -> Any:
    """A part of the template with its conditions decided, and what they leave out gone."""
    if isinstance(value, dict):
        if set(value) == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return resolved(then if condition in true else otherwise, true)
        return {name: resolved(part, true) for name, part in value.items() if resolved(part, true) != NOTHING}
    return (
        [resolved(part, true) for part in value if resolved(part, true) != NOTHING]
        if isinstance(value, list)
        else value
    )


def conditions(processor: str, daily: str, stream: str) -> set[str]:
    """The conditions that hold with these values of the parameters, by what the template says of them."""
    given = {"Processor": processor, "DailyTrigger": daily, "StreamTrigger": stream}

    def holds(condition: dict[str, Any]) -> bool:
        ((kind, of),) = condition.items()
        match kind:
            case "Condition":
                return holds(TEMPLATE_DATA["Conditions"][of])
            case "Fn::Equals":
                parameter, value = of
                return bool(given.get(parameter["Ref"], PARAMETERS[parameter["Ref"]]["Default"]) == value)
            case "Fn::Not":
                return not holds(of[0])
            case "Fn::Or":
                return any(holds(one) for one in of)
            case _:
                assert kind == "Fn::And"
                return all(holds(one) for one in of)

    return {name for name, condition in TEMPLATE_DATA["Conditions"].items() if holds(condition)}


ARRIVALS = {
    RAW_DAILY_PRICES: {"sqs": "DailyArrivals.Arn", "s3": "ProcessBatchStockData.Arn"},
    RAW_TICKS: {"sqs": "StreamArrivals.Arn", "s3": "ProcessStockStreamData.Arn"},
}


@pytest.mark.parametrize("processor", ["lambda", "dagster"])
@pytest.mark.parametrize("daily", ["sqs", "s3"])
@pytest.mark.parametrize("stream", ["sqs", "s3"])
def test_each_arrival_has_one_consumer(processor: str, daily: str, stream: str) -> None:
    true, found = conditions(processor, daily, stream), {}
    for group in resolved(BUCKETS["StagingBucket"]["NotificationConfiguration"], true).values():
        assert group, "an empty list"
        for configuration in group:
            assert configuration["Event"] == "s3:ObjectCreated:*"
            (rule,) = configuration["Filter"]["S3Key"]["Rules"]
            assert rule["Value"] not in found
            found[rule["Value"]] = text(configuration.get("Function") or configuration["Queue"])
    dagsters = {RAW_TICKS: "StreamArrivals.Arn"}  # its sensor lists daily prices
    chosen = {RAW_DAILY_PRICES: ARRIVALS[RAW_DAILY_PRICES][daily], RAW_TICKS: ARRIVALS[RAW_TICKS][stream]}
    assert found == (dagsters if processor == "dagster" else chosen)
    read = {text(m["EventSourceArn"]) for name, m in MAPPINGS.items() if RESOURCES[name]["Condition"] in true}
    assert read == ({*found.values()} & {"DailyArrivals.Arn", "StreamArrivals.Arn"} if processor == "lambda" else set())


def test_only_staging_of_this_account_may_invoke_functions() -> None:
    permissions = of_type("AWS::Lambda::Permission")
    assert len(permissions) == 2
    assert set(RESOURCES["StagingBucket"]["DependsOn"]) == {*permissions, "DailyArrivalsPolicy", "StreamArrivalsPolicy"}
    for permission in permissions.values():
        assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
        assert text(permission["SourceArn"]) == f"arn:${{AWS::Partition}}:s3:::{STAGING}"


@pytest.mark.parametrize(
    ("path", "function", "most"),
    [
        ("Daily", "ProcessBatchStockData", {"Fn::If": ["BoundsConcurrency", {"Ref": "ProcessingConcurrency"}, 2]}),
        ("Stream", "ProcessStockStreamData", {"Ref": "StreamConcurrency"}),
    ],
)
def test_only_the_messages_that_failed_come_back_and_five_times_at_most(path: str, function: str, most: Any) -> None:
    mapping, queue = MAPPINGS[f"{path}ArrivalsMapping"], QUEUES[f"{path}Arrivals"]
    assert text(mapping["FunctionName"]) == f"{function}.Arn"
    assert text(mapping["EventSourceArn"]) == f"{path}Arrivals.Arn"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": most}
    assert mapping["MaximumBatchingWindowInSeconds"] == {"Ref": f"{path}BatchWindowSeconds"}
    assert PARAMETERS[f"{path}BatchWindowSeconds"]["MinValue"] >= 1  # what AWS asks for with more than 10 a call
    dlq = {"deadLetterTargetArn": {"Fn::GetAtt": [f"{path}Dlq", "Arn"]}, "maxReceiveCount": 5}
    assert queue["RedrivePolicy"] == dlq
    assert queue["VisibilityTimeout"] == {"Ref": f"{path}VisibilitySeconds"}
    hidden, timeout = PARAMETERS[f"{path}VisibilitySeconds"], FUNCTIONS[function].get("Timeout", GLOBALS["Timeout"])
    assert hidden["MinValue"] == timeout  # with less, AWS refuses the mapping
    assert hidden["Default"] >= 6 * timeout


def test_a_queue_never_has_less_than_two_functions() -> None:
    """AWS refuses a mapping with less, and a parameter cannot say "0, or 2 and more"."""
    rule = TEMPLATE_DATA["Rules"]["TwoForAQueue"]
    (assertion,) = rule["Assertions"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "DailyTrigger"}, "sqs"]}
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "ProcessingConcurrency"}, 1]}]}
    assert PARAMETERS["StreamConcurrency"]["MinValue"] == 2


def test_the_stream_is_encrypted_and_delivered_to_where_it_is_read_from() -> None:
    (stream,) = of_type("AWS::Kinesis::Stream").values()
    assert stream["StreamEncryption"] == {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    (delivery,) = of_type("AWS::KinesisFirehose::DeliveryStream").values()
    assert text(delivery["KinesisStreamSourceConfiguration"]["KinesisStreamARN"]) == "TickStream.Arn"
    destination = delivery["ExtendedS3DestinationConfiguration"]
    assert destination["Prefix"] == RAW_TICKS + "!{timestamp:yyyy/MM/dd/HH}/"
    assert not destination["ErrorOutputPrefix"].startswith((RAW_TICKS, RAW_DAILY_PRICES))
    hints = {"IntervalInSeconds": {"Ref": "StreamBufferSeconds"}, "SizeInMBs": {"Ref": "StreamBufferMb"}}
    assert destination["BufferingHints"] == hints
    assert "ProcessingConfiguration" not in destination  # records are joined as they are: lines end in a newline


def test_the_dashboard_shows_every_alarm_that_there_always_is() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    alarms, *charts = json.loads(text(dashboard["DashboardBody"]))["widgets"]
    always = {name for name in of_type("AWS::CloudWatch::Alarm") if "Condition" not in RESOURCES[name]}
    assert set(alarms["properties"]["alarms"]) == {f"${{{name}.Arn}}" for name in always}
    assert len(charts) >= 6
    assert all(chart["properties"]["metrics"] for chart in charts)


def test_alarms_look_at_metrics_that_the_functions_send() -> None:
    sent = {"RowsInserted", "RowsDuplicate", "RowsUpdated", "RowsConflicting", "RowsRejected", "FilesRefused"}
    sent |= {"RowsSkipped", "UnknownMessages", "ObjectsNotRepaired", "MessagesFailed", "ReceiptsNotSent"}
    own = {
        (metric["MetricName"], text(metric["Dimensions"][0]["Value"]))
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        for metric in [m["MetricStat"]["Metric"] for m in alarm.get("Metrics", []) if "MetricStat" in m] or [alarm]
        if metric["Namespace"] == "StockPipeline"
    }
    assert {name for name, _ in own} == sent
    for function in {function for _, function in own}:
        variables = FUNCTIONS[function]["Environment"]["Variables"]
        assert variables["POWERTOOLS_SERVICE_NAME"] == FUNCTIONS[function]["FunctionName"]  # the metrics' dimension
        code = "".join(path.read_text() for path in code_of(FUNCTIONS[function]["CodeUri"].rstrip("/")).values())
        assert all(f'"{name}"' in code for name, sender in own if sender == function)


@pytest.mark.parametrize(
    ("name", "condition", "parameter"),
    [
        ("GenerateDailySchedule", "GeneratesDaily", "GenerateDaily"),
        ("ProduceTicksSchedule", "ProducesTicks", "ProduceTicks"),
    ],
)
def test_simulations_are_off_unless_asked_for(name: str, condition: str, parameter: str) -> None:
    schedule = SCHEDULES[name]
    assert schedule["State"] == {"Fn::If": [condition, "ENABLED", "DISABLED"]}
    assert TEMPLATE_DATA["Conditions"][condition] == {"Fn::Equals": [{"Ref": parameter}, "on"]}
    assert PARAMETERS[parameter]["Default"] == "off"
    assert schedule["ScheduleExpressionTimezone"] == "America/New_York"


@pytest.mark.parametrize(("processor", "state"), [("lambda", "ENABLED"), ("dagster", "DISABLED")])
def test_lost_events_are_healed_every_hour_where_no_dagster_does_it(processor: str, state: str) -> None:
    schedule = SCHEDULES["ReconcileSchedule"]
    assert resolved(schedule["State"], conditions(processor, "sqs", "sqs")) == state
    assert schedule["ScheduleExpression"] == "rate(1 hour)"
    assert text(schedule["Target"]["Arn"]) == "ReconcileTables.Arn"


def test_queries_are_bounded_and_their_results_encrypted() -> None:
    (workgroup,) = of_type("AWS::Athena::WorkGroup").values()
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert text(configuration["BytesScannedCutoffPerQuery"]) == "${QueryLimitGb}000000000"
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}


def checked() -> set[Path]:
    """The templates that `make check` and `make check-template` look at."""
    (words,) = re.findall(r"(?m)^TEMPLATES := (.*)$", (CHECKOUT / "Makefile").read_text())
    return {found for word in re.sub(r"\$\(wildcard (.*?)\)", r"\1", words).split() for found in CHECKOUT.glob(word)}


def test_every_template_is_checked() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "*.yaml", "*.yml"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    templates = {
        CHECKOUT / name
        for name in tracked.stdout.splitlines()
        if (CHECKOUT / name).read_text().startswith("AWSTemplateFormatVersion")
    }
    assert TEMPLATE in templates
    assert checked() == templates


def test_every_skip_of_checkov_has_its_reason() -> None:
    skips = [skip for path in checked() for skip in re.findall(r"# checkov:skip=(\w+)(:?)(.*)", path.read_text())]
    assert len(skips) > 30
    assert [name for name, colon, reason in skips if not colon or len(reason.split()) < 5] == []


def test_the_policies_of_people_are_what_the_docs_say() -> None:
    """The page lists the actions of a Dagster outside AWS; reader and dagster together allow them."""
    page = (TEMPLATE.parent.parent / "docs" / "operations.md").read_text()
    (section,) = re.findall(r"(?s)\n## What a Dagster outside AWS may need\n(.*?)\n## ", page)
    documented_actions = set(re.findall(r"`([a-z0-9]+:[A-Z]\w+)`", section)) - {"s3:DeleteObject"}
    statements = [
        statement.get("Fn::If", [None, statement])[1]
        for name in ("ReaderPolicy", "DagsterPolicy")
        for statement in RESOURCES[name]["Properties"]["PolicyDocument"]["Statement"]
    ]
    allowed = {action for statement in statements for action in listed(statement["Action"])}
    assert documented_actions - allowed == set()
    assert allowed - documented_actions == {"kms:Decrypt", "kms:GenerateDataKey", "s3:AbortMultipartUpload"}
