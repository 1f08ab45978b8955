"""Brings back what ended in a dead-letter queue: messages to their queue, failed events to their function.

A message is deleted only after it was sent or worked on. If that fails or the process ends midway, it is there again
after the queue's visibility timeout. A message that is delivered twice adds nothing.

SQS can move messages itself, but not in every AWS (the local one cannot), and not from the queue of failed events.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.sqs import Message, Queue
from stock_pipeline.errors import QueueError

_AT_ONCE = 100  # messages that are hidden at a time
# A function may take 300 s.
_PATIENT = Config(retries={"mode": "standard", "max_attempts": 2}, connect_timeout=5, read_timeout=320)


@dataclass(frozen=True)
class Redriven:
    """How many messages were brought back, and why each other one was not."""

    done: int
    failed: tuple[str, ...]


def send_back(dead: Queue, queue: Queue) -> Redriven:
    """Send the messages of a dead-letter queue to another queue. Raises QueueError when SQS does not answer."""
    return _each(dead, lambda message: queue.send(message.body))


def invoke_again(dead: Queue, function: Any = None) -> Redriven:
    """Call the functions again with the events that failed at every try. `function` is a client of Lambda.

    Raises QueueError when SQS or Lambda does not answer.
    """
    client = function or boto3.client("lambda", config=_PATIENT)
    return _each(dead, lambda message: _invoke(client, message.body))


def _each(dead: Queue, bring_back: Callable[[Message], None]) -> Redriven:
    """Bring back each message that waits, once. One that fails stays hidden for a while, and is then there again."""
    done, failed = 0, []
    seen: set[str] = set()
    while messages := [message for message in dead.receive(_AT_ONCE) if message.id not in seen]:
        for message in messages:
            seen.add(message.id)
            try:
                bring_back(message)
            except ValueError as error:
                failed.append(str(error))
                continue
            done += 1
            dead.delete([message])
    return Redriven(done, tuple(failed))


def _invoke(client: Any, body: str) -> None:
    """Call the function that a failed event names, with that event. Raises ValueError when it fails again."""
    try:
        told = json.loads(body)
        name, event = told["requestContext"]["functionArn"], told["requestPayload"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"the message is no failed event of Lambda: {body[:200]}") from None
    try:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    except (BotoCoreError, ClientError) as error:
        raise QueueError(f"no answer from Lambda for {name} ({error})") from error
    if answer.get("FunctionError"):
        raise ValueError(f"{name}: {answer['Payload'].read().decode(errors='replace')[:500]}")
