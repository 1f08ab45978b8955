"""`make deploy` and `make destroy` pass on what somebody types, word for word: nothing of it becomes a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stock_pipeline.deploy.sources import CHECKOUT

PROGRAM = "import json, os, sys; print(json.dumps([sys.argv[1:], os.environ.get('AWS_REGION')]))"


def told(target: str, tmp_path: Path, *words: str, **variables: str) -> tuple[dict[str, str], str | None]:
    """The options that make gives to the program that deploys, and the region that this is to work in."""
    program = tmp_path / "told.py"
    program.write_text(PROGRAM)
    # Nothing is installed for this. The last of DEPLOY's words names the program.
    text = (CHECKOUT / "Makefile").read_text()
    assert text.count("$(BIN)/python -m stock_pipeline.deploy\n") == 1
    makefile = tmp_path / "Makefile"
    makefile.write_text(text.replace("$(BIN)/python -m stock_pipeline.deploy\n", f"{sys.executable} {program}\n"))
    command = ["make", "-s", "-f", str(makefile), "-o", "setup", "-o", ".local/sam/.complete", target, *words]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | variables
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True)
    given, region = json.loads(done.stdout.splitlines()[-1])
    assert given[0] == target
    return dict(zip(given[1::2], given[2::2], strict=True)), region


def test_the_stage_is_main_unless_somebody_names_another(tmp_path: Path) -> None:
    assert told("deploy", tmp_path) == ({"--stage": "main", "--parameters": "", "--tags": ""}, None)
    assert told("destroy", tmp_path, "STAGE=trial", "REGION=eu-central-1") == ({"--stage": "trial"}, "eu-central-1")


@pytest.mark.parametrize("target", ["deploy", "destroy"])
def test_the_dagster_that_stays_is_meant_only_where_somebody_says_so(target: str, tmp_path: Path) -> None:
    assert told(target, tmp_path, "DAGSTER=small")[0]["--dagster"] == "small"


@pytest.mark.parametrize("text", ["Seed=11 Symbols=AAPL,MSFT", 'team=data "cost centre=a b"', "x='y z'"])
def test_words_of_the_command_line_are_passed_on(text: str, tmp_path: Path) -> None:
    options, _ = told("deploy", tmp_path, f"PARAMS={text}", f"TAGS={text}")
    assert (options["--parameters"], options["--tags"]) == (text, text)


@pytest.mark.parametrize(
    "text", ['"; touch {made}; "', "$(touch {made})", "`touch {made}`", "$(shell touch {made})", "'; touch {made} #"]
)
def test_what_comes_by_the_environment_is_never_a_command(text: str, tmp_path: Path) -> None:
    """As from the workflow, whose inputs anybody types who may start it."""
    made = tmp_path / "made"
    text = text.format(made=made)
    options, _ = told("deploy", tmp_path, PARAMS=text, TAGS=text, STAGE=text, DAGSTER=text)
    assert options == {"--stage": text, "--parameters": text, "--tags": text, "--dagster": text}
    assert not made.exists()
