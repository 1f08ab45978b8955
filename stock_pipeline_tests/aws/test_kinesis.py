"""Lines packed into records, and records sent to Kinesis."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.aws.kinesis import RECORD_BYTES, Record, pack, send
from stock_pipeline_tests.support.kinesis import Kinesis, error, line

LINES = st.lists(
    st.one_of(
        st.builds(line, st.sampled_from(["A", "BRK.B", "NA"]), st.integers(0, 99), st.integers(0, 30_000)),
        st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"") + b"\n"),
    ),
    max_size=30,
)


@settings(deadline=None)  # the first call imports pandas
@given(LINES)
def test_every_line_travels_once_in_the_order_of_its_symbol(lines: list[bytes]) -> None:
    records = pack(lines)
    sent = b"".join(data for _, data in records)
    assert sorted(sent.split(b"\n")) == sorted(b"".join(lines).split(b"\n"))
    for symbol in ("A", "BRK.B"):
        mine = [tick for tick in lines if f'"symbol":"{symbol}"'.encode() in tick]
        assert b"".join(data for key, data in records if key == symbol) == b"".join(mine)
    for key, data in records:
        assert 1 <= len(key) <= 256
        assert len(data) <= RECORD_BYTES or data.count(b"\n") == 1


def test_records_are_filled() -> None:
    records = pack([line("A", n, 900) for n in range(1000)])
    assert min(len(data) for _, data in records[:-1]) > RECORD_BYTES - 1000


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ('{"T":"t","S":"FAKEPACA","p":1}', "FAKEPACA"),
        ('{"ev":"T","sym":"MSFT","p":1}', "MSFT"),
        ('{"data":[{"p":1,"s":"AAPL"}],"type":"trade"}', "AAPL"),
        ('{"type": "match", "product_id": "BTC-USD"}', "BTC-USD"),
        ("not json", "-"),
    ],
)
def test_the_symbol_of_every_known_shape_is_the_partition_key(message: str, key: str) -> None:
    assert pack([message.encode() + b"\n"]) == [(key, message.encode() + b"\n")]


def records(number: int, size: int = 10) -> list[Record]:
    return [("k", f"{n:0{size - 1}d}\n".encode()) for n in range(number)]


def test_calls_keep_to_the_limits_of_the_service() -> None:
    kinesis = Kinesis()
    sent = send(kinesis, "ticks", [*records(1200), *records(250, 25_000)])  # type: ignore[arg-type]
    assert (sent.lines, sent.records, sent.failed) == (1450, 1450, 0)
    assert [len(call) for call in kinesis.calls] == [500, 500, 399, 51]
    assert sent.bytes == sum(map(len, kinesis.stored))


def test_only_the_entries_that_failed_are_sent_again(waits: list[float]) -> None:
    kinesis = Kinesis({1, 3}, {0})
    sent = send(kinesis, "ticks", records(5))  # type: ignore[arg-type]
    every = [data for _, data in records(5)]
    assert kinesis.calls == [every, [every[1], every[3]], [every[1]]]
    assert sorted(kinesis.stored) == every
    assert (sent.lines, sent.retries, sent.failed) == (5, 3, 0)
    assert waits[1] > waits[0] / 2


@pytest.mark.parametrize("lost", [error("InternalFailure"), EndpointConnectionError(endpoint_url="http://k")])
def test_a_call_without_an_answer_is_made_again(lost: Exception) -> None:
    kinesis = Kinesis(lost)
    sent = send(kinesis, "ticks", records(2))  # type: ignore[arg-type]
    assert (sent.lines, sent.retries, sent.failed) == (2, 2, 0)


def test_what_cannot_be_sent_before_the_deadline_is_counted(waits: list[float]) -> None:
    kinesis = Kinesis(*[{0}] * 1000)
    sent = send(kinesis, "ticks", [("k", b"a\nb\n"), ("k", b"c\n")], deadline=30)  # type: ignore[arg-type]
    assert (sent.lines, sent.failed) == (1, 2)
    assert sent.reason == "ProvisionedThroughputExceededException: slow down"
    assert 20 < sum(waits) <= 30


def test_a_stream_that_does_not_exist_fails_at_once(waits: list[float]) -> None:
    sent = send(Kinesis(error("ResourceNotFoundException")), "ticks", records(3))  # type: ignore[arg-type]
    assert (sent.lines, sent.failed, waits) == (0, 3, [])
    assert "ResourceNotFoundException" in str(sent.reason)


def test_a_line_that_no_record_can_hold_is_counted_and_the_others_are_sent() -> None:
    kinesis = Kinesis()
    sent = send(kinesis, "ticks", [("k", b"x" * 2**20 + b"\n"), *records(2)])  # type: ignore[arg-type]
    assert (sent.lines, sent.failed) == (2, 1)
    assert "at most 1,048,576" in str(sent.reason)
