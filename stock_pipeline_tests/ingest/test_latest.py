"""The latest price: the greatest of the ticks of history that may set a price and are not taken back, whatever comes
when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.ingest.corrections import Corrections
from stock_pipeline.ingest.latest import best_left
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.object_store import ObjectInfo
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, TRADE_CORRECTIONS, Table
from stock_pipeline_tests.support import law
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 4, 20, tzinfo=UTC)
OPEN = datetime(2024, 6, 3, 23, 50, tzinfo=UTC)
"""Minutes before UTC's midnight, in the middle of a session of New York."""

Message = dict[str, Any]
SNAPSHOT_KEY = "latest_stream_prices/latest.parquet"


def at(minute: float, nanos: int = 0) -> str:
    return f"{OPEN + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%S.%f}{nanos:03}Z"


def trade(number: int, price: float, minute: float = 0, codes: str = "@", **more: Any) -> Message:
    """A trade as Alpaca sends it."""
    venue = {"T": "t", "S": "QXN", "x": "V", "z": "C"}
    return venue | {"i": number, "p": price, "s": 100, "t": at(minute), "c": list(codes)} | more


def cancel(of: Message, minute: float = 20) -> Message:
    return {"T": "x", "a": "C", "t": at(minute)} | {key: of[key] for key in ("S", "i", "x", "p", "s", "z")}


def correction(of: Message, number: int, price: float, minute: float = 21, codes: str = "@") -> Message:
    original = {"oi": of["i"], "op": of["p"], "os": of["s"], "oc": of["c"]}
    new = {"ci": number, "cp": price, "cs": of["s"], "cc": list(codes)}
    return {"T": "c", "S": of["S"], "x": of["x"], "z": of["z"], "t": at(minute)} | original | new


def corrected(of: Message) -> Message:
    """The corrected trade of a correction, as a later message names it."""
    return {"S": of["S"], "i": of["ci"], "x": of["x"], "p": of["cp"], "s": of["cs"], "z": of["z"], "c": of["cc"]}


class Feed:
    """Two buckets, and objects of messages that are ingested."""

    def __init__(self) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")
        lay_out(self.lake, 5)
        self._objects = self._ingests = 0

    def drop(self, *messages: Message) -> str:
        self._objects += 1
        key = f"stock_stream/2024/06/03/23/{self._objects}"
        self.staging.put(key, "".join(json.dumps(message) + "\n" for message in messages).encode())
        return key

    def ingest(self, *keys: str) -> list[Receipt]:
        self._ingests += 1
        now = NOW + timedelta(seconds=self._ingests)
        return ingest_ticks(keys, staging=self.staging, lake=self.lake, now=now)

    def take(self, *messages: Message) -> Receipt:
        return self.ingest(self.drop(*messages))[0]

    def rows(self, table: Table) -> list[law.Row]:
        found = [read_partition(self.lake, table, name) for name in partitions(self.lake, table)]
        return [row for rows in found if rows is not None for row in rows.to_pylist()]

    def shown(self) -> dict[str, law.Row]:
        return {row["symbol"]: row for row in self.rows(LATEST_PRICES)}

    def lawful(self) -> dict[str, law.Row]:
        best = law.snapshot(self.rows(STREAM_PRICES_HISTORY), self.rows(TRADE_CORRECTIONS))
        return {symbol: {name: row[name] for name in VALUES} for symbol, row in best.items()}

    def check(self) -> None:
        assert {s: {name: row[name] for name in VALUES} for s, row in self.shown().items()} == self.lawful()

    def price(self) -> float | None:
        self.check()
        return {symbol: row["price"] for symbol, row in self.shown().items()}.get("QXN")


VALUES = ("price", "size", "produced_at", "event_id")

FIRST, LAST = trade(1, 18.1), trade(2, 81.1, 5)


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_cancelled_trade_is_not_the_latest_whichever_comes_first(order: tuple[int, ...]) -> None:
    feed, messages = Feed(), (FIRST, LAST, cancel(LAST))
    receipts = [feed.take(messages[n]) for n in order]
    assert feed.price() == 18.1
    assert [receipt.inserted for receipt in receipts] == [1, 1, 1]
    assert sorted(row["price"] for row in feed.rows(STREAM_PRICES_HISTORY)) == [18.1, 81.1]  # as what they are


def test_a_cancel_that_comes_again_is_a_duplicate() -> None:
    feed = Feed()
    key = feed.drop(LAST, cancel(LAST))
    first, again = feed.ingest(key)[0], feed.ingest(key)[0]
    assert (first.rows, first.inserted) == (2, 2)
    assert (again.rows, again.inserted, again.duplicates) == (2, 0, 2)
    assert feed.price() is None
    assert feed.rows(LATEST_PRICES) == []


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_a_corrected_trade_counts_at_the_time_of_the_one_it_corrects(order: tuple[int, ...]) -> None:
    feed, messages = Feed(), (FIRST, LAST, correction(LAST, 3, 19.2))
    for n in order:
        feed.take(messages[n])
    assert feed.price() == 19.2
    assert feed.shown()["QXN"]["produced_at"] == OPEN + timedelta(minutes=5)
    feed.take(trade(4, 20.0, 6))  # later than the trade, earlier than its correction
    assert feed.price() == 20.0


def test_a_correction_of_an_earlier_trade_does_not_overtake_a_later_one() -> None:
    feed = Feed()
    feed.take(FIRST, LAST)
    feed.take(correction(FIRST, 3, 19.2))
    assert feed.price() == 81.1
    feed.take(cancel(LAST))
    assert feed.price() == 19.2


def test_a_corrected_trade_can_be_cancelled_and_corrected_again() -> None:
    feed = Feed()
    once = correction(LAST, 3, 19.2)
    twice = correction(corrected(once), 4, 19.3, 22)
    feed.take(FIRST, LAST)
    feed.take(twice)
    feed.take(once)
    assert feed.price() == 19.3
    feed.take(cancel(corrected(twice), 23))
    assert feed.price() == 18.1


def test_a_cancel_finds_its_trade_by_all_that_the_venue_printed_of_it() -> None:
    feed = Feed()
    others: list[Message] = [{"x": "P"}, {"i": 9}, {"p": 81.2}, {"s": 99}, {"S": "QXM"}]
    feed.take(FIRST, LAST, *(cancel(LAST | other) for other in others))
    assert feed.price() == 81.1
    feed.take(cancel(LAST, 60 * 24))  # of the next session, which numbers its trades anew
    assert feed.price() == 81.1
    feed.take(cancel(LAST, 30))  # after UTC's midnight, in the same session
    assert feed.price() == 18.1


def test_a_correction_that_may_set_the_price_of_a_trade_that_might_not() -> None:
    feed = Feed()
    feed.take(FIRST, trade(2, 81.1, 5, "@I"))
    assert feed.price() == 18.1  # an odd lot
    feed.take(correction(trade(2, 81.1, 5, "@I"), 3, 19.2))
    assert feed.price() == 19.2


def test_a_trade_that_may_not_set_the_price_shows_while_there_is_no_other() -> None:
    feed = Feed()
    feed.take(trade(1, 5.0, 9, "@I"))
    assert feed.price() == 5.0
    feed.take(trade(2, 4.0, 8))
    assert feed.price() == 4.0
    feed.take(trade(3, 6.0, 30, "@I"))
    feed.take(cancel(trade(2, 4.0, 8)))
    assert feed.price() == 6.0  # the greatest of those that may not, though it is later than what was cancelled


def test_a_worker_that_shows_a_trade_while_another_one_cancels_it_takes_it_out_again() -> None:
    feed = Feed()
    feed.take(FIRST)
    key, other, done = feed.drop(LAST), feed.drop(cancel(LAST)), []

    def meanwhile(written: str) -> None:
        if written == SNAPSHOT_KEY and not done:
            done.append(written)
            feed.ingest(other)

    feed.lake.before_put = (
        meanwhile  # the cancel finds a snapshot without the trade; the trade's worker has read no cancel
    )
    feed.ingest(key)
    assert done
    assert feed.price() == 18.1


def test_who_loses_the_race_for_the_snapshot_reads_and_merges_again() -> None:
    feed = Feed()
    feed.take(FIRST)
    key, other, done = feed.drop(LAST), feed.drop(LAST | {"S": "QXM", "p": 7.0}), []

    def meanwhile(written: str) -> None:
        if written == SNAPSHOT_KEY and not done:
            done.append(written)
            feed.ingest(other)

    feed.lake.before_put = meanwhile
    feed.ingest(key)
    feed.check()
    assert {symbol: row["price"] for symbol, row in feed.shown().items()} == {"QXN": 81.1, "QXM": 7.0}


def test_a_trade_of_the_same_number_that_names_no_venue_is_never_taken_back() -> None:
    feed = Feed()
    feed.take(FIRST, LAST, {"event_id": "2", "symbol": "QXM", "price": 5.0, "produced_at": at(5)})
    feed.take(cancel(LAST))
    feed.check()
    assert {symbol: row["price"] for symbol, row in feed.shown().items()} == {"QXN": 18.1, "QXM": 5.0}


def test_of_the_ticks_left_those_later_than_now_are_not_looked_at() -> None:
    feed = Feed()
    feed.take(FIRST, trade(2, 20.0, 2), trade(3, 30.0, 4), LAST)
    shown = feed.rows(LATEST_PRICES)
    feed.take(cancel(LAST))
    corrections = Corrections(feed.lake).load([OPEN.date()])
    assert corrections.rows == feed.rows(TRADE_CORRECTIONS)

    def left(now: datetime | None) -> list[float]:
        return [row["price"] for part in best_left(feed.lake, shown, corrections, now) for row in part.to_pylist()]

    assert left(None) == [30.0]
    assert left(OPEN + timedelta(minutes=4)) == [30.0]
    assert left(OPEN + timedelta(minutes=3)) == [20.0]
    assert left(OPEN - timedelta(minutes=1)) == []


def test_a_correction_whose_trade_is_not_there_looks_for_it_in_its_session_only() -> None:
    feed = Feed()
    feed.take(trade(1, 18.1, -60 * 24 * 3))
    before = [key for key in feed.lake.objects if key.startswith(STREAM_PRICES_HISTORY.prefix)]
    feed.lake.gets.clear()
    feed.take(correction(LAST, 3, 19.2))
    assert not set(before) & set(feed.lake.gets)
    assert feed.price() == 18.1


def test_an_object_of_history_that_somebody_deletes_during_the_search_holds_no_tick() -> None:
    feed = Feed()
    feed.take(FIRST, trade(2, 20.0, 2), LAST)
    names = [key for key in feed.lake.objects if key.startswith(f"{STREAM_PRICES_HISTORY.prefix}year=")]
    key, read = feed.drop(cancel(LAST)), feed.lake.list

    def listed(prefix: str, **options: Any) -> Iterator[ObjectInfo]:
        found = list(read(prefix, **options))
        if prefix.startswith(STREAM_PRICES_HISTORY.prefix):
            for name in names:
                feed.lake.objects.pop(name, None)
        return iter(found)

    feed.lake.list = listed  # type: ignore[method-assign]
    feed.ingest(key)
    assert feed.shown() == {}


def test_who_is_stopped_before_the_snapshot_is_made_up_for_by_a_redelivery() -> None:
    feed = Feed()
    feed.take(FIRST, LAST)
    key = feed.drop(cancel(LAST))

    def die(written: str) -> None:
        if written == SNAPSHOT_KEY:
            raise KeyboardInterrupt

    feed.lake.before_put = die
    with pytest.raises(KeyboardInterrupt):
        feed.ingest(key)
    feed.lake.before_put = lambda key: None
    assert feed.ingest(key)[0].duplicates == 1
    assert feed.price() == 18.1


def test_the_best_tick_left_is_found_however_long_ago_it_was() -> None:
    feed = Feed()
    feed.take(trade(7, 3.0, -60 * 24 * 40), trade(8, 2.0, -60 * 24 * 400), LAST)
    feed.take(cancel(LAST))
    assert feed.price() == 3.0


@pytest.mark.parametrize(
    ("ticks", "latest"),
    [
        ([{"t": at(1, 900), "i": 20}, {"t": at(1, 100), "i": 900}], 0),  # nanoseconds before the number
        ([{"i": 100}, {"i": 99}], 0),  # the number as a number, not as text
        ([{"i": "t-10"}, {"i": "t-9"}], 1),  # no numbers: the place in the object
    ],
)
def test_ticks_of_one_microsecond_are_in_the_order_of_the_venue(ticks: list[Message], latest: int) -> None:
    feed = Feed()
    feed.take(*(trade(1, 10.0 + n, 1, **tick) for n, tick in enumerate(ticks)))
    assert feed.price() == 10.0 + latest


def test_lines_and_places_are_numbers() -> None:
    feed = Feed()
    feed.take(*({"symbol": "QXN", "price": 1.0 + n, "produced_at": at(1)} for n in range(12)))
    assert feed.price() == 12.0
    feed.take({"type": "trade", "data": [{"s": "QXN", "p": 100.0 + n, "v": 1, "t": 1717459800000} for n in range(12)]})
    feed.check()


def test_a_redelivery_in_another_place_changes_nothing() -> None:
    feed = Feed()
    a, b = (
        {"event_id": name, "symbol": "QXN", "price": price, "produced_at": at(1)}
        for name, price in (("b", 1.0), ("a", 2.0))
    )
    feed.take(a, b)
    assert feed.price() == 2.0
    receipt = feed.take(b, a)  # the same ticks, the other way round: those of history stay where they were
    assert (receipt.duplicates, receipt.conflicts) == (2, 0)
    assert feed.price() == 2.0


TRADES = [
    trade(n, 10.0 + n, (0, 0, 3, 5, 5, 16)[n], "@I" if n in (2, 5) else "@", S="QXN" if n % 2 else "QXM")
    for n in range(1, 6)
]  # fmt: skip
ONCE = [correction(of, 10 + n, 30.0 + n, 20 + n, "@" if n % 2 else "@T") for n, of in enumerate(TRADES)]
AGAIN = [correction(corrected(of), 20 + n, 40.0 + n, 30 + n) for n, of in enumerate(ONCE)]
CANCELS = [cancel(of, 25) for of in TRADES] + [cancel(corrected(of), 40) for of in ONCE + AGAIN]
MESSAGES = TRADES + ONCE + AGAIN + CANCELS
OBJECTS = st.lists(st.lists(st.sampled_from(range(len(MESSAGES))), min_size=1, max_size=4), min_size=1, max_size=7)


@given(OBJECTS, st.data())
@settings(max_examples=150, deadline=None)
def test_the_snapshot_is_lawful_after_every_object_and_the_order_does_not_matter(
    objects: list[list[int]], data: st.DataObject
) -> None:
    one, other = Feed(), Feed()
    for numbers in objects:
        one.take(*(MESSAGES[n] for n in numbers))
        one.check()
    keys = [other.drop(*(MESSAGES[n] for n in numbers)) for numbers in objects]
    for key in data.draw(st.permutations(keys + keys[:2])):
        other.ingest(key)
        other.check()
    assert {s: row["price"] for s, row in one.shown().items()} == {s: row["price"] for s, row in other.shown().items()}
