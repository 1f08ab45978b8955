"""Whatever events are lost: after reconciling, the tables are those of a bucket whose every event arrived."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.maintenance.reconcile import Repaired, Unseen, find_unseen, repair
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore

START = datetime(2024, 6, 3, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HEADER = "symbol,date,open,high,low,close,volume\n"


@dataclass
class Clock:
    now: datetime = START


class Bucket(MemoryStore):
    """A bucket whose clock is that of the others, as S3's is."""

    def __init__(self, bucket: str, clock: Clock) -> None:
        super().__init__(bucket, versioned=True)
        self._shared = clock

    def _tick(self) -> datetime:
        self._shared.now += timedelta(seconds=1)
        return self._shared.now


@dataclass
class Desk:
    """Two buckets, and functions that an event calls for."""

    clock: Clock = field(default_factory=Clock)
    staging: Bucket = field(init=False)
    lake: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.staging, self.lake = Bucket("staging", self.clock), Bucket("lake", self.clock)

    def arrive(self, key: str, data: bytes, *, told: bool = True) -> str:
        """An object arrives; unless the event is lost, a function takes it."""
        self.staging.put(key, data)
        if told:
            self.ingest(key)
        return key

    def ingest(self, key: str) -> None:
        self.clock.now += timedelta(seconds=1)
        ingest = ingest_ticks if key.startswith("stock_stream/") else ingest_daily_prices
        ingest([key], staging=self.staging, lake=self.lake, now=self.clock.now)  # type: ignore[operator]

    def find(self, *, since: timedelta | None = None, age: timedelta = timedelta()) -> Unseen:
        return find_unseen(
            staging=self.staging, lake=self.lake, since=since, age=age, now=self.clock.now + timedelta(seconds=2)
        )

    def keys(self, **window: Any) -> list[str]:
        return [info.key for info in self.find(**window).objects]

    def reconcile(self) -> Repaired:
        self.clock.now += HOUR
        return repair(self.find(), staging=self.staging, lake=self.lake, settings=Settings(), now=self.clock.now)

    def rows(self, table: Table, *without: str) -> list[tuple[str, ...]]:
        """A table's rows, of all partitions, without some columns and never with the time of loading."""
        if table is LATEST_PRICES:
            found = [read_partition(self.lake, table, SNAPSHOT)]
        else:
            found = [read_partition(self.lake, table, name) for name in partitions(self.lake, table)]
        return sorted(row for rows in found if rows is not None for row in plain(rows, *without))

    def tables(self, *without: str) -> dict[str, list[tuple[str, ...]]]:
        """Everything that the lake holds."""
        found = {t.name: self.rows(t, *without) for t in (PRICE_BY_DATE, STREAM_PRICES_HISTORY, LATEST_PRICES)}
        for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY):
            found[f"rejected of {table.name}"] = sorted(plain(read_rejects(self.lake, table)))
        return found


def plain(rows: pa.Table, *without: str) -> list[tuple[str, ...]]:
    dropped = {*without, "etl_loading_ts"}
    return [tuple(str(v) for name, v in row.items() if name not in dropped) for row in rows.to_pylist()]


# --- objects, of which every row's values follow from its key, so that no order of arrival makes a conflict ---------


def bar(symbol: str, day: date) -> str:
    close = 10 + day.toordinal() % 7 + len(symbol)
    return f"{symbol},{day},{close},{close + 1},{close - 1},{close},{day.toordinal()}\n"


def line(name: int, second: int, *, named: bool = True) -> bytes:
    """A tick; without an id of its own it is known by its place."""
    at = START - HOUR + timedelta(seconds=second)
    tick = {"symbol": f"S{name % 3}", "price": 10 + name, "produced_at": at.isoformat()}
    return json.dumps(tick | ({"event_id": f"e{name}"} if named else {})).encode() + b"\n"


days = st.dates(date(2021, 12, 28), date(2024, 1, 5))
good_rows = st.builds(bar, st.sampled_from(["A", "BB", "CCC"]), days)
bad_rows = st.sampled_from(["A,2024-01-02,1,2,0,-1,5\n", "A,no date,1,2,0,1,5\n", "B B,2024-01-02,1,1,1,1,1\n"])
csvs = st.lists(good_rows | bad_rows, max_size=8).map(lambda rows: (HEADER + "".join(rows)).encode())
price_objects = st.tuples(
    st.sampled_from(["daily_prices/date=2024-01-02/p.csv", *(f"daily_prices/uploads/{n}.csv" for n in "abcde")]),
    csvs | st.sampled_from([b"", b"no,daily,prices\n1,2,3\n"]),
)
good_ticks = st.integers(0, 20).map(lambda name: line(name, name * 37))
own_ticks = st.integers(0, 20).map(lambda name: line(name, name * 37, named=False))
bad_ticks = st.sampled_from([b"{no json\n", b'{"symbol": "A", "price": -1, "produced_at": "2024-06-03 12:00:00"}\n'])
tick_objects = st.tuples(
    st.sampled_from([*(f"stock_stream/2024/06/03/12/{n}" for n in "abcd"), "stock_stream/uploads/x.jsonl"]),
    st.lists(good_ticks | own_ticks | bad_ticks, max_size=8).map(b"".join),
)
lost_events = st.lists(st.sampled_from([True, False, False]), min_size=12, max_size=12)  # three in ten, about


def once_each(objects: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return list(dict(objects).items())


@settings(max_examples=50, deadline=None)
@given(st.lists(price_objects | tick_objects, min_size=1, max_size=12).map(once_each), lost_events)
def test_after_reconciling_the_tables_are_those_of_a_bucket_without_lost_events(
    objects: list[tuple[str, bytes]], lost: list[bool]
) -> None:
    whole, holed = Desk(), Desk()
    for (key, data), dropped in zip(objects, lost, strict=False):
        whole.arrive(key, data)
        holed.arrive(key, data, told=not dropped)
    repaired = holed.reconcile()
    assert repaired.failed == {}
    # Of a row that two objects hold, the table names the one that was ingested first, and the place in it.
    where = ("source", "line", "place")
    assert holed.tables(*where) == whole.tables(*where)
    found = {receipt.source for receipt in repaired.receipts}
    assert found >= {key for (key, _), dropped in zip(objects, lost, strict=False) if dropped}
    before = holed.tables()
    assert holed.keys() == [], "what was reconciled is not found again"
    assert holed.reconcile().receipts == []
    assert holed.tables() == before


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=12, unique=True), lost_events)
def test_the_sources_are_the_same_where_no_two_objects_hold_one_row(names: list[int], lost: list[bool]) -> None:
    whole, holed = Desk(), Desk()
    for n, dropped in zip(names, lost, strict=False):
        csv = (HEADER + bar("A", date(2022, 1, 3) + timedelta(days=40 * n))).encode()
        for key, data in ((f"daily_prices/uploads/{n}.csv", csv), (f"stock_stream/2024/06/03/12/{n}", line(n, n))):
            whole.arrive(key, data)
            holed.arrive(key, data, told=not dropped)
    holed.reconcile()
    assert holed.tables() == whole.tables()


@settings(max_examples=20, deadline=None)
@given(csvs, csvs, st.booleans(), st.booleans())
def test_an_object_whose_later_version_nobody_was_told_of_is_found(
    first: bytes, second: bytes, told_of_first: bool, told_of_second: bool
) -> None:
    key = "daily_prices/uploads/a.csv"
    whole, holed = Desk(), Desk()
    later = first + second.removeprefix(HEADER.encode()) + bar("ZZ", date(2023, 5, 5)).encode()
    for desk, told in ((whole, (True, True)), (holed, (told_of_first, told_of_second))):
        desk.arrive(key, first, told=told[0])
        desk.arrive(key, later, told=told[1])
    traceless = told_of_first and first == HEADER.encode()  # nothing in it can say that it was ingested
    assert holed.keys() == [key] * (2 - told_of_first - told_of_second + traceless)
    holed.reconcile()
    assert holed.tables() == whole.tables()
    assert holed.keys() == []


# --- what counts as seen ------------------------------------------------------------------------------------------


def price(*rows: str) -> bytes:
    return (HEADER + "".join(rows)).encode()


ONE = price(bar("A", date(2024, 1, 2)))


def test_what_the_tables_hold_is_seen_and_nothing_is_written_to_find_out() -> None:
    desk = Desk()
    desk.arrive("daily_prices/uploads/a.csv", ONE)
    desk.arrive("daily_prices/uploads/bad.csv", price("A,2024-01-03,1,2,0,-1,5\n"))
    desk.arrive("daily_prices/uploads/cats.csv", b"cats\n")
    desk.arrive("stock_stream/2024/06/03/12/a", line(1, 1))
    desk.staging.put("daily_prices/uploads/", b"")
    puts = len(desk.lake.puts)
    assert desk.keys() == []
    assert len(desk.lake.puts) == puts


def test_an_object_of_nothing_but_known_rows_is_taken_up_once_and_leaves_no_row() -> None:
    desk = Desk()
    desk.arrive("daily_prices/uploads/a.csv", ONE)
    copy = desk.arrive("daily_prices/uploads/copy.csv", ONE)
    assert desk.keys() == [copy], "no table can tell that it was ingested"
    (receipt,) = desk.reconcile().receipts
    assert (receipt.duplicates, receipt.inserted) == (1, 0)
    assert desk.keys() == []
    assert read_rejects(desk.lake, PRICE_BY_DATE).num_rows == 0
    desk.staging.put(copy, price(bar("A", date(2024, 1, 2)), bar("A", date(2024, 1, 3))))
    assert desk.keys() == [copy], "a later version is another matter"


def test_rejected_rows_that_stay_the_same_do_not_hide_a_later_version() -> None:
    desk = Desk()
    bad = "A,2024-01-03,1,2,0,-1,5\n"
    key = desk.arrive("daily_prices/uploads/a.csv", price(bad))
    desk.arrive(key, price(bad, bar("A", date(2024, 1, 2))), told=False)
    assert desk.keys() == [key]
    desk.reconcile()
    assert desk.rows(PRICE_BY_DATE, "source")
    assert desk.keys() == []
    desk.arrive(key, price(bad, *[bar("A", date(2024, 1, 2))] * 2), told=False)
    assert desk.keys() == [key]
    desk.reconcile()
    assert desk.keys() == [], "although this ingest changed no row"
    rows = read_rejects(desk.lake, PRICE_BY_DATE).to_pylist()
    assert [row["raw"] for row in rows] == [bad.strip()] * 3
    assert len({row["etag"] for row in rows}) == 3, "each version has its records"


def test_a_version_that_was_written_again_with_the_same_content_is_known_by_its_record() -> None:
    desk = Desk()
    key = desk.arrive("daily_prices/uploads/cats.csv", b"cats\n")
    desk.staging.put(key, b"cats\n")
    assert desk.keys() == []


def test_only_the_window_is_looked_at_and_what_is_young_is_on_its_way() -> None:
    desk = Desk()
    old = desk.arrive("daily_prices/uploads/old.csv", ONE, told=False)
    old_ticks = desk.arrive("stock_stream/2024/06/03/12/old", line(1, 1), told=False)
    desk.clock.now += timedelta(days=5)
    recent = desk.arrive("daily_prices/uploads/recent.csv", ONE, told=False)
    recent_ticks = desk.arrive("stock_stream/2024/06/08/12/recent", line(2, 2), told=False)
    desk.clock.now += timedelta(minutes=20)
    young = desk.arrive("daily_prices/uploads/young.csv", ONE, told=False)
    window = {"since": timedelta(days=3), "age": timedelta(minutes=15)}
    assert desk.keys(**window) == [recent, recent_ticks]
    assert desk.find(**window).looked_at == 2
    assert desk.keys() == [old, recent, young, old_ticks, recent_ticks]


def test_only_partitions_written_since_are_read_and_none_once_all_is_found() -> None:
    desk = Desk()
    for year in range(1990, 2010):
        desk.arrive(f"daily_prices/uploads/{year}.csv", price(bar("A", date(year, 1, 5))))
    desk.clock.now += timedelta(days=5)
    desk.arrive("daily_prices/uploads/new.csv", price(bar("A", date(2020, 1, 6))))
    desk.lake.gets.clear()
    assert desk.keys(since=timedelta(days=3)) == []
    assert desk.lake.gets == ["price_by_date/year=2020/prices.parquet"]
    desk.arrive("daily_prices/uploads/lost.csv", price(bar("B", date(2020, 1, 6))), told=False)
    assert desk.keys(since=timedelta(days=3)) == ["daily_prices/uploads/lost.csv"]


def test_an_object_that_breaks_the_ingest_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    good = desk.arrive("stock_stream/2024/06/03/12/good", line(1, 1), told=False)
    poison = desk.arrive("stock_stream/2024/06/03/12/poison", line(2, 2), told=False)
    gone = desk.arrive("stock_stream/2024/06/03/12/gone", line(3, 3), told=False)
    unseen = desk.find()
    del desk.staging.objects[gone], desk.staging.kept[gone]
    get: Callable[..., Any] = desk.staging.get

    def breaking(key: str, **more: Any) -> Any:
        if key == poison:
            raise MemoryError("SECRET")
        return get(key, **more)

    monkeypatch.setattr(desk.staging, "get", breaking)
    repaired = repair(unseen, staging=desk.staging, lake=desk.lake, settings=Settings(), now=desk.clock.now)
    assert sorted((r.source, r.refused is None) for r in repaired.receipts) == [(gone, False), (good, True)]
    assert set(repaired.failed) == {poison}
    assert read_rejects(desk.lake, STREAM_PRICES_HISTORY, gone)["reason"].to_pylist() == ["file_gone"]
    assert "SECRET" not in repaired.failed[poison]
    assert desk.keys() == [poison]


def test_progress_counts_what_is_accounted_for_and_what_is_done() -> None:
    desk = Desk()
    for n in range(3):
        desk.arrive(f"daily_prices/uploads/{n}.csv", price(bar("A", date(2024, 1, 2 + n))), told=n != 1)
    seen: list[tuple[int, int]] = []
    unseen = find_unseen(
        staging=desk.staging,
        lake=desk.lake,
        since=None,
        age=timedelta(),
        now=desk.clock.now + HOUR,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (2, 3)
    done: list[tuple[int, int]] = []
    repair(
        unseen, staging=desk.staging, lake=desk.lake, settings=Settings(), now=desk.clock.now + HOUR,
        on_progress=lambda n, total: done.append((n, total)),
    )  # fmt: skip
    assert done == [(1, 1)]


def test_an_empty_bucket_has_nothing_unseen() -> None:
    assert Desk().find(since=timedelta(days=3)) == Unseen((), (), 0)
