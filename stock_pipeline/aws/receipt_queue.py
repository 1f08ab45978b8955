"""The messages of the lineage queue: receipts on their way to Dagster, and how to send them.

A receipt is one message. It is sent after its rows are stored, so it may get lost, but it is never wrong. A sender must
not fail because of a receipt, and counts those that could not be sent (`lambda_reporter`). Light enough for a Lambda's
cold start.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.clients import client_of
from stock_pipeline.receipts import Receipt

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

MESSAGE_BYTES = 256 * 1024
"""The most bytes of a message, and of a call: SQS's limit until 2025, which other queues still have."""

REFUSAL = 4_000  # characters
"""The longest text of a refusal in a message; the rejected record has the whole text."""

UNREAD = 100
"""A message names at most this many unread columns, with at most this many characters each."""

TRIES = 3
_AT_ONCE = 10  # messages a call, the most that SQS takes
_WAIT = 0.2  # seconds, doubled before each further try
# The work is done when this is sent, so a function must not wait long for a queue that does not answer.
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=2, read_timeout=5)


def sqs_client() -> SQSClient:
    """A client whose calls end within seconds."""
    client: SQSClient = client_of("sqs", _CONFIG)
    return client


def messages_of(receipt: Receipt, limit: int = MESSAGE_BYTES) -> list[str]:
    """A receipt as the bodies of messages, each a receipt of at most `limit` bytes.

    A larger receipt (one with thousands of partitions) is split. Each part has the counts of the whole source and some
    of the partitions. The parts have the same `id`, and `joined` puts them together again.
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
    """Each receipt once, in the order of first appearance: without copies, and with the parts put together."""
    found: dict[str, Receipt] = {}
    for receipt in receipts:
        there = found.get(receipt.id)
        found[receipt.id] = replace(receipt, partitions=(there.partitions if there else {}) | receipt.partitions)
    return list(found.values())


def send(receipts: Sequence[Receipt], client: SQSClient, queue_url: str) -> list[tuple[Receipt, str]]:
    """Send receipts to the lineage queue. Returns those that the queue did not take, each with the reason.

    Messages that SQS refuses for a while are sent again. Does not raise, because the rows of the receipts are stored.
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
    """Send messages in one call. Returns the reason for each message that was not taken, by its place."""
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
