"""The job reconcile: what nobody was told of is ingested and shown, whoever consumes arrivals."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.batch.checks import CHECKS
from stock_pipeline.orchestration.batch.config import as_version
from stock_pipeline.orchestration.lineage.reconcile import reconcile_hourly
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline_tests.support.lineage import HEADER, Lineage, bar, tick

LOST_TICKS = "stock_stream/2024/06/03/13/lost"


def run(lineage: Lineage, *, succeeds: bool = True, **config: Any) -> dg.ExecuteInProcessResult:
    result = defs.resolve_job_def("reconcile").execute_in_process(
        run_config={"ops": {"ingest_unseen": {"config": {"age_minutes": 0, **config}}}},
        instance=lineage.instance,
        raise_on_error=False,
    )
    assert result.success == succeeds, [e.message for e in result.all_events if e.is_failure]
    return result


def drop(lineage: Lineage, key: str, *rows: str) -> None:
    lineage.pipeline.staging.put(key, (("" if "stream" in key else HEADER) + "".join(rows)).encode())


def unseen(lineage: Lineage, result: dg.ExecuteInProcessResult) -> str:
    found = lineage.instance.get_run_by_id(result.run_id)
    assert found
    return found.tags["stock_pipeline/unseen"]


@pytest.fixture
def holed(lineage: Lineage) -> Lineage:
    """Three objects that no event told of, beside one that a function ingested."""
    lineage.arrive("daily_prices/uploads/known.csv", bar("2024-01-05"), tell=False)
    drop(lineage, "daily_prices/uploads/lost.csv", bar("2023-12-29", "MSFT"), bar("2024-01-02", "MSFT"))
    drop(lineage, "daily_prices/date=2024-01-03/lost.csv", bar("2024-01-03", "MSFT"))
    drop(lineage, LOST_TICKS, tick("e1"))
    return lineage


def test_what_was_lost_is_ingested_shown_and_checked_and_then_known(holed: Lineage) -> None:
    result = run(holed, everything=True)
    assert unseen(holed, result) == "3"
    assert holed.shown() == [
        ("daily_price_uploads", None),
        ("latest_prices", None),
        ("price_by_date", "2023"),
        ("price_by_date", "2024"),
        ("raw_daily_prices", "2024-01-03"),
        ("raw_stream_ticks", None),
        ("stream_prices_history", "2024-06-03"),
    ]
    (year,) = holed.materialized("price_by_date", "2024")
    assert (year["inserted"], year["dagster/row_count"], year["sources"]) == (2, 3, 2)
    checked = {(e.check_name, e.partition): e.target_materialization_data for e in result.get_asset_check_evaluations()}
    assert set(checked) == {(name, year) for name in CHECKS for year in ("2023", "2024")}
    assert all(target and target.run_id == result.run_id for target in checked.values())
    assert unseen(holed, run(holed, everything=True)) == "0"
    assert len(holed.shown()) == 7


def test_a_dry_run_changes_nothing(holed: Lineage) -> None:
    before = [info.etag for info in holed.pipeline.lake.list("")]
    assert unseen(holed, run(holed, everything=True, dry_run=True)) == "3"
    assert [info.etag for info in holed.pipeline.lake.list("")] == before
    assert holed.shown() == []


def test_the_window_is_that_of_the_config(holed: Lineage) -> None:
    assert unseen(holed, run(holed, age_minutes=60)) == "0"
    assert unseen(holed, run(holed, since_days=0)) == "0"
    assert unseen(holed, run(holed)) == "2", "the ticks lie in the folder of a day that is long past"


def test_an_object_that_cannot_be_ingested_fails_the_run_after_the_others(
    holed: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(holed.pipeline.staging)
    get = store.get

    def breaking(self: Any, key: str, **more: Any) -> Any:
        if key == "daily_prices/uploads/lost.csv":
            raise MemoryError
        return get(self, key, **more)

    monkeypatch.setattr(store, "get", breaking)
    run(holed, everything=True, succeeds=False)
    assert ("raw_daily_prices", "2024-01-03") in holed.shown()
    assert ("stream_prices_history", "2024-06-03") in holed.shown()
    monkeypatch.setattr(store, "get", get)
    assert unseen(holed, run(holed, everything=True)) == "1"


def test_the_schedule_asks_for_it_where_there_are_buckets(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    context = dg.build_schedule_context(resources={"buckets": Buckets()})
    assert isinstance(reconcile_hourly(context), dg.RunRequest)
    monkeypatch.delenv("STOCK_PIPELINE_LAKE_BUCKET")
    assert isinstance(reconcile_hourly(dg.build_schedule_context(resources={"buckets": Buckets()})), dg.SkipReason)


FILE = "daily_prices/uploads/lost.csv"


def started(lineage: Lineage, job: str, *keys: str) -> dg.DagsterRun:
    """A run of a job, for these objects as they are now."""
    infos = [next(iter(lineage.pipeline.staging.list(key))) for key in keys]
    config = {"sources": list(keys), "versions": [as_version(info) for info in infos]}
    ops = {"price_by_date": {"config": config}} if keys else {}
    return lineage.instance.create_run_for_job(defs.resolve_job_def(job), run_config={"ops": ops})


@pytest.fixture
def by_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "dagster")


def cancel(lineage: Lineage, run: dg.DagsterRun) -> None:
    lineage.instance.report_run_canceling(run)
    lineage.instance.report_run_canceled(run)


def test_what_a_person_cancelled_is_left_alone_until_a_person_wants_it(
    holed: Lineage, by_dagster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cancel(holed, started(holed, "ingest_daily_prices", FILE))
    cancel(holed, started(holed, "ingest_ticks"))
    assert unseen(holed, run(holed, everything=True)) == "1", "the other file"
    assert "2 of these are left out, because a person has cancelled their runs" in capsys.readouterr().err
    assert unseen(holed, run(holed, everything=True)) == "0"
    assert unseen(holed, run(holed, everything=True, cancelled=True)) == "2"
    assert unseen(holed, run(holed, everything=True, cancelled=True)) == "0"


def test_what_came_after_a_cancelled_run_is_not_cancelled(holed: Lineage, by_dagster: None) -> None:
    cancel(holed, started(holed, "ingest_daily_prices", FILE))
    drop(holed, FILE, bar("2024-01-04", "MSFT"))
    assert unseen(holed, run(holed, everything=True, dry_run=True)) == "3", "another version of the file"
    cancel(holed, started(holed, "ingest_daily_prices", FILE))
    assert unseen(holed, run(holed, everything=True, dry_run=True)) == "2"
    started(holed, "ingest_daily_prices", FILE)  # a person asked for it again
    assert unseen(holed, run(holed, everything=True, dry_run=True)) == "3"


def test_functions_have_no_runs_that_a_person_could_cancel(holed: Lineage) -> None:
    cancel(holed, started(holed, "ingest_daily_prices", FILE))
    assert unseen(holed, run(holed, everything=True, dry_run=True)) == "3"
