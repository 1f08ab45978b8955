"""process_batch_stock_data: which objects of messages and events it takes, what it answers and when it fails."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import EventError, SettingsError, StoreUnavailable
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support import s3_notifications
from stock_pipeline_tests.support.lambdas import LAKE, STAGING, Context

HEADER = "symbol,date,open,high,low,close,volume\n"
SECRET_ROW = "SECRET,2024-05-01,10,12,9,11,424242\n"  # pragma: allowlist secret

KEYS = [
    "daily_prices/uploads/AAPL.csv",
    "daily_prices/uploads/two words.csv",
    "daily_prices/uploads/a+b.csv",
    "daily_prices/uploads/a%2Bb%20c.csv",
    "daily_prices/uploads/Börse Zürich.csv",
    "daily_prices/uploads/株価.csv",
    "daily_prices/uploads/a&b=c?d#e.csv",
]


@pytest.fixture
def handler(cold_start: Callable[[str], ModuleType]) -> ModuleType:
    return cold_start("process_batch_stock_data")


def record(key: str, **more: str) -> dict[str, Any]:
    return s3_notifications.record(key, **({"bucket": STAGING} | more))


def event(*keys: str, **more: str) -> dict[str, Any]:
    return {"Records": [record(key, **more) for key in keys]}


def of_sqs(**bodies: Any) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": name, "receiptHandle": "h", "body": json.dumps(body), "eventSource": "aws:sqs"}
            for name, body in bodies.items()
        ]
    }


def failed(answer: dict[str, Any]) -> list[str]:
    assert set(answer) == {"batchItemFailures"}
    return [item["itemIdentifier"] for item in answer["batchItemFailures"]]


def drop(s3: Any, *symbols: str) -> list[str]:
    """A file for each symbol, with one bar; returns their keys."""
    keys = [f"daily_prices/uploads/{symbol} ü.csv" for symbol in symbols]
    for key, symbol in zip(keys, symbols, strict=True):
        s3.put_object(Bucket=STAGING, Key=key, Body=(HEADER + f"{symbol},2024-05-01,10,12,9,11,5\n").encode())
    return keys


def stored(s3: Any) -> list[str]:
    found = read_partition(S3Store(LAKE, s3), PRICE_BY_DATE, "year=2024")
    return [] if found is None else sorted(found["symbol"].to_pylist())


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_decoded_exactly_once(key: str, handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    s3.put_object(Bucket=STAGING, Key=key, Body=(HEADER + "AAPL,2024-05-01,10,12,9,11,5\n").encode())
    (receipt,) = handler.lambda_handler(event(key), context)["receipts"]
    assert (receipt["source"], receipt["inserted"], receipt["refused"]) == (key, 1, None)
    assert stored(s3) == ["AAPL"]


def test_any_number_of_records_each_object_once(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    for key, symbol in zip(KEYS, "ABCDEFG", strict=True):
        s3.put_object(Bucket=STAGING, Key=key, Body=(HEADER + f"{symbol},2024-05-01,10,12,9,11,5\n").encode())
    answer = handler.lambda_handler(event(*KEYS, *reversed(KEYS)), context)
    assert [receipt["source"] for receipt in answer["receipts"]] == KEYS
    assert stored(s3) == list("ABCDEFG")
    json.dumps(answer)  # Lambda must be able to send it
    again = handler.lambda_handler(event(*KEYS), context)
    assert [receipt["duplicates"] for receipt in again["receipts"]] == [1] * len(KEYS)


def test_the_test_event_is_acknowledged(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    test_event = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": STAGING, "RequestId": "x", "HostId": "y"}
    assert handler.lambda_handler(test_event, context) == {"receipts": []}


def test_messages_of_a_queue_are_merged_together_and_only_the_failed_ones_come_back(
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = cold_start("process_batch_stock_data")  # here: the logger prints to the stdout of its start
    keys, puts, get = drop(s3, *"ABCDEF"), Counter[str](), S3Store.get

    def poisoned(self: S3Store, key: str, **more: Any) -> Any:
        if key == keys[2]:
            raise ValueError("SECRET")
        return get(self, key, **more)

    def counted(self: S3Store, key: str, *arguments: Any, **more: Any) -> str:
        puts[key] += 1
        return put(self, key, *arguments, **more)

    put = S3Store.put
    monkeypatch.setattr(S3Store, "put", counted)
    messages = {f"m{n}": event(key) for n, key in enumerate(keys)} | {"half": event(keys[0], keys[2]), "none": event()}
    assert failed(handler.lambda_handler(of_sqs(**messages), context)) == []
    assert stored(s3) == list("ABCDEF")
    assert puts["price_by_date/year=2024/prices.parquet"] == 1
    monkeypatch.setattr(S3Store, "get", poisoned)
    other = {"other": event(keys[0], bucket="another"), "text": "SECRET words", "gone": event("daily_prices/gone.csv")}
    assert failed(handler.lambda_handler(of_sqs(**messages, **other), context)) == ["m2", "half", *other]
    logged = capsys.readouterr().out
    assert "SECRET" not in logged
    assert '"MessagesFailed":[5.0]' in logged


def test_when_the_store_is_away_all_messages_come_back_after_one_try(
    handler: ModuleType, s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("price_by_date/", "S3 answered 503 SlowDown")

    keys = drop(s3, *"AB")
    monkeypatch.setattr(S3Store, "put", broken)
    with pytest.raises(StoreUnavailable, match="503"):
        handler.lambda_handler(of_sqs(m1=event(keys[0]), m2=event(keys[1])), context)


def test_it_stops_in_time_and_the_rest_of_the_messages_comes_back(
    handler: ModuleType, s3: Any, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stock_pipeline.ingest.daily.GROUP_BYTES", 1)  # each object is a group of its own
    put, keys = S3Store.put, drop(s3, *"ABCD")

    def slow(self: S3Store, key: str, *arguments: Any, **more: Any) -> str:
        context.remaining -= 25_000 * key.startswith("price_by_date/year=")
        return put(self, key, *arguments, **more)

    monkeypatch.setattr(S3Store, "put", slow)
    context.remaining = 100_000
    messages = of_sqs(**{f"m{n}": event(key) for n, key in enumerate(keys)})
    assert failed(handler.lambda_handler(messages, context)) == ["m3"]
    assert stored(s3) == list("ABC")
    context.remaining = 100_000
    assert failed(handler.lambda_handler(messages, context)) == []
    assert stored(s3) == list("ABCD")


@pytest.mark.parametrize(
    "passed_over",
    [
        record("daily_prices/uploads/"),
        record("daily_prices/"),
        record("athena/other.csv"),
        record("daily_prices/uploads/AAPL.csv", name="ObjectRemoved:DeleteMarkerCreated"),
    ],
)
def test_what_is_no_raw_object_is_passed_over(
    passed_over: dict[str, Any],
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: LambdaContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    handler = cold_start("process_batch_stock_data")  # here: the logger prints to the stdout of its start
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW).encode())
    mixed = {"Records": [passed_over, record("daily_prices/uploads/x.csv")]}
    answer = handler.lambda_handler(mixed, context)
    assert [receipt["source"] for receipt in answer["receipts"]] == ["daily_prices/uploads/x.csv"]
    assert "passed over" in capsys.readouterr().out


def test_a_version_deleted_for_good_before_it_is_read_is_on_record_and_no_failure(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    gone = event("daily_prices/uploads/gone.csv", version="never", etag="0" * 32)
    (receipt,) = handler.lambda_handler(gone, context)["receipts"]
    assert (receipt["rows"], receipt["etag"]) == (0, "0" * 32)
    assert "does not exist" in receipt["refused"]
    (row,) = read_rejects(S3Store(LAKE, s3), PRICE_BY_DATE).to_pylist()
    assert (row["source"], row["etag"], row["reason"]) == ("daily_prices/uploads/gone.csv", "0" * 32, "file_gone")


def test_the_version_that_the_event_names_is_read_whatever_is_there_now(
    handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    s3.put_bucket_versioning(Bucket=STAGING, VersioningConfiguration={"Status": "Enabled"})
    key = "daily_prices/uploads/latest.csv"
    days = ("2024-05-02", "2024-05-03", "2024-05-06")
    put = [s3.put_object(Bucket=STAGING, Key=key, Body=f"{HEADER}A,{day},1,1,1,1,1\n".encode()) for day in days]
    s3.delete_object(Bucket=STAGING, Key=key)
    for reply in (put[2], put[0], put[1], put[0]):
        told = event(key, version=reply["VersionId"], etag=reply["ETag"].strip('"'))
        (receipt,) = handler.lambda_handler(told, context)["receipts"]
        assert receipt["version"] == reply["VersionId"]
    rows = read_partition(S3Store(LAKE, s3), PRICE_BY_DATE, "year=2024")
    assert rows is not None
    assert [str(day) for day in rows["date"].to_pylist()] == list(days)


def test_a_refused_file_is_on_record_and_no_failure(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/cats.csv", Body=b"name,colour\nTom,grey\n")
    (receipt,) = handler.lambda_handler(event("daily_prices/uploads/cats.csv"), context)["receipts"]
    assert receipt["refused"]
    assert read_rejects(S3Store(LAKE, s3), PRICE_BY_DATE)["reason"].to_pylist() == ["file_refused"]


def test_logs_hold_counts_and_keys_but_no_row(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = cold_start("process_batch_stock_data")  # here: the logger prints to the stdout of its start
    bad = "SECRET,2024-05-02,10,12,9,minus-424242,1\n"
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW + bad).encode())
    handler.lambda_handler(event("daily_prices/uploads/x.csv"), context)
    logged = capsys.readouterr().out
    assert "daily_prices/uploads/x.csv" in logged
    assert '"RowsRejected":[1.0]' in logged
    assert "424242" not in logged
    assert "SECRET" not in logged


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ({}, "not an S3 notification"),
        ({"Records": "x"}, "not an S3 notification"),
        ({"Records": [{"eventSource": "aws:kinesis"}]}, "not an S3 notification"),
        (event("daily_prices/x.csv", bucket="another"), "reads the-staging"),
    ],
)
def test_an_event_for_somebody_else_is_an_error(
    unknown: dict[str, Any], message: str, handler: ModuleType, context: LambdaContext
) -> None:
    with pytest.raises(EventError, match=message):
        handler.lambda_handler(unknown, context)


def test_it_fails_when_the_work_could_not_be_done(
    handler: ModuleType, s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise StoreUnavailable("price_by_date/", "S3 answered 503 SlowDown")

    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW).encode())
    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", broken)
        with pytest.raises(StoreUnavailable, match="503"):
            handler.lambda_handler(event("daily_prices/uploads/x.csv"), context)
    (receipt,) = handler.lambda_handler(event("daily_prices/uploads/x.csv"), context)["receipts"]
    assert receipt["inserted"] == 1


def test_a_file_over_the_limit_is_refused(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_MAX_OBJECT_MB", "1")
    handler = cold_start("process_batch_stock_data")
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW * 40_000).encode())
    (receipt,) = handler.lambda_handler(event("daily_prices/uploads/x.csv"), context)["receipts"]
    assert "1" in receipt["refused"]
    assert stored(s3) == []


@pytest.mark.parametrize("missing", ["STOCK_PIPELINE_STAGING_BUCKET", "STOCK_PIPELINE_LAKE_BUCKET"])
def test_a_missing_setting_stops_the_cold_start_and_is_named(
    missing: str, cold_start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)
    with pytest.raises(SettingsError, match=missing):
        cold_start("process_batch_stock_data")


def test_receipts_go_to_the_lineage_queue_once_the_rows_are_stored(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="lineage")["QueueUrl"]
    monkeypatch.setenv("STOCK_PIPELINE_LINEAGE_QUEUE_URL", url)
    handler = cold_start("process_batch_stock_data")
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW).encode())
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/y.csv", Body=b"cats")
    keys = [f"daily_prices/uploads/{name}.csv" for name in ("x", "y")]
    answer = handler.lambda_handler(event(*keys), context)
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    sent = [json.loads(message["Body"]) for message in messages]
    assert sent == answer["receipts"]
    assert [(receipt["inserted"], bool(receipt["refused"])) for receipt in sent] == [(1, False), (0, True)]


def test_a_lineage_queue_that_is_away_is_logged_and_counted_and_no_failure(
    cold_start: Callable[[str], ModuleType],
    s3: Any,
    context: LambdaContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_LINEAGE_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/gone")
    handler = cold_start("process_batch_stock_data")
    s3.put_object(Bucket=STAGING, Key="daily_prices/uploads/x.csv", Body=(HEADER + SECRET_ROW).encode())
    (receipt,) = handler.lambda_handler(event("daily_prices/uploads/x.csv"), context)["receipts"]
    assert (receipt["inserted"], stored(s3)) == (1, ["SECRET"])
    logged = capsys.readouterr().out
    assert "the receipt was not sent" in logged
    assert '"ReceiptsNotSent":[1.0]' in logged
