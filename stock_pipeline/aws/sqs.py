"""A queue in SQS, of arrivals or receipts: receives, hides and acknowledges messages. No Dagster.

A received message is hidden for the queue's visibility timeout. The worker extends that time while it works
(`kept_hidden`), and deletes the message once the work is stored. If the worker dies, the message appears again by
itself. After as many tries as the redrive policy allows, SQS moves it to the dead-letter queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.clients import client_of
from stock_pipeline.errors import QueueError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

RECEIVE_SECONDS = 15.0
"""Seconds after which receiving stops, even if there are more messages; the next group takes them."""

WAIT_SECONDS = 1
"""Seconds that a call waits. A call that waits asks all servers of SQS; one that does not may miss messages."""

_DEPTH: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "QueueArn"]
_AT_ONCE = 10  # messages a call, the most that SQS takes
_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=30)
_EXTENSIONS = 3
"""The number of extensions within one visibility timeout: two of them may fail."""


class Depth(NamedTuple):
    """About how many messages a queue holds; SQS may take a minute to have it exactly.

    `waiting` can be received now, `hidden` were received and may come back. `arn` is the queue's.
    """

    waiting: int
    hidden: int
    arn: str

    @classmethod
    def of(cls, reply: Any) -> Depth:
        """The depth that a reply of SQS to a request for `_DEPTH` tells."""
        waiting, hidden, arn = (reply["Attributes"][name] for name in _DEPTH)
        return cls(int(waiting), int(hidden), arn)

    @property
    def held(self) -> int:
        """All messages, received or not."""
        return self.waiting + self.hidden


def depth(client: SQSClient, url: str) -> Depth:
    """How many messages a queue holds, by a client of the caller, whose errors it raises as they are."""
    return Depth.of(client.get_queue_attributes(QueueUrl=url, AttributeNames=_DEPTH))


@dataclass(frozen=True)
class Message:
    """A received message. `tries` counts how often it was received, this time included."""

    id: str
    handle: str
    body: str
    tries: int


class Queue:
    """A queue in SQS. Every method raises QueueError when SQS does not answer or refuses. Safe to share by threads."""

    def __init__(self, url: str, client: SQSClient | None = None) -> None:
        self.url = url
        self._client: SQSClient = client or client_of("sqs", _CONFIG)

    def depth(self) -> Depth:
        """About how many messages the queue has; SQS may take a minute to count exactly."""
        return Depth.of(self._call("get_queue_attributes", AttributeNames=_DEPTH))

    def waiting(self) -> int:
        """About how many messages can be received now."""
        return self.depth().waiting

    def visibility(self) -> int:
        """For how many seconds a received message is hidden."""
        return int(self._attribute("VisibilityTimeout"))

    def receive(self, most: int) -> list[Message]:
        """Up to that many messages, each once; fewer when the queue is empty or the time is up."""
        until = time.monotonic() + RECEIVE_SECONDS
        found: dict[str, Message] = {}
        while len(found) < most and time.monotonic() < until:
            reply = self._call(
                "receive_message",
                MaxNumberOfMessages=min(_AT_ONCE, most - len(found)),
                WaitTimeSeconds=WAIT_SECONDS,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            )
            if not reply.get("Messages"):
                break
            for message in reply["Messages"]:
                tries = int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))
                id_ = message["MessageId"]
                found[id_] = Message(id_, message["ReceiptHandle"], message["Body"], tries)
        return list(found.values())

    def send(self, body: str) -> None:
        """Put a message into the queue."""
        self._call("send_message", MessageBody=body)

    def extend(self, messages: Sequence[Message], seconds: int) -> None:
        """Hide messages for `seconds` from now. A message that is gone meanwhile is passed over."""
        for entries in _entries(messages):
            hidden = [entry | {"VisibilityTimeout": seconds} for entry in entries]
            self._call("change_message_visibility_batch", Entries=hidden)

    def delete(self, messages: Sequence[Message]) -> int:
        """Acknowledge messages; returns how many SQS did not delete. Those come again."""
        return sum(
            len(self._call("delete_message_batch", Entries=entries).get("Failed", ())) for entries in _entries(messages)
        )

    def _attribute(self, name: str) -> str:
        return str(self._call("get_queue_attributes", AttributeNames=[name])["Attributes"][name])

    def _call(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self._client, operation)(QueueUrl=self.url, **arguments)
        except ClientError as error:
            reply = error.response.get("Error", {})
            raise QueueError(
                f"SQS refused {operation} on {self.url}: {reply.get('Code')}: {reply.get('Message')}; check "
                "the setting with its URL (STOCK_PIPELINE_…_QUEUE_URL, …_DLQ_URL) and the permissions on the queue"
            ) from error
        except BotoCoreError as error:
            raise QueueError(f"no answer from SQS for {self.url} ({error})") from error


@contextmanager
def kept_hidden(queue: Queue, messages: Sequence[Message], log: Callable[[str], object]) -> Iterator[None]:
    """Keep messages hidden from other receivers while the block runs: a heartbeat from a thread.

    If an extension fails, that is logged, and the next beat tries again. If a message appears again during the work, it
    is worked on twice, which is safe because merges ignore duplicates.
    """
    seconds = queue.visibility()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(seconds / _EXTENSIONS):
            try:
                queue.extend(messages, seconds)
            except QueueError as error:
                log(str(error))

    thread = threading.Thread(target=beat, name="message-heartbeat", daemon=True)
    if messages and seconds:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()


def _entries(messages: Sequence[Message]) -> Iterator[list[Any]]:
    for start in range(0, len(messages), _AT_ONCE):
        chunk = messages[start : start + _AT_ONCE]
        yield [{"Id": str(n), "ReceiptHandle": message.handle} for n, message in enumerate(chunk)]
