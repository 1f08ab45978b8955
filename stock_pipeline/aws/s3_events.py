"""Reads the notifications of S3 about new objects, from the event of a Lambda function or from SQS messages.

They come in three forms: as S3 writes them, wrapped by SNS, and from EventBridge. Light enough for a Lambda's cold
start: standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from stock_pipeline.errors import EventError

_UNKNOWN = "it is in none of the known wrappings, which are S3's own, that of SNS and that of EventBridge"
_ARRIVED = ("ObjectCreated", "s3:ObjectCreated", "Object Created")


@dataclass(frozen=True)
class Notification:
    """The keys of new objects in an event, each once and in order, and the keys that are not for the caller.

    Keys are decoded, as the store takes them. `passed_over` has the reason for each key. Both are empty for the test
    event that S3 sends to a new target.
    """

    keys: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Happened:
    """One record of an event: what happened (`name`) to which object of which bucket."""

    key: str
    name: str
    bucket: str


def read_notification(event: object, *, bucket: str, prefix: str) -> Notification:
    """The arrivals under a prefix of a bucket that a parsed event of S3 names, in any of the three forms.

    Raises EventError when it is not an event of S3, or is of another bucket. The error shows no content of the event.
    """
    keys: dict[str, None] = {}
    passed_over: dict[str, str] = {}
    for found in _happened(event):
        if found.bucket != bucket:
            raise EventError(f"the event is of bucket {found.bucket}; this consumer reads {bucket}")
        if not found.name.startswith(_ARRIVED):
            passed_over[found.key] = f"not an arrival but {found.name}"
        elif not found.key.startswith(prefix):
            passed_over[found.key] = f"not under {prefix}"
        elif found.key.endswith("/"):
            passed_over[found.key] = "a folder marker"
        else:
            keys[found.key] = None
    return Notification(tuple(keys), tuple(passed_over.items()))


def read_message(body: str, *, bucket: str, prefix: str) -> Notification:
    """The arrivals that the body of an SQS message names. Works and raises like `read_notification`."""
    return read_notification(_parsed(body), bucket=bucket, prefix=prefix)


@dataclass(frozen=True)
class Messages:
    """SQS messages by their ids, in order: the keys that each names, or why it cannot be read.

    A message is done when all of its objects are done. `left` says which messages may not be acknowledged.
    """

    keys: dict[str, tuple[str, ...]]
    unreadable: dict[str, str]
    passed_over: tuple[tuple[str, str], ...]

    @property
    def distinct(self) -> list[str]:
        """Every key once, in the order of the messages."""
        return list(dict.fromkeys(key for keys in self.keys.values() for key in keys))

    def left(self, not_done: Mapping[str, str]) -> dict[str, str]:
        """The messages that must come back, by id, with the reason. `not_done` has the reason for each undone key.

        A message must come back when it is not an S3 event, or when one of its objects is not done. The other messages
        may be acknowledged.
        """
        reasons = {
            name: self.unreadable.get(name) or "; ".join(f"{key}: {not_done[key]}" for key in keys if key in not_done)
            for name, keys in self.keys.items()
        }
        return {name: reason for name, reason in reasons.items() if reason}


def read_messages(bodies: Mapping[str, str], *, bucket: str, prefix: str) -> Messages:
    """The keys that messages name, by message id. Never raises: a message that cannot be read is `unreadable`."""
    keys: dict[str, tuple[str, ...]] = {}
    unreadable: dict[str, str] = {}
    passed_over: list[tuple[str, str]] = []
    for name, body in bodies.items():
        try:
            notification = read_message(body, bucket=bucket, prefix=prefix)
        except EventError as error:
            notification, unreadable[name] = Notification(), str(error)
        keys[name] = notification.keys
        passed_over += notification.passed_over
    return Messages(keys, unreadable, tuple(passed_over))


def _happened(event: Any) -> Iterator[_Happened]:
    """The records of an event. S3 and SNS encode keys as in a web form; EventBridge gives them as they are."""
    try:
        if event.get("Event") == "s3:TestEvent":
            return
        if event.get("Type") == "Notification":
            yield from _happened(_parsed(event["Message"]))
        elif event.get("source") == "aws.s3":
            detail = event["detail"]
            yield _Happened(str.__str__(detail["object"]["key"]), str(event["detail-type"]), detail["bucket"]["name"])
        else:
            for record in event["Records"]:
                if record.get("EventSource") == "aws:sns":
                    yield from _happened(_parsed(record["Sns"]["Message"]))
                    continue
                # Decoded here and nowhere else: a key may hold what looks encoded.
                key = unquote_plus(record["s3"]["object"]["key"])
                yield _Happened(key, str(record["eventName"]), record["s3"]["bucket"]["name"])
    except (TypeError, KeyError, AttributeError):
        raise EventError(f"not an S3 notification: {_UNKNOWN}") from None


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        raise EventError(f"not JSON, and so not an S3 notification: {_UNKNOWN}") from None
