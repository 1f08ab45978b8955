"""S3Store against an emulated S3: conditional writes, listings, and errors in the pipeline's own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import (
    ConnectTimeoutError,
    NoCredentialsError,
    ParamValidationError,
    UnauthorizedSSOTokenError,
)
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import (
    ObjectNotFound,
    ObjectTooLarge,
    PreconditionFailed,
    SettingsError,
    StoreError,
    StoreUnavailable,
)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Store]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="lake")
        yield S3Store("lake", boto3.client("s3"))


def answering(store: S3Store, status: int, code: str) -> None:
    """From now on every request to S3 is answered with this error."""

    def answer(request: object, **_: object) -> AWSResponse:
        body = f"<Error><Code>{code}</Code><Message>as told</Message></Error>".encode()

        class Raw:
            def stream(self, **_: object) -> Iterator[bytes]:
                yield body

            def read(self, *_: object) -> bytes:
                return body

        return AWSResponse("http://s3", status, {"content-type": "application/xml"}, Raw())

    store._client.meta.events.register_first("before-send.s3", answer)


def test_an_object_comes_back_with_its_identity(store: S3Store) -> None:
    etag = store.put("a/ü +%25.csv", b"rows")
    found = store.get("a/ü +%25.csv")
    assert (found.data, found.info.etag, found.info.size, found.info.key) == (b"rows", etag, 4, "a/ü +%25.csv")
    assert found.info.modified.utcoffset() is not None


def test_what_is_not_there_is_told_by_its_name(store: S3Store) -> None:
    with pytest.raises(ObjectNotFound, match="s3://lake/nothing does not exist"):
        store.get("nothing")


def test_a_conditional_write_is_made_only_over_the_named_version(store: S3Store) -> None:
    first = store.put("k", b"1", if_none_match=True)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"2", if_none_match=True)
    second = store.put("k", b"2", if_match=first)
    with pytest.raises(PreconditionFailed):
        store.put("k", b"3", if_match=first)
    assert (store.get("k").data, store.get("k").info.etag) == (b"2", second)


def test_a_listing_goes_over_all_pages_in_the_order_of_keys(store: S3Store) -> None:
    keys = [f"p/{i:04d}" for i in range(1005)]
    for key in (*keys, "other/0"):
        store.put(key, b"x")
    assert [info.key for info in store.list("p/")] == keys
    assert [info.key for info in store.list("p/", start_after="p/1002")] == ["p/1003", "p/1004"]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_store_that_is_down_is_unavailable(store: S3Store, status: int) -> None:
    answering(store, status, "SlowDown")
    with pytest.raises(StoreUnavailable, match=str(status)):
        store.get("k")
    with pytest.raises(StoreUnavailable, match=str(status)):
        list(store.list(""))


@pytest.mark.parametrize("status", [409, 412])
def test_both_answers_to_a_lost_race_mean_the_same(store: S3Store, status: int) -> None:
    answering(store, status, "ConditionalRequestConflict")
    with pytest.raises(PreconditionFailed):
        store.put("k", b"", if_none_match=True)


def test_no_answer_at_all_is_unavailable(store: S3Store) -> None:
    def lost(**_: object) -> None:
        raise ConnectTimeoutError(endpoint_url="http://s3")

    store._client.meta.events.register_first("before-send.s3", lost)
    with pytest.raises(StoreUnavailable, match="no answer"):
        store.get("k")


def test_access_denied_and_a_missing_bucket_name_the_remedy(store: S3Store) -> None:
    with pytest.raises(StoreError, match="STOCK_PIPELINE_LAKE_BUCKET"):
        S3Store("nowhere", store._client).get("k")
    answering(store, 403, "AccessDenied")
    with pytest.raises(StoreError, match="permission"):
        store.get("k")


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "ExpiredToken", "the session has ended"),
        (400, "InvalidToken", "AWS_SESSION_TOKEN is wrong"),
        (403, "InvalidAccessKeyId", "AWS does not know this access key"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY does not belong"),
        (403, "RequestTimeTooSkewed", "set this machine's clock right"),
    ],
)
def test_what_is_wrong_with_credentials_is_no_lack_of_a_permission(
    store: S3Store, status: int, code: str, told: str
) -> None:
    answering(store, status, code)
    with pytest.raises(StoreError, match=told) as raised:
        store.get("k")
    assert not isinstance(raised.value, StoreUnavailable), "trying again would not help"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (NoCredentialsError(), "set AWS_PROFILE, or"),
        (UnauthorizedSSOTokenError(), "sign in again: aws sso login"),
        (ParamValidationError(report="Unknown parameter IfMatch"), "this boto3 does not know what it was asked"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_boto3_cannot_send_is_no_silence_of_s3(store: S3Store, error: Exception, told: str) -> None:
    def unsent(**_: object) -> None:
        raise error

    store._client.meta.events.register_first("before-call.s3", unsent)
    with pytest.raises(StoreError, match=told) as raised:
        store.get("k")
    assert not isinstance(raised.value, StoreUnavailable), "trying again would not help"


def test_an_object_over_the_limit_is_told_by_its_size_and_not_fetched(store: S3Store) -> None:
    etag = store.put("big", b"x" * 3_000_000)
    assert store.get("big", max_bytes=3_000_000).info.size == 3_000_000
    read: list[int] = []

    def watch(parsed: dict[str, Any], **_: object) -> None:
        body, whole = parsed["Body"], parsed["Body"].read
        body.read = lambda *given: read.append(1) or whole(*given)

    store._client.meta.events.register("after-call.s3.GetObject", watch)
    with pytest.raises(ObjectTooLarge, match=r"s3://lake/big has 2\.9 MiB.*STOCK_PIPELINE_MAX_OBJECT_MB") as caught:
        store.get("big", max_bytes=2_999_999)
    assert (caught.value.etag, caught.value.size, read) == (etag, 3_000_000, [])
    assert store.get("big", max_bytes=3_000_000).data == b"x" * 3_000_000
    assert read


def test_any_other_refusal_is_told_as_it_is_and_is_no_reason_to_try_again(store: S3Store) -> None:
    answering(store, 400, "EntityTooLarge")
    with pytest.raises(StoreError, match="s3://lake/k: S3 answered 400 EntityTooLarge") as told:
        store.put("k", b"")
    assert type(told.value) is StoreError


@pytest.mark.parametrize("missing", ["IfMatch", "IfNoneMatch"])
def test_a_boto3_that_cannot_compare_and_swap_is_refused_at_once(missing: str, store: S3Store) -> None:
    """The runtime of Lambda brings its own boto3, and no pin of ours holds there."""
    client = boto3.client("s3")
    del client.meta.service_model.operation_model("PutObject").input_shape.members[missing]
    with pytest.raises(SettingsError, match=f"does not know {missing}, by which tables are written; install boto3"):
        S3Store("lake", client)
