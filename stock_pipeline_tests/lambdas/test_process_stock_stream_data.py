"""process_stock_stream_data: which messages it acknowledges, which come back, and that only the failed ones do."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from zlib import crc32

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import EventError, ObjectsFailed, SettingsError, StoreError, StoreUnavailable
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.lambdas import LAKE, STAGING, Context
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.s3_notifications import event as s3_event

PREFIX = "stock_stream/2024/06/03/13/"
KEYS = [PREFIX + name for name in ("a", "two words", "a+b", "a%2Bb%20c", "Börse", "株価", "a&b=c?d#e")]


@pytest.fixture
def handler(cold_start: Callable[[str], ModuleType]) -> ModuleType:
    return cold_start("process_stock_stream_data")


def tick(event_id: str, minute: int = 0, **more: Any) -> bytes:
    at = datetime(2024, 6, 3, 13, 30, tzinfo=UTC) + timedelta(minutes=minute)
    known = {"event_id": event_id, "symbol": "AAPL", "price": 10.5, "produced_at": at.strftime("%Y-%m-%d %H:%M:%S")}
    return json.dumps(known | more).encode() + b"\n"


def message(name: str, body: Any) -> dict[str, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    return {"messageId": name, "receiptHandle": "h", "body": text, "eventSource": "aws:sqs", "attributes": {}}


def of_sqs(**bodies: Any) -> dict[str, Any]:
    return {"Records": [message(name, body) for name, body in bodies.items()]}


def telling_of(*keys: str) -> dict[str, Any]:
    return s3_event(*keys, bucket=STAGING)


def failed(answer: dict[str, Any]) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    assert all(set(item) == {"itemIdentifier"} for item in answer["batchItemFailures"])
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def stored(s3: Any) -> list[str]:
    lake = S3Store(LAKE, s3)
    found = [read_partition(lake, STREAM_PRICES_HISTORY, p) for p in partitions(lake, STREAM_PRICES_HISTORY)]
    return sorted(name for rows in found if rows is not None for name in rows["event_id"].to_pylist())


def latest(s3: Any) -> list[str]:
    rows = read_partition(S3Store(LAKE, s3), LATEST_PRICES, SNAPSHOT)
    return [] if rows is None else rows["event_id"].to_pylist()


def drop(s3: Any, **objects: bytes) -> list[str]:
    for name, body in objects.items():
        s3.put_object(Bucket=STAGING, Key=PREFIX + name, Body=body)
    return [PREFIX + name for name in objects]


@pytest.fixture
def broken_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Exception], None]:
    """Makes every read of one key fail."""

    def breaks(key: str, error: Exception) -> None:
        get = S3Store.get

        def failing(self: S3Store, asked: str, **more: Any) -> Any:
            if asked == key:
                raise error
            return get(self, asked, **more)

        monkeypatch.setattr(S3Store, "get", failing)

    return breaks


def test_many_messages_of_many_records_are_merged_together(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    for n, key in enumerate(KEYS):
        s3.put_object(Bucket=STAGING, Key=key, Body=tick(f"e{n}", n))
    answer = handler.lambda_handler(
        of_sqs(m1=telling_of(*KEYS[:3]), m2=telling_of(*KEYS[2:]), m3=telling_of()), context
    )
    assert failed(answer) == []
    assert stored(s3) == [f"e{n}" for n in range(len(KEYS))]
    assert latest(s3) == [f"e{len(KEYS) - 1}"]
    versions = S3Store(LAKE, s3).get("latest_stream_prices/latest.parquet").info.etag
    assert failed(handler.lambda_handler(of_sqs(again=telling_of(*KEYS)), context)) == []
    assert S3Store(LAKE, s3).get("latest_stream_prices/latest.parquet").info.etag == versions
    assert len(stored(s3)) == len(KEYS)


def test_objects_that_firehose_has_compressed_are_read_beside_those_that_it_has_not(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    """As with StreamCompression=GZIP, from the deployment on that set it; Firehose also joins compressed records."""
    packed = gzip.compress(tick("e1") + tick("e2", 1)) + gzip.compress(tick("e3", 2))
    keys = drop(s3, **{"ticks-1.gz": packed, "ticks-2": tick("e4", 3)})
    assert failed(handler.lambda_handler(of_sqs(m1=telling_of(*keys)), context)) == []
    assert stored(s3) == ["e1", "e2", "e3", "e4"]
    assert latest(s3) == ["e4"]
    assert read_rejects(S3Store(LAKE, s3), STREAM_PRICES_HISTORY).num_rows == 0


def test_the_test_event_is_acknowledged_either_way(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": STAGING, "RequestId": "x", "HostId": "y"}
    assert failed(handler.lambda_handler(of_sqs(m=test_event), context)) == []
    assert handler.lambda_handler(test_event, context) == {"receipts": []}


def test_only_messages_that_are_no_s3_event_or_name_no_version_of_a_gone_object_fail(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    (good,) = drop(s3, good=tick("e1"))
    answer = handler.lambda_handler(
        of_sqs(
            text="SECRET words",
            other=s3_event(good, bucket="another"),
            gone=telling_of(PREFIX + "gone"),
            good=telling_of(good),
            half=telling_of(good, PREFIX + "gone"),
            none=telling_of("daily_prices/a.csv"),
        ),
        context,
    )
    assert failed(answer) == ["text", "other", "gone", "half"]
    assert stored(s3) == ["e1"]
    assert read_rejects(S3Store(LAKE, s3), STREAM_PRICES_HISTORY).num_rows == 0


def test_a_version_deleted_for_good_before_it_is_read_is_on_record_and_its_message_done(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    gone = json.dumps(s3_event(PREFIX + "gone", bucket=STAGING, version="never", etag="0" * 32))
    assert failed(handler.lambda_handler(of_sqs(gone=gone), context)) == []
    (row,) = read_rejects(S3Store(LAKE, s3), STREAM_PRICES_HISTORY).to_pylist()
    assert (row["source"], row["etag"], row["reason"]) == (PREFIX + "gone", "0" * 32, "file_gone")


def test_an_object_that_is_refused_is_on_record_and_its_message_done(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    keys = drop(s3, cats=b"\x1f\x8bnot gzip at all", good=tick("e1") + b"{broken\n")
    assert failed(handler.lambda_handler(of_sqs(m1=telling_of(keys[0]), m2=telling_of(keys[1])), context)) == []
    rejects = read_rejects(S3Store(LAKE, s3), STREAM_PRICES_HISTORY).to_pylist()
    assert sorted(row["reason"] for row in rejects) == ["file_refused", "malformed_json"]


@pytest.mark.parametrize("error", [StoreError(PREFIX + "o4", "access denied"), ValueError("SECRET"), MemoryError()])
def test_a_poison_object_fails_alone(
    error: Exception,
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: LambdaContext,
    broken_at: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = cold_start("process_stock_stream_data")  # here: the logger prints to the stdout of its start
    keys = drop(s3, **{f"o{n}": tick(f"e{n}", n) for n in range(10)})
    broken_at(keys[4], error)
    messages = {f"m{n}": telling_of(key) for n, key in enumerate(keys)}
    assert failed(handler.lambda_handler(of_sqs(**messages), context)) == ["m4"]
    assert stored(s3) == [f"e{n}" for n in range(10) if n != 4]
    assert latest(s3) == ["e9"]
    logged = capsys.readouterr().out
    assert keys[4] in logged
    assert "SECRET" not in logged
    assert '"MessagesFailed":[1.0]' in logged


def test_of_a_poison_message_the_other_objects_are_stored(
    handler: ModuleType, s3: Any, context: LambdaContext, broken_at: Callable[..., None]
) -> None:
    keys = drop(s3, a=tick("e1"), b=tick("e2"), c=tick("e3"))
    broken_at(keys[1], ValueError())
    assert failed(handler.lambda_handler(of_sqs(m1=telling_of(*keys), m2=telling_of(keys[0])), context)) == ["m1"]
    assert stored(s3) == ["e1", "e3"]


def test_it_stops_in_time_and_returns_the_rest(
    handler: ModuleType, s3: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = drop(s3, **{f"o{n}": tick(f"e{n}") for n in range(4)})
    monkeypatch.setattr("stock_pipeline.ingest.ticks.GROUP_BYTES", 1)  # each object is a group of its own
    put, events = S3Store.put, of_sqs(**{f"m{n}": telling_of(key) for n, key in enumerate(keys)})

    def slow(self: S3Store, key: str, *arguments: Any, **more: Any) -> str:
        context.remaining -= 25_000 * key.startswith("price_by_date_stream/year=")
        return put(self, key, *arguments, **more)

    monkeypatch.setattr(S3Store, "put", slow)
    assert failed(handler.lambda_handler(events, context)) == []  # 20 s are left: none was begun too late
    context.remaining = 100_000
    for key in list(S3Store(LAKE, s3).list("")):
        s3.delete_object(Bucket=LAKE, Key=key.key)
    assert failed(handler.lambda_handler(events, context)) == ["m3"]
    assert stored(s3) == ["e0", "e1", "e2"]


def test_when_one_by_one_takes_too_long_the_rest_comes_back(
    handler: ModuleType, s3: Any, context: Context, broken_at: Callable[..., None]
) -> None:
    keys = drop(s3, a=tick("e1"), b=tick("e2"))
    broken_at(keys[0], ValueError())
    context.remaining = 1000
    assert failed(handler.lambda_handler(of_sqs(m1=telling_of(keys[0]), m2=telling_of(keys[1])), context)) == [
        "m1",
        "m2",
    ]
    assert stored(s3) == []


def test_s3_itself_gets_a_receipt_for_each_object(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    keys = drop(s3, a=tick("e1") + tick("e1"), b=b"{\n")
    receipts = handler.lambda_handler(telling_of(*keys), context)["receipts"]
    assert [(r["source"], r["inserted"], r["duplicates"]) for r in receipts] == [(keys[0], 1, 1), (keys[1], 0, 0)]
    json.dumps(receipts)  # Lambda must be able to send it


def test_for_s3_itself_it_fails_when_an_object_failed_and_has_stored_the_others(
    handler: ModuleType, s3: Any, context: LambdaContext, broken_at: Callable[..., None]
) -> None:
    keys = drop(s3, a=tick("e1"), b=tick("e2"))
    with pytest.raises(ObjectsFailed, match=r"1 of 2 objects failed; .*gone: .*does not exist"):
        handler.lambda_handler(telling_of(keys[0], PREFIX + "gone"), context)
    broken_at(keys[0], MemoryError())
    with pytest.raises(ObjectsFailed, match="MemoryError"):
        handler.lambda_handler(telling_of(*keys), context)
    assert stored(s3) == ["e1", "e2"]


def test_when_the_store_is_away_it_fails_for_all_messages(
    handler: ModuleType, s3: Any, context: LambdaContext, broken_at: Callable[..., None]
) -> None:
    keys = drop(s3, a=tick("e1"), b=tick("e2"))
    broken_at(keys[1], StoreUnavailable(keys[1], "S3 answered 503"))
    with pytest.raises(StoreUnavailable, match="503"):
        handler.lambda_handler(of_sqs(m1=telling_of(keys[0]), m2=telling_of(keys[1])), context)
    assert stored(s3) == []


@pytest.mark.parametrize(
    "unknown", [{}, {"Records": []}, {"Records": "x"}, {"Records": [{"eventSource": "aws:kinesis"}]}, {"Records": [7]}]
)
def test_an_event_from_elsewhere_is_an_error_or_names_nothing(
    unknown: dict[str, Any], handler: ModuleType, context: LambdaContext
) -> None:
    if unknown == {"Records": []}:
        assert handler.lambda_handler(unknown, context) == {"receipts": []}
        return
    with pytest.raises(EventError, match="S3 notification"):
        handler.lambda_handler(unknown, context)


def test_the_settings_decide_on_skew_and_size_and_the_lake_on_the_layout(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out(S3Store(LAKE, s3), 60, 4)
    monkeypatch.setenv("STOCK_PIPELINE_MAX_CLOCK_SKEW_SECONDS", "3600")
    monkeypatch.setenv("STOCK_PIPELINE_MAX_OBJECT_MB", "1")
    handler = cold_start("process_stock_stream_data")
    ahead = (datetime.now(UTC) + timedelta(minutes=30)).strftime("%Y-%m-%d %H:%M:%S")
    keys = drop(s3, a=tick("e1") + tick("e2", produced_at=ahead), big=tick("e3") * 20_000)
    receipts = handler.lambda_handler(telling_of(*keys), context)["receipts"]
    assert receipts[0]["inserted"] == 2
    assert f"year=2024/month=06/day=03/1300-{crc32(b'AAPL') % 4:02d}" in receipts[0]["partitions"]
    assert "1" in receipts[1]["refused"]


@pytest.mark.parametrize("missing", ["STOCK_PIPELINE_STAGING_BUCKET", "STOCK_PIPELINE_LAKE_BUCKET"])
def test_a_missing_setting_stops_the_cold_start_and_is_named(
    missing: str, cold_start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=missing):
        cold_start("process_stock_stream_data")


def test_logs_hold_counts_and_keys_but_no_row(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = cold_start("process_stock_stream_data")  # here: the logger prints to the stdout of its start
    (key,) = drop(s3, a=tick("e1", symbol="SECRET", price=424242) + b'{"symbol":"SECRET","price":-424242}\n')
    handler.lambda_handler(of_sqs(m=telling_of(key), n="SECRET"), context)
    logged = capsys.readouterr().out
    assert key in logged
    assert '"RowsRejected":[1.0]' in logged
    assert "424242" not in logged
    assert "SECRET" not in logged


def test_receipts_of_what_is_stored_go_to_the_lineage_queue(
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    broken_at: Callable[[str, Exception], None],
) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    monkeypatch.setenv("STOCK_PIPELINE_LINEAGE_QUEUE_URL", url)
    handler = cold_start("process_stock_stream_data")
    good, broken = drop(s3, a=tick("e1"), b=tick("e2"))
    broken_at(broken, ZeroDivisionError())
    assert failed(handler.lambda_handler(of_sqs(one=telling_of(good), two=telling_of(broken)), context)) == ["two"]
    (sent,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    receipt = json.loads(sent["Body"])
    assert (receipt["source"], receipt["inserted"]) == (good, 1)
    assert receipt["partitions"] == {"year=2024/month=06/day=03/1300": 1}
