"""Reads receipts from the messages of the lineage queue, and keeps state between the sensor's ticks. No Dagster."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from stock_pipeline.aws.receipt_queue import joined
from stock_pipeline.aws.sqs import Message
from stock_pipeline.receipts import Receipt


@dataclass(frozen=True)
class Received:
    """The receipts in some messages, each once. For each other message, by its id, why it is not a receipt."""

    messages: Sequence[Message]
    receipts: list[Receipt]
    held: dict[str, str]
    """The id of the receipt in each message, by the message's id."""
    malformed: dict[str, str]

    def settled(self, undone: Iterable[str]) -> tuple[list[Message], list[Message]]:
        """The messages whose receipts are done, and the messages of the receipts with the ids `undone`."""
        left = set(undone)
        held = [message for message in self.messages if message.id in self.held]
        done = [message for message in held if self.held[message.id] not in left]
        return done, [message for message in held if self.held[message.id] in left]


def opened(messages: Sequence[Message], check: Callable[[Receipt], object]) -> Received:
    """Read messages; `check` raises ValueError for a receipt that cannot be used."""
    receipts: list[Receipt] = []
    held: dict[str, str] = {}
    malformed: dict[str, str] = {}
    for message in messages:
        try:
            receipt = Receipt.from_json(message.body)
            check(receipt)
        except (ValueError, OverflowError) as error:
            malformed[message.id] = str(error)
            continue
        receipts.append(receipt)
        held[message.id] = receipt.id
    return Received(messages, joined(receipts), held, malformed)


@dataclass
class Memory:
    """What a tick leaves to the next one: the handles of messages whose events are committed by then, years that need
    their checks, and receipts of sessions that are not partitions yet."""

    handles: list[str] = field(default_factory=list)
    years: list[int] = field(default_factory=list)
    sessions: list[Receipt] = field(default_factory=list)

    def to_cursor(self) -> str:
        """As a string. A handle takes about 300 bytes of it."""
        sessions = [receipt.to_json() for receipt in self.sessions]
        raw = json.dumps({"handles": self.handles, "years": self.years, "sessions": sessions}).encode()
        return base64.b64encode(zlib.compress(raw)).decode()

    @classmethod
    def from_cursor(cls, cursor: str | None) -> Memory:
        """What `to_cursor` wrote, or empty if it cannot be read. Empty is safe: the messages come again."""
        try:
            record = json.loads(zlib.decompress(base64.b64decode(cursor or "")))
            handles = [str(handle) for handle in record["handles"]]
            sessions = [Receipt.from_json(text) for text in record["sessions"]]
            return cls(handles, [int(year) for year in record["years"]], sessions)
        except (ValueError, KeyError, TypeError, zlib.error):
            return cls()

    def messages(self) -> list[Message]:
        """The messages to delete, with only what deleting needs."""
        return [Message("", handle, "", 0) for handle in self.handles]
