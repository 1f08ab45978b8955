"""lambda_receipts: what the functions wrote is shown as the assets' own runs show it, once, whatever dies when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from stock_pipeline.aws.receipt_queue import messages_of
from stock_pipeline.definitions import defs
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.checks import CHECKS
from stock_pipeline.orchestration.lineage import events, sensor
from stock_pipeline.orchestration.lineage.events import RECEIPT_IDS
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline_tests.support.lineage import HEADER, TRIES, Lineage, bar, tick
from stock_pipeline_tests.support.stream import materialized

UPLOAD = "daily_prices/uploads/AAPL.csv"
BAD = "AAPL,2024-01-05,1,2,0,-1,5\n"
# What differs from run to run, whoever ran.
PASSING = {
    "freshness_lag_seconds",
    "chart_age",
    "chart_arrival_lag",
    "seconds",
    "preview",
    RECEIPT_IDS,
    "arrival_lag_median_seconds",
    "arrival_lag_max_seconds",
}


def lasting(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in PASSING}


def empty(lineage: Lineage) -> None:
    """Take everything out of the lake."""
    for info in lineage.pipeline.lake.list(""):
        lineage.pipeline.lake._client.delete_object(Bucket="lake", Key=info.key)


def test_a_year_of_a_function_looks_like_a_year_of_dagster(lineage: Lineage) -> None:
    lineage.arrive(UPLOAD, bar("2023-12-29"), bar("2024-01-02"), bar("2024-01-03"), BAD)
    lineage.tick()
    by_function = {year: lineage.materialized("price_by_date", year)[0] for year in ("2023", "2024")}
    (rejected,) = lineage.materialized("rejected_records")
    empty(lineage)
    by_dagster = materialized(lineage.pipeline.run("ingest_daily_prices", "2023", "2024"))
    for year in ("2023", "2024"):
        assert set(by_function[year]) == {*by_dagster[year], RECEIPT_IDS}
        assert lasting(by_function[year]) == lasting(by_dagster[year])
        assert by_function[year]["preview"].schema == by_dagster[year]["preview"].schema
    assert (by_function["2024"]["inserted"], by_function["2024"]["rejected/non_positive_price"]) == (2, 1)
    assert lasting(rejected) == lasting(lineage.materialized("rejected_records")[0])
    assert (rejected["rejected/non_positive_price"], rejected["dagster/uri"]) == (1, "s3://lake/rejected_records/")


def test_a_day_of_a_function_looks_like_a_day_of_dagster(lineage: Lineage) -> None:
    key = "stock_stream/2024/06/03/13/a"
    lineage.arrive(key, tick("e1"), tick("e2", symbol="MSFT"), tick("e3", "2024-06-04 00:00:01"), "{broken\n")
    lineage.tick()
    days = ("2024-06-03", "2024-06-04")
    by_function = {day: lineage.materialized("stream_prices_history", day)[0] for day in days}
    snapshot = lineage.materialized("latest_prices")[0]
    (rejected,) = lineage.materialized("rejected_records")
    empty(lineage)
    by_dagster = materialized(lineage.run_ticks("2024-06-03", key))
    counted = by_dagster["2024-06-03"].pop("dagster/row_count")  # of a day that a person asks for, all rows are counted
    assert counted == 2
    for day in days:
        assert set(by_function[day]) == {*by_dagster[day], RECEIPT_IDS}
        assert lasting(by_function[day]) == lasting(by_dagster[day])
    assert lasting(snapshot) == lasting(by_dagster["latest_prices"])
    assert lasting(rejected) == lasting(by_dagster["rejected_records"])
    assert (by_function["2024-06-03"]["inserted"], snapshot["updated"]) == (2, 2)


def test_raw_and_clean_are_shown_in_one_tick_at_their_partitions(lineage: Lineage) -> None:
    lineage.arrive("daily_prices/date=2024-01-02/prices-1.csv", bar("2024-01-02"))
    lineage.arrive(UPLOAD, bar("2023-12-29"), bar("2024-01-03"))
    lineage.arrive("stock_stream/2024/06/03/13/a", tick("e1"))
    result = lineage.tick()
    assert [(e.asset_key.to_user_string(), e.partition) for e in result.asset_events] == [
        ("raw_daily_prices", "2024-01-02"),
        ("daily_price_uploads", None),
        ("price_by_date", "2023"),
        ("price_by_date", "2024"),
        ("raw_stream_ticks", None),
        ("stream_prices_history", "2024-06-03"),
        ("latest_prices", None),
    ]
    (raw,) = lineage.materialized("raw_daily_prices", "2024-01-02")
    assert raw["dagster/uri"] == "s3://staging/daily_prices/date=2024-01-02/prices-1.csv"
    assert (raw["dagster/row_count"], raw["bytes"]) == (1, len(HEADER + bar("2024-01-02")))


def test_messages_are_deleted_only_after_their_events_are_committed(lineage: Lineage) -> None:
    lineage.arrive(UPLOAD, bar("2024-01-02"))
    lineage.tick()
    assert lineage.held() == 1, "the tick that shows it leaves the message"
    lineage.tick()
    assert lineage.held() == 0
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]


@pytest.mark.parametrize("committed", [0, 1, 2, 3, 4])
def test_a_daemon_that_dies_between_the_events_shows_each_of_them_once(lineage: Lineage, committed: int) -> None:
    lineage.arrive(UPLOAD, bar("2022-01-03"), bar("2023-01-03"), bar("2024-01-02"))
    lineage.commit(lineage.evaluate(), events=committed, cursor=False)
    assert len(lineage.shown()) == committed
    lineage.pass_time()
    lineage.tick()
    (request,) = lineage.tick().run_requests or ()
    assert request.run_config["ops"]["check_years"]["config"]["years"] == [2022, 2023, 2024]
    years = [("price_by_date", year) for year in ("2022", "2023", "2024")]
    assert lineage.shown() == [("daily_price_uploads", None), *years]
    assert lineage.held() == 0


def test_what_is_delivered_twice_is_shown_once(lineage: Lineage) -> None:
    receipts = lineage.arrive(UPLOAD, bar("2024-01-02"))
    lineage.tell(receipts)  # the function sent again what SQS had taken
    lineage.tick()
    lineage.tell(receipts)  # and SQS delivers once more after a while
    lineage.tick()
    lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]
    assert lineage.held() == 0


def test_a_message_that_could_not_be_deleted_comes_again_and_is_shown_once(lineage: Lineage) -> None:
    lineage.arrive(UPLOAD, bar("2024-01-02"))
    lineage.tick()
    lineage.cursor = "lost"
    lineage.pass_time()
    lineage.tick()
    lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]
    assert lineage.held() == 0


def test_a_second_ingest_of_the_same_object_is_another_event(lineage: Lineage) -> None:
    lineage.arrive(UPLOAD, bar("2024-01-02"))
    lineage.tick()
    lineage.ingest([UPLOAD])
    lineage.tick()
    again, first = lineage.materialized("price_by_date", "2024")
    assert (first["inserted"], again["inserted"], again["duplicates"]) == (1, 0, 1)


def test_the_parts_of_a_large_receipt_are_one(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages_of, "__defaults__", (600,))
    lineage.arrive("stock_stream/2024/06/03/13/a", *(tick(f"e{n}", f"2024-06-03 {n:02}:00:00") for n in range(10, 20)))
    assert lineage.held() > 1
    lineage.tick()
    (day,) = lineage.materialized("stream_prices_history", "2024-06-03")
    assert (day["inserted"], day["sources"]) == (10, 1)
    lineage.tick()
    assert lineage.held() == 0


def test_checks_are_evaluated_for_the_materialization_they_follow(lineage: Lineage) -> None:
    for attempt in (1, 2):  # Dagster keeps one result of a check and partition beside its runs, and fails on the second
        lineage.arrive(UPLOAD, bar("2024-01-02"), bar("2024-01-04"))
        assert lineage.tick().run_requests == [], "the events are not committed yet"
        (request,) = lineage.tick().run_requests or ()
        result = lineage.check(request)
        found = {e.check_name: e for e in result.get_asset_check_evaluations()}
        assert set(found) == set(CHECKS)
        records = lineage.instance.fetch_materializations(dg.AssetRecordsFilter(price_by_date.key), limit=5).records
        assert len(records) == attempt
        targets = {e.target_materialization_data.storage_id for e in found.values() if e.target_materialization_data}
        assert targets == {records[0].storage_id}
        assert {e.partition for e in found.values()} == {"2024"}
        assert [name for name, e in found.items() if not e.passed] == ["sessions_complete"]
        assert lineage.tick().run_requests == [], "once"


def test_one_run_of_checks_at_a_time_takes_all_years_that_came_meanwhile(lineage: Lineage) -> None:
    run = lineage.instance.create_run_for_job(defs.resolve_job_def("check_prices"), status=dg.DagsterRunStatus.STARTED)
    for year in (2022, 2023, 2024):
        lineage.arrive(f"daily_prices/uploads/{year}.csv", bar(f"{year}-01-04"))
        assert lineage.tick().run_requests == []
    assert lineage.tick().run_requests == []
    lineage.instance.report_run_failed(run)
    (request,) = lineage.tick().run_requests or ()
    assert request.run_config["ops"]["check_years"]["config"]["years"] == [2022, 2023, 2024]


def test_malformed_messages_are_left_for_the_dead_letter_queue_and_block_nothing(lineage: Lineage) -> None:
    (receipt,) = lineage.arrive(UPLOAD, bar("2024-01-02"))
    malformed = [
        "", "[]", '{"source": "x"}', receipt.to_json().replace('"rows": 1', '"rows": 7'),
        receipt.to_json().replace("price_by_date", "who_knows"),
        receipt.to_json().replace("year=2024", "year=20244"),
        replace(receipt, table="stream_prices_history").to_json(),
        replace(receipt, table="stream_prices_history", partitions={"year=2024/month=02/day=31/0000": 1}).to_json(),
    ]  # fmt: skip
    for body in malformed:
        lineage.sqs.send_message(QueueUrl=lineage.url, MessageBody=body or " ")
    lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]
    for _ in range(TRIES + 1):
        lineage.pass_time()
        lineage.tick()
    assert (lineage.held(), lineage.held(lineage.dead)) == (0, len(malformed))
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]


def test_what_is_no_partition_is_stored_and_logged_and_stops_nothing(lineage: Lineage) -> None:
    lineage.arrive(UPLOAD, bar("1950-01-04"), bar("2024-01-02"))
    lineage.arrive("stock_stream/2024/06/03/13/a", tick("e1", "2001-06-03 13:30:00"))
    lineage.arrive("daily_prices/date=2024-99-99/x.csv", bar("2024-01-03"))
    lineage.tick()
    assert lineage.shown() == [
        ("daily_price_uploads", None),
        ("latest_prices", None),
        ("price_by_date", "2024"),
        ("raw_stream_ticks", None),
    ]
    lineage.tick()
    assert lineage.held() == 0


def test_a_refused_file_is_shown_where_it_arrived(lineage: Lineage) -> None:
    lineage.pipeline.staging.put(UPLOAD, b"name,colour\nTom,grey\n")
    lineage.pipeline.staging.put("daily_prices/date=2024-01-02/x.csv", b"cats\n")
    lineage.ingest([UPLOAD, "daily_prices/date=2024-01-02/x.csv"])
    lineage.tick()
    (uploads,) = lineage.materialized("daily_price_uploads")
    assert uploads["refused_sources"] == 1
    assert UPLOAD in uploads["refused"]
    (year,) = lineage.materialized("price_by_date", "2024")
    assert "daily_prices/date=2024-01-02/x.csv" in year["refused"]


def test_a_session_that_dagster_wrote_is_not_shown_as_written_again(lineage: Lineage) -> None:
    lineage.pipeline.run("simulate_daily_prices", "2024-01-02")
    (key,) = (info.key for info in lineage.pipeline.staging.list(""))
    lineage.ingest([key])
    lineage.tick()
    assert lineage.shown() == [("price_by_date", "2024"), ("raw_daily_prices", "2024-01-02")]


def test_the_session_of_today_is_shown_once_it_is_a_partition(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generator runs after the close; the session becomes a partition at midnight UTC."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    lineage.arrive(f"daily_prices/date={today}/prices-1.csv", bar(today))
    lineage.tick()
    year = ("price_by_date", today[:4])
    for _ in range(3):
        assert lineage.shown() == [year]
        lineage.tick()
    assert lineage.held() == 0
    monkeypatch.setattr(type(events.DAILY), "has_partition_key", lambda self, key, *_, **__: key == today)
    lineage.commit(lineage.evaluate(), cursor=False)
    lineage.tick()
    lineage.tick()
    assert lineage.shown() == [year, ("raw_daily_prices", today)]
    assert lineage.materialized("raw_daily_prices")[0]["dagster/row_count"] == 1


def test_a_partition_that_cannot_be_read_keeps_nothing_else_from_being_shown(lineage: Lineage) -> None:
    lineage.arrive("daily_prices/uploads/a.csv", bar("2023-01-03"))
    lineage.arrive("daily_prices/uploads/b.csv", bar("2024-01-03"))
    good = lineage.pipeline.lake.get("price_by_date/year=2023/prices.parquet").data
    lineage.pipeline.lake.put("price_by_date/year=2023/prices.parquet", b"no Parquet")
    lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2024")]
    lineage.tick()
    assert lineage.held() == 1, "it comes again"
    lineage.pipeline.lake.put("price_by_date/year=2023/prices.parquet", good)
    lineage.pass_time()
    lineage.tick()
    lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2023"), ("price_by_date", "2024")]
    assert lineage.held() == 0


def test_many_receipts_become_few_events(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor, "MESSAGES", 120)
    receipts = lineage.arrive(UPLOAD, bar("2024-01-02"), tell=False)
    many = [replace(receipts[0], source=f"daily_prices/uploads/{n}.csv", inserted=0, duplicates=1) for n in range(300)]
    lineage.tell(many)
    assert [len(lineage.tick().asset_events) for _ in range(4)] == [2, 2, 2, 0]
    assert lineage.held() == 0
    assert sum(found["sources"] for found in lineage.materialized("price_by_date", "2024")) == 300


def test_what_there_is_no_time_for_is_shown_by_the_next_ticks(
    lineage: Lineage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensor, "REPORTING", 0)
    lineage.arrive(UPLOAD, bar("2023-01-03"), bar("2024-01-02"))
    assert [len(lineage.tick().asset_events), lineage.held()] == [1, 1]
    while lineage.held():
        lineage.tick()
    assert lineage.shown() == [("daily_price_uploads", None), ("price_by_date", "2023"), ("price_by_date", "2024")]
    assert lineage.held(lineage.dead) == 0


def test_it_is_harmless_where_nothing_is_sent(lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_PROCESSOR", "dagster")
    assert lineage.tick().asset_events == []
    monkeypatch.delenv("STOCK_PIPELINE_LINEAGE_QUEUE_URL")
    context = dg.build_sensor_context(instance=lineage.instance, resources={"buckets": Buckets()})
    answer = sensor.lambda_receipts(context)
    assert isinstance(answer, dg.SkipReason)
    assert "STOCK_PIPELINE_LINEAGE_QUEUE_URL is not set" in str(answer.skip_message)
