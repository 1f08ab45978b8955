"""Compare-and-swap on a partition object: who wins, who merges again, what is written."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from stock_pipeline.errors import MergeContention, StoreUnavailable
from stock_pipeline.lake import partitions as cas
from stock_pipeline.lake.merge import Merged
from stock_pipeline.lake.partitions import merge_into_partition, partition_key, partitions, read_partition
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS
from stock_pipeline_tests.support.memory_store import MemoryStore
from stock_pipeline_tests.support.rows import bar, outcomes, table

YEAR = "year=2024"
KEY = "price_by_date/year=2024/prices.parquet"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cas.time, "sleep", lambda seconds: None)


def merge_rows(store: MemoryStore, rows: pa.Table, **options: bool) -> Merged:
    return merge_into_partition(store, PRICE_BY_DATE, YEAR, rows, **options)  # type: ignore[arg-type]


def closes(store: MemoryStore) -> dict[str, float]:
    rows = read_partition(store, PRICE_BY_DATE, YEAR)
    assert rows is not None
    return {r["symbol"]: r["close"] for r in rows.to_pylist()}


def test_where_a_partition_is_kept() -> None:
    assert partition_key(PRICE_BY_DATE, YEAR) == KEY


def test_a_partition_without_an_object_is_none() -> None:
    assert read_partition(MemoryStore(), PRICE_BY_DATE, YEAR) is None


def test_rows_come_back_as_they_went_in() -> None:
    store = MemoryStore()
    rows = table(bar("BRK.B", open=1.5, volume=7), bar("NA"))
    merge_rows(store, rows)
    stored = read_partition(store, PRICE_BY_DATE, YEAR)
    assert stored.to_pylist() == rows.to_pylist()
    assert stored.schema.equals(PRICE_BY_DATE.schema)
    assert partitions(store, PRICE_BY_DATE) == [YEAR]


def test_nothing_is_written_when_nothing_changes() -> None:
    store = MemoryStore()
    merge_rows(store, table(bar()))
    merged = merge_rows(store, table(bar(source="again.csv")))
    assert outcomes(merged) == ["DUPLICATE"]
    assert store.puts == [KEY]


@pytest.mark.parametrize("stored_before", [True, False])
def test_who_loses_the_race_merges_again(stored_before: bool) -> None:
    store = MemoryStore()
    if stored_before:
        merge_rows(store, table(bar("OLD")))

    def another_writer(key: str) -> None:
        store.before_put = lambda key: None
        merge_rows(store, table(bar("AAPL", close=99.0, source="other.csv"), bar("THEIRS", source="other.csv")))

    store.before_put = another_writer
    merged = merge_rows(store, table(bar("AAPL"), bar("OURS")))
    assert outcomes(merged) == ["CONFLICT", "INSERTED"]
    assert closes(store) == {"AAPL": 99.0, "OURS": 10.0, "THEIRS": 10.0} | ({"OLD": 10.0} if stored_before else {})


def test_a_lost_reply_is_not_mistaken_for_somebody_elses_rows() -> None:
    """The write took effect, its reply did not come; S3's client sends it again and is told 412."""
    store = MemoryStore()

    def send_again(key: str) -> None:
        store.after_put = lambda key: None
        data = store.objects[key].data
        store.put(key, data, if_none_match=True)

    store.after_put = send_again
    merged = merge_rows(store, table(bar("AAPL"), bar("AAPL")))
    assert outcomes(merged) == ["INSERTED", "DUPLICATE"]
    assert closes(store) == {"AAPL": 10.0}


def test_what_a_write_completed_is_counted_so_when_its_reply_is_lost() -> None:
    store = MemoryStore()
    merge_rows(store, table(bar("AAPL"), bar("MSFT", close=1.0)))

    def lost(key: str) -> None:
        store.after_put = lambda key: None
        merge_rows(store, table(bar("NVDA", source="other.csv")))  # somebody else writes in between
        store.put(key, b"", if_none_match=True)

    store.after_put = lost
    rows = table(*(bar(s, open=9.0, source="b.csv") for s in ("AAPL", "AAPL", "MSFT", "TSLA")))
    merged = merge_rows(store, rows)
    assert outcomes(merged) == ["UPDATED", "DUPLICATE", "CONFLICT", "INSERTED"]
    assert closes(store) == {"AAPL": 10.0, "MSFT": 1.0, "NVDA": 10.0, "TSLA": 10.0}


def test_losing_every_race_ends_with_an_error_that_says_what_to_do() -> None:
    store = MemoryStore()
    writers = iter(range(1000))

    def always_another(key: str) -> None:
        hook, store.before_put = store.before_put, lambda key: None
        merge_rows(store, table(bar(f"S{next(writers)}", source="other.csv")))
        store.before_put = hook

    store.before_put = always_another
    with pytest.raises(MergeContention, match="run this again"):
        merge_rows(store, table(bar("OURS")))
    assert len(closes(store)) == cas.TRIES


def test_an_unknown_effect_is_the_callers_to_know() -> None:
    store = MemoryStore()

    def broken(key: str) -> None:
        raise StoreUnavailable(key, "S3 answered 503")

    store.before_put = broken
    with pytest.raises(StoreUnavailable):
        merge_rows(store, table(bar()))


def test_each_version_that_a_restatement_met_is_on_record_before_its_commit() -> None:
    store = MemoryStore()
    merge_rows(store, table(bar(close=1.0)))

    def another_writer(key: str) -> None:
        store.before_put = lambda key: None
        merge_rows(store, table(bar(close=2.0, source="other.csv")), replace=True)

    store.before_put = another_writer
    merge_into_partition(store, PRICE_BY_DATE, YEAR, table(bar(close=3.0, source="b.csv")), replace=True)
    assert closes(store) == {"AAPL": 3.0}
    revised = read_partition(store, PRICE_REVISIONS, YEAR)
    assert revised is not None
    assert revised["close"].to_pylist() == [1.0, 2.0]


def test_writers_in_threads_lose_nothing() -> None:
    store = MemoryStore()

    def write(worker: int) -> None:
        for i in range(5):
            merge_rows(store, table(bar(f"W{worker}N{i}", source=f"{worker}.csv"), bar("SHARED")))

    threads = [threading.Thread(target=write, args=(w,)) for w in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(closes(store)) == {f"W{w}N{i}" for w in range(6) for i in range(5)} | {"SHARED"}
