"""Rejected records: replaced whole with their source, but what a restatement replaced stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.rejected_records import is_judged, read_rejects, rejects_partition, write_judged, write_rejects
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED, REJECTED_RECORDS
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 5, 1, tzinfo=UTC)
HOSTILE = "daily_prices/uploads/../../x'; DROP TABLE t; --<script>.csv"


def source(key: str = "daily_prices/uploads/a.csv", modified: datetime = NOW, etag: str = "etag") -> ObjectInfo:
    return ObjectInfo(key, etag, 1, modified)


EARLIER = source(modified=NOW - timedelta(hours=1), etag="earlier")
LATER = source(modified=NOW + timedelta(hours=1), etag="later")


def rejected(*rows: tuple[int, str]) -> pa.Table:
    found = [{"line": line, "reason": reason, "detail": "d", "raw": f"raw {line}"} for line, reason in rows]
    return pa.Table.from_pylist(found, REJECTED)


def lines(store: MemoryStore, key: str | None = None) -> list[tuple[int, str]]:
    return [(r["line"], r["reason"]) for r in read_rejects(store, PRICE_BY_DATE, key).to_pylist()]


def test_a_source_is_recorded_with_all_there_is_to_know() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((3, "bad_date")), NOW)
    assert read_rejects(store, PRICE_BY_DATE).to_pylist() == [
        {
            "target_table": "price_by_date",
            "source": "daily_prices/uploads/a.csv",
            "line": 3,
            "place": None,
            "reason": "bad_date",
            "detail": "d",
            "raw": "raw 3",
            "symbol": None,
            "date": None,
            "stored": False,
            "etl_loading_ts": NOW,
        }
    ]
    assert read_rejects(store, PRICE_BY_DATE).schema.equals(REJECTED_RECORDS.schema)


def test_only_what_was_recorded_lately_is_read_when_asked_for() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((3, "bad_date")), NOW)
    (info,) = store.list("")
    for since, found in ((info.modified, 1), (info.modified + timedelta(seconds=1), 0)):
        assert read_rejects(store, PRICE_BY_DATE, since=since).num_rows == found


def test_a_source_without_rejects_leaves_no_object() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert store.objects == {}


def test_the_records_of_a_source_are_replaced_whole() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((3, "bad_date"), (4, "bad_symbol")), NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected((4, "bad_symbol")), NOW)
    assert lines(store) == [(4, "bad_symbol")]
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert lines(store) == []


def test_the_same_records_again_write_nothing() -> None:
    store = MemoryStore()
    for _ in range(2):
        write_rejects(store, PRICE_BY_DATE, source(), rejected((9, "bad_date"), (3, "bad_date")), NOW)
    assert len(store.puts) == 1
    assert lines(store) == [(3, "bad_date"), (9, "bad_date")]


def test_sources_do_not_touch_each_other() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((1, "bad_date")), NOW)
    write_rejects(store, PRICE_BY_DATE, source("b.csv"), rejected((2, "bad_symbol")), NOW + timedelta(seconds=1))
    assert lines(store) == [(2, "bad_symbol"), (1, "bad_date")]  # newest first
    assert lines(store, "b.csv") == [(2, "bad_symbol")]
    assert lines(store, "never seen.csv") == []


def test_replaced_values_stay_and_are_recorded_once() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((1, "bad_date")), NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected((2, "replaced")), NOW, add=True)
    assert lines(store) == [(1, "bad_date"), (2, "replaced")]
    for _ in range(2):
        write_rejects(store, PRICE_BY_DATE, source(), rejected((2, "replaced"), (5, "conflict")), NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert lines(store) == [(2, "replaced")]


def test_a_worker_that_is_late_does_not_bring_back_an_old_version_of_the_file() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(modified=NOW), rejected((7, "bad_date")), NOW)
    late = source(modified=NOW - timedelta(hours=1))
    write_rejects(store, PRICE_BY_DATE, late, rejected((1, "bad_symbol"), (2, "replaced")), NOW)
    assert lines(store) == [(2, "replaced"), (7, "bad_date")]


def test_two_writers_of_one_source_lose_no_replaced_value() -> None:
    store = MemoryStore()

    def another(key: str) -> None:
        store.before_put = lambda key: None
        write_rejects(store, PRICE_BY_DATE, source(), rejected((8, "replaced")), NOW, add=True)

    store.before_put = another
    write_rejects(store, PRICE_BY_DATE, source(), rejected((9, "replaced")), NOW, add=True)
    assert lines(store) == [(8, "replaced"), (9, "replaced")]


def judged(store: MemoryStore) -> list[bool]:
    return [is_judged(store, PRICE_BY_DATE, version) for version in (EARLIER, source(), LATER)]


def test_a_version_without_rejects_is_on_record_as_judged_and_so_are_those_before_it() -> None:
    store = MemoryStore()
    assert judged(store) == [False, False, False]
    write_judged(store, PRICE_BY_DATE, source(), NOW)
    assert judged(store) == [True, True, False]
    assert lines(store) == []


def test_what_is_on_record_of_the_version_or_a_later_one_says_already_that_it_was_judged() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((1, "bad_date")), NOW)
    for version in (EARLIER, source()):
        write_judged(store, PRICE_BY_DATE, version, NOW)
    assert len(store.puts) == 1
    assert judged(store) == [True, True, False]


def test_to_judge_a_later_version_keeps_what_an_ingest_of_it_left_on_record() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((1, "bad_date"), (2, "replaced")), NOW)
    write_judged(store, PRICE_BY_DATE, LATER, NOW)
    assert lines(store) == [(1, "bad_date"), (2, "replaced")]
    assert judged(store) == [True, True, True]
    # And from now on a worker that is late with the version before changes nothing.
    write_rejects(store, PRICE_BY_DATE, source(), rejected((7, "bad_symbol")), NOW)
    assert lines(store) == [(1, "bad_date"), (2, "replaced")]


def test_an_ingest_that_comes_between_loses_no_rejects_to_the_word_that_a_version_was_judged() -> None:
    store = MemoryStore()

    def another(key: str) -> None:
        store.before_put = lambda key: None
        write_rejects(store, PRICE_BY_DATE, source(), rejected((8, "bad_date")), NOW)

    store.before_put = another
    write_judged(store, PRICE_BY_DATE, LATER, NOW)
    assert lines(store) == [(8, "bad_date")]
    assert judged(store) == [True, True, True]


def test_a_hostile_key_never_becomes_part_of_an_objects_name() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(HOSTILE), rejected((1, "bad_date")), NOW)
    assert lines(store, HOSTILE) == [(1, "bad_date")]
    (name,) = store.objects
    assert name == f"rejected_records/{rejects_partition(PRICE_BY_DATE, HOSTILE)}.parquet"
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_/=.")
