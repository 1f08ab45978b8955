"""Rejected records: replaced with their version of a source, but what a restatement replaced stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from stock_pipeline.lake import rejected_records
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.rejected_records import (
    Ingested,
    add_rejects,
    as_recorded,
    mark_removed,
    read_rejects,
    record_key,
    record_objects,
    rejects_partition,
    rewrite_rejects,
    write_judged,
    write_rejects,
)
from stock_pipeline.lake.remembered import remembered, remembered_of
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


def add(store: MemoryStore, *rows: tuple[int, str]) -> None:
    add_rejects(store, PRICE_BY_DATE, source(), as_recorded(rejected(*rows)), NOW)


def lines(store: MemoryStore, key: str | None = None) -> list[tuple[int, str]]:
    return [(r["line"], r["reason"]) for r in read_rejects(store, PRICE_BY_DATE, key).to_pylist()]


def test_a_source_is_recorded_with_all_there_is_to_know() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(), rejected((3, "bad_date")), NOW)
    assert read_rejects(store, PRICE_BY_DATE).to_pylist() == [
        {
            "target_table": "price_by_date",
            "source": "daily_prices/uploads/a.csv",
            "etag": "etag",
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
    add(store, (2, "replaced"))
    assert lines(store) == [(1, "bad_date"), (2, "replaced")]
    for _ in range(2):
        write_rejects(store, PRICE_BY_DATE, source(), rejected((2, "replaced"), (5, "conflict")), NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert lines(store) == [(2, "replaced")]


def test_the_versions_of_a_name_that_is_used_again_do_not_touch_each_other() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, LATER, rejected((7, "bad_date")), NOW)
    write_rejects(store, PRICE_BY_DATE, EARLIER, rejected((1, "bad_symbol"), (2, "replaced")), NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert lines(store) == [(1, "bad_symbol"), (2, "replaced"), (7, "bad_date")]
    write_rejects(store, PRICE_BY_DATE, LATER, rejected(), NOW)
    assert lines(store) == [(1, "bad_symbol"), (2, "replaced")]


def test_two_writers_of_one_source_lose_no_replaced_value() -> None:
    store = MemoryStore()

    def another(key: str) -> None:
        store.before_put = lambda key: None
        add(store, (8, "replaced"))

    store.before_put = another
    add(store, (9, "replaced"))
    assert lines(store) == [(8, "replaced"), (9, "replaced")]


def judged(store: MemoryStore) -> list[str]:
    return [etag for etag, known in remembered(store, PRICE_BY_DATE, source().key).items() if known.judged]


def test_a_version_without_rejects_is_remembered_as_judged() -> None:
    store = MemoryStore()
    assert judged(store) == []
    for _ in range(2):
        write_judged(store, PRICE_BY_DATE, source(), {"year=2024": 1}, NOW)
    assert (judged(store), lines(store), len(store.puts)) == (["etag"], [], 1)
    assert remembered(store, PRICE_BY_DATE, source().key)["etag"].logged == {"year=2024": 1}
    write_rejects(store, PRICE_BY_DATE, LATER, rejected((1, "bad_date")), NOW)
    assert judged(store) == ["etag", "later"]


def test_what_is_added_before_an_ingest_is_done_does_not_say_that_the_version_was_judged() -> None:
    store = MemoryStore()
    add(store)
    assert store.objects == {}
    add(store, (2, "replaced"))
    assert judged(store) == []
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    assert (judged(store), lines(store)) == (["etag"], [(2, "replaced")])


def test_how_a_source_was_read_and_when_it_restated_is_remembered() -> None:
    store = MemoryStore()
    told = Ingested((("dates", "dmy"), ("symbol", "A"), ("unit", 100)), NOW.isoformat(), {"year=2024": 2})
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW, ingested=told)
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    known = remembered(store, PRICE_BY_DATE, source().key)["etag"]
    assert (known.options, known.restated, known.logged) == (told.options, told.restated, told.logged)
    assert remembered_of(store, PRICE_BY_DATE, [source().key, "other.csv"]) == {source().key: {"etag": known}}


def test_removed_versions_are_remembered_until_they_are_ingested_again() -> None:
    store = MemoryStore()
    mark_removed(store, PRICE_BY_DATE, source().key, ["earlier", "etag"], NOW)
    write_rejects(store, PRICE_BY_DATE, source(), rejected(), NOW)
    memory = remembered(store, PRICE_BY_DATE, source().key)
    assert {etag: known.removed for etag, known in memory.items()} == {"earlier": True, "etag": False}


def test_the_records_of_one_version_can_be_changed() -> None:
    store = MemoryStore()
    rewrite_rejects(store, PRICE_BY_DATE, source(), lambda rows: rows, NOW)
    assert store.objects == {}
    for version in (source(), LATER):
        write_rejects(store, PRICE_BY_DATE, version, rejected((1, "bad_date"), (2, "conflict")), NOW)
    rewrite_rejects(store, PRICE_BY_DATE, source(), lambda rows: rows.slice(1), NOW)
    assert sorted(lines(store)) == [(1, "bad_date"), (2, "conflict"), (2, "conflict")]


def test_an_ingest_that_comes_between_loses_no_rejects_to_the_word_that_a_version_was_judged() -> None:
    store = MemoryStore()

    def another(key: str) -> None:
        store.before_put = lambda key: None
        write_rejects(store, PRICE_BY_DATE, source(), rejected((8, "bad_date")), NOW)

    store.before_put = another
    write_judged(store, PRICE_BY_DATE, LATER, {}, NOW)
    assert lines(store) == [(8, "bad_date")]
    assert judged(store) == ["etag", "later"]


def test_a_hostile_key_never_becomes_part_of_an_objects_name() -> None:
    store = MemoryStore()
    write_rejects(store, PRICE_BY_DATE, source(HOSTILE), rejected((1, "bad_date")), NOW)
    assert lines(store, HOSTILE) == [(1, "bad_date")]
    (name,) = store.objects
    assert name == f"rejected_records/{rejects_partition(PRICE_BY_DATE, HOSTILE)}.parquet"
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_/=.")


@pytest.mark.parametrize("sources", [3, 40])
def test_a_long_list_of_records_is_asked_for_in_parts_and_is_whole(
    sources: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    monkeypatch.setattr(rejected_records, "_PAGE", 10)
    for number in range(sources):
        write_rejects(store, PRICE_BY_DATE, source(f"{number}.csv"), rejected((2, "bad_date")), NOW)
    copied = next(iter(store.objects))
    for foreign in (copied.replace(".parquet", " (1).parquet"), copied.rpartition("/")[0] + "/_SUCCESS"):
        store.put(foreign, store.objects[copied].data)
    found = record_objects(store, PRICE_BY_DATE)
    assert {i.key for i in found} == {record_key(PRICE_BY_DATE, f"{number}.csv") for number in range(sources)}
    assert len(found) == sources
    assert [i.modified for i in found] == sorted((i.modified for i in found), reverse=True)
    assert len(read_rejects(store, PRICE_BY_DATE)) == sources, "foreign objects have no records"
