"""The docs say what is so: the reference is the code's, commands parse, links and make targets exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.settings import PREFIX, documented
from stock_pipeline_tests.docs.reference import DOCS, REFERENCE, commands, render

ROOT = DOCS.parent
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
REMEDY = "write it again: .venv/bin/python -m stock_pipeline_tests.docs.reference"


def test_the_reference_is_what_the_code_says() -> None:
    assert REFERENCE.read_text() == render(), REMEDY


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_is_documented(name: str) -> None:
    section = REFERENCE.read_text().split(f"### stock-pipeline {name}\n")[1].split("\n### ")[0]
    for parameter in commands()[name].params:
        for option in parameter.opts if parameter.param_type_name == "option" else [parameter.name.upper()]:
            if option != "--help":
                assert f"`{option}`" in section, REMEDY


def test_every_setting_is_documented() -> None:
    text = REFERENCE.read_text()
    assert [name for name in documented() if f"| `{name}` | {documented()[name]} |" not in text] == [], REMEDY


def written_commands() -> Iterator[Any]:
    """Each `stock-pipeline …` line of a code block, with where it is."""
    for page in PAGES:
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in block.replace("\n    ", " ").splitlines():
                if line.startswith("stock-pipeline "):
                    yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", list(written_commands()))
def test_a_command_that_is_written_down_parses(line: str) -> None:
    words = [w for w in shlex.split(line.split(" < ")[0].split(" > ")[0])[1:] if w != "…"]
    if words[0] == "--stack":  # stands before every command
        words = words[2:]
    names = [n for n in commands() if words[: len(n.split())] == n.split()]
    if words == ["rejects"]:  # the one group that does something by itself
        return
    assert len(names) == 1, f"there is no such command: {line}"
    options = {option for parameter in commands()[names[0]].params for option in parameter.opts}
    assert [w for w in words if w.startswith("--") and w not in options] == []


def test_some_commands_are_written_down() -> None:
    assert len(list(written_commands())) > 15


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    local = [link.split("#")[0] for link in links if not link.startswith(("http:", "https:", "#"))]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", page.read_text(), re.M))
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"STOCK_PIPELINE_[A-Z_]*[A-Z]", page.read_text()))
    assert named - set(documented()) - {f"{PREFIX}STACK"} == set()


def test_modules_that_the_architecture_names_exist() -> None:
    text = (DOCS / "architecture.md").read_text()
    table = text.split("| module |")[1].split("\n\n")[0]
    names = re.findall(r"`([a-z_/]+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))
    missing = [
        n
        for n in names
        if not (ROOT / "stock_pipeline" / n).exists() and not (ROOT / "stock_pipeline" / f"{n}.py").exists()
    ]
    assert len(names) > 10
    assert missing == []


def test_the_sample_is_what_the_demo_says() -> None:
    from stock_pipeline.cli.tour import SAMPLE

    assert SAMPLE.is_file()
    assert "docs/samples/ACME.csv" in (ROOT / "README.md").read_text()
