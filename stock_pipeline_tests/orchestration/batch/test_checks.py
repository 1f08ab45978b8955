"""The checks of price_by_date: each passes on good years, finds what was planted, and names its year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.rejected_records import read_rejects, write_rejects
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.checks import CHECKS
from stock_pipeline.quality.daily import AFTER_THE_CLOSE, Year, stale_symbols
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED, Reason
from stock_pipeline.settings import Settings
from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions
from stock_pipeline_tests.support.batch import evaluations
from stock_pipeline_tests.support.pipeline import RANGE, Pipeline

WEEK = sessions(date(2024, 1, 2), date(2024, 1, 9))
MONTH = sessions(date(2024, 1, 2), date(2024, 1, 31))
Row = dict[str, Any]


def bar(day: date, symbol: str = "AAPL", **values: Any) -> Row:
    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "adj_close": None, "volume": 5}
    provenance = {"source": "daily_prices/x.csv", "etl_loading_ts": datetime(2024, 2, 1, tzinfo=UTC)}
    return {"symbol": symbol, "date": day, **prices, **provenance, **values}


def scaled(factor: float) -> Row:
    """The prices of a bar, all of them times a factor."""
    return {name: price * factor for name, price in (("open", 10.0), ("high", 12.0), ("low", 9.0), ("close", 11.0))}


def plant(pipeline: Pipeline, year: int, rows: Sequence[Row]) -> None:
    table = pa.Table.from_pylist(list(rows), schema=PRICE_BY_DATE.schema)
    pipeline.lake.put(partition_key(PRICE_BY_DATE, year_partition(year)), encode(table, PRICE_BY_DATE))


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
    "a close that fell by a half": ("price_steps", [bar(WEEK[0]), bar(WEEK[1], **scaled(0.5))], 1),
    "a close that rose and fell again": (
        "price_steps",
        [bar(day, **scaled(2.0 if n == 2 else 1.0)) for n, day in enumerate(WEEK)],
        2,
    ),
    "a symbol that is left out from some day on": (
        "symbols_current",
        [bar(day) for day in MONTH] + [bar(day, "GONE") for day in MONTH[:5]],
        1,
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


STEPS: dict[str, tuple[list[Row], str, dg.AssetCheckSeverity]] = {
    "a split": ([bar(WEEK[0]), bar(WEEK[1], **scaled(0.25))], "4:1 split", dg.AssetCheckSeverity.WARN),
    "a reverse split": ([bar(WEEK[0]), bar(WEEK[1], **scaled(10.0))], "1:10 split", dg.AssetCheckSeverity.WARN),
    "a crash": ([bar(WEEK[0]), bar(WEEK[1], **scaled(0.58))], "move", dg.AssetCheckSeverity.WARN),
    "pence for pounds": ([bar(WEEK[0]), bar(WEEK[1], **scaled(103.0))], "×100", dg.AssetCheckSeverity.ERROR),
    "pounds for pence": ([bar(WEEK[0]), bar(WEEK[1], **scaled(0.0098))], "×100", dg.AssetCheckSeverity.ERROR),
}


@pytest.mark.parametrize(("rows", "looks_like", "severity"), STEPS.values(), ids=STEPS)
def test_a_price_step_is_told_with_what_it_looks_like(
    pipeline: Pipeline, rows: list[Row], looks_like: str, severity: dg.AssetCheckSeverity
) -> None:
    plant(pipeline, 2024, rows)
    found = check(pipeline, 2024, 2024)["2024", "price_steps"]
    assert (found.passed, found.severity) == (False, severity)
    (example,) = found.metadata["examples"].records
    assert (example.data["looks_like"], example.data["before"]) == (looks_like, 11.0)


def test_a_step_over_the_turn_of_the_year_is_found_in_the_new_year(pipeline: Pipeline) -> None:
    plant(pipeline, 2023, [bar(date(2023, 12, 28)), bar(date(2023, 12, 29)), bar(date(2023, 12, 29), "MSFT")])
    plant(pipeline, 2024, [bar(WEEK[0], **scaled(100.0)), bar(WEEK[0], "MSFT"), bar(WEEK[0], "NEW", **scaled(9.0))])
    found = check(pipeline, 2023, 2024)
    assert found["2023", "price_steps"].passed
    assert found["2024", "price_steps"].metadata["found"].value == 1
    assert [r.data["symbol"] for r in found["2024", "price_steps"].metadata["examples"].records] == ["AAPL"]


def test_a_split_that_the_vendor_adjusted_for_is_no_step(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [bar(WEEK[0], adj_close=2.75), bar(WEEK[1], adj_close=2.8, **scaled(0.25))])
    found = check(pipeline, 2024, 2024)["2024", "price_steps"]
    assert (found.passed, found.metadata["explained_by_adj_close"].value) == (True, 1)


def test_the_levels_of_steps_and_of_staleness_are_set(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(pipeline, 2024, [*(bar(day, **scaled(1 + 0.1 * n)) for n, day in enumerate(WEEK)), bar(WEEK[-2], "SHORT")])
    found = check(pipeline, 2024, 2024)
    assert (found["2024", "price_steps"].passed, found["2024", "symbols_current"].passed) == (True, True)
    monkeypatch.setenv("STOCK_PIPELINE_PRICE_STEP_PERCENT", "9")
    monkeypatch.setenv("STOCK_PIPELINE_STALE_SESSIONS", "1")
    found = check(pipeline, 2024, 2024)
    assert found["2024", "price_steps"].metadata["found"].value == 2  # by 10 and by 9.09 %; the others are smaller
    assert found["2024", "symbols_current"].metadata["found"].value == 1


def test_the_current_year_is_held_against_the_last_close(pipeline: Pipeline) -> None:
    now = datetime.now(UTC)
    current = Year(now.year, pipeline.lake, Settings(), dict, now)
    last = last_closed_session(now - AFTER_THE_CLOSE)
    past = [day for day in sessions(date(last.year, 1, 1), last) if day.year == now.year]
    if len(past) <= 5:  # the first sessions of a year: nothing can be stale yet
        plant(pipeline, now.year, [bar(last)])
        assert stale_symbols(current).wrong == 0
        return
    plant(pipeline, now.year, [bar(past[-6]), bar(past[-5], "MSFT")])
    assert stale_symbols(current).examples.to_pylist() == [{"symbol": "AAPL", "last": past[-6]}]


def reject(pipeline: Pipeline, source: str, *reasons: Reason) -> None:
    rows = [{"line": n + 2, "reason": reason.value, "detail": None, "raw": "x"} for n, reason in enumerate(reasons)]
    info = ObjectInfo(source, "etag", 1, datetime(2024, 2, 1, tzinfo=UTC))
    rejected = pa.Table.from_pylist(rows, schema=REJECTED)
    write_rejects(pipeline.lake, PRICE_BY_DATE, info, rejected, datetime(2024, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("bad", "passed", "severity"),
    [(1, True, None), (2, False, dg.AssetCheckSeverity.WARN), (6, False, dg.AssetCheckSeverity.ERROR)],
)
def test_the_share_of_rejected_rows_warns_and_fails_at_set_levels(
    pipeline: Pipeline, bad: int, passed: bool, severity: dg.AssetCheckSeverity | None
) -> None:
    plant(pipeline, 2024, [bar(day, f"S{n}") for n in range(20) for day in WEEK[:5]])
    reject(pipeline, "daily_prices/x.csv", *[Reason.BAD_DATE] * bad)
    reject(pipeline, "daily_prices/of-another-year.csv", *[Reason.BAD_DATE] * 50)
    found = check(pipeline, 2024, 2024)["2024", "rejected_share"]
    assert (found.passed, found.metadata["rejected"].value) == (passed, bad)
    assert found.metadata["rejected_percent"].value == pytest.approx(100 * bad / (100 + bad), abs=0.001)
    if severity:
        assert found.severity == severity
        assert found.metadata["examples"].records[0].data == {
            "source": "daily_prices/x.csv",
            "reason": "bad_date",
            "rows": bad,
        }


def test_the_levels_of_the_share_are_settings(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(pipeline, 2024, [bar(day) for day in WEEK])
    reject(pipeline, "daily_prices/x.csv", Reason.BAD_DATE)
    for warns, fails, expected in (("20", "30", None), ("1", "20", "WARN"), ("1", "2", "ERROR")):
        monkeypatch.setenv("STOCK_PIPELINE_REJECTED_WARN_PERCENT", warns)
        monkeypatch.setenv("STOCK_PIPELINE_REJECTED_FAIL_PERCENT", fails)
        found = check(pipeline, 2024, 2024)["2024", "rejected_share"]
        assert (None if found.passed else found.severity.value) == expected


def test_sources_that_disagree_are_told_with_the_symbols_and_the_days(pipeline: Pipeline) -> None:
    header = "symbol,date,close"
    first = [f"{s},{day},{10 + n}" for s in ("AAPL", "MSFT") for n, day in enumerate(WEEK)]
    other = [line + "5" for line in first[:2]] + first[2:] + ["MSFT,2023-12-29,1"]
    for name, lines in (("a.csv", [*first, "MSFT,2023-12-29,2"]), ("b.csv", other)):
        pipeline.staging.put(f"daily_prices/uploads/{name}", "\n".join([header, *lines]).encode())
        pipeline.run("ingest_daily_prices", "2024", config={"sources": [f"daily_prices/uploads/{name}"]})
    found = check(pipeline, 2023, 2024)
    here = found["2024", "conflicts"]
    assert (here.passed, here.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (here.metadata["found"].value, here.metadata["symbols"].value, here.metadata["sources"].value) == (2, 1, 1)
    assert [record.data for record in here.metadata["examples"].records] == [
        {
            "symbol": "AAPL",
            "source": "daily_prices/uploads/b.csv",
            "stored_from": "daily_prices/uploads/a.csv",
            "records": 2,
            "first": "2024-01-02",
            "last": "2024-01-03",
        }
    ]
    assert found["2023", "conflicts"].metadata["found"].value == 1
    assert found["2024", "rejected_share"].passed


def test_a_conflict_that_is_settled_is_told_no_more(pipeline: Pipeline) -> None:
    keys = ["daily_prices/uploads/a.csv", "daily_prices/uploads/b.csv"]
    for key, close in zip(keys, (1, 2), strict=True):
        pipeline.staging.put(key, f"symbol,date,close\nAAPL,2024-01-02,{close}\n".encode())
        pipeline.run("ingest_daily_prices", "2024", config={"sources": [key]})
    assert not check(pipeline, 2024, 2024)["2024", "conflicts"].passed
    pipeline.run("ingest_daily_prices", "2024", config={"sources": keys[1:], "replace": True})
    assert check(pipeline, 2024, 2024)["2024", "conflicts"].passed


def test_a_bar_that_is_stored_without_a_value_is_no_rejected_row(pipeline: Pipeline) -> None:
    lines = [f"AAPL,{day},10,{-1 if day == WEEK[0] else 5}" for day in WEEK]
    pipeline.staging.put("daily_prices/uploads/a.csv", "\n".join(["symbol,date,close,volume", *lines]).encode())
    pipeline.run("ingest_daily_prices", "2024", config={"sources": ["daily_prices/uploads/a.csv"]})
    (record,) = read_rejects(pipeline.lake, PRICE_BY_DATE).to_pylist()
    assert (record["reason"], record["stored"]) == ("negative_volume", True)
    found = check(pipeline, 2024, 2024)["2024", "rejected_share"]
    assert (found.passed, found.metadata["rejected"].value) == (True, 0)


def test_conflicts_and_replaced_values_are_no_bad_rows(pipeline: Pipeline) -> None:
    plant(pipeline, 2024, [bar(WEEK[0])])
    reject(pipeline, "daily_prices/x.csv", Reason.CONFLICT, Reason.REPLACED)
    assert check(pipeline, 2024, 2024)["2024", "rejected_share"].metadata["rejected"].value == 0


def test_what_is_stored_nowhere_counts_in_the_current_year_and_a_refused_file_is_told(pipeline: Pipeline) -> None:
    year = datetime.now(UTC).year
    plant(pipeline, 2024, [bar(WEEK[0], source="daily_prices/x.csv")])
    plant(
        pipeline, year, [bar(sessions(date(year, 1, 1), date(year, 1, 20))[0], f"S{n}", source="y") for n in range(300)]
    )
    reject(pipeline, "daily_prices/x.csv", Reason.BAD_DATE)
    assert check(pipeline, year, year)[str(year), "rejected_share"].passed, "that source is of another year"
    reject(pipeline, "daily_prices/letter.csv", Reason.FILE_REFUSED)
    found = check(pipeline, year, year)[str(year), "rejected_share"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (found.metadata["rejected"].value, found.metadata["refused_files"].value) == (1, 1)


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
