"""The checks of the stream: each passes on good tables and finds what was planted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from stock_pipeline.lake.layout_object import layout_to_write
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance.snapshot import stored_snapshot
from stock_pipeline.orchestration.stream import checks
from stock_pipeline.orchestration.stream.jobs import check_stream_every_15_minutes
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, Table
from stock_pipeline.trading_calendar.sessions import last_closed_session, session_times
from stock_pipeline_tests.support.stream import Stream, tick

NOW = datetime.now(UTC).replace(hour=12)
TODAY, YESTERDAY = (f"{NOW - timedelta(days=n):%Y-%m-%d}" for n in (0, 1))
NAMES = {
    "event_ids_unique",
    "clocks_agree",
    "price_steps",
    "rejected_share",
    "snapshot_equals_history",
    "symbols_current",
    "dead_letters_none",
    "objects_own_and_whole",
}
Found = dict[tuple[str | None, str], dg.AssetCheckEvaluation]


def check(stream: Stream) -> Found:
    """What the scheduled job finds, by day and name of the check."""
    events = stream.run("check_stream", day=None).all_events
    found = [e.asset_check_evaluation_data for e in events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    return {(e.partition, e.check_name): e for e in found}


def failed(found: Found) -> set[tuple[str | None, str]]:
    return {name for name, evaluation in found.items() if not evaluation.passed}


def put(stream: Stream, table: Table, partition: str, *rows: dict[str, Any]) -> None:
    filled = {"size": None, "price": 1.0, "symbol": "AAPL", "source": "x", "etl_loading_ts": NOW}
    names = table.schema.names
    kept = [{name: value for name, value in (filled | row).items() if name in names} for row in rows]
    stream.pipeline.lake.put(
        partition_key(table, partition), encode(pa.Table.from_pylist(kept, schema=table.schema), table)
    )


def put_history(stream: Stream, *rows: dict[str, Any]) -> None:
    """Put rows into the history object of the first one's time."""
    at = rows[0]["produced_at"]
    (name,) = layout_to_write(stream.pipeline.lake, at.date()).names_at([at])
    put(stream, STREAM_PRICES_HISTORY, name, *rows)


@pytest.fixture
def filled(stream: Stream) -> Stream:
    """A stream whose ticks of yesterday and today are stored."""
    now = datetime.now(UTC)
    for n in range(2):
        at = now - timedelta(days=n)
        stream.drop(f"{n}", *(tick(f"e{n}{m}", f"S{m}", at=at, second=-m) for m in range(5)))
    stream.run()
    return stream


def test_good_tables_pass_every_check(filled: Stream) -> None:
    found = check(filled)
    assert {name for _, name in found} == NAMES
    assert failed(found) == set()
    assert found[TODAY, "event_ids_unique"].metadata["rows"].value > 0
    assert found[None, "snapshot_equals_history"].metadata["symbols"].value == 5


def test_empty_tables_pass_every_check(stream: Stream) -> None:
    assert failed(check(stream)) == set()


NOON = NOW.replace(minute=0, second=0, microsecond=0)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.mark.parametrize(
    ("earlier", "later", "days"),
    [
        (NOON, NOON + HOUR, {TODAY}),
        (NOON - DAY, NOON + 2 * HOUR, {YESTERDAY, TODAY}),
        (NOON - 2 * DAY, NOON - DAY, {YESTERDAY}),  # beside the days that are checked
        (NOON, NOON + DAY, {TODAY}),
        (NOON.replace(hour=0) - timedelta(microseconds=1), NOON.replace(hour=0), {YESTERDAY, TODAY}),
        (NOON - 2 * DAY, NOON, set()),
        (NOON - 3 * DAY, NOON - 2 * DAY, set()),
    ],
)
def test_an_event_id_in_two_buckets_of_a_day_or_of_neighbouring_days_is_found_with_both_its_ticks(
    stream: Stream, earlier: datetime, later: datetime, days: set[str]
) -> None:
    for n, at in enumerate((earlier, later)):
        twice = {"event_id": "e1", "produced_at": at, "source": f"object {n}"}
        only = [{"event_id": f"of {at}", "produced_at": at}, {"event_id": "e1", "produced_at": at, "symbol": f"S{n}"}]
        put_history(stream, twice, *only)
    found = check(stream)
    assert {day for day, name in failed(found) if name == "event_ids_unique"} == days
    for day in days:
        result = found[day, "event_ids_unique"]
        assert (result.metadata["found"].value, result.severity) == (1, dg.AssetCheckSeverity.ERROR)
        (pair,) = result.metadata["examples"].records
        assert pair.data == {
            "symbol": "AAPL",
            "event_id": "e1",
            "earlier_produced_at": str(earlier),
            "earlier_source": "object 0",
            "produced_at": str(later),
            "source": "object 1",
        }


def test_every_pair_of_ids_counts_and_a_few_are_named(stream: Stream) -> None:
    """A producer that begins to count anew each hour."""
    for hour in range(3):
        put_history(stream, *({"event_id": f"{n}", "produced_at": NOON + hour * HOUR} for n in range(40)))
    found = check(stream)[TODAY, "event_ids_unique"]
    assert (found.metadata["found"].value, found.metadata["rows"].value) == (80, 120)
    assert len(found.metadata["examples"].records) == 10
    assert "80 pairs" in str(found.description)


def test_ticks_stored_before_they_were_made_are_told(stream: Stream) -> None:
    ahead = {"event_id": "e1", "produced_at": NOW, "etl_loading_ts": NOW - timedelta(seconds=1)}
    put_history(stream, ahead, {"event_id": "e2", "produced_at": NOW, "etl_loading_ts": NOW})
    found = check(stream)[TODAY, "clocks_agree"]
    assert (found.passed, found.metadata["found"].value) == (False, 1)
    assert found.severity == dg.AssetCheckSeverity.WARN


@pytest.mark.parametrize(
    ("prices", "found", "severity"),
    [
        ((10.0, 14.9), 0, None),
        ((10.0, 15.2), 1, dg.AssetCheckSeverity.WARN),
        ((1_034.0, 10.3), 1, dg.AssetCheckSeverity.ERROR),  # pence among pounds
    ],
)
def test_prices_that_lie_too_far_apart_are_told(
    stream: Stream, prices: tuple[float, float], found: int, severity: dg.AssetCheckSeverity | None
) -> None:
    rows = [{"event_id": f"e{n}", "produced_at": NOW, "price": price} for n, price in enumerate(prices)]
    put_history(stream, *rows, {"event_id": "other", "produced_at": NOW, "symbol": "BRK.A", "price": 600_000.0})
    result = check(stream)[TODAY, "price_steps"]
    assert (result.passed, result.metadata["found"].value) == (not found, found)
    if severity:
        assert result.severity == severity
        assert [r.data["symbol"] for r in result.metadata["examples"].records] == ["AAPL"]


@pytest.mark.parametrize(
    ("bad", "severity"), [(0, None), (1, dg.AssetCheckSeverity.WARN), (5, dg.AssetCheckSeverity.ERROR)]
)
def test_the_share_of_rejected_ticks_is_judged_by_the_day_of_arrival(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, bad: int, severity: dg.AssetCheckSeverity | None
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_REJECTED_WARN_PERCENT", "5")
    monkeypatch.setenv("STOCK_PIPELINE_REJECTED_FAIL_PERCENT", "20")
    now = datetime.now(UTC)
    good = [tick(f"e{n}", at=now, second=-n / 10) for n in range(10)]
    stream.drop("today", *good, *[b'{"no": "tick"}\n'] * bad, hour=f"{now:%Y/%m/%d/%H}")
    stream.drop("long-ago", *[b"broken\n"] * 9, hour="2024/06/03/13")
    stream.run()
    found = check(stream)[f"{now:%Y-%m-%d}", "rejected_share"]
    assert (found.passed, found.metadata["rejected"].value) == (severity is None, bad)
    assert severity is None or found.severity == severity


def test_an_object_that_was_refused_whole_is_told(stream: Stream) -> None:
    now = datetime.now(UTC)
    stream.drop("zip", b"PK\x03\x04 not a zip", hour=f"{now:%Y/%m/%d/%H}")
    stream.run()
    found = check(stream)[f"{now:%Y-%m-%d}", "rejected_share"]
    assert (found.passed, found.metadata["refused_files"].value) == (False, 1)


def test_a_symbol_that_nobody_produces_any_more_is_told(filled: Stream) -> None:
    opened, _ = session_times(last_closed_session(datetime.now(UTC)))
    alter(filled, lambda rows: rows[0].update(produced_at=opened - timedelta(seconds=1)))
    alter(filled, lambda rows: rows[1].update(produced_at=opened))
    found = check(filled)[None, "symbols_current"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (found.metadata["symbols"].value, found.metadata["stale"].value) == (5, 1)


def alter(stream: Stream, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = stored_snapshot(stream.pipeline.lake).to_pylist()
    change(rows)
    put(stream, LATEST_PRICES, SNAPSHOT, *rows)


WRONG_SNAPSHOTS: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
    "a row too new": (lambda rows: rows[0].update(produced_at=datetime(2099, 1, 1, tzinfo=UTC)), "not_in_history"),
    "another price": (lambda rows: rows[0].update(price=99.0), "not_in_history"),
    "another event": (lambda rows: rows[0].update(event_id="zzz"), "not_in_history"),
    "a symbol that never traded": (lambda rows: rows.append(rows[0] | {"symbol": "NEVER"}), "not_in_history"),
    "a symbol lost": (lambda rows: rows.pop(0), "behind_history"),
    "the tick of the day before": (
        lambda rows: rows[0].update(event_id="e10", produced_at=rows[0]["produced_at"] - timedelta(days=1)),
        "behind_history",
    ),
}


@pytest.mark.parametrize(("change", "kind"), WRONG_SNAPSHOTS.values(), ids=WRONG_SNAPSHOTS)
def test_a_snapshot_that_is_not_the_latest_of_history_is_found_and_a_rebuild_repairs_it(
    filled: Stream, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[dict[str, Any]]], object], kind: str
) -> None:
    monkeypatch.setattr(checks, "SETTLING", timedelta(seconds=-1))
    alter(filled, change)
    found = check(filled)[None, "snapshot_equals_history"]
    assert not found.passed
    assert found.metadata[kind].value == 1
    assert found.severity == dg.AssetCheckSeverity.ERROR
    filled.run("refresh_latest_prices", day=None, rebuild=True)
    assert failed(check(filled)) == set()


def test_a_tick_that_has_only_reached_history_is_given_time(filled: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    alter(filled, lambda rows: rows.pop(0))
    assert failed(check(filled)) == set()
    monkeypatch.setattr(checks, "SETTLING", timedelta(seconds=-1))
    assert failed(check(filled)) == {(None, "snapshot_equals_history")}


def test_a_symbol_that_has_not_traded_for_days_is_held_against_its_own_time(stream: Stream) -> None:
    stream.drop("a", tick("old", "OLD", at=NOW - timedelta(days=90)))
    stream.run()
    stale = (None, "symbols_current")
    assert failed(check(stream)) == {stale}
    alter(stream, lambda rows: rows[0].update(price=2.0))
    assert failed(check(stream)) == {stale, (None, "snapshot_equals_history")}


def test_dead_letters_are_counted(stream: Stream) -> None:
    for n in range(3):
        stream.sqs.send_message(QueueUrl=stream.dead.url, MessageBody=f"poison {n}")
    found = check(stream)[None, "dead_letters_none"]
    assert (found.passed, found.metadata["messages"].value) == (False, 3)
    assert found.severity == dg.AssetCheckSeverity.ERROR


def test_without_a_dead_letter_queue_nobody_can_know(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_STREAM_DLQ_URL")
    found = check(stream)[None, "dead_letters_none"]
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "STOCK_PIPELINE_STREAM_DLQ_URL" in str(found.description)


def test_a_day_by_hand_is_checked_and_the_results_are_for_what_was_written(stream: Stream) -> None:
    at = NOW - timedelta(days=30)
    day = f"{at:%Y-%m-%d}"
    stream.drop("a", tick("e1", at=at), hour=f"{at:%Y/%m/%d/%H}", told=False)
    job = dg.define_asset_job("by_hand", dg.AssetSelection.assets("stream_prices_history"))
    from stock_pipeline.definitions import defs

    resolved = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("by_hand")
    result = resolved.execute_in_process(instance=stream.instance, partition_key=day)
    found = {
        e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data
        for e in result.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION"
    }
    assert {(e.partition, e.passed) for e in found.values()} == {(day, True)}
    assert found["event_ids_unique"].metadata["rows"].value == 1
    target = found["event_ids_unique"].target_materialization_data
    assert target is not None
    assert target.run_id == result.run_id


def test_the_schedule_waits_for_there_to_be_a_lake(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    from stock_pipeline.orchestration.resources import Buckets

    def asked() -> Any:
        return check_stream_every_15_minutes(dg.build_schedule_context(resources={"buckets": Buckets()}))

    assert isinstance(asked(), dg.RunRequest)
    monkeypatch.delenv("STOCK_PIPELINE_LAKE_BUCKET")
    assert "STOCK_PIPELINE_LAKE_BUCKET" in str(asked().skip_message)


def test_foreign_and_damaged_objects_are_named(filled: Stream) -> None:
    lake = filled.pipeline.lake
    assert check(filled)[None, "objects_own_and_whole"].passed
    lake.put("price_by_date/year=2024/prices (1).parquet", b"PAR1")
    lake.put("price_by_date/year=2023/prices.parquet", b"")
    found = check(filled)[None, "objects_own_and_whole"]
    assert not found.passed
    assert (found.metadata["foreign"].value, found.metadata["unreadable"].value) == (1, 1)
    assert found.description == "1 foreign and 1 unreadable objects"
    assert "prices (1).parquet" in str(found.metadata["examples"].value)


def test_prices_of_a_clock_that_was_ahead_are_told_until_they_are_taken_out(filled: Stream) -> None:
    alter(filled, lambda rows: rows[0].update(produced_at=datetime.now(UTC) + timedelta(days=1)))
    found = check(filled)[None, "snapshot_equals_history"]
    assert (found.passed, found.metadata["ahead_of_the_clock"].value) == (False, 1)
    filled.run("refresh_latest_prices", day=None, rebuild=True)
    assert check(filled)[None, "snapshot_equals_history"].passed
