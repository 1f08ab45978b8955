"""The docs say what is so: the reference is the code's, commands parse, links and make targets exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main

from stock_pipeline.cli.main import app
from stock_pipeline.schemas import TABLES
from stock_pipeline.settings import documented
from stock_pipeline_tests.docs.pages import commands_of
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


def test_every_variable_that_the_code_names_is_a_documented_setting() -> None:
    files = [p for folder in ("stock_pipeline", "lambdas") for p in (ROOT / folder).rglob("*") if p.suffix in SOURCES]
    named = {name for p in files for name in re.findall(r"STOCK_PIPELINE_[A-Z_]*[A-Z]", p.read_text())}
    assert len(files) > 100
    assert named - set(documented()) - variables_of_options() == set()


def test_every_option_before_a_command_is_documented() -> None:
    text = REFERENCE.read_text()
    assert [o for o in sorted(OPTIONS_BEFORE - {"--help"}) if f"| `{o}` |" not in text] == [], REMEDY


def test_every_variable_that_stands_for_an_option_is_documented() -> None:
    assert [name for name in sorted(variables_of_options()) if f"`{name}`" not in REFERENCE.read_text()] == [], REMEDY


@pytest.mark.parametrize("page", ["performance.md", "reliability.md"])
def test_the_numbers_of_the_readme_are_those_of_the_page_that_it_names(page: str) -> None:
    top = (ROOT / "README.md").read_text().split("\n## ")[0]
    (bullet,) = [b for b in re.split(r"\n- ", top) if f"(docs/{page})" in b]
    numbers = re.findall(r"\d[\d,]*(?:\.\d+)?", bullet.split("([")[0])
    assert len(numbers) > 2
    assert [number for number in numbers if number not in (DOCS / page).read_text()] == []


def test_the_messages_of_the_troubleshooting_page_are_the_package_s() -> None:
    """Each first cell has words of a message. Where a message has a value, the words stop."""
    written = "\n".join(
        part.value
        for path in (ROOT / "stock_pipeline").rglob("*.py")
        for part in ast.walk(ast.parse(path.read_text()))
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )
    cells = re.findall(r"^\| `([^`]+)` \|", (DOCS / "troubleshooting.md").read_text(), re.M)
    assert len(cells) > 20
    assert [words for words in cells if re.sub(r"^\d+ of \d+ ", " ", words) not in written] == []


def variables_of_options() -> set[str]:
    every = [typer.main.get_command(app), *commands().values()]
    return {parameter.envvar for command in every for parameter in command.params if parameter.envvar}


SOURCES = {".py", ".yaml", ".toml", ".txt", ".in"}
OPTIONS_BEFORE = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}


def global_options(words: list[str]) -> list[str]:
    """The options with their values that stand before the command's name."""
    first = next((at for at, word in enumerate(words) if any(word == name.split()[0] for name in commands())), 0)
    return words[:first]


def written_commands() -> Iterator[Any]:
    """Each `stock-pipeline …` line of a code block, with where it is."""
    for page in PAGES:
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), re.M | re.S):
            for command in commands_of(block):
                line = re.sub(r"\s*\n\s*", " ", command).partition(" | ")[0]
                line = re.sub(r"^([A-Z_]+=\S* )+", "", line)
                if line.startswith("stock-pipeline "):
                    yield pytest.param(line, id=f"{page.name}: {line}")


@pytest.mark.parametrize("line", list(written_commands()))
def test_a_command_that_is_written_down_parses(line: str) -> None:
    words = shlex.split(line.split(" < ")[0].split(" > ")[0])[1:]
    words = words[len(before := global_options(words)) :]
    assert [w for w in before[::2] if w not in OPTIONS_BEFORE] == []
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
def test_what_make_is_given_is_a_variable_of_the_makefile(page: Path) -> None:
    known = set(re.findall(r"[A-Z_]{2,}", (ROOT / "Makefile").read_text()))
    lines = re.findall(r"\bmake [a-z-]+ ([^`\n]*)", page.read_text())
    named = {name for line in lines for name in re.findall(r"(?:^|\s)([A-Z]+)=", re.sub(r"(['\"]).*?\1", "", line))}
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tests_that_are_named_exist(page: Path) -> None:
    for path, name in re.findall(r"`(?:stock_pipeline_tests/)?([a-z_/]*test_\w+\.py)(?:::(\w+))?`", page.read_text()):
        found = [file.read_text() for file in (ROOT / "stock_pipeline_tests").rglob(path)]
        assert found, path
        assert not name or f"def {name}(" in found[0], f"{path} has no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"STOCK_PIPELINE_[A-Z_]*[A-Z]", page.read_text()))
    assert named - set(documented()) - variables_of_options() == set()


TESTS = ROOT / "stock_pipeline_tests"
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", (DOCS / "reliability.md").read_text())))


def test_reliability_names_many_tests() -> None:
    assert sum(bool(name) for _, name in NAMED) > 50


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_reliability_names_exists(file: str, name: str) -> None:
    folders = (TESTS, TESTS / "crashes", ROOT / "stock_pipeline", ROOT)
    (path, *_) = [folder / file for folder in folders if (folder / file).exists()]
    assert not name or f"def {name}(" in path.read_text()


def test_modules_that_the_architecture_names_exist() -> None:
    text = (DOCS / "architecture.md").read_text()
    table = text.split("| room |")[1].split("\n\n")[0]
    names = re.findall(r"`([a-z_/]+)`", "".join(line.split("|")[1] for line in table.splitlines()[2:]))
    missing = [
        n
        for n in names
        if not (ROOT / "stock_pipeline" / n).exists() and not (ROOT / "stock_pipeline" / f"{n}.py").exists()
    ]
    assert len(names) > 10
    assert missing == []


def test_the_drawing_has_every_table_and_is_legible_on_light_and_dark_pages() -> None:
    """It brings its own ground, under all that is drawn, and each colour for both: nothing depends on the page."""
    drawing = ElementTree.parse(DOCS / "architecture.svg").getroot()
    shapes = [element for element in drawing if element.tag.endswith(("rect", "text", "path"))]
    texts = {"".join(element.itertext()) for element in shapes if element.tag.endswith("text")}
    assert texts >= set(TABLES)
    assert shapes[0].get("class") == "ground"
    light, dark = (
        dict(re.findall(r"(--\w+): (#[0-9a-f]{6})", part))
        for part in (DOCS / "architecture.svg").read_text().split("@media (prefers-color-scheme: dark)")
    )
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for ground in ("--ground", "--box", "--core", "--table"):
            assert contrast(colours["--ink"], colours[ground]) > 7
        assert contrast(colours["--soft"], colours["--ground"]) > 4.5


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG has it, from 1 to 21."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_sample_is_what_the_demo_says() -> None:
    from stock_pipeline.cli.demo.daily import SAMPLE

    assert SAMPLE.is_file()
    assert "docs/samples/ACME.csv" in (ROOT / "README.md").read_text()
