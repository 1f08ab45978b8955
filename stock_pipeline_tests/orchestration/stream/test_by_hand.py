"""What people materialize: a day out of its raw objects, and the snapshot out of history."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import PreconditionFailed
from stock_pipeline.heavy.executors import in_turn
from stock_pipeline.heavy.tasks import Executor
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.contents import own_partitions
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key, read_partition
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance import snapshot
from stock_pipeline.maintenance.snapshot import rebuild, recompute, refresh, stored_snapshot
from stock_pipeline.orchestration.stream import assets
from stock_pipeline.quality.lake_objects import examine_objects
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore
from stock_pipeline_tests.support.stream import DAY, OPEN, Stream, materialized, tick

HISTORY, LATEST = "stream_prices_history", "latest_prices"
LATER = datetime(2024, 6, 3, 20, tzinfo=UTC)


def plant(stream: Stream, *rows: dict[str, Any]) -> None:
    """Put rows into the snapshot in the place of what it has."""
    filled = [{"size": None, "price": 1.0, "event_id": "planted", "etl_loading_ts": LATER} | row for row in rows]
    table = pa.Table.from_pylist(filled, schema=LATEST_PRICES.schema)
    stream.pipeline.lake.put(partition_key(LATEST_PRICES, SNAPSHOT), encode(table, LATEST_PRICES))


def stored_row(stream: Stream, symbol: str) -> dict[str, Any]:
    (row,) = [row for row in stored_snapshot(stream.pipeline.lake).to_pylist() if row["symbol"] == symbol]
    return row


# --- a day ----------------------------------------------------------------------------------------------------------


def test_a_day_is_brought_in_line_with_what_arrived_for_it(stream: Stream) -> None:
    stream.drop("a", tick("e1"), tick("e2"), told=False)
    stream.drop("late", tick("e3"), hour="2024/06/04/02", told=False)
    stream.drop("too late", tick("e4"), hour="2024/06/05/02", told=False)
    stream.drop("other", tick("x", at=OPEN - timedelta(days=9)), hour="2024/05/25/13", told=False)
    found = materialized(stream.run(assets=[HISTORY]))
    assert stream.ids() == ["e1", "e2", "e3"]
    assert [found[DAY][name] for name in ("dagster/row_count", "inserted", "sources")] == [3, 3, 2]
    assert found[LATEST]["dagster/row_count"] == 1, "the same ingest wrote it"
    found = materialized(stream.run(assets=[HISTORY], later_days=2))
    assert [found[DAY][name] for name in ("dagster/row_count", "inserted", "duplicates")] == [4, 1, 3]


def test_a_tick_of_a_clock_that_is_ahead_is_found_on_the_day_before(stream: Stream) -> None:
    midnight = datetime(2024, 6, 4, tzinfo=UTC)
    stream.drop("a", tick("e1", at=midnight, second=30), hour="2024/06/03/23", told=False)
    found = materialized(stream.run(day="2024-06-04", assets=[HISTORY]))
    assert found["2024-06-04"]["inserted"] == 1


def test_a_range_of_days_is_one_run_that_reports_each(stream: Stream) -> None:
    for n in range(3):
        at = OPEN + timedelta(days=n)
        stream.drop("a", tick(f"e{n}", at=at), hour=f"{at:%Y/%m/%d/%H}", told=False)
    found = materialized(stream.run(day="2024-06-02", last="2024-06-05", assets=[HISTORY]))
    days = {day: metadata["dagster/row_count"] for day, metadata in found.items() if day != LATEST}
    assert days == {"2024-06-02": 0, "2024-06-03": 1, "2024-06-04": 1, "2024-06-05": 1}


def test_a_weekend_has_partitions_as_coins_trade_on_it(stream: Stream) -> None:
    saturday = OPEN - timedelta(days=2)
    stream.drop("a", tick("e1", "BTC-USD", at=saturday), hour="2024/06/01/13", told=False)
    assert materialized(stream.run(day="2024-06-01", assets=[HISTORY]))["2024-06-01"]["inserted"] == 1


def test_only_the_named_sources_are_taken_with_all_their_days(stream: Stream) -> None:
    key = stream.drop("a", tick("e1"), tick("old", at=OPEN - timedelta(days=5)), told=False)
    stream.drop("b", tick("e2"), told=False)
    found = materialized(stream.run(assets=[HISTORY, LATEST], sources=[key]))
    assert set(found) == {DAY, "2024-05-29", LATEST}
    assert stream.ids() == ["e1", "old"]


def test_ticks_of_days_before_the_first_partition_are_stored(stream: Stream) -> None:
    key = stream.drop("a", tick("e1", at=datetime(2001, 5, 4, tzinfo=UTC)), told=False)
    assert set(materialized(stream.run(assets=[HISTORY], sources=[key]))) == {DAY, LATEST}
    assert stream.ids() == ["e1"]


@pytest.mark.parametrize(
    ("assets", "config", "remedy"),
    [
        ([HISTORY], {"rebuild": True}, "materialize only that"),
        ([HISTORY], {"arrivals": True, "sources": ["stock_stream/a"]}, "leave out sources or arrivals"),
        ([LATEST], {"sources": ["stock_stream/a"]}, "materialize stream_prices_history too"),
        ([LATEST], {"arrivals": True}, "materialize stream_prices_history too"),
        ([HISTORY], {"executor": "pool"}, "materialize only that"),
    ],
)
def test_contradictory_config_is_refused_with_its_remedy(
    stream: Stream, assets: list[str], config: dict[str, Any], remedy: str
) -> None:
    day = None if assets == [LATEST] else DAY
    (failure,) = [
        e for e in stream.run(day=day, assets=assets, succeeds=False, **config).all_events if e.is_step_failure
    ]
    assert remedy in str(failure.step_failure_data.error_display_string)


# --- the snapshot ---------------------------------------------------------------------------------------------------


def test_recomputed_by_hand_the_snapshot_is_as_it_was(stream: Stream) -> None:
    stream.drop("a", *(tick(f"e{n}", f"S{n % 7}", second=n * 97.000001) for n in range(50)))
    stream.run()
    before = stored_snapshot(stream.pipeline.lake)
    found = materialized(stream.run("refresh_latest_prices", day=None))[LATEST]
    assert [found[name] for name in ("only_in_snapshot", "only_in_history", "differing")] == [0, 0, 0]
    assert found["dagster/row_count"] == 7
    assert stored_snapshot(stream.pipeline.lake).equals(before)


def test_a_snapshot_that_lags_or_lost_a_symbol_is_brought_up_to_date(stream: Stream) -> None:
    stream.drop("a", tick("e1"), tick("e2", second=5), tick("m", "MSFT"))
    stream.run()
    plant(stream, {"symbol": "AAPL", "produced_at": OPEN, "event_id": "e1", "price": 10.5})
    found = materialized(stream.run("refresh_latest_prices", day=None))[LATEST]
    assert [found[name] for name in ("only_in_snapshot", "only_in_history", "differing")] == [0, 1, 1]
    shown = {record.data["symbol"]: record.data for record in found["differences"].records}
    assert (shown["AAPL"]["stored_event_id"], shown["AAPL"]["recomputed_event_id"]) == ("e1", "e2")
    assert (shown["MSFT"]["stored_event_id"], shown["MSFT"]["recomputed_event_id"]) == (None, "m")
    assert stream.latest() == {"AAPL": "e2", "MSFT": "m"}


def wrong_snapshot(stream: Stream) -> None:
    stream.drop("a", tick("e1"), tick("m", "MSFT"))
    stream.run()
    plant(
        stream,
        {"symbol": "AAPL", "produced_at": datetime(2099, 1, 1, tzinfo=UTC)},
        {"symbol": "NEVER", "produced_at": OPEN},
        {"symbol": "MSFT", "produced_at": OPEN, "event_id": "m", "price": 99.0},
    )


def test_a_newer_row_never_gives_way_to_a_recomputed_one(stream: Stream) -> None:
    wrong_snapshot(stream)
    found = materialized(stream.run("refresh_latest_prices", day=None))[LATEST]
    assert [found[name] for name in ("only_in_snapshot", "only_in_history", "differing")] == [1, 0, 2]
    assert stream.latest() == {"AAPL": "planted", "MSFT": "m", "NEVER": "planted"}


def test_a_rebuild_takes_out_what_history_does_not_have(stream: Stream) -> None:
    wrong_snapshot(stream)
    stream.run("refresh_latest_prices", day=None, rebuild=True)
    assert stream.latest() == {"AAPL": "e1", "MSFT": "m"}
    assert stored_row(stream, "MSFT")["price"] == 10.5
    found = materialized(stream.run("refresh_latest_prices", day=None, rebuild=True))[LATEST]
    assert [found[name] for name in ("only_in_snapshot", "only_in_history", "differing")] == [0, 0, 0]


def test_a_pool_reads_history_in_the_place_of_sql(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks are done here, because no other process sees these buckets. `heavy/` has tests of the pool."""
    wrong_snapshot(stream)
    asked: list[int] = []

    def in_processes(processes: int) -> Executor:
        asked.append(processes)
        return in_turn

    monkeypatch.setattr(assets, "in_processes", in_processes)
    monkeypatch.delattr(snapshot, "sql")
    found = materialized(stream.run(assets=[LATEST], day=None, rebuild=True, executor="pool", processes=3))
    assert [found[LATEST][name] for name in ("only_in_snapshot", "only_in_history", "differing")] == [1, 0, 2]
    assert stream.latest() == {"AAPL": "e1", "MSFT": "m"}
    assert asked == [3]


def test_a_rebuild_of_a_snapshot_without_any_history_empties_it(stream: Stream) -> None:
    plant(stream, {"symbol": "NEVER", "produced_at": OPEN})
    stream.run("refresh_latest_prices", day=None, rebuild=True)
    assert stream.latest() == {}


def test_without_ticks_there_is_an_empty_snapshot(stream: Stream) -> None:
    assert materialized(stream.run("refresh_latest_prices", day=None))[LATEST]["dagster/row_count"] == 0


def test_what_is_written_during_a_rebuild_is_kept(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the swap, between reading and swapping, and behind a wrong later row that keeps it out of the snapshot."""
    wrong_snapshot(stream)
    arriving = [
        [tick("m2", "MSFT", second=2), tick("g", "GOOG")],  # the snapshot is written: the first swap loses
        [tick("e2", second=2)],  # AAPL: the planted row of 2099 is in its way, so the snapshot is not written
        [tick("m3", "MSFT", second=3)],  # after the swap
    ]
    real = S3Store.put
    lost: list[str] = []

    def put(store: S3Store, key: str, data: bytes, **condition: Any) -> str:
        if key == partition_key(LATEST_PRICES, SNAPSHOT) and arriving and not busy:
            busy.append(True)
            source = stream.drop(f"meanwhile {len(arriving)}", *arriving.pop(0), told=False)
            ingest_ticks([source], staging=stream.pipeline.staging, lake=stream.pipeline.lake)
            busy.clear()
        try:
            return real(store, key, data, **condition)
        except PreconditionFailed:
            lost.append(key)
            raise

    busy: list[bool] = []
    monkeypatch.setattr(S3Store, "put", put)
    rebuild(stream.settings, stream.pipeline.lake)
    assert (len(lost), arriving) == (2, [])
    assert stream.latest() == {"AAPL": "e2", "MSFT": "m3", "GOOG": "g"}


def test_an_object_that_does_not_fit_the_layout_is_named_and_its_ticks_count_nowhere(stream: Stream) -> None:
    lake = stream.pipeline.lake
    lay_out(lake, 5)
    stream.drop("a", tick("e1", second=400))
    stream.run()
    (object_,) = own_partitions(lake, STREAM_PRICES_HISTORY)
    lay_out(lake, 60)  # as no command does it: the day has ticks
    assert recompute(stream.settings, lake).num_rows == 0
    found = examine_objects(lake, datetime.now(UTC), 10)
    assert list(found.foreign) == [partition_key(STREAM_PRICES_HISTORY, object_)]


def test_milliseconds_are_enough_of_the_engine(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Athena rounds times to the millisecond, over the end of a bucket too."""
    stream.drop("a", tick("e1", second=299.9999), tick("e2", second=299.99995), tick("e0", second=299.99995))
    stream.run()
    real = snapshot.sql

    def rounding(statement: str, parameters: Any, *, settings: Settings) -> pa.Table:
        found = real(statement, parameters, settings=settings)
        rounded = [at + timedelta(microseconds=500) for at in found["produced_at"].to_pylist()]
        rounded = [at.replace(microsecond=at.microsecond // 1000 * 1000) for at in rounded]
        return pa.table({"symbol": found["symbol"], "produced_at": rounded})

    monkeypatch.setattr(snapshot, "sql", rounding)
    (row,) = recompute(stream.settings, stream.pipeline.lake).to_pylist()
    # Of two ticks of one moment the later line counts, whatever its id.
    assert (row["event_id"], row["produced_at"]) == ("e0", OPEN + timedelta(seconds=299, microseconds=999950))


ticks = st.lists(
    st.tuples(
        st.sampled_from(["AAPL", "MSFT", "BRK.B"]),
        st.integers(0, 3_600_000_000),  # microseconds
        st.integers(0, 10_000),  # ids: few collide, as those of a producer do not
    ),
    max_size=20,
    unique_by=lambda t: t[2],
)


@given(ticks, st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=20, deadline=None)
def test_the_recomputed_snapshot_is_the_incremental_one(
    ticks: list[tuple[str, int, int]], order: random.Random
) -> None:
    staging, lake = MemoryStore("staging"), MemoryStore("lake")
    lines = [tick(f"e{n}", symbol, price=n + 1, second=micros / 1e6) for symbol, micros, n in ticks]
    keys = []
    for start in range(0, len(lines), 3):
        keys.append(f"stock_stream/{start}")
        staging.put(keys[-1], b"".join(lines[start : start + 3]))
    for key in order.sample(keys * 2, len(keys) * 2):
        ingest_ticks([key], staging=staging, lake=lake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "sql", lambda statement, parameters, settings: _max(lake))
        recomputed = recompute(Settings(), lake)
        difference = refresh(Settings(), lake)
    assert difference.equal
    assert snapshot.by_symbol(recomputed) == snapshot.by_symbol(stored_snapshot(lake))


def _max(lake: MemoryStore) -> pa.Table:
    """What SQL says of when each symbol last traded, without an engine."""
    parts = [STREAM_PRICES_HISTORY.schema.empty_table()]
    for key in list(lake.objects):
        if key.startswith(STREAM_PRICES_HISTORY.prefix) and key.endswith(STREAM_PRICES_HISTORY.suffix):
            name = key.removeprefix(STREAM_PRICES_HISTORY.prefix).removesuffix(STREAM_PRICES_HISTORY.suffix)
            rows = read_partition(lake, STREAM_PRICES_HISTORY, name)
            assert rows is not None
            parts.append(rows)
    found = pa.concat_tables(parts).unify_dictionaries().group_by("symbol").aggregate([("produced_at", "max")])
    return found.rename_columns({"produced_at_max": "produced_at"})
