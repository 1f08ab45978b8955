"""What S3 says of new objects: its notifications, as Lambda gives them to a function and as SQS carries them.

Light enough for any consumer's start: standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from stock_pipeline.errors import EventError


@dataclass(frozen=True)
class Notification:
    """The keys of new objects that an event names, each once and in its order, and those that are not for the caller.

    Keys are decoded, as the store takes them. `passed_over` has the reason with each key. Both are empty for the event
    by which S3 tests that it can reach its target.
    """

    keys: tuple[str, ...] = ()
    passed_over: tuple[tuple[str, str], ...] = ()


def read_notification(event: object, *, bucket: str, prefix: str) -> Notification:
    """The objects under a prefix of a bucket that a parsed S3 event names.

    Raises EventError when it is no S3 event, or of another bucket; the message holds nothing of what it is instead.
    """
    if isinstance(event, Mapping) and event.get("Event") == "s3:TestEvent":
        return Notification()
    keys: dict[str, None] = {}
    passed_over: dict[str, str] = {}
    for key, name, source in _records_of(event):
        if source != bucket:
            raise EventError(f"the event is of bucket {source}; this consumer reads {bucket}")
        if not name.removeprefix("s3:").startswith("ObjectCreated"):
            passed_over[key] = f"not an arrival but {name}"
        elif not key.startswith(prefix):
            passed_over[key] = f"not under {prefix}"
        elif key.endswith("/"):
            passed_over[key] = "a folder marker"
        else:
            keys[key] = None
    return Notification(tuple(keys), tuple(passed_over.items()))


def read_message(body: str, *, bucket: str, prefix: str) -> Notification:
    """The objects that the body of an SQS message names; as `read_notification`, which see."""
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise EventError("the message is not JSON; this queue is for S3 notifications only") from None
    return read_notification(event, bucket=bucket, prefix=prefix)


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


def _records_of(event: Any) -> list[tuple[str, str, str]]:
    """The decoded key, the event's name and the bucket of each record."""
    try:
        return [
            # Encoded as in a form, and decoded here and nowhere else: a key may hold what looks encoded.
            (unquote_plus(record["s3"]["object"]["key"]), str(record["eventName"]), record["s3"]["bucket"]["name"])
            for record in event["Records"]
        ]
    except (TypeError, KeyError, AttributeError):
        raise EventError("not an S3 notification; only those of the staging bucket are taken") from None
