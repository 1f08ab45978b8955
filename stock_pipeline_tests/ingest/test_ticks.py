"""Ticks from raw objects into history and the latest snapshot: exactly once in effect, and never backwards."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.ingest import ticks as module
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import DEFAULT_SYMBOLS, Settings
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 3, 20, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)
OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
PREFIX = "stock_stream/2024/06/03/13/"
SNAPSHOT_KEY = "latest_stream_prices/latest.parquet"


def tick(event_id: str | None = "e1", symbol: str = "AAPL", price: Any = 10.5, second: int = 0, **more: Any) -> bytes:
    at = (OPEN + timedelta(seconds=second)).strftime("%Y-%m-%d %H:%M:%S.%f")
    message = {"event_id": event_id, "symbol": symbol, "price": price, "size": 5, "produced_at": at} | more
    return json.dumps({name: value for name, value in message.items() if value is not None}).encode() + b"\n"


class Feed:
    """A staging and a lake bucket with a Firehose that drops objects and somebody who reads the tables."""

    def __init__(self) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")
        lay_out(self.lake, 5)

    def drop(self, name: str, *lines: bytes) -> str:
        self.staging.put(PREFIX + name, b"".join(lines))
        return PREFIX + name

    def ingest(self, *keys: str, **options: Any) -> list[Receipt]:
        return ingest_ticks(keys, staging=self.staging, lake=self.lake, **({"now": NOW} | options))

    def history(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for partition in partitions(self.lake, STREAM_PRICES_HISTORY):
            rows = read_partition(self.lake, STREAM_PRICES_HISTORY, partition)
            assert rows is not None
            found += rows.to_pylist()
        return found

    def ids(self) -> list[str]:
        return sorted(row["event_id"] for row in self.history())

    def latest(self) -> dict[str, tuple[datetime, str, float]]:
        rows = read_partition(self.lake, LATEST_PRICES, SNAPSHOT)
        found = [] if rows is None else rows.to_pylist()
        return {row["symbol"]: (row["produced_at"], row["event_id"], row["price"]) for row in found}

    def greatest(self) -> dict[str, tuple[datetime, str, float]]:
        best: dict[str, tuple[datetime, str, float]] = {}
        for row in self.history():
            this = (row["produced_at"], row["event_id"], row["price"])
            best[row["symbol"]] = max(best.get(row["symbol"], this), this)
        return best

    def rejects(self) -> list[tuple[str, int, str]]:
        found = read_rejects(self.lake, STREAM_PRICES_HISTORY).to_pylist()
        return sorted((row["source"].removeprefix(PREFIX), row["line"], row["reason"]) for row in found)


@pytest.fixture
def feed() -> Feed:
    return Feed()


def test_ticks_end_in_the_buckets_of_their_time_with_their_provenance(feed: Feed) -> None:
    key = feed.drop("a", tick("e1", second=299), tick("e2", "MSFT", "7.25", second=300, size=None))
    (receipt,) = feed.ingest(key)
    day = "year=2024/month=06/day=03/"
    assert (receipt.rows, receipt.inserted, receipt.table) == (2, 2, "stream_prices_history")
    assert receipt.partitions == {f"{day}1330": 1, f"{day}1335": 1}
    assert partitions(feed.lake, STREAM_PRICES_HISTORY) == [f"{day}1330", f"{day}1335"]
    assert feed.history()[1] == {
        "event_id": "e2",
        "symbol": "MSFT",
        "price": 7.25,
        "size": None,
        "produced_at": OPEN + timedelta(seconds=300),
        **dict.fromkeys(("nanos", "sequence", "trade_number", "exchange", "conditions", "sets_last", "corrects")),
        "line": 2,
        "place": None,
        "source": key,
        "etl_loading_ts": NOW,
    }


def test_a_redelivered_object_adds_nothing_and_writes_nothing(feed: Feed) -> None:
    key = feed.drop("a", tick("e1"), tick("e2", second=1), tick("e1"), b"{broken\n", tick(None, second=3))
    first, again = (feed.ingest(key, now=NOW + timedelta(hours=h))[0] for h in range(2))
    assert (first.inserted, first.duplicates, first.rejected) == (3, 1, {"malformed_json": 1})
    assert (again.inserted, again.duplicates, again.rejected) == (0, 4, {"malformed_json": 1})
    assert len(feed.lake.puts) == 3  # history, snapshot, rejected records: once each
    assert feed.rejects() == [("a", 4, "malformed_json")]


def test_a_record_of_a_tick_from_the_future_is_written_once(feed: Feed) -> None:
    key = feed.drop("a", tick("e1"), tick("ahead", second=360 * 86400))
    for hours in range(3):
        (receipt,) = feed.ingest(key, now=NOW + timedelta(hours=hours))
        assert receipt.rejected == {"future_timestamp": 1}
    assert [key for key in feed.lake.puts if key.startswith("rejected_records/")] == feed.lake.puts[1:2]
    (record,) = read_rejects(feed.lake, STREAM_PRICES_HISTORY).to_pylist()
    assert record["detail"] == "2025-05-29T13:30:00.000000 was more than 300 s ahead of the clock"


def test_one_event_with_two_prices_is_a_conflict(feed: Feed) -> None:
    feed.ingest(feed.drop("a", tick("e1", price=1)))
    (receipt,) = feed.ingest(feed.drop("b", tick("e1", price=2, second=9)))
    assert (receipt.inserted, receipt.conflicts) == (0, 1)
    assert feed.rejects() == [("b", 1, "conflict")]
    assert feed.latest() == feed.greatest() == {"AAPL": (OPEN, "e1", 1.0)}


def test_the_snapshot_keeps_the_latest_by_the_producers_time(feed: Feed) -> None:
    feed.ingest(feed.drop("a", tick("late", second=9, price=9), tick("early", second=1, price=1)))
    feed.ingest(feed.drop("b", tick("later than early", second=5, price=5)))
    assert feed.latest() == {"AAPL": (OPEN + timedelta(seconds=9), "late", 9.0)}
    feed.ingest(feed.drop("c", tick("late too", second=9, price=8)))
    assert feed.latest()["AAPL"][1] == "late too"  # of one moment, the greater id


def test_a_snapshot_that_has_it_all_is_not_written(feed: Feed) -> None:
    feed.ingest(feed.drop("a", tick("e1", second=9)))
    feed.ingest(feed.drop("b", tick("e0", second=1)))
    assert feed.lake.puts.count(SNAPSHOT_KEY) == 1


def test_a_worker_stopped_between_history_and_snapshot_is_made_up_for(feed: Feed) -> None:
    key = feed.drop("a", tick("e1"))

    def die(key: str) -> None:
        if key == SNAPSHOT_KEY:
            raise KeyboardInterrupt

    feed.lake.before_put = die
    with pytest.raises(KeyboardInterrupt):
        feed.ingest(key)
    assert feed.latest() == {}
    feed.lake.before_put = lambda key: None
    assert feed.ingest(key, now=NOW + timedelta(hours=1))[0].duplicates == 1
    assert feed.latest() == feed.greatest() != {}


def test_many_objects_make_one_write_a_bucket(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [feed.drop(f"{n:03}", tick(f"e{n}", second=n)) for n in range(50)]
    progress: list[tuple[int, int]] = []
    receipts = feed.ingest(*keys, on_progress=lambda done, total: progress.append((done, total)))
    assert [r.source for r in receipts] == keys
    assert sorted(feed.lake.puts) == [SNAPSHOT_KEY, "price_by_date_stream/year=2024/month=06/day=03/1330.parquet"]
    assert progress == [(50, 50)]


def test_who_says_stop_gets_the_receipts_of_what_is_done(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP_BYTES", 1)
    keys = [feed.drop(f"{n:03}", tick(f"e{n}", second=n)) for n in range(6)]
    answers = iter([True, True, False])
    receipts = feed.ingest(*keys, go_on=lambda: next(answers))
    assert [r.source for r in receipts] == keys[:3]
    assert feed.ids() == ["e0", "e1", "e2"]
    assert feed.latest() == feed.greatest()


def test_groups_that_are_just_full_leave_nothing_behind(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [tick(f"e{n}", second=n) for n in range(4)]
    monkeypatch.setattr(module, "GROUP_BYTES", len(lines[0]) + len(lines[1]))
    keys = [feed.drop(f"{n:03}", line) for n, line in enumerate(lines)]
    progress: list[tuple[int, int]] = []
    receipts = feed.ingest(*keys, on_progress=lambda done, total: progress.append((done, total)))
    assert [r.inserted for r in receipts] == [1, 1, 1, 1]
    assert progress == [(2, 4), (4, 4)]


def test_the_settings_say_which_ticks_are_rejected_and_how_large_an_object_may_be() -> None:
    settings = Settings(max_clock_skew_seconds=30, max_object_mb=7)
    assert module.options_of(settings) == {
        "max_skew": timedelta(seconds=30),
        "max_bytes": 7 * 1024 * 1024,
    }


def test_what_is_refused_or_gone_is_told_and_the_others_go_on(feed: Feed) -> None:
    keys = [feed.drop("a", b"symbol,price\nAAPL,1\n"), PREFIX + "gone", feed.drop("c", tick())]
    refused, gone, stored = feed.ingest(*keys)
    assert "JSON" in str(refused.refused)
    assert gone.refused == f"s3://staging/{PREFIX}gone does not exist"
    assert gone.etag == ""
    assert stored.inserted == 1
    assert feed.rejects() == [("a", 0, "file_refused")]


def test_a_rewritten_object_is_another_one(feed: Feed) -> None:
    """Ticks without an id get one from the object's content and their place: the same again is a duplicate."""
    contents = (([tick(None)], 1), ([tick(None)], 0), ([tick(None), tick(None, price=3)], 2))
    for hours, (lines, inserted) in enumerate(contents):
        feed.drop("a", *lines)
        (receipt,) = feed.ingest(PREFIX + "a", now=NOW + timedelta(hours=hours))
        assert receipt.inserted == inserted


def test_other_messages_are_skipped_and_counted(feed: Feed) -> None:
    quote = b'{"T":"q","S":"AAPL","bp":1,"t":"2024-06-03T13:30:00Z"}\n'
    (receipt,) = feed.ingest(feed.drop("a", quote, tick(), quote))
    assert (receipt.rows, receipt.skipped, receipt.inserted) == (3, 2, 1)


def test_a_tick_from_the_future_never_reaches_the_snapshot(feed: Feed) -> None:
    ahead = tick("ahead", second=int((NOW - OPEN).total_seconds()) + 60)
    assert feed.ingest(feed.drop("a", ahead), max_skew=timedelta(seconds=30))[0].rejected == {"future_timestamp": 1}
    assert feed.latest() == {}
    assert feed.ingest(feed.drop("a", ahead), max_skew=timedelta(seconds=90))[0].inserted == 1


def test_a_store_that_is_down_ends_the_call_with_an_error(feed: Feed) -> None:
    key = feed.drop("a", tick())

    def down(key: str) -> None:
        raise StoreUnavailable(key, "S3 answered 503")

    feed.lake.before_put = down
    with pytest.raises(StoreUnavailable):
        feed.ingest(key)


def test_gzip_and_concatenated_records_hold_the_same_ticks(feed: Feed) -> None:
    lines = to_json_lines(simulate_ticks(["AAPL", "MSFT"], date(2024, 6, 3), 7, 50))
    feed.ingest(feed.drop("plain", *lines))
    ids = feed.ids()
    packed = gzip.compress(b"".join(line.rstrip(b"\n") for line in lines))
    (receipt,) = feed.ingest(feed.drop("packed.gz", packed))
    assert (receipt.duplicates, receipt.inserted) == (100, 0)
    assert feed.ids() == ids
    assert len(ids) == 100


EVENTS = st.lists(
    st.tuples(st.integers(0, 15), st.booleans()), min_size=1, max_size=12
)  # an event's number tells its symbol, time and price, so that one event is always the same


def line_of(number: int, broken: bool) -> bytes:
    if broken:
        return b'{"symbol": "AAPL", "price": NaN}\n'
    return tick(f"e{number:02}", "ABC"[number % 3], 1.0 + number, second=(number * 7919) % 1200)


@given(st.lists(EVENTS, min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_deliveries_end_as_the_distinct_set_and_the_snapshot_never_goes_back(
    objects: list[list[tuple[int, bool]]], random: Any
) -> None:
    feed = Feed()
    keys = [feed.drop(f"{n}", *(line_of(*event) for event in events)) for n, events in enumerate(objects)]
    deliveries = keys * 2
    random.shuffle(deliveries)
    seen: dict[str, tuple[datetime, str, float]] = {}
    inserted = 0
    while deliveries:
        batch = [deliveries.pop() for _ in range(min(random.randint(1, 3), len(deliveries)))]
        receipts = feed.ingest(*batch)
        assert [r.source for r in receipts] == list(dict.fromkeys(batch))
        inserted += sum(r.inserted for r in receipts)
        now = feed.latest()
        assert all(now[symbol] >= was for symbol, was in seen.items())
        assert now == feed.greatest()
        seen = now
    distinct = {f"e{number:02}" for events in objects for number, broken in events if not broken}
    assert feed.ids() == sorted(distinct)
    assert len(feed.rejects()) == sum(broken for events in objects for _, broken in events)


def test_a_bucket_and_the_snapshot_are_all_that_an_update_reads(feed: Feed) -> None:
    """However long the history: its other objects are not even looked at."""
    for minute in range(0, 300, 5):
        feed.ingest(feed.drop(f"{minute:03}", tick(f"e{minute}", second=60 * minute)))
    feed.lake.gets.clear()
    feed.ingest(feed.drop("new", tick("new", second=7)))
    tables = {key for key in feed.lake.gets if not key.startswith("rejected_records/")}
    assert tables == {"price_by_date_stream/year=2024/month=06/day=03/1330.parquet", SNAPSHOT_KEY}


def test_a_million_ticks_in_a_thousand_objects_late_and_twice_are_the_distinct_set(feed: Feed) -> None:
    """A fifth of the ticks come in a later object than their place, a fifth of the objects come twice, in any order."""
    ticks = simulate_ticks(DEFAULT_SYMBOLS, date(2024, 6, 3), 7, 62_500)
    lines, random = to_json_lines(ticks), np.random.default_rng(1)
    place = np.arange(len(lines)) // 1000
    late = random.random(len(lines)) < 0.2
    place[late] = np.minimum(place[late] + random.integers(1, 400, late.sum()), 999)
    order = np.argsort(place, kind="stable")
    contents = np.split(order, np.searchsorted(place[order], np.arange(1, 1000)))
    keys = [feed.drop(f"{n:04}", *(lines[at] for at in content)) for n, content in enumerate(contents)]
    deliveries = random.permutation(keys + keys[::5]).tolist()

    inserted = 0
    for start in range(0, len(deliveries), 100):
        receipts = feed.ingest(*deliveries[start : start + 100], now=NOW + timedelta(seconds=start))
        inserted += sum(receipt.inserted for receipt in receipts)
    assert inserted == ticks.num_rows == 1_000_000

    columns = ["event_id", "symbol", "price", "size", "produced_at"]
    buckets = partitions(feed.lake, STREAM_PRICES_HISTORY)
    parts = [read_partition(feed.lake, STREAM_PRICES_HISTORY, bucket, columns) for bucket in buckets]
    stored = pa.concat_tables(part for part in parts if part is not None).sort_by("event_id")
    sent = ticks.select(columns).cast(stored.schema).sort_by("event_id")
    assert stored.combine_chunks().equals(sent.combine_chunks())
    last = sent.group_by("symbol").aggregate([("produced_at", "max")])
    assert {s: at for s, (at, *_) in feed.latest().items()} == dict(zip(*last.to_pydict().values(), strict=True))


# Identity


def test_a_copied_lake_takes_no_tick_without_an_id_twice() -> None:
    feed = Feed()
    key = feed.drop("a", tick(None), tick(None), b"[" + tick(0).strip() + b"]\n")
    (first,) = feed.ingest(key)
    assert first.inserted == 3
    copy = Feed()
    copy.staging, copy.lake = MemoryStore("another-staging"), MemoryStore("another-lake")
    for here, there in ((feed.staging, copy.staging), (feed.lake, copy.lake)):
        for info in here.list(""):
            there.put(info.key, here.get(info.key).data)
    (again,) = copy.ingest(key, now=LATER)
    assert (again.inserted, again.duplicates) == (0, 3)
    assert copy.history() == feed.history()


def test_the_same_bytes_packed_are_the_same_ticks() -> None:
    feed = Feed()
    key = feed.drop("a", tick(None), tick(None))
    feed.ingest(key)
    feed.staging.put(key, gzip.compress(tick(None) + tick(None)))  # another ETag, as a multipart upload gives one
    (again,) = feed.ingest(key, now=LATER)
    assert (again.inserted, again.duplicates) == (0, 2)


def test_other_content_under_the_same_key_is_another_object() -> None:
    feed = Feed()
    key = feed.drop("a", tick(None))
    feed.ingest(key)
    feed.drop("a", tick(None, price=11))
    (again,) = feed.ingest(key, now=LATER)
    assert (again.inserted, again.duplicates, len(feed.history())) == (1, 0, 2)


def test_records_of_one_line_are_told_apart_by_their_place() -> None:
    feed = Feed()
    trade = {"s": "QXA", "p": 0, "t": 1717421400000, "v": 1}
    message = {"data": [trade, trade, trade, 5, {**trade, "p": -1.5}, trade], "type": "trade"}
    key = feed.drop("a", json.dumps(message).encode() + b"\n", tick("e"), tick("e", price=11))
    (receipt,) = feed.ingest(key)
    rows = read_rejects(feed.lake, STREAM_PRICES_HISTORY, key).to_pylist()
    assert sum(receipt.rejected.values()) + receipt.conflicts == len(rows) == 7
    assert [(row["line"], row["place"], row["reason"]) for row in rows] == [
        *((1, n, "malformed_json" if n == 3 else "non_positive_price") for n in range(6)),
        (3, 0, "conflict"),
    ]
    objects = dict(feed.lake.objects)
    feed.ingest(key)
    assert feed.lake.objects == objects
