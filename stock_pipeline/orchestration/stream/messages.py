"""What a run does with a group of messages: which objects they name, and which of them may be acknowledged. No Dagster.

A message is done when every object that it names is stored, or refused with its reason on record. It is left alone, to
come back and to end in the dead-letter queue, when it is no S3 event, when one of its objects is gone, and when one of
its objects could not be worked on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from stock_pipeline.aws.s3_events import read_message
from stock_pipeline.aws.sqs import Message
from stock_pipeline.errors import EventError
from stock_pipeline.ingest.partial_failure import Ingest
from stock_pipeline.ingest.ticks import Progress, ingest_ticks, options_of
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS


@dataclass(frozen=True)
class Named:
    """The keys that each message names, by the message's id, and why some messages name none that can be read."""

    keys: dict[str, tuple[str, ...]]
    unreadable: dict[str, str]

    @property
    def distinct(self) -> list[str]:
        """Every key once, in the order of the messages."""
        return list(dict.fromkeys(key for keys in self.keys.values() for key in keys))


def named_in(messages: Sequence[Message], bucket: str) -> Named:
    """The raw objects of ticks in a bucket that messages tell of; a test event of S3 tells of none."""
    keys: dict[str, tuple[str, ...]] = {}
    unreadable: dict[str, str] = {}
    for message in messages:
        try:
            keys[message.id] = read_message(message.body, bucket=bucket, prefix=RAW_TICKS).keys
        except EventError as error:
            unreadable[message.id] = str(error)
    return Named(keys, unreadable)


def settled(messages: Sequence[Message], named: Named, failed: dict[str, str]) -> tuple[list[Message], dict[str, str]]:
    """The messages that are done, and why each of the others is left, by its id."""
    left = dict(named.unreadable)
    for name, keys in named.keys.items():
        if reasons := [f"{key}: {failed[key]}" for key in keys if key in failed]:
            left[name] = "; ".join(reasons)
    return [message for message in messages if message.id not in left], left


def ingest_with(
    settings: Settings, staging: ObjectStore, lake: ObjectStore, now: datetime, on_progress: Progress
) -> Ingest:
    """`ingest_ticks` as the settings have it."""

    def ingest(keys: Sequence[str]) -> list[Receipt]:
        return ingest_ticks(
            keys,
            staging=staging,
            lake=lake,
            **options_of(settings),
            now=now,
            on_progress=on_progress,
        )

    return ingest
