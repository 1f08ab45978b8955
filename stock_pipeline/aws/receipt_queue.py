"""Receipts on their way to Dagster: the messages of the lineage queue, and how they are sent.

A receipt is one message. It is sent when what it tells of is durable, so it may be lost but never lie: whoever sends
must not fail because of it, and counts what could not be sent (`reporting`). Light enough for a Lambda's cold start.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MESSAGE_BYTES = 256 * 1024
"""What a message, and a call with all its messages, may hold: SQS's limit until 2025, which other queues still have."""

REFUSAL = 4_000  # characters
"""What refused a file is told in words, which a message holds up to so many of; the rejected record has them all."""

UNREAD = 100
"""So many unread columns are named in a message, by so many characters each: a file may have any number of them."""

TRIES = 3
_AT_ONCE = 10  # messages a call, the most that SQS takes
_WAIT = 0.2  # seconds, doubled before each further try
# The work is done when this is sent: a function must not wait out its time for a queue that does not answer.
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=2, read_timeout=5)


def sqs_client() -> SQSClient:
    """A client whose calls end within seconds."""
    client: SQSClient = boto3.client("sqs", config=_CONFIG)
    return client


def messages_of(receipt: Receipt, limit: int = MESSAGE_BYTES) -> list[str]:
    """A receipt as the bodies of messages, each a receipt of at most `limit` bytes.

    One that is larger, as it names thousands of partitions, is split: each part has the receipt's counts, which are of
    the whole source, and its share of the partitions. Parts have one `id` and can be put together again (`joined`).
    """
    if receipt.refused is not None and len(receipt.refused) > REFUSAL:
        receipt = replace(receipt, refused=f"{receipt.refused[:REFUSAL]}…")
    if len(receipt.unread) > UNREAD or any(len(name) > UNREAD for name in receipt.unread):
        more = (f"and {len(receipt.unread) - UNREAD:,} more",) if len(receipt.unread) > UNREAD else ()
        shown = tuple(name if len(name) <= UNREAD else f"{name[:UNREAD]}…" for name in receipt.unread[:UNREAD])
        receipt = replace(receipt, unread=shown + more)
    body = json.dumps(receipt.to_record())  # in ASCII: SQS does not take every character that a key may have
    if len(body) <= limit or len(receipt.partitions) < 2:
        return [body]
    names = list(receipt.partitions)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    parts = [replace(receipt, partitions={name: receipt.partitions[name] for name in half}) for half in halves]
    return [message for part in parts for message in messages_of(part, limit)]


def joined(receipts: Sequence[Receipt]) -> list[Receipt]:
    """Each receipt once, in the order of their first: copies are dropped, parts put together."""
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        there = found.get(receipt.id)
        found[receipt.id] = replace(receipt, partitions=(there.partitions if there else {}) | receipt.partitions)
    return list(found.values())


def send(receipts: Sequence[Receipt], client: SQSClient, queue_url: str) -> list[tuple[Receipt, str]]:
    """Send receipts to the lineage queue; returns those that it did not take, each with the reason.

    What SQS refuses for a while is sent again, alone. Does not raise: the rows that a receipt tells of are stored.
    """
    waiting = [(receipt, body) for receipt in receipts for body in messages_of(receipt)]
    reasons: dict[str, str] = {}
    for attempt in range(TRIES):
        if attempt:
            time.sleep(_WAIT * 2**attempt)
        again: list[tuple[Receipt, str]] = []
        for batch in _batches(waiting):
            for at, reason in _refused(client, queue_url, [body for _, body in batch]).items():
                again.append(batch[at])
                reasons[batch[at][0].id] = reason
        waiting = again
        if not waiting:
            return []
    lost = {receipt.id: receipt for receipt, _ in waiting}
    return [(receipt, reasons[name]) for name, receipt in lost.items()]


def _batches(waiting: Sequence[tuple[Receipt, str]]) -> Iterator[list[tuple[Receipt, str]]]:
    """Groups that fit into one call."""
    batch: list[tuple[Receipt, str]] = []
    size = 0
    for receipt, body in waiting:
        if batch and (len(batch) == _AT_ONCE or size + len(body) > MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append((receipt, body))
        size += len(body)
    if batch:
        yield batch


def _refused(client: SQSClient, queue_url: str, bodies: Sequence[str]) -> dict[int, str]:
    """Send some messages in one call; why each of those that were not taken was not, by its place."""
    entries: list[SendMessageBatchRequestEntryTypeDef] = [
        {"Id": str(at), "MessageBody": body} for at, body in enumerate(bodies)
    ]
    try:
        failed = client.send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed", [])
    except ClientError as error:
        return dict.fromkeys(range(len(bodies)), str(error.response.get("Error", {}).get("Code", "refused")))
    except BotoCoreError as error:
        return dict.fromkeys(range(len(bodies)), type(error).__name__)
    return {int(entry["Id"]): entry["Code"] for entry in failed}
