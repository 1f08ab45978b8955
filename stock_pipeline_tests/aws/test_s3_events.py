"""What S3 says of new objects: keys decoded once, each once, and what is meant for somebody else told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.aws.s3_events import Notification, read_message, read_notification
from stock_pipeline.errors import EventError
from stock_pipeline.lake.object_store import ObjectVersion
from stock_pipeline_tests.support.s3_notifications import event, record

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda k: not k.endswith("/"))


def arrivals(found: object) -> Notification:
    return read_notification(found, bucket="staging", prefix="stock_stream/")


def named(*keys: str, version: str = "", etag: str = "") -> Notification:
    return Notification(tuple(ObjectVersion(key, version, etag) for key in keys))


@given(st.lists(KEYS.map("stock_stream/".__add__), max_size=5))
def test_keys_are_decoded_exactly_once_and_given_once_in_their_order(keys: list[str]) -> None:
    found = read_message(json.dumps(event(*keys, *keys)), bucket="staging", prefix="stock_stream/")
    assert found == named(*dict.fromkeys(keys))


def test_what_looks_encoded_in_a_key_is_left_alone() -> None:
    keys = ("stock_stream/a+b", "stock_stream/a%2Bb%20c", "stock_stream/Börse 株価", "stock_stream/100%")
    assert arrivals(event(*keys)) == named(*keys)


@pytest.mark.parametrize(
    ("passed_over", "reason"),
    [
        (record("stock_stream/a", name="ObjectRemoved:Delete"), "not an arrival but ObjectRemoved:Delete"),
        (record("daily_prices/a.csv"), "not under stock_stream/"),
        (record("stock_stream/2024/"), "a folder marker"),
    ],
)
def test_what_is_no_raw_object_is_passed_over_with_the_reason(passed_over: dict[str, Any], reason: str) -> None:
    found = arrivals(
        {"Records": [passed_over, record("stock_stream/b", name="s3:ObjectCreated:CompleteMultipartUpload")]}
    )
    assert found.objects == named("stock_stream/b").objects
    assert [why for _, why in found.passed_over] == [reason]


FOREIGN = [
    "",
    "no json",
    "[" * 100_000,
    "null",
    "[]",
    "7",
    "{}",
    '{"Records": 1}',
    '{"Records": [{}]}',
    '{"Records": [{"eventSource": "aws:sqs", "body": "x"}]}',
    '{"Records": [{"s3": {"object": {"key": 1}}}]}',
]


@pytest.mark.parametrize("body", FOREIGN, ids=range(len(FOREIGN)))
def test_what_is_no_s3_event_is_an_error_that_does_not_repeat_it(body: str) -> None:
    with pytest.raises(EventError, match="S3 notification") as error:
        read_message(body, bucket="staging", prefix="stock_stream/")
    assert "Records" not in str(error.value)


def test_an_event_of_another_bucket_is_an_error_that_names_both() -> None:
    with pytest.raises(EventError, match=r"bucket other; this consumer reads staging"):
        arrivals(event("stock_stream/a", bucket="other"))


def test_the_test_event_names_nothing() -> None:
    assert arrivals({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "staging"}) == Notification()


def by_sns(message: object) -> dict[str, Any]:
    """A notification as SNS hands it to a queue."""
    return {
        "Type": "Notification",
        "MessageId": "1",
        "TopicArn": "arn:aws:sns:us-east-1:1:t",
        "Message": json.dumps(message),
    }


def by_event_bridge(
    key: str, *, bucket: str = "staging", what: str = "Object Created", version: str = "", etag: str = ""
) -> dict[str, Any]:
    """An event of EventBridge: the key is not encoded there."""
    which = {"key": key, "size": 5} | ({"version-id": version, "etag": etag} if version else {})
    detail = {"version": "0", "bucket": {"name": bucket}, "object": which, "reason": "PutObject"}
    return {
        "version": "0",
        "detail-type": what,
        "source": "aws.s3",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": detail,
    }


WRAPPINGS: dict[str, Any] = {
    "S3": event,
    "SNS": lambda key, **which: by_sns(event(key, **which)),
    "SNS to a function": lambda key, **which: {
        "Records": [{"EventSource": "aws:sns", "Sns": {"Message": json.dumps(event(key, **which))}}]
    },
    "EventBridge": by_event_bridge,
    "EventBridge by SNS": lambda key, **which: by_sns(by_event_bridge(key, **which)),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_in_each_wrapping_the_version_is_the_one_that_the_event_names(wrapping: str) -> None:
    which = {"version": "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY", "etag": "0" * 32}
    assert arrivals(WRAPPINGS[wrapping]("stock_stream/a", **which)) == named("stock_stream/a", **which)


def test_two_versions_of_one_key_are_two_objects() -> None:
    both = [record("stock_stream/a", version=version, etag="e") for version in ("v1", "v2", "v1")]
    assert [found.version for found in arrivals({"Records": both}).objects] == ["v1", "v2"]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@given(KEYS.map("stock_stream/".__add__))
def test_in_each_wrapping_a_key_is_what_the_store_has(wrapping: str, key: str) -> None:
    body = json.dumps(WRAPPINGS[wrapping](key))
    assert read_message(body, bucket="staging", prefix="stock_stream/") == named(key)


def test_what_an_encoded_key_means_depends_on_the_wrapping() -> None:
    assert arrivals(by_event_bridge("stock_stream/a b+c")) == named("stock_stream/a b+c")
    encoded = json.loads(json.dumps(event("x")).replace("x", "stock_stream/a+b%2Bc"))
    assert arrivals(by_sns(encoded)) == named("stock_stream/a b+c")


def test_the_test_event_names_nothing_when_it_is_wrapped() -> None:
    assert arrivals(by_sns({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "staging"})) == Notification()


def test_what_event_bridge_tells_besides_arrivals_is_passed_over() -> None:
    found = arrivals(by_event_bridge("stock_stream/a", what="Object Deleted"))
    assert found.passed_over == (("stock_stream/a", "not an arrival but Object Deleted"),)


@pytest.mark.parametrize(
    "foreign",
    [
        by_sns("no event"),
        {"Type": "Notification", "Message": "no json"},
        {"Type": "Notification"},
        {"source": "aws.s3", "detail": {}},
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "staging"}, "object": {"key": 7}},
        },
        {"source": "aws.ec2", "detail-type": "Object Created"},
    ],
)
def test_a_wrapping_of_something_else_is_an_error_that_names_the_known_ones(foreign: object) -> None:
    with pytest.raises(EventError, match="none of the known wrappings"):
        arrivals(foreign)


def test_an_event_of_another_bucket_is_one_in_each_wrapping() -> None:
    for wrapped in (by_event_bridge("stock_stream/a", bucket="other"), by_sns(event("stock_stream/a", bucket="other"))):
        with pytest.raises(EventError, match="bucket other"):
            arrivals(wrapped)
