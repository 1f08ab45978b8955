"""What a deployment tells the SAM CLI: the parameters and the tags of the stack."""

from __future__ import annotations

import json
import sys
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.deploy import sam
from stock_pipeline.deploy.sources import TEMPLATE
from stock_pipeline_tests.deploy.stubs import ACCOUNT, account, described, holds, unknown


class In2031(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> In2031:
        return cls(2031, 5, 4, 12, tzinfo=tz)


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program in the place of the SAM CLI writes its words."""
    file, program = tmp_path / "told.json", tmp_path / "sam" / "bin" / "sam"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(file)!r}, 'w'))\n")
    program.chmod(0o755)
    monkeypatch.setattr(sam, "SAM", program)
    monkeypatch.setattr(sam, "datetime", In2031)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return file


def option(told: Path, name: str) -> list[str]:
    """The values of an option, which end where the next option begins."""
    words: list[str] = json.loads(told.read_text())
    after = words[words.index(name) + 1 :]
    end = next((at for at, word in enumerate(after) if word.startswith("--")), len(after))
    return after[:end]


def quota(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    stubbers = account(monkeypatch)
    stubbers["sts"].add_response("get_caller_identity", {"Account": ACCOUNT})  # asked for its clock
    limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
    stubbers["lambda"].add_response("get_account_settings", {"AccountLimit": limit})
    return stubbers


def new(monkeypatch: pytest.MonkeyPatch) -> None:
    stubbers = quota(monkeypatch)
    unknown(stubbers["cloudformation"])
    for _ in range(2):
        stubbers["s3"].add_client_error("head_bucket", "404", "Not Found", 404)


def old(monkeypatch: pytest.MonkeyPatch, **found: Any) -> None:
    stubbers = quota(monkeypatch)
    described(stubbers["cloudformation"], "UPDATE_COMPLETE", **found)
    holds(stubbers["cloudformation"], stack="stock-pipeline-main")  # its functions
    holds(stubbers["cloudformation"], stack="stock-pipeline-main")  # its buckets


def test_a_new_stack_gets_the_years_around_the_present_one_and_our_tags(
    told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new(monkeypatch)
    sam.deploy(TEMPLATE, "main", {"Seed": "11"})
    assert option(told, "--parameter-overrides") == ['Stage="main"', 'Seed="11"', 'TickYears="2029,2033"']
    assert option(told, "--tags") == ['"project"="stock-pipeline"', '"stage"="main"']


def test_an_old_stack_keeps_its_years_and_is_told_when_they_end(
    told: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old(monkeypatch, Parameters=[{"ParameterKey": "TickYears", "ParameterValue": "2027,2031"}])
    sam.deploy(TEMPLATE, "main", {"Seed": "11"})
    assert option(told, "--parameter-overrides") == ['Stage="main"', 'Seed="11"']
    assert "Athena looks for ticks of the years 2027 to 2031 and no later ones" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ['"project"="stock-pipeline"', '"stage"="main"', '"team"="data and risk"']),
        ({"owner": "ann"}, ['"project"="stock-pipeline"', '"stage"="main"', '"owner"="ann"']),
    ],
)
def test_an_old_stack_keeps_its_tags_until_others_are_given(
    given: dict[str, str] | None, expected: list[str], told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(monkeypatch, Tags=[{"Key": "team", "Value": "data and risk"}])
    sam.deploy(TEMPLATE, "main", {}, tags=given)
    assert option(told, "--tags") == expected
