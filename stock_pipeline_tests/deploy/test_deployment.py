"""A stage's life on the local AWS, by the packages and the commands of `make`: deployed, used, updated, taken away."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.deploy import sam
from stock_pipeline.deploy.destroy import destroy
from stock_pipeline.deploy.stack import client_of, outputs_of
from stock_pipeline.errors import DeployError
from stock_pipeline.local import LocalAws, local_aws
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = [pytest.mark.package, pytest.mark.timeout(900)]

STAGE, STACK = "made", "stock-pipeline-made"
PARAMETERS = {"Database": "stock_market_made", "StreamBufferSeconds": "1"}
TAGS = {"team": "data and risk", "mail": "ann@example.com"}
BAR = b"Date,Open,High,Low,Close,Volume\n2024-01-02,10,11,9,10.5,100\n"


@pytest.fixture(scope="module")
def aws(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with local_aws(tmp_path_factory.mktemp("aws"), installed=installed) as running:
        yield running


def run(aws: LocalAws, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in an environment that names the AWS, and no setting."""
    environ = {name: value for name, value in aws.environ().items() if not name.startswith("STOCK_PIPELINE_")}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def stock_pipeline(aws: LocalAws, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(aws, str(Path(sys.executable).with_name("stock-pipeline")), "--stack", STACK, *arguments)


def stored(aws: LocalAws) -> list[dict[str, Any]]:
    done = stock_pipeline(aws, "sql", "SELECT symbol, close FROM price_by_date ORDER BY 1", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


NEVER_SIGNALLED = """\
  NeverSignalled:
    Type: AWS::CloudFormation::WaitCondition
    DependsOn: LakeBucket
    Properties: {Count: 1, Handle: !Ref Handle, Timeout: "1"}
  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}
"""


def triggers(aws: LocalAws) -> list[str]:
    """The prefixes of staging whose objects call a function."""
    staging = outputs_of(STACK, client_of("cloudformation", aws.environ()))["StagingBucket"]
    found = client_of("s3", aws.environ()).get_bucket_notification_configuration(Bucket=staging)
    rules = [config["Filter"]["Key"]["FilterRules"] for config in found.get("LambdaFunctionConfigurations", [])]
    return sorted(rule["Value"] for each in rules for rule in each)


def tags_of_everything(aws: LocalAws) -> list[dict[str, str]]:
    """The tags of the stack, of a queue and of a function. The emulator does not pass a stack's tags on to buckets."""
    cloudformation, sqs, functions = (client_of(name, aws.environ()) for name in ("cloudformation", "sqs", "lambda"))
    outputs = outputs_of(STACK, cloudformation)
    (found,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    stack = {tag["Key"]: tag["Value"] for tag in found["Tags"]}
    queue = sqs.list_queue_tags(QueueUrl=outputs["DailyQueueUrl"])["Tags"]
    function = functions.get_function(FunctionName=outputs["ProcessBatchStockDataFunction"])["Tags"]
    own = {"project", "stage", *TAGS}
    return [{name: value for name, value in tags.items() if name in own} for tags in (stack, queue, function)]


def put(aws: LocalAws, symbol: str) -> None:
    outputs = outputs_of(STACK, client_of("cloudformation", aws.environ()))
    store = S3Store(outputs["StagingBucket"], client_of("s3", aws.environ()))
    store.put(f"daily_prices/uploads/{symbol}.csv", BAR)


def test_a_stage_is_deployed_used_updated_and_taken_away(aws: LocalAws, built: Callable[[str], Path]) -> None:
    environ, template = aws.environ(), built("host")
    sam.deploy(template, STAGE, PARAMETERS, environ, TAGS)
    tags = {"project": "stock-pipeline", "stage": STAGE, **TAGS}
    assert tags_of_everything(aws) == [tags] * 3

    # The deployed package does the work, and the command line needs the stack's name only.
    put(aws, "AAPL")
    assert eventually(lambda: stored(aws), within=60) == [{"symbol": "AAPL", "close": 10.5}]
    examined = stock_pipeline(aws, "doctor")
    assert examined.returncode == 0, examined.stdout

    # An update changes what is given and nothing else.
    sam.deploy(template, STAGE, {"MaxClockSkewSeconds": "60"}, environ)
    outputs = outputs_of(STACK, client_of("cloudformation", environ))
    assert (outputs["MaxClockSkewSeconds"], outputs["Database"]) == ("60", "stock_market_made")
    assert tags_of_everything(aws) == [tags] * 3

    # In another region there is no such stack, so nothing is deleted. A stage of the same name there is another world.
    elsewhere = environ | {"AWS_REGION": "eu-central-1"}
    said: list[str] = []
    destroy(STAGE, delete_data=True, report=said.append, environ=elsewhere)
    assert said == [f"there is no stack {STACK} in account 000000000000, region eu-central-1"]
    sam.deploy(template, STAGE, PARAMETERS, elsewhere)
    there = outputs_of(STACK, client_of("cloudformation", elsewhere))
    assert not {there["LakeBucket"], there["StagingBucket"]} & set(outputs.values())
    assert client_of("s3", elsewhere).list_objects_v2(Bucket=there["LakeBucket"])["KeyCount"] == 0
    destroy(STAGE, delete_data=True, report=said.append, environ=elsewhere)
    assert sum("deleted stock-pipeline-made-" in sentence and "eu-central-1" in sentence for sentence in said) == 2
    assert stored(aws) == [{"symbol": "AAPL", "close": 10.5}]

    # It goes, but for the data, which the next deployment has.
    said.clear()
    destroy(STAGE, report=said.append, environ=environ)
    assert said[-2:] == [
        "its parameters were PARAMS='Database=stock_market_made StreamBufferSeconds=1 MaxClockSkewSeconds=60'; "
        "give them to the next deployment",
        "its tags were TAGS='mail=ann@example.com \"team=data and risk\"'; give them to the next deployment",
    ]
    assert sum("kept stock-pipeline-made-" in sentence for sentence in said) == 2
    with pytest.raises(DeployError, match=f"there is no stack {STACK}"):
        outputs_of(STACK, client_of("cloudformation", environ))
    sam.deploy(template, STAGE, {**PARAMETERS, "StreamTrigger": "s3"}, environ)
    assert stored(aws) == [{"symbol": "AAPL", "close": 10.5}]
    assert triggers(aws) == ["stock_stream/"], "the buckets are as the new stack wants them"
    put(aws, "MSFT")
    assert eventually(lambda: len(stored(aws)) == 2, within=60)

    # Asked for, the data goes as well, also when the stack is gone already; once more is no error.
    destroy(STAGE, report=said.append, environ=environ)
    said.clear()
    destroy(STAGE, delete_data=True, report=said.append, environ=environ)
    assert sum("deleted stock-pipeline-made-" in sentence for sentence in said) == 2
    buckets = {bucket["Name"] for bucket in client_of("s3", environ).list_buckets()["Buckets"]}
    assert not [name for name in buckets if name.startswith(STACK)]
    destroy(STAGE, delete_data=True, report=said.append, environ=environ)
    assert said[-1] == f"there is no stack {STACK} in account 000000000000, region us-east-1"


def test_a_deployment_that_failed_is_told_and_can_be_repeated(
    aws: LocalAws, built: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    environ, template = aws.environ(), built("host")
    cloudformation = client_of("cloudformation", environ)
    failing = template.with_name("failing.yaml")
    failing.write_text(template.read_text().replace("\nResources:\n", f"\nResources:\n{NEVER_SIGNALLED}"))
    with pytest.raises(DeployError, match=r"(?s)`sam deploy` failed.*NeverSignalled: "):
        sam.deploy(failing, "again", {"Database": "stock_market_again"}, environ)
    assert cloudformation.describe_stacks(StackName="stock-pipeline-again")["Stacks"][0]["StackStatus"] == (
        "ROLLBACK_COMPLETE"
    )
    buckets = [bucket["Name"] for bucket in client_of("s3", environ).list_buckets()["Buckets"]]
    assert not [name for name in buckets if name.startswith("stock-pipeline-again")]
    capfd.readouterr()
    sam.deploy(template, "again", {}, environ)
    told = capfd.readouterr().out
    assert "deleting the stack stock-pipeline-again: its first deployment failed (ROLLBACK_COMPLETE)" in told
    assert "  NeverSignalled: " in told
    assert outputs_of("stock-pipeline-again", cloudformation)["Database"] == "stock_market_again"


def test_nothing_is_deleted_unless_somebody_says_so(aws: LocalAws) -> None:
    done = run(aws, sys.executable, "-m", "stock_pipeline.deploy", "destroy", "--stage", "local", "--delete-data")
    assert done.returncode == 1
    assert "ALL DATA" in done.stderr
    assert "FORCE=1" in done.stderr
    assert outputs_of("stock-pipeline-local", client_of("cloudformation", aws.environ()))


def test_a_refused_parameter_is_told_and_leaves_nothing(aws: LocalAws, built: Callable[[str], Path]) -> None:
    with pytest.raises(DeployError, match="`sam deploy` failed"):
        sam.deploy(built("host"), "refused", {"Seed": "-1"}, aws.environ())
    with pytest.raises(DeployError, match="there is no stack"):
        outputs_of("stock-pipeline-refused", client_of("cloudformation", aws.environ()))


@pytest.mark.parametrize("text", ["Seed", "Seed 11", "=1", "Symbols='AAPL", "a-b=1"])
def test_parameters_take_one_form(text: str) -> None:
    with pytest.raises(DeployError, match="Name=value"):
        sam.parameters_of(text)


def test_parameters_are_read_as_a_shell_would() -> None:
    assert sam.parameters_of("Seed=11 Symbols='AAPL,BRK.B' AlarmEmail=") == {
        "Seed": "11",
        "Symbols": "AAPL,BRK.B",
        "AlarmEmail": "",
    }


def test_without_the_sam_cli_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sam, "SAM", tmp_path / "nothing")
    with pytest.raises(DeployError, match="make sam"):
        sam.build("host", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("environment", "region"),
    [
        ({"AWS_REGION": "eu-central-1"}, "eu-central-1"),
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
    ],
    ids=str,
)
def test_the_sam_cli_works_in_the_region_of_the_environment(
    environment: dict[str, str], region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    program = tmp_path / "sam" / "bin" / "sam"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nprintenv AWS_DEFAULT_REGION > {told}\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sam, "SAM", program)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DeployError, match="`sam build` failed"):
        sam.build("host", tmp_path / "built")
    assert told.read_text().strip() == region
