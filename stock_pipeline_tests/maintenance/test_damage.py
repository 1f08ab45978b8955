"""Foreign, empty and damaged objects of the lake: each is named, none is doubled, and only what needs one stops."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from stock_pipeline.errors import DamagedObject, SchemaMismatch
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.partial_failure import Ingested, ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key, partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects, rejects_partition
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance import remove, snapshot
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.quality.lake_objects import examine_objects
from stock_pipeline.query import duckdb_engine
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, TABLES, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 4, 20, tzinfo=UTC)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "begins only": lambda data: b"PAR1" + b"\0" * 20 + data[-4:],
    "something else": lambda _: b"<html>not found</html>",
    "a page of zeros": lambda data: data[:4] + b"\xff" * (len(data) // 3) + data[4 + len(data) // 3 :],
}


class Desk:
    """Two buckets, with prices of two years and ticks of two days."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")
        lay_out(self.lake, 60)
        for module in (remove, snapshot):
            monkeypatch.setattr(module, "sql", self.sql)
        self.take(self.prices("2023", 2023), self.prices("2024", 2024), self.ticks("03", 3), self.ticks("04", 4))

    def sql(self, statement: str, parameters: Any = (), *, settings: Settings | None = None) -> pa.Table:
        return duckdb_engine.run(statement, parameters, self.lake, (settings or Settings()).database)

    def count(self, table: str, where: str = "true") -> int:
        return int(self.sql(f"SELECT count(*) AS n FROM {table} WHERE {where}")["n"][0].as_py())

    def prices(self, name: str, year: int) -> str:
        key = f"daily_prices/uploads/{name}.csv"
        self.staging.put(key, f"symbol,date,close\nAAPL,{year}-01-03,1.5\nBAD,{year}-01-03,-1\n".encode())
        return key

    def ticks(self, name: str, day: int, hour: int = 14) -> str:
        key = f"stock_stream/2024/06/{day:02}/{hour}/{name}"
        line = '{"event_id":"%s","symbol":"AAPL","price":2.5,"produced_at":"2024-06-%02d %02d:05:00"}\n'
        self.staging.put(key, (line % (name, day, hour) + "{half\n").encode())
        return key

    def take(self, *keys: str, now: datetime = NOW) -> Ingested:
        def ingest(some: list[str]) -> list[Receipt]:
            work = ingest_daily_prices if some[0].startswith("daily") else ingest_ticks
            return work(some, staging=self.staging, lake=self.lake, now=now)

        parts = [
            ingest_each([key for key in keys if key.startswith(prefix)], ingest)  # type: ignore[arg-type]
            for prefix in ("daily", "stock")
        ]
        return Ingested(
            parts[0].receipts + parts[1].receipts, parts[0].gone | parts[1].gone, parts[0].failed | parts[1].failed
        )

    def damage(self, key: str, how: Callable[[bytes], bytes]) -> bytes:
        before = self.lake.objects[key].data
        self.lake.put(key, how(before))
        return before


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def key_of(table: Table, partition: str) -> str:
    return partition_key(table, partition)


DAY = "year=2024/month=06/day=03/1400"
YEAR_KEY, DAY_KEY = key_of(PRICE_BY_DATE, "year=2023"), key_of(STREAM_PRICES_HISTORY, DAY)
LATEST_KEY = key_of(LATEST_PRICES, SNAPSHOT)


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    ("table", "partition", "needs"),
    [(PRICE_BY_DATE, "year=2023", "prices"), (STREAM_PRICES_HISTORY, DAY, "ticks"), (LATEST_PRICES, SNAPSHOT, "all")],
    ids=["a year", "an hour", "the snapshot"],
)
def test_only_what_needs_a_damaged_object_fails_and_names_it_with_the_remedy(
    desk: Desk, table: Table, partition: str, needs: str, how: Callable[[bytes], bytes]
) -> None:
    key = key_of(table, partition)
    before = desk.damage(key, how)
    damaged = desk.lake.objects[key].data
    wanted = [desk.prices("more23", 2023), desk.ticks("more03", 3)]
    others = [desk.prices("more24", 2024), desk.ticks("more04", 4)]
    done = desk.take(*wanted, *others)
    failing = {"prices": wanted[:1], "ticks": wanted[1:], "all": [wanted[1], others[1]]}[needs]
    assert sorted(done.failed) == sorted(failing)
    for reason in done.failed.values():
        assert f"the object {key} of {table.name} " in reason
        assert "Bring back its last good version from the bucket's versions" in reason
    assert desk.lake.objects[key].data == damaged  # nobody wrote over it
    desk.lake.put(key, before)
    assert not desk.take(*failing).failed


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_record_costs_only_itself_and_is_told(
    desk: Desk, how: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    mine = "daily_prices/uploads/2023.csv"
    key = f"rejected_records/{rejects_partition(PRICE_BY_DATE, mine)}.parquet"
    desk.damage(key, how)
    with caplog.at_level(logging.WARNING):
        assert set(read_rejects(desk.lake, PRICE_BY_DATE)["source"].to_pylist()) == {"daily_prices/uploads/2024.csv"}
    assert f"its records are left out: the object {key} of rejected_records" in caplog.text
    with pytest.raises(DamagedObject, match="the object rejected_records/table=price_by_date/"):
        read_rejects(desk.lake, PRICE_BY_DATE, mine)
    done = desk.take(mine, desk.prices("other", 2023))
    assert list(done.failed) == [mine]
    assert key in done.failed[mine]
    unseen = find_unseen(staging=desk.staging, lake=desk.lake, since=None, age=timedelta(0))
    repaired = repair(unseen, staging=desk.staging, lake=desk.lake, settings=Settings(), now=NOW)
    assert set(repaired.failed) <= {mine}


def test_an_error_that_all_objects_meet_is_raised_after_some_tries(desk: Desk) -> None:
    desk.damage(LATEST_KEY, DAMAGES["empty"])
    keys = [desk.ticks(f"{n:03}", 4) for n in range(64)]
    before = len(desk.lake.gets)
    with pytest.raises(DamagedObject, match=r"latest\.parquet of latest_prices is empty \(0 bytes\)"):
        desk.take(*keys)
    assert len(desk.lake.gets) - before < 64 * 8


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_sql_names_a_damaged_object_and_answers_what_does_not_need_it(
    desk: Desk, how: Callable[[bytes], bytes]
) -> None:
    desk.damage(DAY_KEY, how)
    assert desk.count("stream_prices_history", "year = 2024 AND month = 6 AND day = 4") == 1
    with pytest.raises((DamagedObject, SchemaMismatch), match=DAY_KEY):
        desk.sql("SELECT max(price), max(event_id), max(source) FROM stream_prices_history")


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_snapshot_can_be_built_again_from_history(desk: Desk, how: Callable[[bytes], bytes]) -> None:
    before = read_partition(desk.lake, LATEST_PRICES, SNAPSHOT)
    desk.damage(LATEST_KEY, how)
    snapshot.rebuild(Settings(), desk.lake, NOW)
    assert read_partition(desk.lake, LATEST_PRICES, SNAPSHOT) == before


def test_reconcile_ingests_what_a_damaged_object_does_not_hold_up(desk: Desk) -> None:
    desk.damage(YEAR_KEY, DAMAGES["empty"])
    lost = desk.ticks("lost", 4)
    unseen = find_unseen(staging=desk.staging, lake=desk.lake, since=None, age=timedelta(0))
    repaired = repair(unseen, staging=desk.staging, lake=desk.lake, settings=Settings(), now=NOW)
    assert lost in {receipt.source for receipt in repaired.receipts}
    assert all(YEAR_KEY in reason for reason in repaired.failed.values())


FOREIGN = [
    f"{YEAR_KEY.removesuffix('.parquet')} (1).parquet",
    "price_by_date/year=2023/part-00000-1a2b.c000.snappy.parquet",
    f"{DAY_KEY.removesuffix('.parquet')} (1).parquet",
    DAY_KEY.replace("1400", "1405"),
    DAY_KEY.replace("1400", "1400-00"),
    "latest_stream_prices/latest (1).parquet",
]


def test_foreign_objects_are_named_and_double_nothing(desk: Desk) -> None:
    rows = {name: desk.count(name) for name in TABLES}
    seen = {name: partitions(desk.lake, table) for name, table in TABLES.items()}
    for key in FOREIGN:
        table = next(table for table in TABLES.values() if key.startswith(table.prefix))
        own = {PRICE_BY_DATE: YEAR_KEY, STREAM_PRICES_HISTORY: DAY_KEY, LATEST_PRICES: LATEST_KEY}[table]
        desk.lake.put(key, desk.lake.objects[own].data)
    desk.lake.put("price_by_date/year=2023/_SUCCESS", b"")
    desk.lake.put("price_by_date/year=2023/", b"")
    assert {name: desk.count(name) for name in TABLES} == rows
    assert partitions(desk.lake, PRICE_BY_DATE) == seen["price_by_date"]
    assert snapshot.rebuild(Settings(), desk.lake, NOW).equal
    assert not desk.take(desk.prices("more23", 2023), desk.ticks("more03", 3)).failed
    found = examine_objects(desk.lake, NOW, 10)
    assert sorted(found.foreign) == sorted(FOREIGN)
    assert all("move it out of the table's folder" in why for why in found.foreign.values())


def test_what_is_empty_or_was_damaged_lately_is_found(desk: Desk) -> None:
    old = min(info.modified for info in desk.lake.list(""))
    assert examine_objects(desk.lake, old, 100).unreadable == {}
    desk.damage(DAY_KEY, DAMAGES["empty"])
    found = examine_objects(desk.lake, datetime(2099, 1, 1, tzinfo=UTC), 100)
    assert list(found.unreadable) == [DAY_KEY]  # an empty one, however old it is
    assert found.read == 1
    desk.damage(YEAR_KEY, DAMAGES["cut off"])
    wrong = pa.table({"symbol": ["AAPL"]})
    desk.lake.put(LATEST_KEY, encode(wrong, LATEST_PRICES))
    found = examine_objects(desk.lake, old, 100)
    assert sorted(found.unreadable) == sorted([DAY_KEY, YEAR_KEY, LATEST_KEY])
    assert "has no column price" in found.unreadable[LATEST_KEY]
    assert found.table().num_rows == 3
    assert len(examine_objects(desk.lake, old, 1).unreadable) >= 2


def test_an_object_that_goes_meanwhile_is_not_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    get = MemoryStore.get

    def vanishing(self: MemoryStore, key: str, **how: Any) -> Any:
        self.objects.pop(YEAR_KEY, None)
        return get(self, key, **how)

    monkeypatch.setattr(MemoryStore, "get", vanishing)
    assert examine_objects(desk.lake, datetime(2000, 1, 1, tzinfo=UTC), 100).unreadable == {}


def test_an_empty_object_of_ticks_leaves_a_record_as_an_empty_file_of_prices_does(desk: Desk) -> None:
    ticks, prices = "stock_stream/2024/06/04/15/empty", "daily_prices/uploads/empty.csv"
    for key in (ticks, prices):
        desk.staging.put(key, b"")
    done = desk.take(ticks, prices)
    assert all("empty" in str(receipt.refused) for receipt in done.receipts)
    for table, key in ((STREAM_PRICES_HISTORY, ticks), (PRICE_BY_DATE, prices)):
        (row,) = read_rejects(desk.lake, table, key).to_pylist()
        assert (row["line"], row["reason"]) == (0, "file_refused")


def test_a_clock_a_day_ahead_does_not_hold_the_snapshot_once_it_is_right_again(desk: Desk) -> None:
    """For a minute the clocks of producer and worker are a day ahead: the tick is taken, and stays the latest."""
    ahead = desk.ticks("ahead", 5, 21)
    desk.take(ahead, now=NOW + timedelta(1, hours=2))
    desk.take(desk.ticks("true", 4, 19))
    shown = snapshot.stored_snapshot(desk.lake)
    assert shown["event_id"].to_pylist() == ["ahead"]
    assert snapshot.ahead_of(shown, NOW, timedelta(minutes=5)).num_rows == 1
    snapshot.rebuild(Settings(), desk.lake, NOW)
    assert snapshot.stored_snapshot(desk.lake)["event_id"].to_pylist() == ["true"]
    assert snapshot.ahead_of(snapshot.stored_snapshot(desk.lake), NOW, timedelta(minutes=5)).num_rows == 0
    desk.take(desk.ticks("next", 4, 20))
    assert snapshot.stored_snapshot(desk.lake)["event_id"].to_pylist() == ["next"]


def test_ticks_of_a_clock_that_was_ahead_are_taken_out_with_their_source(desk: Desk) -> None:
    ahead = desk.ticks("ahead", 5, 21)
    desk.take(ahead, now=NOW + timedelta(1, hours=2))
    found = remove.find_source(ahead, desk.lake, Settings())
    assert remove.remove_source(found, desk.staging, desk.lake, Settings(), now=NOW) == 1
    assert snapshot.stored_snapshot(desk.lake)["event_id"].to_pylist() == ["04"]
    assert desk.count("stream_prices_history") == 2
