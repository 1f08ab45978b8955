"""Materializing the batch assets: what is stored, what the UI is told, what the run config changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.orchestration.batch import assets
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.batch import bar, drop, stored
from stock_pipeline_tests.support.pipeline import Pipeline


def materialized(result: dg.ExecuteInProcessResult, asset: str = "price_by_date") -> dict[str, dict[str, Any]]:
    """The metadata of each partition that a run materialized, as plain values."""
    events = result.asset_materializations_for_node(asset)
    return {str(e.partition): {name: value.value for name, value in e.metadata.items()} for e in events}


def test_a_backfill_of_three_years_stores_each_session_and_symbol_once(pipeline: Pipeline) -> None:
    raw = materialized(pipeline.run("simulate_daily_prices", "2022-01-03", "2024-12-31"), "raw_daily_prices")
    expected = {(symbol, day) for day in sessions(date(2022, 1, 1), date(2024, 12, 31)) for symbol in DEFAULT_SYMBOLS}
    assert len(raw) == 753
    assert {metadata["dagster/row_count"] for metadata in raw.values()} == {16}
    years = materialized(pipeline.run("ingest_daily_prices", "2022", "2024"))
    assert {year: metadata["inserted"] for year, metadata in years.items()} == {
        "2022": 251 * 16,
        "2023": 250 * 16,
        "2024": 252 * 16,
    }
    found = [stored(pipeline, year) for year in (2022, 2023, 2024)]
    assert set().union(*found) == expected
    assert sum(map(len, found)) == 753 * 16


def test_simulating_a_session_again_writes_nothing(pipeline: Pipeline) -> None:
    pipeline.run("simulate_daily_prices", "2024-01-02")
    before = list(pipeline.staging.list(""))
    again = materialized(pipeline.run("simulate_daily_prices", "2024-01-02"), "raw_daily_prices")
    assert again["2024-01-02"]["written"] is False
    assert list(pipeline.staging.list("")) == before


def test_a_year_tells_what_became_of_its_rows(pipeline: Pipeline) -> None:
    key = drop(pipeline, "AAPL.csv", bar("2024-01-02"), bar("2024-01-03"), bar("2024-01-03"), "2024-01-04,1,2,3,-4,5")
    drop(pipeline, "letter.csv", "Dear customer")
    metadata = materialized(pipeline.run("ingest_daily_prices", "2024"))["2024"]
    counts = ("dagster/row_count", "inserted", "rows_read", "duplicates", "conflicts", "rejected", "skipped")
    assert [metadata[name] for name in counts] == [2, 2, 4, 1, 0, 1, 0]
    assert metadata["rejected/non_positive_price"] == 1
    assert (metadata["sources"], metadata["refused_sources"]) == (2, 1)
    assert "letter.csv" in metadata["refused"]
    assert key in metadata["receipts"]
    assert metadata["dagster/uri"] == "s3://lake/price_by_date/year=2024/prices.parquet"
    newest_first = [(r.data["symbol"], r.data["date"], r.data["close"]) for r in metadata["preview"].records]
    assert newest_first == [("AAPL", "2024-01-03", 10.0), ("AAPL", "2024-01-02", 10.0)]
    assert [c.name for c in metadata["dagster/column_schema"].columns] == PRICE_BY_DATE.schema.names


def test_materializing_a_year_again_adds_nothing(pipeline: Pipeline) -> None:
    drop(pipeline, "AAPL.csv", bar("2024-01-02"))
    pipeline.run("ingest_daily_prices", "2024")
    metadata = materialized(pipeline.run("ingest_daily_prices", "2024"))["2024"]
    assert [metadata[name] for name in ("dagster/row_count", "inserted", "duplicates")] == [1, 0, 1]


def test_an_upload_of_several_years_is_one_run_that_reports_each(pipeline: Pipeline) -> None:
    key = drop(pipeline, "AAPL.csv", *(bar(f"{year}-03-01") for year in (1950, 2009, 2021, 2022, 2023)))
    metadata = materialized(pipeline.run("ingest_daily_prices", "2021", "2023", {"sources": [key]}))
    assert {year: m["inserted"] for year, m in metadata.items()} == {"2009": 1, "2021": 1, "2022": 1, "2023": 1}
    assert stored(pipeline, 1950), "a year that is no partition is stored all the same"


def test_a_year_without_raw_objects_is_empty(pipeline: Pipeline) -> None:
    metadata = materialized(pipeline.run("ingest_daily_prices", "1999"))["1999"]
    assert (metadata["dagster/row_count"], metadata["sources"], metadata["preview"].records) == (0, 0, [])


def test_the_unfinished_year_can_be_materialized(pipeline: Pipeline) -> None:
    year = datetime.now(UTC).year
    drop(pipeline, "AAPL.csv", bar(f"{year}-01-01"))
    assert materialized(pipeline.run("ingest_daily_prices", str(year)))[str(year)]["inserted"] == 1


def test_only_the_named_sources_are_taken(pipeline: Pipeline) -> None:
    key = drop(pipeline, "AAPL.csv", bar("2024-01-02"))
    drop(pipeline, "MSFT.csv", bar("2024-01-02"))
    pipeline.run("ingest_daily_prices", "2024", config={"sources": [key]})
    assert set(stored(pipeline, 2024)) == {("AAPL", date(2024, 1, 2))}


def test_a_restatement_replaces_and_keeps_what_it_replaced(pipeline: Pipeline) -> None:
    first, second = (
        drop(pipeline, "AAPL.csv", bar("2024-01-02", 10)),
        drop(pipeline, "v2/AAPL.csv", bar("2024-01-02", 11)),
    )
    pipeline.run("ingest_daily_prices", "2024", config={"sources": [first]})
    refused = materialized(pipeline.run("ingest_daily_prices", "2024", config={"sources": [second]}))["2024"]
    assert refused["conflicts"] == 1
    assert list(stored(pipeline, 2024).values()) == [10.0]
    metadata = materialized(pipeline.run("ingest_daily_prices", "2024", config={"sources": [second], "replace": True}))
    assert metadata["2024"]["replaced"] == 1
    assert list(stored(pipeline, 2024).values()) == [11.0]
    assert metadata["None"]["replaced"] == 1  # of price_revisions, an asset without partitions
    revised = read_partition(pipeline.lake, PRICE_REVISIONS, "year=2024")
    assert revised is not None
    assert revised.select(["close", "replaced_by", "change"]).to_pylist() == [
        {"close": 10.0, "replaced_by": second, "change": "replaced"}
    ]


def test_a_rebuild_starts_from_nothing(pipeline: Pipeline) -> None:
    drop(pipeline, "AAPL.csv", bar("2024-01-02"), bar("2024-01-03"))
    pipeline.run("ingest_daily_prices", "2024")
    drop(pipeline, "AAPL.csv", bar("2024-01-02", 11), bar("2024-01-03"))  # nothing gives the first close any more
    metadata = materialized(pipeline.run("ingest_daily_prices", "2024", config={"rebuild": True}))["2024"]
    assert metadata["dagster/row_count"] == 2
    assert stored(pipeline, 2024)["AAPL", date(2024, 1, 2)] == 11.0
    drop(pipeline, "AAPL.csv", bar("2024-01-03"))  # a bar that no file gives any more is never taken away
    refused = pipeline.run("ingest_daily_prices", "2024", config={"rebuild": True}, succeeds=False)
    assert "holds 1 rows that no raw object in staging gives any more: AAPL 2024-01-02" in failure_of(refused)
    assert len(stored(pipeline, 2024)) == 2


def test_the_symbol_of_a_file_that_names_none_can_be_given(pipeline: Pipeline) -> None:
    key = drop(pipeline, "export (1).csv", bar("2024-01-02"))
    pipeline.run("ingest_daily_prices", "2024", config={"sources": [key], "symbol": "BRK.B"})
    assert set(stored(pipeline, 2024)) == {("BRK.B", date(2024, 1, 2))}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [e for e in result.all_events if e.is_step_failure and e.step_key == "price_by_date"]
    return str(event.step_failure_data.error_display_string)


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"rebuild": True, "replace": True, "sources": ["daily_prices/x.csv"]}, "leave out rebuild"),
        ({"replace": True}, "name their keys in sources"),
    ],
)
def test_contradictory_config_is_refused_with_its_remedy(
    pipeline: Pipeline, config: dict[str, object], remedy: str
) -> None:
    assert remedy in failure_of(pipeline.run("ingest_daily_prices", "2024", config=config, succeeds=False))


def test_a_missing_setting_fails_the_run_and_is_named(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_LAKE_BUCKET")
    result = pipeline.run("ingest_daily_prices", "2024", succeeds=False)
    assert "STOCK_PIPELINE_LAKE_BUCKET is not set" in failure_of(result)
    assert not [event for event in result.all_events if event.is_step_up_for_retry]


def test_a_store_that_does_not_answer_is_tried_again(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    from stock_pipeline.errors import StoreUnavailable
    from stock_pipeline.orchestration import retries

    monkeypatch.setattr(retries, "WAIT", 0)
    drop(pipeline, "AAPL.csv", bar("2024-01-02"))
    calls, real = [], assets.ingest_daily_prices

    def flaky(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) < 3:
            raise StoreUnavailable("k", "S3 answered 503 SlowDown")
        return real(*args, **kwargs)

    monkeypatch.setattr(assets, "ingest_daily_prices", flaky)
    assert materialized(pipeline.run("ingest_daily_prices", "2024"))["2024"]["inserted"] == 1
    assert len(calls) == 3
