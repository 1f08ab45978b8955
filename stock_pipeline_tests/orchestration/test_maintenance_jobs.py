"""The jobs that people start by hand: what they do, what they show, and what they say to a senseless config."""

from __future__ import annotations

from datetime import date
from typing import Any

import dagster as dg
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.orchestration.batch.checks import CHECKS
from stock_pipeline.parse.daily import header
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.staging.keys import raw_keys_of_year
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.batch import bar, drop, evaluations, stored
from stock_pipeline_tests.support.pipeline import Pipeline

OPS = {
    "backfill_daily_prices": "simulate_sessions",
    "rebuild_year": "rebuild_from_raw",
    "restate_prices": "restate_from_files",
    "replay_rejects": "replay_sources",
}


def run(pipeline: Pipeline, job: str, *, succeeds: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    result = defs.resolve_job_def(job).execute_in_process(
        run_config={"ops": {OPS[job]: {"config": config}}}, instance=pipeline.instance, raise_on_error=False
    )
    assert result.success == succeeds, [e.message for e in result.all_events if e.is_failure]
    return result


def events(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The metadata of what a run materialized, by asset and partition."""
    done = [e.step_materialization_data.materialization for e in result.all_events if e.is_step_materialization]
    return {(m.asset_key.to_user_string(), m.partition): {n: v.value for n, v in m.metadata.items()} for m in done}


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.is_step_failure]
    return str(event.step_failure_data.error_display_string)


def test_a_backfill_writes_the_sessions_of_its_range_and_shows_each(pipeline: Pipeline) -> None:
    shown = events(run(pipeline, "backfill_daily_prices", start="2024-12-23", end="2025-01-03"))
    days = sessions(date(2024, 12, 23), date(2025, 1, 3))
    assert set(shown) == {("raw_daily_prices", day.isoformat()) for day in days}
    metadata = shown["raw_daily_prices", "2024-12-24"]
    assert (metadata["dagster/row_count"], metadata["written"]) == (len(DEFAULT_SYMBOLS), True)
    assert metadata["chart_moves"].startswith("![moves](<data:image/svg+xml,")
    assert len(raw_keys_of_year(pipeline.staging, 2025)) == 2
    again = events(run(pipeline, "backfill_daily_prices", start="2024-12-23", end="2025-01-03"))
    assert {m["written"] for m in again.values()} == {False}


def test_a_backfill_of_other_symbols_and_of_years_without_partitions(pipeline: Pipeline) -> None:
    shown = events(
        run(pipeline, "backfill_daily_prices", start="2001-09-10", end="2001-09-17", symbols=["ACME", "IBM"])
    )
    assert shown == {}, "2001 is no partition of raw_daily_prices"
    assert len(raw_keys_of_year(pipeline.staging, 2001)) == 2, "the exchange was closed for the days in between"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"start": "yesterday"}, "YYYY-MM-DD"),
        ({"start": "2024-01-06", "end": "2024-01-07"}, "no session of XNYS"),
        ({"start": "2024-01-02", "end": "2049-01-01"}, "has not closed yet"),
        ({"start": "1815-06-18", "end": "1815-06-19"}, "outside the trading calendar"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(pipeline: Pipeline, config: dict[str, str], says: str) -> None:
    assert says in failure(run(pipeline, "backfill_daily_prices", succeeds=False, **config))


def test_a_rebuilt_year_is_shown_and_checked(pipeline: Pipeline) -> None:
    drop(pipeline, "AAPL.csv", bar("2024-01-02"), bar("2024-01-03"))
    pipeline.run("ingest_daily_prices", "2024")
    drop(pipeline, "AAPL.csv", bar("2024-01-02", 11), bar("2024-01-03"))  # nothing gives the first close any more
    result = run(pipeline, "rebuild_year", first=2024)
    assert stored(pipeline, 2024)["AAPL", date(2024, 1, 2)] == 11.0
    assert events(result)["price_by_date", "2024"]["dagster/row_count"] == 2
    assert set(evaluations(result)) == {("2024", name) for name in CHECKS}


def test_years_are_rebuilt_in_order_or_not_at_all(pipeline: Pipeline) -> None:
    drop(pipeline, "AAPL.csv", bar("2022-03-01"), bar("2023-03-01"), bar("2024-03-01"))
    run(pipeline, "rebuild_year", first=2022, last=2023)
    assert (bool(stored(pipeline, 2022)), bool(stored(pipeline, 2023))) == (True, True)
    assert "2022 is before 2024" in failure(run(pipeline, "rebuild_year", succeeds=False, first=2024, last=2022))


def test_a_rebuild_that_would_lose_rows_is_refused(pipeline: Pipeline) -> None:
    import boto3

    key = drop(pipeline, "AAPL.csv", bar("2024-01-02"))
    pipeline.run("ingest_daily_prices", "2024")
    boto3.client("s3").delete_object(Bucket="staging", Key=key)
    assert "holds 1 rows that no raw object in staging gives any more" in failure(
        run(pipeline, "rebuild_year", succeeds=False, first=2024)
    )
    assert set(stored(pipeline, 2024)) == {("AAPL", date(2024, 1, 2))}


def test_a_restatement_replaces_in_every_year_that_its_file_holds(pipeline: Pipeline) -> None:
    drop(pipeline, "AAPL.csv", bar("2023-03-01", 10), bar("2024-03-01", 10))
    pipeline.run("ingest_daily_prices", "2023", "2024")
    second = drop(pipeline, "v2/AAPL.csv", bar("2023-03-01", 11), bar("2024-03-01", 11))
    result = run(pipeline, "restate_prices", sources=[second])
    assert {**stored(pipeline, 2023), **stored(pipeline, 2024)} == {
        ("AAPL", date(2023, 3, 1)): 11.0,
        ("AAPL", date(2024, 3, 1)): 11.0,
    }
    assert {year: m["replaced"] for (_, year), m in events(result).items() if year} == {"2023": 2, "2024": 2}
    revised = [read_partition(pipeline.lake, PRICE_REVISIONS, f"year={year}") for year in (2023, 2024)]
    assert [rows and rows["change"].to_pylist() for rows in revised] == [["replaced"], ["replaced"]]
    record = pipeline.instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.tags["stock_pipeline/prefix"] == f"s3://staging/{second}"


def test_a_restatement_must_name_files_and_says_when_one_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError, match="sources"):
        run(pipeline, "restate_prices")
    assert "sources is empty" in failure(run(pipeline, "restate_prices", succeeds=False, sources=[]))
    letter = drop(pipeline, "letter.csv", "Dear customer")
    pipeline.staging.put(letter, b"Dear customer")
    assert "letter.csv was refused" in failure(run(pipeline, "restate_prices", succeeds=False, sources=[letter]))


def test_rejected_records_are_replayed_once_a_rule_is_mended(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "daily_prices/uploads/AAPL.csv"
    pipeline.staging.put(key, b"Date,Open,High,Low,Settlementprice,Volume\n2024-01-02,10,12,9,11,5\n")
    pipeline.run("ingest_daily_prices", "2024")
    assert read_partition(pipeline.lake, PRICE_BY_DATE, "year=2024") is None
    first, *others = header.ALIASES["close"]
    monkeypatch.setitem(header.ALIASES, "close", ((*first, "settlementprice"), *others))
    result = run(pipeline, "replay_rejects", reasons=["file_refused"], sources=["AAPL.csv"])
    assert stored(pipeline, 2024) == {("AAPL", date(2024, 1, 2)): 11.0}
    assert events(result)["price_by_date", "2024"]["inserted"] == 1
    assert read_rejects(pipeline.lake, PRICE_BY_DATE).num_rows == 0
    assert set(evaluations(result)) == {("2024", name) for name in CHECKS}
    assert events(run(pipeline, "replay_rejects")) == {}, "there is nothing left to replay"


def test_a_replay_says_what_it_does_not_know(pipeline: Pipeline) -> None:
    assert "is not a reason" in failure(run(pipeline, "replay_rejects", succeeds=False, reasons=["moon"]))
    assert "no rejected row comes from" in failure(run(pipeline, "replay_rejects", succeeds=False, sources=["x.csv"]))


def test_defaults_are_sensible(pipeline: Pipeline) -> None:
    from stock_pipeline.orchestration.maintenance_jobs import BackfillConfig, RebuildConfig

    assert (BackfillConfig().start, BackfillConfig().end, BackfillConfig().symbols) == ("", "", [])
    assert (RebuildConfig().first, RebuildConfig().last) == (None, None)


@pytest.mark.parametrize("job", OPS)
def test_every_field_of_a_config_is_explained(job: str) -> None:
    definition = defs.resolve_job_def(job)
    fields = definition.graph.node_named(OPS[job]).definition.config_schema.config_type.fields
    assert fields
    assert [name for name, field in fields.items() if not field.description] == []
    assert definition.description
