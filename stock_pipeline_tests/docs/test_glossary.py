"""The glossary: each word once, its place in the package, and no word that it has replaced in the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stock_pipeline
from stock_pipeline.schemas import TABLES, Reason
from stock_pipeline.settings import documented

PACKAGE = Path(stock_pipeline.__file__).parent
GLOSSARY = PACKAGE.parent / "docs" / "glossary.md"
ROWS = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in GLOSSARY.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| word ")
]
INSTEAD = {
    "misfit": "rejected row",
    "fingerprint": "hash",
    "rivals": "conflict",
    "ledger": "cursor",
    "handover": "run request",
    "handed over": "requested",
    "arrival event": "notification",
    "inbox": "messages",
    "passage": "progress",
    "tour": "demo",
    "examination": "diagnosis",
    "leave word": "report",
    "serving": "table",
}
"""Words that were here, and what the thing is called."""


def words(text: str) -> str:
    """A text as words: names in snake_case and CamelCase taken apart, in small letters."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text).replace("_", " ")
    return " ".join(apart.lower().split())


@pytest.mark.parametrize("coinage", INSTEAD)
def test_a_word_that_was_replaced_does_not_come_back(coinage: str) -> None:
    found = [
        str(path.relative_to(PACKAGE))
        for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.yaml")]
        if re.search(rf"\b{coinage}s?\b", words(f"{path.stem} {path.read_text()}"))
    ]
    assert not found, f"{coinage} is called {INSTEAD[coinage]} (docs/glossary.md)"


def test_each_word_has_one_meaning_and_stands_once() -> None:
    assert len(ROWS) > 40
    assert all(len(row) == 3 and all(row) for row in ROWS)
    named = [word for row in ROWS for word in row[0].split(", ")]
    assert sorted(named) == sorted(set(named))
    assert not set(named) & set(INSTEAD)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_place_of_a_word_is_there(row: list[str]) -> None:
    for place in re.findall(r"`([^`]+)`", row[2]):
        module, _, name = place.rstrip("/").partition(".")
        if place in TABLES or place == "event_id":
            continue
        path = PACKAGE / module
        assert path.is_dir() or path.with_suffix(".py").is_file(), place
        if name:
            assert re.search(rf"\b{name.split('.')[-1]}\b", path.with_suffix(".py").read_text()), place


def test_every_outcome_of_a_row_is_explained() -> None:
    explained = {word for row in ROWS for word in row[0].split(", ")}
    outcomes = {"inserted", "duplicate", "conflict", "updated", "replaced", "rejected row", "refused", "skipped"}
    assert outcomes <= explained
    assert {Reason.RAGGED_ROW.replace("_", " "), Reason.CONFLICT, Reason.REPLACED} <= explained
    assert {name.removeprefix("STOCK_PIPELINE_").lower() for name in documented()} >= {"processor"}
