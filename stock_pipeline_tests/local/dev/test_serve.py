"""The storages of a Dagster that stays are created once, whoever begins first; what stops that is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from stock_pipeline.errors import DevError
from stock_pipeline.local.dev import serve

FAILS = """
import os, pathlib, sys
tries = pathlib.Path(os.environ["DAGSTER_HOME"], "tries")
tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
len(tries.read_text()) > {times} or sys.exit({says!r})
"""
TAKEN = "(DuplicateTable) relation instance_info already exists"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(serve, "_BETWEEN", 0.0)
    return tmp_path / "home"


def failing(monkeypatch: pytest.MonkeyPatch, times: int, says: str) -> None:
    """The storages cannot be created so many times."""
    monkeypatch.setattr(serve, "_PREPARE", FAILS.format(times=times, says=says))


def tries(home: Path) -> int:
    return len((home / "tries").read_text())


@pytest.mark.parametrize("times", [0, 1, 3])
def test_tables_that_another_part_creates_meanwhile_are_waited_for(
    times: int, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, times, TAKEN)
    serve.prepare(home, {}, 4000)
    assert tries(home) == times + 1


def test_tables_that_never_fit_are_told_in_the_end(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 100, TAKEN)
    with pytest.raises(DevError, match=r"storage does not answer: .*already exists"):
        serve.prepare(home, {}, 4000)
    assert tries(home) == 6


def test_a_storage_that_does_not_answer_is_told_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 100, "connection refused")
    with pytest.raises(DevError, match="storage does not answer: connection refused"):
        serve.prepare(home, {}, 4000)
    assert tries(home) == 1
