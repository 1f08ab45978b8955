"""The checks of price_by_date: each passes on good years, finds what was planted, and names its year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.checks import CHECKS
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.simulate.sessions import sessions
from stock_pipeline_tests.orchestration.conftest import RANGE, Pipeline

WEEK = sessions(date(2024, 1, 2), date(2024, 1, 9))
Row = dict[str, Any]


def bar(day: date, symbol: str = "AAPL", **values: Any) -> Row:
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "adj_close": None, "volume": 5}
    provenance = {"source": "daily_prices/x.csv", "etl_loading_ts": datetime(2024, 2, 1, tzinfo=UTC)}
    return {"symbol": symbol, "date": day, **prices, **provenance, **values}


def plant(pipeline: Pipeline, year: int, rows: Sequence[Row]) -> None:
    table = pa.Table.from_pylist(list(rows), schema=PRICE_BY_DATE.schema)
    pipeline.lake.put(partition_key(PRICE_BY_DATE, f"year={year}"), encode(table, PRICE_BY_DATE))


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = [e.asset_check_evaluation_data for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    return {(str(e.partition), e.check_name): e for e in found}


def check(pipeline: Pipeline, *years: int) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Run all checks, without materializing anything, for these years or for none in particular."""
    job = dg.define_asset_job("only_checks", dg.AssetSelection.checks_for_assets(price_by_date))
    only = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("only_checks")
    span = {f"{RANGE}_start": str(years[0]), f"{RANGE}_end": str(years[-1])} if years else {}
    return evaluations(only.execute_in_process(instance=pipeline.instance, tags=span))


def test_a_good_year_passes_every_check(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [bar(day, symbol) for symbol in ("AAPL", "MSFT") for day in WEEK])
    found = check(pipeline, 2024, 2024)
    assert set(found) == {("2024", name) for name in CHECKS}
    assert all(e.passed for e in found.values())


BROKEN = {
    "the same bar twice": ("keys_unique", [bar(WEEK[0]), bar(WEEK[0])], 1),
    "two bars of one session": ("keys_unique", [bar(WEEK[0]), bar(WEEK[0], close=11.5)], 1),
    "high below close": ("ohlc_consistent", [bar(WEEK[0], high=10.9)], 1),
    "high below open, no close to compare": ("ohlc_consistent", [bar(WEEK[0], open=12.5)], 1),
    "low above open": ("ohlc_consistent", [bar(WEEK[0], low=10.1)], 1),
    "high below low": ("ohlc_consistent", [bar(WEEK[0], open=None, low=13.0)], 1),
    "a price of zero": ("ohlc_consistent", [bar(WEEK[0], low=0.0), bar(WEEK[1])], 1),
    "a close that is no number": (
        "ohlc_consistent",
        [bar(WEEK[0], open=None, high=None, low=None, close=float("nan"))],
        1,
    ),
    "a negative volume": ("ohlc_consistent", [bar(WEEK[0], volume=-1)], 1),
    "a row of another year": ("rows_in_their_year", [bar(WEEK[0]), bar(date(2023, 12, 29), "MSFT")], 1),
    "a session left out": ("sessions_complete", [bar(day) for day in WEEK if day != WEEK[2]], 1),
    "sessions left out for one symbol": (
        "sessions_complete",
        [bar(day) for day in WEEK] + [bar(day, "MSFT") for day in (WEEK[0], WEEK[-1])],
        len(WEEK) - 2,
    ),
    "a bar of a Saturday": ("sessions_complete", [*(bar(day) for day in WEEK), bar(date(2024, 1, 6))], 1),
}


@pytest.mark.parametrize(("name", "rows", "wrong"), BROKEN.values(), ids=BROKEN)
def test_a_check_finds_what_was_planted_and_the_others_pass(
    pipeline: Pipeline, name: str, rows: list[Row], wrong: int
) -> None:
    plant(pipeline, 2024, rows)
    found = check(pipeline, 2024, 2024)
    assert {check_name for (_, check_name), e in found.items() if not e.passed} == {name}
    assert found["2024", name].metadata["found"].value == wrong
    assert found["2024", name].severity == CHECKS[name].severity


def test_gaps_are_only_told_between_the_first_and_last_bar_of_a_symbol(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [*(bar(day) for day in WEEK), *(bar(day, "LISTED") for day in WEEK[2:4])])
    assert check(pipeline, 2024, 2024)["2024", "sessions_complete"].passed


def test_the_worst_gaps_are_shown(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [bar(day, symbol) for symbol, step in (("A", 5), ("B", 2)) for day in WEEK[::step]])
    examples = check(pipeline, 2024, 2024)["2024", "sessions_complete"].metadata["examples"].records
    assert [(r.data["symbol"], r.data["missing"]) for r in examples] == [("A", 4), ("B", 2)]


def test_blank_prices_break_no_rule(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [bar(WEEK[0], open=None, high=None, low=None, volume=None)])
    assert check(pipeline, 2024, 2024)["2024", "ohlc_consistent"].passed


def test_each_year_of_a_run_has_its_own_result(pipeline: Pipeline) -> None:
    plant(pipeline, 2022, [bar(date(2022, 1, 3))])
    plant(pipeline, 2024, [bar(WEEK[0], high=1.0)])
    found = check(pipeline, 2022, 2024)
    passed = {year: found[year, "ohlc_consistent"].passed for year in ("2022", "2023", "2024")}
    assert passed == {"2022": True, "2023": True, "2024": False}


def test_checks_alone_cover_every_stored_year(pipeline: Pipeline) -> None:
    for year in (1955, 1985, 2024):  # before the first partition, before the calendar, and within both
        plant(pipeline, year, [bar(date(year, 1, 3))])
    assert {year for year, _ in check(pipeline)} == {"1985", "2024"}


def test_a_run_checks_what_it_wrote(pipeline: Pipeline) -> None:
    pipeline.run("simulate_daily_prices", "2024-01-02", "2024-01-09")
    found = evaluations(pipeline.run("ingest_daily_prices", "2024"))
    assert {key: e.passed for key, e in found.items()} == {("2024", name): True for name in CHECKS}
    assert found["2024", "keys_unique"].metadata["rows"].value == len(WEEK) * 16
    latest = pipeline.instance.get_latest_materialization_event(price_by_date.key)
    assert latest is not None
    target = found["2024", "keys_unique"].target_materialization_data
    assert target is not None
    assert target.run_id == latest.run_id, "the UI shows a result only with the materialization that it is for"
