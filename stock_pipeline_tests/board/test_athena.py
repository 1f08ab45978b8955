"""The board on Athena. The law: each panel answers what it answers on DuckDB, in few statements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from stock_pipeline_tests.support.athena import FakeAthena, on_loopback
from stock_pipeline_tests.support.board import SETTINGS, SHORT, Running, fill, serving

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

ON_ATHENA = replace(SETTINGS, sql_engine="athena")
QUESTIONS: list[tuple[str, dict[str, str]]] = [
    ("prices", {"symbol": "AAPL", "start": "2024-01-01", "end": "2024-06-28"}),
    ("prices", {"symbol": SHORT}),
    ("prices", {"symbol": "NONE"}),
    ("ticks", {"symbol": "AAPL"}),
    ("ticks", {"symbol": "AAPL", "day": "2024-06-27"}),
    ("completeness", {"year": "2024"}),
    ("completeness", {}),
    ("rejected", {}),
    ("lag", {"day": "2024-06-28"}),
    ("lag", {"day": "2024-06-27"}),
]


@pytest.fixture(scope="module")
def athena() -> Iterator[FakeAthena]:
    with on_loopback() as service:
        boto3.client("s3").create_bucket(Bucket="staging")
        fill()
        yield service


@pytest.fixture(scope="module")
def boards(athena: FakeAthena) -> Iterator[tuple[Running, Running]]:
    with serving(ON_ATHENA) as there, serving() as here:
        yield there, here


NOT_COMPARED = {"now", "place", "ages", "empty"}
"""What depends on when it was asked, or names the engine."""


def alike(one: Any, other: Any) -> bool:
    """Whether two answers are the same, but for what is below a millisecond: Athena's times end there."""
    if isinstance(one, dict):
        names = one.keys() - NOT_COMPARED
        return names == other.keys() - NOT_COMPARED and all(alike(one[name], other[name]) for name in names)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, abs=0.01)
    if isinstance(one, str) and "T" in one and one != other:
        return abs(datetime.fromisoformat(one) - datetime.fromisoformat(other)) <= timedelta(milliseconds=1)
    return bool(one == other)


@pytest.mark.parametrize(("panel", "given"), [("overview", {}), ("latest", {}), *QUESTIONS])
def test_each_panel_answers_the_same(boards: tuple[Running, Running], panel: str, given: dict[str, str]) -> None:
    there, here = (board.ask(panel, **given) for board in boards)
    assert alike(there, here), (there, here)
    assert ("empty" in there) == ("empty" in here)


def test_a_page_that_is_opened_starts_few_statements_and_the_latest_prices_none(
    boards: tuple[Running, Running], athena: FakeAthena
) -> None:
    there, _ = boards
    athena.calls.clear()
    there.ask("latest")
    assert athena.calls == []
    for panel in ("overview", "prices", "ticks", "completeness", "rejected", "lag"):
        there.ask(panel, symbol="AAPL")
    assert 5 <= athena.calls.count("StartQueryExecution") <= 13  # "about ten" in docs/operations.md
