"""What the local AWS acknowledges is on disk, and a disk that takes no more is an error that says so."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import StoreError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.local import LocalAws, LocalFolders, local_aws
from stock_pipeline_tests.support.local_aws import eventually

pytestmark = pytest.mark.live

MIB = 1 << 20
KEYS, WRITERS = 5, 4


@contextmanager
def full_disk(aws: LocalAws, largest: int = 0) -> Iterator[None]:
    """The emulator cannot write files of more bytes than `largest`. The kernel answers EFBIG, as a full quota does."""
    _, hard = resource.prlimit(aws.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(aws.pid, resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.prlimit(aws.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture
def aws(tmp_path: Path, installed: Path) -> Iterator[LocalAws]:
    with local_aws(tmp_path, installed=installed) as running:
        yield running


def put_by_multipart(s3: Any, bucket: str, key: str, body: bytes) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=parts)


@pytest.mark.parametrize("bucket_of", ["StagingBucket", "LakeBucket"])
def test_a_full_disk_refuses_each_kind_of_write_and_keeps_what_was_there(aws: LocalAws, bucket_of: str) -> None:
    s3, bucket, big = aws.client("s3"), aws.outputs[bucket_of], b"new" * 10_000
    first = s3.put_object(Bucket=bucket, Key="a/old", Body=b"old")
    s3.put_object(Bucket=bucket, Key="a/source", Body=big)
    writes = {
        "a put": lambda key: s3.put_object(Bucket=bucket, Key=key, Body=big),
        "a conditional put": lambda key: s3.put_object(
            Bucket=bucket, Key=key, Body=big, **({"IfMatch": first["ETag"]} if key == "a/old" else {"IfNoneMatch": "*"})
        ),
        "a copy": lambda key: s3.copy_object(Bucket=bucket, Key=key, CopySource=f"{bucket}/a/source"),
        "an upload in parts": lambda key: put_by_multipart(s3, bucket, key, big),
    }
    for key in ("a/old", "a/new"):
        for name, write in writes.items():
            with full_disk(aws, largest=8_000), pytest.raises(ClientError) as refused:
                write(key)
            told = refused.value.response
            assert (told["ResponseMetadata"]["HTTPStatusCode"], told["Error"]["Code"]) == (
                507,
                "InsufficientStorage",
            ), name
            assert "is full; make room" in told["Error"]["Message"]
    found = s3.get_object(Bucket=bucket, Key="a/old")
    assert (found["Body"].read(), found["ETag"]) == (b"old", first["ETag"])
    listed = s3.list_object_versions(Bucket=bucket, Prefix="a/")["Versions"]
    assert sorted(version["Key"] for version in listed) == ["a/old", "a/source"]
    for write in writes.values():  # and there is room again
        s3.delete_object(Bucket=bucket, Key="a/new")
        write("a/new")
        assert s3.get_object(Bucket=bucket, Key="a/new")["Body"].read() == big


def test_an_ingest_on_a_full_disk_says_so_and_counts_nothing(aws: LocalAws) -> None:
    rows = "".join(f"S{n},2024-01-02,10,12,9,11,100\n" for n in range(5_000))
    staging, lake = (S3Store(aws.outputs[name], aws.client("s3")) for name in ("StagingBucket", "LakeBucket"))
    staging.put("daily_prices/uploads/prices.csv", f"Symbol,Date,Open,High,Low,Close,Volume\n{rows}".encode())
    with (
        full_disk(aws, largest=4_000),
        pytest.raises(StoreError, match=r"was not stored: the disk .* is full; make room"),
    ):
        ingest_daily_prices(["daily_prices/uploads/prices.csv"], staging=staging, lake=lake)
    (again,) = ingest_daily_prices(["daily_prices/uploads/prices.csv"], staging=staging, lake=lake)
    assert (again.rows, again.inserted) == (5_000, 5_000)


def test_a_write_that_failed_triggers_nothing(aws: LocalAws) -> None:
    s3, sqs, bucket = aws.client("s3"), aws.client("sqs"), aws.outputs["StagingBucket"]
    with full_disk(aws, largest=8_000), pytest.raises(ClientError, match="InsufficientStorage"):
        s3.put_object(Bucket=bucket, Key="stock_stream/2024/01/02/03/x", Body=b"x" * 10_000)
    s3.put_object(Bucket=bucket, Key="stock_stream/2024/01/02/03/y", Body=b"x" * 10_000)
    queue, keys = aws.outputs["StreamQueueUrl"], []
    while found := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2).get("Messages"):
        keys += [message["Body"] for message in found if "stock_stream" in message["Body"]]
    assert len(keys) == 1
    assert "stock_stream/2024/01/02/03/y" in keys[0]


@pytest.mark.timeout(280)
def test_killed_at_any_moment_it_has_kept_what_it_acknowledged(tmp_path: Path, installed: Path) -> None:
    """Writers rewrite keys while the emulator is killed: each key holds its last acknowledged body, or a later one."""
    acknowledged: dict[str, int] = {}
    sent: dict[str, int] = {}

    def write(s3: Any, bucket: str, number: int) -> None:
        while True:
            for key in [f"{kind}/{number}-{n}" for n in range(KEYS) for kind in ("daily_prices", "other")]:
                sent[key] = sent.get(key, 0) + 1
                try:
                    s3.put_object(Bucket=bucket, Key=key, Body=body(key, sent[key]))
                except (ClientError, BotoCoreError):
                    return
                acknowledged[key] = sent[key]

    for round_ in range(3):
        with local_aws(tmp_path, installed=installed) as aws:
            bucket = aws.outputs["StagingBucket"]
            check(aws, bucket, acknowledged, sent)
            wanted = sum(acknowledged.values()) + 20 + 37 * round_
            threads = [threading.Thread(target=write, args=(aws.client("s3"), bucket, n)) for n in range(WRITERS)]
            for thread in threads:
                thread.start()
            assert eventually(lambda wanted=wanted: sum(acknowledged.values()) > wanted)
            os.killpg(aws.pid, signal.SIGKILL)
            for thread in threads:
                thread.join()
    with local_aws(tmp_path, installed=installed) as aws:
        check(aws, aws.outputs["StagingBucket"], acknowledged, sent)
    assert len(acknowledged) > KEYS


def body(key: str, number: int) -> bytes:
    return f"{key} {number} ".encode() * 2_000


def check(aws: LocalAws, bucket: str, acknowledged: dict[str, int], sent: dict[str, int]) -> None:
    s3 = aws.client("s3")
    for key, last in acknowledged.items():
        found = s3.get_object(Bucket=bucket, Key=key)
        data = found["Body"].read()
        assert data in [body(key, number) for number in range(last, sent[key] + 1)], key
        assert found["ETag"] == f'"{hashlib.md5(data).hexdigest()}"', key
    for version in s3.list_object_versions(Bucket=bucket).get("Versions", [])[:50]:
        data = s3.get_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])["Body"].read()
        assert version["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'


def test_its_memory_does_not_grow_with_what_it_stores(aws: LocalAws) -> None:
    """200 MiB in versions of one key and in keys of their own."""
    s3, bucket, process = aws.client("s3"), aws.outputs["StagingBucket"], psutil.Process(aws.pid)
    s3.put_object(Bucket=bucket, Key="warm", Body=os.urandom(MIB))
    before = process.memory_info().rss
    for number in range(100):
        s3.put_object(Bucket=bucket, Key="same", Body=os.urandom(MIB))
        s3.put_object(Bucket=bucket, Key=f"own/{number}", Body=os.urandom(MIB))
    grown = (process.memory_info().rss - before) / MIB
    print(f"{grown:.0f} MiB more for 200 MiB stored")
    assert grown < 40


def test_an_object_whose_file_is_gone_is_an_error_and_not_empty(aws: LocalAws) -> None:
    s3, bucket = aws.client("s3"), aws.outputs["StagingBucket"]
    s3.put_object(Bucket=bucket, Key="lost", Body=b"rows")
    next(LocalFolders(aws.root).objects.rglob("lost")).unlink()
    with pytest.raises(ClientError, match="No such file"):
        s3.get_object(Bucket=bucket, Key="lost")
