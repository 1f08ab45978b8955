"""What S3 says of new objects: its notifications, as Lambda gives them to a function and as SQS carries them.

They come as S3 writes them, wrapped by SNS (to a queue, or as Lambda is called by it), and from EventBridge. Light
enough for any consumer's start: standard library only.
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
    """The keys of new objects that an event names, each once and in its order, and those that are not for the caller.

    Keys are decoded, as the store takes them. `passed_over` has the reason with each key. Both are empty for the event
    by which S3 tests that it can reach its target.
    """

    keys: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Happened:
    """What one record of an event says: what happened (`name`) to which object of which bucket."""

    key: str
    name: str
    bucket: str


def read_notification(event: object, *, bucket: str, prefix: str) -> Notification:
    """The arrivals under a prefix of a bucket that a parsed event of S3 names, in any of its wrappings.

    Raises EventError when it is no event of S3, or of another bucket; the message holds nothing of what it is instead.
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
    """The arrivals that the body of an SQS message names; as `read_notification`, which see."""
    return read_notification(_parsed(body), bucket=bucket, prefix=prefix)


@dataclass(frozen=True)
class Messages:
    """Some SQS messages by their ids, in their order: the keys that each names, or why it cannot be read.

    A message is done when every object that it names is done. So it is only an answer to what became of the objects
    that says which messages may be acknowledged (`left`).
    """

    keys: dict[str, tuple[str, ...]]
    unreadable: dict[str, str]
    passed_over: tuple[tuple[str, str], ...]

    @property
    def distinct(self) -> list[str]:
        """Every key once, in the order of the messages."""
        return list(dict.fromkeys(key for keys in self.keys.values() for key in keys))

    def left(self, not_done: Mapping[str, str]) -> dict[str, str]:
        """Why each message that must come back is not done, by its id; `not_done` says so of keys.

        It must when it is no S3 event, and when one of its objects is not done. The others may be acknowledged.
        """
        reasons = {
            name: self.unreadable.get(name) or "; ".join(f"{key}: {not_done[key]}" for key in keys if key in not_done)
            for name, keys in self.keys.items()
        }
        return {name: reason for name, reason in reasons.items() if reason}


def read_messages(bodies: Mapping[str, str], *, bucket: str, prefix: str) -> Messages:
    """What some messages name, by their ids. Never raises: one that cannot be read is `unreadable`."""
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
    """What an event tells of. S3 and SNS encode keys as in a form; EventBridge gives them as they are."""
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
