"""A source whose rows go into several partitions: it stops in time, and the next call goes on where it stopped."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from stock_pipeline.ingest import commit
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partition_key, partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
KEY = "stock_stream/2024/06/03/13/year"
NUMBER = 120  # ticks, each in a history object of its own


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "WIDE", 10)


def line(n: int, price: float = 1.0) -> str:
    at = FIRST + timedelta(minutes=30 * n)
    return f'{{"event_id":"e{n}","symbol":"AAPL","price":{price + n},"produced_at":"{at:%Y-%m-%d %H:%M:%S}"}}\n'


class Calls:
    """Calls with time for so many partitions each."""

    def __init__(self, most: int) -> None:
        self.staging, self.lake, self.most, self.calls = MemoryStore("staging"), MemoryStore("lake"), most, 0
        lay_out(self.lake, 30)

    def once(self, key: str = KEY) -> list[Receipt]:
        asked = iter(range(self.most))
        self.calls += 1
        return ingest_ticks(
            [key], staging=self.staging, lake=self.lake, now=datetime(2024, 6, 3, 20, self.calls, tzinfo=UTC),
            go_on=lambda: next(asked, None) is not None,
        )  # fmt: skip

    def until_done(self) -> Receipt:
        while not (receipts := self.once()):
            assert self.calls < 50
        return receipts[0]


def test_what_is_committed_stays_and_the_next_call_goes_on() -> None:
    calls = Calls(25)
    calls.staging.put(KEY, "".join(map(line, random.Random(1).sample(range(NUMBER), NUMBER))).encode())
    assert calls.once() == []
    stored = partitions(calls.lake, STREAM_PRICES_HISTORY)
    assert 20 <= len(stored) <= 26
    latest = read_partition(calls.lake, LATEST_PRICES, SNAPSHOT)
    assert latest is not None
    ticks = [read_partition(calls.lake, STREAM_PRICES_HISTORY, partition) for partition in stored]
    newest = max(
        (row["produced_at"], row["event_id"]) for part in ticks if part is not None for row in part.to_pylist()
    )
    assert latest["event_id"].to_pylist() == [newest[1]]  # of what is in history by now; writers work side by side
    calls.lake.gets.clear()
    calls.once()
    assert sum(key.endswith("/0000.parquet") and "day=01" in key for key in calls.lake.gets) == 0  # not read again
    receipt = calls.until_done()
    assert calls.calls == 5
    rows = [read_partition(calls.lake, STREAM_PRICES_HISTORY, p) for p in partitions(calls.lake, STREAM_PRICES_HISTORY)]
    assert sorted(row["event_id"] for part in rows if part is not None for row in part.to_pylist()) == sorted(
        f"e{n}" for n in range(NUMBER)
    )
    assert (receipt.rows, receipt.inserted + receipt.duplicates, len(receipt.partitions)) == (NUMBER, NUMBER, NUMBER)
    calls.most = 1000
    assert calls.once()[0].duplicates == NUMBER


def test_conflicts_of_calls_that_were_stopped_are_in_the_receipt_and_on_record() -> None:
    calls = Calls(1000)
    calls.staging.put("stock_stream/first", (line(3) + line(100)).encode())
    calls.once("stock_stream/first")
    calls.most = 40
    calls.staging.put(KEY, "".join(line(n, 50.0 if n in (3, 100) else 1.0) for n in range(NUMBER)).encode())
    receipt = calls.until_done()
    assert (receipt.rows, receipt.conflicts) == (NUMBER, 2)
    assert sorted(read_rejects(calls.lake, STREAM_PRICES_HISTORY, KEY)["line"].to_pylist()) == [4, 101]


def test_a_rewritten_source_begins_again() -> None:
    calls = Calls(40)
    calls.staging.put(KEY, "".join(map(line, range(NUMBER))).encode())
    calls.once()
    calls.staging.put(KEY, "".join(line(n) for n in range(0, NUMBER, 2)).encode())
    assert calls.until_done().rows == NUMBER // 2


@pytest.mark.parametrize("partitions_", [2, 3, 9, 11, 40])
@pytest.mark.parametrize("time", [0, 1, 3])
def test_each_call_goes_on_however_little_time_there_is_and_however_many_partitions(
    partitions_: int, time: int
) -> None:
    calls = Calls(time)
    calls.staging.put(KEY, "".join(map(line, range(partitions_))).encode())
    assert calls.until_done().rows == partitions_
    assert calls.calls <= partitions_
    history = [key for key in calls.lake.puts if key.startswith("price_by_date_stream/year=")]
    assert len(history) == len(set(history)) == partitions_  # nothing is written twice
    read = [key for key in calls.lake.gets if key.startswith("price_by_date_stream/year=")]
    assert len(read) <= partitions_ + 4 * calls.calls  # and only what ran beside the last noted one is read again


def test_when_a_source_is_done_its_note_says_nothing_any_more() -> None:
    calls = Calls(0)
    calls.staging.put(KEY, "".join(map(line, range(3))).encode())
    calls.until_done()
    name = partitions(calls.lake, STREAM_PRICES_HISTORY)[0]
    del calls.lake.objects[partition_key(STREAM_PRICES_HISTORY, name)]  # as if an older version had been restored
    assert calls.until_done().rows == 3
    assert len(partitions(calls.lake, STREAM_PRICES_HISTORY)) == 3


def test_a_caller_without_a_limit_asks_for_no_note_and_a_group_of_one_partition_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed: list[str] = []
    monkeypatch.setattr(MemoryStore, "list", lambda _self, prefix, **_: listed.append(prefix) or iter(()))
    calls = Calls(5)
    calls.staging.put(KEY, line(0).encode())
    calls.once()
    calls.staging.put(KEY, "".join(map(line, range(5))).encode())
    ingest_ticks([KEY], staging=calls.staging, lake=calls.lake, now=datetime(2024, 6, 3, 20, tzinfo=UTC))
    assert not listed


def test_a_source_without_rows_waits_for_the_others_and_is_told_with_them() -> None:
    calls, broken = Calls(0), "stock_stream/broken"
    calls.staging.put(KEY, "".join(map(line, range(12))).encode())
    calls.staging.put(broken, b"{")

    def once(minute: int) -> list[Receipt]:
        now = datetime(2024, 6, 3, 20, minute, tzinfo=UTC)
        return ingest_ticks([broken, KEY], staging=calls.staging, lake=calls.lake, now=now, go_on=lambda: False)

    found = next(receipts for minute in range(20) if (receipts := once(minute)))
    assert len(partitions(calls.lake, STREAM_PRICES_HISTORY)) == 12
    assert [(receipt.rows, bool(receipt.refused)) for receipt in found] == [(0, True), (12, False)]
