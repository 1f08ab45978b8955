"""A consumer as AWS runs one: receives from the queues, hands the events to the functions' handlers, acknowledges.

The handlers are the deployed ones. This module does AWS's part: it polls a queue, and calls again until an event of S3
is done, as Lambda does. The queue of daily prices stands for Lambda's own queue.

A server process imports this module once and each worker is forked from it, before any of them has a connection, a
thread or a client. So a worker starts in a tenth of a second, and workers can be killed often.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import boto3

import stock_pipeline.ingest.daily
import stock_pipeline.ingest.ticks  # noqa: F401 (with all that the handlers import, before the fork)
from stock_pipeline.aws import sqs as queue_module
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.sqs import Message, Queue, kept_hidden
from stock_pipeline_tests.support.lambdas import Context, load

__all__ = ["PHASES", "Consumer", "Post", "work"]

PHASES = ("starting", "receiving", "reading and merging", "a GET on its way", "a PUT on its way", "acknowledging")
STARTING, RECEIVING, WORKING, GETTING, PUTTING, ACKNOWLEDGING = range(len(PHASES))

# What a client reads from files is read before the fork; the clients themselves are thrown away.
for _service in ("s3", "sqs"):
    boto3.client(
        _service, "us-east-1", endpoint_url="http://127.0.0.1:9", aws_access_key_id="x", aws_secret_access_key="x"
    )


@dataclass(frozen=True)
class Post:
    """Where a worker leaves word of itself, in memory that it shares with who watches it.

    `phase` is an index into PHASES and `steps` counts its changes; `busy` is when the worker first had messages, `done`
    how many it has acknowledged.
    """

    phase: Any
    steps: Any
    busy: Any
    done: Any
    at: int

    def enter(self, phase: int) -> None:
        self.phase[self.at] = phase
        self.steps[self.at] += 1


@dataclass
class Consumer:
    """One queue and what handles a group of its messages; that returns the ids of those that failed."""

    queue: Queue
    handle: Callable[[list[Message]], set[str]]

    def turn(self, post: Post, most: int) -> int:
        """Receive once, work, acknowledge; returns how many messages there were."""
        post.enter(RECEIVING)
        messages = self.queue.receive(most)
        if not messages:
            return 0
        if not post.busy[post.at]:
            post.busy[post.at], post.steps[post.at] = time.monotonic(), 0
        post.enter(WORKING)
        with kept_hidden(self.queue, messages, print):
            failed = self.handle(messages)
            post.enter(ACKNOWLEDGING)
            self.queue.delete([message for message in messages if message.id not in failed])
        post.done[post.at] += len(messages) - len(failed)
        return len(messages)


def work(env: Mapping[str, str], bars_queue: str, post: Post, stop: Event, most: int, output: str) -> None:
    """Consume both queues until told to stop."""
    sys.stdout = sys.stderr = Path(output).open("a", buffering=1)  # noqa: SIM115 (for as long as the process lives)
    os.environ.update(env | {"POWERTOOLS_SERVICE_NAME": "worker", "POWERTOOLS_LOG_LEVEL": "ERROR"})
    queue_module.WAIT_SECONDS = 0
    consumers = [ticks_consumer(env, post), bars_consumer(bars_queue, post)]
    while not stop.is_set():
        if not sum(consumer.turn(post, most) for consumer in consumers):
            time.sleep(0.02)


def ticks_consumer(env: Mapping[str, str], post: Post) -> Consumer:
    handler = load("process_stock_stream_data")
    _watch(handler.LAKE, post)

    def handle(messages: list[Message]) -> set[str]:
        records = [{"messageId": m.id, "body": m.body, "eventSource": "aws:sqs"} for m in messages]
        answer = handler.lambda_handler({"Records": records}, Context())
        return {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}

    return Consumer(Queue(env["STOCK_PIPELINE_STREAM_QUEUE_URL"]), handle)


def bars_consumer(queue: str, post: Post) -> Consumer:
    handler = load("process_batch_stock_data")
    _watch(handler.LAKE, post)

    def handle(messages: list[Message]) -> set[str]:
        failed = set()
        for message in messages:
            try:
                handler.lambda_handler(json.loads(message.body), Context())
            except Exception as error:  # Lambda would call it again
                print(f"{message.id}: {error!r}")
                failed.add(message.id)
        return failed

    return Consumer(Queue(queue), handle)


def _watch(lake: S3Store, post: Post) -> None:
    """Note when a request to the lake is on its way."""

    def sending(event_name: str, **_: Any) -> None:
        post.enter(PUTTING if event_name.endswith("PutObject") else GETTING)

    def answered(**_: Any) -> None:
        post.enter(WORKING)

    events = lake._client.meta.events
    events.register("before-send.s3", sending)
    events.register("response-received.s3", answered)
