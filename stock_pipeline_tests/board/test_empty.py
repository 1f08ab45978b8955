"""An empty lake, and one that cannot be read: the page says so, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from stock_pipeline.board.questions import Question
from stock_pipeline_tests.support.board import SETTINGS, Running, in_moto, serving

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

PANELS = ["prices", "ticks", "latest", "completeness", "rejected"]


@pytest.fixture(scope="module")
def empty() -> Iterator[Running]:
    with in_moto(), serving() as running:
        yield running


def test_the_overview_names_the_commands_that_fill_the_lake(empty: Running) -> None:
    told = empty.ask("overview")["empty"]
    assert "no prices and no ticks" in told["text"]
    assert told["commands"] == [
        "stock-pipeline demo",
        "stock-pipeline backfill --start 2024-01-01 --end 2024-06-28",
        "stock-pipeline ingest FILE.csv",
        "stock-pipeline stream",
        "stock-pipeline ingest TICKS.jsonl",
    ]


def test_nobody_is_told_to_put_simulated_data_into_an_account() -> None:
    question = Question(replace(SETTINGS, sql_engine="athena"), {}, "stock-pipeline --stack mine")
    assert question.fill("prices") == {"commands": ["stock-pipeline --stack mine ingest FILE.csv"]}
    assert question.fill("ticks") == {"commands": ["stock-pipeline --stack mine ingest TICKS.jsonl"]}


@pytest.mark.parametrize("panel", PANELS)
def test_each_panel_says_what_it_lacks(empty: Running, panel: str) -> None:
    answer = empty.ask(panel, symbol="AAPL")
    assert "figure" not in answer
    assert answer["empty"]["text"]


def test_the_lag_of_nothing(empty: Running) -> None:
    facts = {fact["name"]: fact for fact in empty.ask("lag")["facts"]}
    assert facts["daily prices"]["value"] == "none"
    assert facts["latest trade"]["value"] == "none"


def test_a_lake_that_is_not_there_is_an_error_with_its_message() -> None:
    with in_moto(), serving(replace(SETTINGS, lake_bucket="not-there")) as running:
        status, message = running.refusal("overview")
        assert status == 503
        assert "not-there" in message
