"""The snapshot recomputed by tasks is what SQL makes of the same history, and what the ingests have kept up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_pipeline.errors import DamagedObject
from stock_pipeline.heavy import snapshot as heavy
from stock_pipeline.heavy.executors import in_processes, in_turn
from stock_pipeline.heavy.snapshot import moments_by_tasks
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.folder_store import FolderStore
from stock_pipeline.lake.layout import Layout
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import merge_into_partition, partition_key, partitions
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance import snapshot
from stock_pipeline.maintenance.snapshot import by_symbol, rebuild, recompute, refresh, stored_snapshot
from stock_pipeline.query import duckdb_engine
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.heavy.test_rebuild import MEMORY
from stock_pipeline_tests.ingest.test_latest import cancel, correction, trade
from stock_pipeline_tests.support.layouts import lay_out

NOW = datetime(2024, 6, 4, 20, tzinfo=UTC)
BOTH = pytest.mark.parametrize("run", [in_turn, in_processes(2)], ids=["loop", "pool"])


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as found:
        yield Path(found)


def by_sql(lake: FolderStore, patch: pytest.MonkeyPatch) -> None:
    """Let SQL read this lake."""

    def sql(statement: str, parameters: Any, *, settings: Settings) -> pa.Table:
        return duckdb_engine.run(statement, parameters, lake, settings.database)

    patch.setattr(snapshot, "sql", sql)


ticks = st.lists(
    st.tuples(
        st.sampled_from(["AAPL", "MSFT", "BRK.B"]),
        st.integers(-3 * 86_400, 60),  # seconds from now
        st.sampled_from([None, True, False]),  # whether it may set the last price
        st.sampled_from([None, None, None, "Q|2024-06-03|1|2|3"]),  # the trade that it corrects
    ),
    max_size=25,
)


@given(ticks)
@hypothesis_settings(max_examples=40, deadline=None)
def test_tasks_find_the_moments_that_sql_finds(ticks: list[tuple[str, int, bool | None, str | None]]) -> None:
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, pytest.MonkeyPatch.context() as patch:
        lake = FolderStore(Path(folder))
        lay_out(lake, 60)
        rows = [
            dict.fromkeys(STREAM_PRICES_HISTORY.schema.names)
            | {"event_id": f"e{n}", "symbol": symbol, "price": 1.0, "produced_at": NOW + timedelta(seconds=second)}
            | {"sets_last": sets, "corrects": corrects, "line": n, "source": "s", "etl_loading_ts": NOW}
            for n, (symbol, second, sets, corrects) in enumerate(ticks)
        ]
        table = pa.Table.from_pylist(rows, STREAM_PRICES_HISTORY.schema)
        codes, names = Layout.of(60).place(table)
        for at, name in enumerate(names):
            merge_into_partition(lake, STREAM_PRICES_HISTORY, name, table.filter(pa.array(codes == at)))
        by_sql(lake, patch)
        patch.setattr(heavy, "MOST_TASKS", 3)
        expected = snapshot._last_moments(Settings(), None, NOW)
        assert moments_by_tasks(f"file:{folder}")(NOW) == expected


def filled(folder: Path) -> FolderStore:
    """Trades of some days and symbols; the latest one of a symbol is cancelled, of another corrected, of a third it may
    not set the last price.
    """
    staging, lake = FolderStore(folder / "staging"), FolderStore(folder / "lake")
    lay_out(lake, 60)
    trades = [trade(n, 10.0 + n, n - 3000, S=f"S{n % 7}") for n in range(0, 3000, 150)]
    last = [trade(9000 + n, 90.0 + n, n, codes="@I" if n == 2 else "@", S=f"S{n}") for n in range(7)]
    messages = [*trades, *last, cancel(last[0]), correction(last[1], 9900, 19.2)]
    for n in range(0, len(messages), 10):
        key = f"stock_stream/2024/06/03/23/{n}"
        staging.put(key, "".join(json.dumps(m) + "\n" for m in messages[n : n + 10]).encode())
        ingest_ticks([key], staging=staging, lake=lake, now=NOW)
    return lake


@BOTH
def test_the_recomputed_snapshot_is_the_stored_one_and_that_of_sql(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = filled(folder)
    assert len(partitions(lake, STREAM_PRICES_HISTORY)) > 10
    by_sql(lake, monkeypatch)
    told: list[tuple[int, int]] = []
    moments = moments_by_tasks(f"file:{folder / 'lake'}", run, lambda *done: told.append(done))
    found = recompute(Settings(), lake, now=NOW, moments=moments)
    assert by_symbol(found) == by_symbol(stored_snapshot(lake)) == by_symbol(recompute(Settings(), lake, now=NOW))
    assert found.num_rows == 7
    assert told
    assert told[-1][0] == told[-1][1]


@BOTH
def test_a_wrong_snapshot_is_mended_without_sql(run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = filled(folder)
    right = stored_snapshot(lake)

    def no_sql(*_: Any, **__: Any) -> None:
        raise AssertionError("SQL was asked")

    monkeypatch.setattr(snapshot, "sql", no_sql)
    wrong = right.slice(1).to_pylist()  # a symbol is missing, one is behind, one was never traded
    wrong[0] |= {"produced_at": datetime(2024, 1, 1, tzinfo=UTC), "price": 1.0, "event_id": "old"}
    wrong.append(wrong[1] | {"symbol": "NEVER"})
    lake.put(
        partition_key(LATEST_PRICES, SNAPSHOT),
        encode(pa.Table.from_pylist(wrong, LATEST_PRICES.schema), LATEST_PRICES),
    )
    moments = moments_by_tasks(f"file:{folder / 'lake'}", run)
    difference = refresh(Settings(), lake, NOW, moments)
    assert (len(difference.only_stored), len(difference.only_recomputed), len(difference.differing)) == (1, 1, 1)
    assert by_symbol(stored_snapshot(lake)) == by_symbol(right) | {"NEVER": by_symbol(stored_snapshot(lake))["NEVER"]}
    rebuild(Settings(), lake, NOW, moments)
    assert by_symbol(stored_snapshot(lake)) == by_symbol(right)


def test_a_lake_without_history_has_no_moments(folder: Path) -> None:
    assert moments_by_tasks(f"file:{folder}")(NOW) == {}


def test_a_damaged_object_of_history_is_named(folder: Path) -> None:
    lake = filled(folder)
    key = partition_key(STREAM_PRICES_HISTORY, partitions(lake, STREAM_PRICES_HISTORY)[1])
    lake.put(key, b"no Parquet")
    with pytest.raises(DamagedObject, match=key):
        moments_by_tasks(f"file:{folder / 'lake'}")(NOW)


@pytest.mark.parametrize("most", [1, 3, 64])
def test_each_object_is_read_by_one_task(most: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = filled(folder)
    monkeypatch.setattr(heavy, "MOST_TASKS", most)
    taken: list[str] = []

    def run(tasks: Any, on_progress: Any) -> Any:
        assert 0 < len(tasks) <= most
        taken.extend(name for task in tasks for name in task.argument.names)
        return in_turn(tasks, on_progress)

    moments_by_tasks(f"file:{folder / 'lake'}", run)(NOW)
    assert taken == partitions(lake, STREAM_PRICES_HISTORY)
