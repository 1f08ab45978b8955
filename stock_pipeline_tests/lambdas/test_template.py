"""The template as data: that it agrees with the package, and that nothing in it is more open than it must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint import api as cfnlint

from stock_pipeline.local.environment import functions
from stock_pipeline.local.folders import TEMPLATE
from stock_pipeline.local.stack import load_template, settings_of
from stock_pipeline.schemas import DATABASE, REJECTED_RECORDS, TABLES, Table
from stock_pipeline.settings import DEFAULT_SYMBOLS, Settings, documented

TEMPLATE_DATA = load_template()
RESOURCES: dict[str, Any] = TEMPLATE_DATA["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE_DATA["Parameters"]
GLOBALS: dict[str, Any] = TEMPLATE_DATA["Globals"]["Function"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


FUNCTIONS = of_type("AWS::Serverless::Function")
BUCKETS = of_type("AWS::S3::Bucket")
GLUE_TABLES = {properties["TableInput"]["Name"]: properties for properties in of_type("AWS::Glue::Table").values()}
DEPLOYED_TABLES = [table for table in TABLES.values() if table.name in GLUE_TABLES]


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, role in of_type("AWS::IAM::Role").items():
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                yield name, statement


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


def test_it_is_small_enough_to_be_sent_as_it_is() -> None:
    assert TEMPLATE.stat().st_size < 51_200  # CloudFormation's limit for a template that is not in S3


def test_it_uses_no_yaml_that_cloudformation_does_not_read() -> None:
    assert not re.search(r"(?m)^[^#\"']*(:|-) +[&*]\w|<<:", TEMPLATE.read_text()), "anchors, aliases and merges"


# --- agreement with the package ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", DEPLOYED_TABLES, ids=lambda table: table.name)
def test_glue_tables_are_the_schemas(table: Table) -> None:
    given = GLUE_TABLES[table.name]["TableInput"]
    columns = [(c["Name"], c["Type"], c["Comment"]) for c in given["StorageDescriptor"]["Columns"]]
    assert columns == [(c.name, c.athena_type, c.description) for c in table.columns]
    assert given["Description"] == table.description
    assert [key["Name"] for key in given["PartitionKeys"]] == list(table.partition)


@pytest.mark.parametrize("table", DEPLOYED_TABLES, ids=lambda table: table.name)
def test_every_partition_is_projected_to_where_it_is_written(table: Table) -> None:
    given = GLUE_TABLES[table.name]["TableInput"]
    parameters = given["Parameters"]
    assert parameters["projection.enabled"] == "true"
    assert {f"projection.{name}.type" for name in table.partition} <= set(parameters)
    folders = "".join(f"{name}=${{!{name}}}/" for name in table.partition)
    assert text(parameters["storage.location.template"]) == f"s3://${{LakeBucket}}/{table.prefix}{folders}"
    assert text(given["StorageDescriptor"]["Location"]) == f"s3://${{LakeBucket}}/{table.prefix}"


def test_the_tables_of_the_batch_path_are_there() -> None:
    assert {"price_by_date", "rejected_records"} <= set(GLUE_TABLES)
    values = GLUE_TABLES[REJECTED_RECORDS.name]["TableInput"]["Parameters"]["projection.table.values"].split(",")
    assert set(values) <= set(TABLES) - {REJECTED_RECORDS.name}
    assert "price_by_date" in values


def test_every_year_that_a_date_may_have_is_projected() -> None:
    parameters = GLUE_TABLES["price_by_date"]["TableInput"]["Parameters"]
    first, last = map(int, parameters["projection.year.range"].split(","))
    assert first <= 1900
    assert last >= 2100


def test_defaults_are_those_of_the_settings() -> None:
    settings = Settings()
    defaults = {name: parameter["Default"] for name, parameter in PARAMETERS.items()}
    assert defaults["Symbols"] == ",".join(DEFAULT_SYMBOLS)
    assert defaults["Seed"] == settings.seed
    assert defaults["MaxObjectMb"] == settings.max_object_mb
    assert defaults["Database"] == settings.database == DATABASE


def test_outputs_give_the_settings_of_a_client() -> None:
    given = settings_of(dict.fromkeys(TEMPLATE_DATA["Outputs"], "x"))
    assert set(given) >= {
        f"STOCK_PIPELINE_{name}"
        for name in ("STAGING_BUCKET", "LAKE_BUCKET", "DATABASE", "ATHENA_WORKGROUP", "PROCESSOR")
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_get_documented_settings_only(name: str) -> None:
    variables = GLOBALS["Environment"]["Variables"] | FUNCTIONS[name]["Environment"]["Variables"]
    assert {v for v in variables if v.startswith("STOCK_PIPELINE_")} <= set(documented())
    assert "STOCK_PIPELINE_STAGING_BUCKET" in variables


def test_each_function_is_deployed_from_its_folder() -> None:
    assert sorted(properties["CodeUri"].rstrip("/") for properties in FUNCTIONS.values()) == functions()


@pytest.mark.parametrize("name", functions())
def test_each_function_has_pinned_requirements_with_hashes(name: str) -> None:
    lines = (TEMPLATE.parent / name / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert pinned
    assert all("==" in line for line in pinned)
    assert sum("--hash=sha256:" in line for line in lines) >= len(pinned)


def test_the_processing_function_brings_no_pandas() -> None:
    assert "pandas" not in (TEMPLATE.parent / "process_batch_stock_data" / "requirements.txt").read_text()


# --- no more open than it must be ----------------------------------------------------------------------------------


def test_no_action_has_a_wildcard() -> None:
    for role, statement in statements():
        assert statement["Effect"] == "Allow"
        for action in listed(statement["Action"]):
            assert "*" not in action, f"{role}: {action}"


def test_no_resource_is_everything() -> None:
    for role, statement in statements():
        if statement["Sid"] == "WriteTraces":  # X-Ray has no resources to name
            assert all(action.startswith("xray:Put") for action in listed(statement["Action"]))
            continue
        for resource in map(text, listed(statement["Resource"])):
            assert resource != "*", f"{role}: {statement['Sid']}"
            assert resource.count("*") <= 1, f"{role}: {resource}"
            assert "*" not in resource or resource.endswith("/*"), f"{role}: {resource}"
            assert not resource.endswith("AccountId}/*"), f"{role} reaches a whole bucket: {resource}"


def test_nobody_may_delete() -> None:
    assert not [action for _, s in statements() for action in listed(s["Action"]) if "Delete" in action]


def test_the_processing_role_writes_its_two_tables_and_nothing_else() -> None:
    role = dict(text_of_role("ProcessBatchStockDataRole"))
    written = {resource.split("}")[-1] for action, found in role.items() if "Put" in action for resource in found}
    assert {w for w in written if w.startswith("/")} == {"/price_by_date/*", "/rejected_records/*"}


def text_of_role(role: str) -> Iterator[tuple[str, set[str]]]:
    found: dict[str, set[str]] = {}
    for name, statement in statements():
        for action in listed(statement["Action"]):
            if name == role and action.startswith("s3:"):
                found.setdefault(action, set()).update(map(text, listed(statement["Resource"])))
    yield from found.items()


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [text(properties["Role"]) for properties in FUNCTIONS.values()]
    assert len(set(roles)) == len(roles)


@pytest.mark.parametrize("name", BUCKETS)
def test_buckets_are_private_encrypted_versioned_and_tls_only(name: str) -> None:
    bucket = BUCKETS[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
    (policy,) = [p for p in of_type("AWS::S3::BucketPolicy").values() if p["Bucket"] == {"Ref": name}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [text(resource) for resource in statement["Resource"]] == [f"{name}.Arn", f"${{{name}.Arn}}/*"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_bounded_logged_and_do_not_lose_failures(name: str) -> None:
    function = GLOBALS | FUNCTIONS[name]
    assert 0 < function["Timeout"] <= 900
    assert function["MemorySize"] >= 1024
    assert function["Tracing"] == "Active"
    logs = RESOURCES[text(function["LoggingConfig"]["LogGroup"])]
    assert logs["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert text(logs["Properties"]["LogGroupName"]) == f"/aws/lambda/{text(function['FunctionName'])}"
    failures = function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]
    assert failures == {"Type": "SQS", "Destination": {"Fn::GetAtt": ["FailedBatchInvocations", "Arn"]}}
    role = text(function["Role"]).split(".")[0]
    sends = [s for owner, s in statements() if owner == role and s["Action"] == "sqs:SendMessage"]
    assert [text(s["Resource"]) for s in sends] == ["FailedBatchInvocations.Arn"]


def test_queues_are_encrypted() -> None:
    assert all(queue["SqsManagedSseEnabled"] is True for queue in of_type("AWS::SQS::Queue").values())


def test_the_trigger_is_on_only_if_lambda_processes_and_only_s3_of_this_account_may_pull_it() -> None:
    condition, then, otherwise = BUCKETS["StagingBucket"]["NotificationConfiguration"]["Fn::If"]
    assert (condition, otherwise) == ("LambdaProcesses", {"Ref": "AWS::NoValue"})
    (configuration,) = then["LambdaConfigurations"]
    assert configuration["Filter"] == {"S3Key": {"Rules": [{"Name": "prefix", "Value": "daily_prices/"}]}}
    (permission,) = of_type("AWS::Lambda::Permission").values()
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}
    assert text(permission["SourceArn"]).endswith(text(BUCKETS["StagingBucket"]["BucketName"]))


def test_the_schedule_is_off_unless_asked_for() -> None:
    (schedule,) = of_type("AWS::Scheduler::Schedule").values()
    assert schedule["State"] == {"Fn::If": ["GeneratesDaily", "ENABLED", "DISABLED"]}
    assert PARAMETERS["GenerateDaily"]["Default"] == "off"
    assert schedule["ScheduleExpressionTimezone"] == "America/New_York"


def test_queries_are_bounded_and_their_results_encrypted() -> None:
    (workgroup,) = of_type("AWS::Athena::WorkGroup").values()
    configuration = workgroup["WorkGroupConfiguration"]
    assert configuration["EnforceWorkGroupConfiguration"] is True
    assert text(configuration["BytesScannedCutoffPerQuery"]) == "${QueryLimitGb}000000000"
    assert configuration["ResultConfiguration"]["EncryptionConfiguration"] == {"EncryptionOption": "SSE_S3"}
