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
from stock_pipeline.lake.object_store import Named, ObjectVersion

_UNKNOWN = "it is in none of the known wrappings, which are S3's own, that of SNS and that of EventBridge"
_ARRIVED = ("ObjectCreated", "s3:ObjectCreated", "Object Created")


@dataclass(frozen=True)
class Notification:
    """The new objects in an event, each version once and in order, and the keys that are not for the caller.

    Keys are decoded, as the store takes them. An object has the version that the event names, so that this version is
    read, whatever is under its key by then. `passed_over` has the reason for each key. Both are empty for the test
    event that S3 sends to a new target.
    """

    objects: tuple[ObjectVersion, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Happened:
    """One record of an event: what happened (`name`) to which object of which bucket."""

    object: ObjectVersion
    name: str
    bucket: str

    @property
    def key(self) -> str:
        return self.object.key


def read_notification(event: object, *, bucket: str, prefix: str) -> Notification:
    """The arrivals under a prefix of a bucket that a parsed event of S3 names, in any of the three forms.

    Raises EventError when it is not an event of S3, or is of another bucket. The error shows no content of the event.
    """
    objects: dict[ObjectVersion, None] = {}
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
            objects[found.object] = None
    return Notification(tuple(objects), tuple(passed_over.items()))


def read_message(body: str, *, bucket: str, prefix: str) -> Notification:
    """The arrivals that the body of an SQS message names. Works and raises like `read_notification`."""
    return read_notification(_parsed(body), bucket=bucket, prefix=prefix)


@dataclass(frozen=True)
class Messages:
    """SQS messages by their ids, in order: the objects that each names, or why it cannot be read.

    A message is done when all of its objects are done. `left` says which messages may not be acknowledged.
    """

    objects: dict[str, tuple[ObjectVersion, ...]]
    unreadable: dict[str, str]
    passed_over: tuple[tuple[str, str], ...]

    @property
    def distinct(self) -> list[ObjectVersion]:
        """Every version of an object once, in the order of the messages."""
        return list(dict.fromkeys(found for objects in self.objects.values() for found in objects))

    def left(self, not_done: Mapping[Named, str]) -> dict[str, str]:
        """The messages that must come back, by id, with the reason. `not_done` has the reason for each undone object.

        A message must come back when it is not an S3 event, or when one of its objects is not done. The other messages
        may be acknowledged.
        """
        reasons = {
            name: self.unreadable.get(name)
            or "; ".join(f"{at.key}: {not_done[at]}" for at in objects if at in not_done)
            for name, objects in self.objects.items()
        }
        return {name: reason for name, reason in reasons.items() if reason}


def read_messages(bodies: Mapping[str, str], *, bucket: str, prefix: str) -> Messages:
    """The objects that messages name, by message id. Never raises: a message that cannot be read is `unreadable`."""
    objects: dict[str, tuple[ObjectVersion, ...]] = {}
    unreadable: dict[str, str] = {}
    passed_over: list[tuple[str, str]] = []
    for name, body in bodies.items():
        try:
            notification = read_message(body, bucket=bucket, prefix=prefix)
        except EventError as error:
            notification, unreadable[name] = Notification(), str(error)
        objects[name] = notification.objects
        passed_over += notification.passed_over
    return Messages(objects, unreadable, tuple(passed_over))


def _happened(event: Any) -> Iterator[_Happened]:
    """The records of an event. S3 and SNS encode keys as in a web form; EventBridge gives them as they are."""
    try:
        if event.get("Event") == "s3:TestEvent":
            return
        if event.get("Type") == "Notification":
            yield from _happened(_parsed(event["Message"]))
        elif event.get("source") == "aws.s3":
            detail = event["detail"]
            found = detail["object"]
            named = _version(str.__str__(found["key"]), found.get("version-id"), found.get("etag"))
            yield _Happened(named, str(event["detail-type"]), detail["bucket"]["name"])
        else:
            for record in event["Records"]:
                if record.get("EventSource") == "aws:sns":
                    yield from _happened(_parsed(record["Sns"]["Message"]))
                    continue
                # Decoded here and nowhere else: a key may hold what looks encoded.
                key = unquote_plus(record["s3"]["object"]["key"])
                named = _version(key, record["s3"]["object"].get("versionId"), record["s3"]["object"].get("eTag"))
                yield _Happened(named, str(record["eventName"]), record["s3"]["bucket"]["name"])
    except (TypeError, KeyError, AttributeError):
        raise EventError(f"not an S3 notification: {_UNKNOWN}") from None


def _version(key: str, version: Any, etag: Any) -> ObjectVersion:
    """The version of an object that an event names. A bucket without versions, and an older event, name none."""
    told = (value if isinstance(value, str) else "" for value in (version, etag))
    version, etag = told
    return ObjectVersion(key, version, etag.strip('"'))


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        raise EventError(f"not JSON, and so not an S3 notification: {_UNKNOWN}") from None
