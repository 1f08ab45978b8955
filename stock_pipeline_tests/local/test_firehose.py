"""Firehose as it is emulated: records gathered by size and time, joined as they are, under its names."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.kinesis import pack, send
from stock_pipeline.local import local_aws
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually

pytestmark = pytest.mark.e2e

LONG = "900"  # seconds
KEY = re.compile(
    r"stock_stream/\d{4}/\d\d/\d\d/\d\d/(?P<stream>[a-z0-9-]+)-1-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d"
    r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?P<suffix>\.gz)?"
)


def objects(s3: Any, bucket: str) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket=bucket, Prefix="stock_stream").get("Contents", [])
    return {entry["Key"]: s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read() for entry in found}


def delivered(stack: Stack, number: int) -> Callable[[], dict[str, bytes]]:
    def found() -> dict[str, bytes]:
        there = objects(stack.s3, stack.outputs["StagingBucket"])
        return there if len(there) >= number else {}

    return found


def put(stack: Stack, *data: bytes) -> None:
    records = [{"PartitionKey": "k", "Data": entry} for entry in data]
    answer = stack.client("kinesis").put_records(StreamName=stack.outputs["StreamName"], Records=records)
    assert answer["FailedRecordCount"] == 0


def test_records_of_an_interval_are_one_object_joined_as_they_came(new_stack: NewStack) -> None:
    stack = new_stack(StreamBufferSeconds="1")
    parts = [b'{"a":1}\n{"a":2}\n', b"no newline", b"\xff\x00\n", "ü\n".encode()]
    put(stack, *parts)
    (found,) = (eventually(delivered(stack, 1)) or {"": b""}).items()
    assert found[1] == b"".join(parts), stack.log()
    named = KEY.fullmatch(found[0])
    assert named
    assert (named["stream"], named["suffix"]) == (stack.outputs["StreamName"], None)
    put(stack, b"later\n")
    assert sorted(eventually(delivered(stack, 2)).values()) == sorted([b"later\n", found[1]])


def test_a_full_buffer_does_not_wait(new_stack: NewStack) -> None:
    stack = new_stack(StreamBufferSeconds=LONG, StreamBufferMb="1")
    line = b"x" * 99 + b"\n"
    sent = send(stack.client("kinesis"), stack.outputs["StreamName"], pack([line] * 30_000))
    assert sent.lines == 30_000
    found = eventually(delivered(stack, 2))
    assert [body.strip(line) for body in found.values()] == [b"", b""], stack.log()
    assert all(1024**2 <= len(body) < 1024**2 + 25_000 for body in found.values())  # the rest waits


def test_objects_can_be_compressed(new_stack: NewStack) -> None:
    stack = new_stack(StreamBufferSeconds="0", StreamCompression="GZIP")
    put(stack, b"a\n", b"b\n")
    found = eventually(delivered(stack, 1))
    assert b"".join(map(gzip.decompress, found.values())) == b"a\nb\n", stack.log()
    assert all(key.endswith(".gz") for key in found)


def test_streams_do_not_mix(new_stack: NewStack) -> None:
    stacks = [new_stack(StreamBufferSeconds="1") for _ in range(2)]
    for stack, body in zip(stacks, (b"one\n", b"other\n"), strict=True):
        put(stack, body)
    for stack, body in zip(stacks, (b"one\n", b"other\n"), strict=True):
        assert list(eventually(delivered(stack, 1)).values()) == [body], stack.log()


def test_what_is_gathered_is_written_when_it_stops(tmp_path: Path, installed: Path) -> None:
    with local_aws(tmp_path, installed=installed, parameters={"StreamBufferSeconds": LONG}) as aws:
        put(Stack(aws), b"held\n", b"back\n")
        assert objects(aws.client("s3"), aws.outputs["StagingBucket"]) == {}
    with local_aws(tmp_path, installed=installed) as aws:
        assert list(objects(aws.client("s3"), aws.outputs["StagingBucket"]).values()) == [b"held\nback\n"]
