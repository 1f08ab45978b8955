"""Receipts as messages: none is lost for its size, for a part of a call that failed, or for a queue that is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from stock_pipeline.aws import receipt_queue
from stock_pipeline.aws.receipt_queue import MESSAGE_BYTES, joined, messages_of, send
from stock_pipeline.receipts import Receipt

texts = st.text(max_size=40)
receipts = st.builds(
    lambda source, inserted, partitions, refused: Receipt(
        source=source,
        etag="e",
        table="price_by_date",
        rows=0 if refused else inserted,
        inserted=0 if refused else inserted,
        partitions={} if refused else dict.fromkeys(partitions, 1),
        refused=refused or None,
    ),
    texts,
    st.integers(0, 10**9),
    st.lists(texts, max_size=60, unique=True),
    st.none() | texts,
)


def large(partitions: int = 20_000, source: str = "stock_stream/uploads/decades.jsonl.gz") -> Receipt:
    names = (f"year={1990 + n // 8000}/month=01/day=01/{n:06}" for n in range(partitions))
    counts = dict.fromkeys(names, 7)
    return Receipt(source, "e", "stream_prices_history", rows=9, inserted=9, partitions=counts)


@given(receipts, st.integers(600, 4000))
def test_a_receipt_of_any_size_comes_back_whole_from_messages_that_fit(receipt: Receipt, limit: int) -> None:
    bodies = messages_of(receipt, limit)
    parts = [Receipt.from_json(body) for body in bodies]
    assert joined(parts) == [receipt]
    assert joined([*reversed(parts), *parts])[0].partitions == receipt.partitions, "in any order, any number of times"
    assert all(
        len(body.encode()) <= limit or len(part.partitions) < 2 for body, part in zip(bodies, parts, strict=True)
    )
    assert messages_of(receipt, limit) == bodies, "the same every time"


def test_a_file_of_any_number_of_unread_columns_fits_into_a_message() -> None:
    wide = Receipt("s", "e", "price_by_date", unread=("x" * 5000, *(f"column {n}" for n in range(9999))))
    (body,) = messages_of(wide)
    shown = Receipt.from_json(body).unread
    assert shown[0] == "x" * 100 + "…"
    assert shown[1:] == (*(f"column {n}" for n in range(99)), "and 9,900 more")


def test_a_receipt_of_decades_of_ticks_is_split_below_the_limit_of_the_queue() -> None:
    bodies = messages_of(large())
    assert len(bodies) > 1
    assert max(len(body.encode()) for body in bodies) <= MESSAGE_BYTES
    (whole,) = joined([Receipt.from_json(body) for body in bodies])
    assert len(whole.partitions) == 20_000


def test_a_long_refusal_is_told_up_to_its_limit() -> None:
    (body,) = messages_of(Receipt("s", "e", "price_by_date", refused="x" * 100_000))
    assert Receipt.from_json(body).refused == "x" * receipt_queue.REFUSAL + "…"


def test_receipts_of_two_ingests_of_one_object_are_two() -> None:
    twice = [Receipt("s", "e", "price_by_date"), Receipt("s", "e", "price_by_date")]
    assert len(joined(twice)) == 2


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(receipt_queue, "_WAIT", 0)
    with mock_aws():
        yield boto3.client("sqs")


def received(sqs: Any, url: str) -> list[Receipt]:
    found: list[Receipt] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [Receipt.from_json(message["Body"]) for message in messages]
    return found


def some(number: int) -> list[Receipt]:
    return [Receipt(f"daily_prices/uploads/{n}.csv", "e", "price_by_date") for n in range(number)]


def test_calls_hold_ten_messages_and_what_sqs_takes_in_one(sqs: Any) -> None:
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    calls: list[list[int]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        calls.append([len(entry["MessageBody"].encode()) for entry in params["Entries"]])

    sqs.meta.events.register("provide-client-params.sqs.SendMessageBatch", note)
    sent = [*some(23), large(4_000), large(4_000, "another"), large(4_000, "a third")]
    assert send(sent, sqs, url) == []
    assert all(len(call) <= 10 and sum(call) <= MESSAGE_BYTES for call in calls)
    assert sorted(r.source for r in joined(received(sqs, url))) == sorted(r.source for r in sent)


def test_what_sqs_refused_of_a_call_is_sent_again_alone(sqs: Any) -> None:
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    calls: list[int] = []
    original = sqs.send_message_batch

    def partly(QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - as boto3 has it
        calls.append(len(Entries))
        taken = Entries if len(calls) > 2 else Entries[::2]
        original(QueueUrl=QueueUrl, Entries=taken)
        left = [entry for entry in Entries if entry not in taken]
        return {"Failed": [{"Id": e["Id"], "Code": "ServiceUnavailable", "SenderFault": False} for e in left]}

    sqs.send_message_batch = partly
    assert send(some(9), sqs, url) == []
    assert calls == [9, 4, 2]
    assert sorted(r.source for r in received(sqs, url)) == sorted(r.source for r in some(9))


def test_a_queue_that_is_away_or_gone_gives_back_the_receipts_with_the_reason(
    sqs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    wanted = some(12)
    assert [(r.source, why) for r, why in send(wanted, sqs, url + "-gone")] == [
        (r.source, "AWS.SimpleQueueService.NonExistentQueue") for r in wanted
    ]

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="sqs")

    sqs.send_message_batch = unreachable
    assert [why for _, why in send(wanted, sqs, url)] == ["EndpointConnectionError"] * 12
    assert received(sqs, url) == []


def test_the_body_of_a_message_holds_what_any_queue_takes() -> None:
    (body,) = messages_of(Receipt("daily_prices/uploads/\uffff\ud800ü\x00.csv", "e", "price_by_date"))
    assert body.isascii()
    assert json.loads(body)["source"] == "daily_prices/uploads/\uffff\ud800ü\x00.csv"
