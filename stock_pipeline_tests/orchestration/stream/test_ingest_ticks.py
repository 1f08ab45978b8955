"""Runs of ingest_ticks: what messages name is stored, and only messages that are done are deleted."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.sqs import Message, Queue, kept_hidden
from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.lake.object_store import Named, named
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.orchestration.stream import assets
from stock_pipeline.schemas import STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.stream import DAY, HIDDEN, OPEN, Stream, event_of, materialized, tick

TEST_EVENT = json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "staging"})


def tags(stream: Stream, run_id: str) -> dict[str, str]:
    run = stream.instance.get_run_by_id(run_id)
    assert run is not None
    return {name.removeprefix("stock_pipeline/"): value for name, value in run.tags.items()}


def test_a_group_of_messages_becomes_rows_and_is_deleted(stream: Stream) -> None:
    keys = [stream.drop(f"{n}", tick(f"e{n}", "AAPL" if n % 2 else "MSFT", second=n)) for n in range(25)]
    result = stream.run()
    assert stream.ids() == sorted(f"e{n}" for n in range(25))
    assert stream.latest() == {"AAPL": "e23", "MSFT": "e24"}
    assert stream.held() == 0
    found = tags(stream, result.run_id)
    assert (found["messages"], found["objects"]) == ("25", "25")
    assert f"s3://staging/{keys[0]}".startswith(found["prefix"])


def test_a_run_tells_what_became_of_the_ticks_of_each_day(stream: Stream) -> None:
    late = OPEN - timedelta(days=3)
    stream.drop("a", tick("e1"), tick("e2", second=1), tick("e1"), b"{broken\n")
    stream.drop("b", tick("old", "MSFT", at=late))
    stream.drop("c", b"\xff\xfe\x00 no ticks at all")
    found = materialized(stream.run())
    assert set(found) == {DAY, late.date().isoformat(), "latest_prices", "rejected_records"}
    today = found[DAY]
    assert [today[name] for name in ("inserted", "rows_read", "duplicates", "rejected", "symbols")] == [2, 4, 1, 1, 1]
    assert (today["rejected/malformed_json"], today["refused_sources"]) == (1, 1)
    assert 0 < today["arrival_lag_median_seconds"] < today["arrival_lag_max_seconds"]
    assert [record.data["event_id"] for record in today["preview"].records] == ["e2", "e1"]
    assert found[late.date().isoformat()]["inserted"] == 1
    snapshot = found["latest_prices"]
    assert (snapshot["dagster/row_count"], snapshot["updated"]) == (2, 2)
    assert [record.data["symbol"] for record in snapshot["preview"].records] == ["AAPL", "MSFT"]
    rejected = found["rejected_records"]
    assert (rejected["rejected/malformed_json"], rejected["refused_sources"], rejected["sources"]) == (1, 1, 2)
    assert "rejected_records" not in materialized(stream.run(sources=["stock_stream/2024/06/03/13/b"]))


def test_the_events_name_the_days_of_the_ticks_whichever_day_the_run_is_for(stream: Stream) -> None:
    stream.drop("a", tick("e1"))
    assert set(materialized(stream.run(day="2024-06-09"))) == {DAY, "latest_prices"}


def test_a_redelivered_message_adds_nothing(stream: Stream) -> None:
    key = stream.drop("a", tick("e1"))
    stream.run()
    stream.send(event_of(key))
    found = materialized(stream.run())
    assert (found[DAY]["inserted"], found[DAY]["duplicates"]) == (0, 1)
    assert found["latest_prices"]["updated"] == 0
    assert stream.ids() == ["e1"]
    assert stream.held() == 0


def test_one_message_may_name_several_objects_and_several_messages_one(stream: Stream) -> None:
    keys = [stream.drop(name, tick(name), told=False) for name in ("a b+c", "ü%25", "z")]
    stream.send(event_of(*keys))
    stream.send(event_of(keys[0]))
    stream.run()
    assert stream.ids() == ["a b+c", "z", "ü%25"]
    assert stream.held() == 0


def test_a_test_event_of_s3_is_deleted(stream: Stream) -> None:
    stream.send(TEST_EVENT)
    assert materialized(stream.run()) == {}, "and no ticks came"
    assert stream.held() == 0


@pytest.mark.parametrize(
    "body",
    ["not json", "[]", json.dumps({"Records": [{"s3": {}}]}), event_of("stock_stream/x", bucket="somebody else's")],
    ids=["no JSON", "no event", "half an event", "another bucket"],
)
def test_a_poison_message_is_left_and_ends_in_the_dead_letter_queue(stream: Stream, body: str) -> None:
    for n in range(9):
        stream.drop(f"{n}", tick(f"e{n}"))
    stream.send(body)
    stream.run()
    assert len(stream.ids()) == 9
    assert (stream.held(), stream.queue.waiting(), stream.dead.waiting()) == (1, 0, 0)
    for _ in range(2):  # its second try, and the one after, at which it is moved
        stream.pass_time()
        stream.run()
    assert (stream.held(), stream.dead.waiting()) == (0, 1)


def test_a_message_about_an_object_that_is_gone_is_left(stream: Stream) -> None:
    there = stream.drop("a", tick("e1"), told=False)
    stream.send(event_of(there, "stock_stream/2024/06/03/13/gone"))
    stream.drop("b", tick("e2"))
    stream.run()
    assert stream.ids() == ["e1", "e2"]
    assert stream.held() == 1
    assert read_rejects(stream.pipeline.lake, STREAM_PRICES_HISTORY).num_rows == 0


def test_a_refused_object_is_on_record_and_its_message_is_deleted(stream: Stream) -> None:
    stream.drop("a.gz", b"\x1f\x8b\x08broken")
    stream.run()
    assert stream.held() == 0
    assert read_rejects(stream.pipeline.lake, STREAM_PRICES_HISTORY)["reason"].to_pylist() == ["file_refused"]


def test_the_messages_of_a_failed_run_come_back(stream: Stream) -> None:
    stream.drop("a", tick("e1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "ingest_ticks", _unavailable)
        result = stream.run(succeeds=False)
        assert not [event for event in result.all_events if event.is_step_up_for_retry], "the queue is the retry"
    assert (stream.held(), stream.queue.waiting()) == (1, 0), "after a while, not at once"
    stream.pass_time()
    stream.run()
    assert stream.ids() == ["e1"]
    assert stream.held() == 0


def test_the_messages_of_a_run_that_died_come_back(stream: Stream) -> None:
    stream.drop("a", tick("e1"))

    def die(*args: object, **kwargs: object) -> None:
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "ingest_ticks", die)
        stream.run(succeeds=False)
    assert "message-heartbeat" not in {thread.name for thread in threading.enumerate()}, "nobody holds them any more"
    stream.pass_time()
    stream.run()
    assert (stream.ids(), stream.held()) == (["e1"], 0)


def test_after_as_many_tries_as_the_queue_allows_they_are_dead_letters(stream: Stream) -> None:
    stream.drop("a", tick("e1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assets, "ingest_ticks", _unavailable)
        for _ in range(2):
            stream.run(succeeds=False)
            stream.pass_time()
    stream.run()
    assert (stream.ids(), stream.dead.waiting()) == ([], 1)
    (dead,) = stream.dead.receive(10)
    for _ in range(2):  # redriven twice
        stream.send(dead.body)
        stream.run()
    assert stream.ids() == ["e1"]


def _unavailable(*args: object, **kwargs: object) -> None:
    raise StoreUnavailable("k", "S3 answered 503")


def test_a_run_that_stored_but_then_failed_adds_nothing_twice(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.drop("a", tick("e1"))
    with monkeypatch.context() as patch:
        patch.setattr(assets, "snapshot_report", _unavailable)
        stream.run(succeeds=False)
    assert stream.ids() == ["e1"]
    assert stream.held() == 1
    stream.pass_time()
    assert materialized(stream.run())[DAY]["duplicates"] == 1
    assert (stream.ids(), stream.held()) == (["e1"], 0)


def test_an_object_that_breaks_the_ingest_fails_alone(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "odd", "c"):
        stream.drop(name, tick(name))
    real = assets.ingest_ticks

    def fragile(keys: list[Named], **options: Any) -> Any:
        if any(named(key).key.endswith("odd") for key in keys):
            raise ZeroDivisionError
        return real(keys, **options)

    monkeypatch.setattr(assets, "ingest_ticks", fragile)
    stream.run()
    assert stream.ids() == ["a", "c"]
    assert stream.held() == 1
    stream.pass_time()
    stream.run(succeeds=False)  # alone, it is a failed run
    assert stream.held() == 1


def test_a_flood_is_taken_in_portions(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assets, "MESSAGES", 12)
    for n in range(30):
        stream.drop(f"{n}", tick(f"e{n}"))
    stored = []
    for _ in range(3):
        stream.run()
        stored.append(len(stream.ids()))
    assert stored == [12, 24, 30]


def test_messages_stay_hidden_while_they_are_worked_on(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work goes on for twice the time that a message is hidden, and nobody else receives it meanwhile."""
    stream.drop("a", tick("e1"))
    stream.send("poison")
    real_ingest, real_extend, beaten = assets.ingest_ticks, Queue.extend, threading.Semaphore(0)
    extended: list[int] = []
    others: list[list[str]] = []

    def extend(queue: Queue, messages: list[Message], seconds: int) -> None:
        real_extend(queue, messages, seconds)
        extended.append(len(messages))
        beaten.release()

    def slow(*args: Any, **kwargs: Any) -> Any:
        for _ in range(4):
            stream.pass_time(HIDDEN / 2)
            assert beaten.acquire(timeout=30), "no heartbeat"
        others.append([message.body for message in stream.queue.receive(10)])
        return real_ingest(*args, **kwargs)

    monkeypatch.setattr(Queue, "visibility", lambda queue: HIDDEN)
    monkeypatch.setattr("stock_pipeline.aws.sqs._EXTENSIONS", HIDDEN * 100)
    monkeypatch.setattr(Queue, "extend", extend)
    monkeypatch.setattr(assets, "ingest_ticks", slow)
    stream.run()
    assert others == [["poison"]], "what cannot be read is not kept"
    assert set(extended) == {1}
    assert stream.ids() == ["e1"]


def test_a_heartbeat_that_fails_is_told_and_goes_on(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stream.drop("a", tick("e1"))
    queue = Queue(stream.queue.url)
    messages = queue.receive(1)
    said, told = [], threading.Semaphore(0)

    def log(text: str) -> None:
        said.append(text)
        told.release()

    monkeypatch.setattr("stock_pipeline.aws.sqs._EXTENSIONS", HIDDEN * 100)
    with kept_hidden(queue, messages, log):
        queue.url += "-gone"
        assert all(told.acquire(timeout=30) for _ in range(3))
    assert "check the setting with its URL" in said[0]
    assert "message-heartbeat" not in {thread.name for thread in threading.enumerate()}


def test_a_store_that_ends_in_the_middle_leaves_all_of_the_group(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream.drop("a", tick("e1"), tick("e2", at=OPEN + timedelta(hours=1)))
    real = S3Store.put

    def put(store: S3Store, key: str, data: bytes, **condition: Any) -> str:
        if key.endswith("1400.parquet"):
            raise StoreUnavailable(key, "S3 answered 503")
        return real(store, key, data, **condition)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", put)
        stream.run(succeeds=False)
    assert stream.held() == 1
    stream.pass_time()
    stream.run()
    assert stream.ids() == ["e1", "e2"]
