"""What ended in a dead-letter queue comes back, whatever fails meanwhile, and nothing is lost."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws

from stock_pipeline.aws.redrive import Redriven, invoke_again, send_back
from stock_pipeline.aws.sqs import Queue
from stock_pipeline.errors import QueueError

BODIES = [f"message {n}" for n in range(25)]


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.client("sqs", region_name="us-east-1")


@pytest.fixture
def dead(sqs: Any) -> Queue:
    return Queue(sqs.create_queue(QueueName="dead")["QueueUrl"], sqs)


@pytest.fixture
def queue(sqs: Any) -> Queue:
    return Queue(sqs.create_queue(QueueName="queue")["QueueUrl"], sqs)


def bodies(queue: Queue) -> list[str]:
    return sorted(message.body for message in queue.receive(100))


def test_all_messages_go_back(dead: Queue, queue: Queue) -> None:
    for body in BODIES:
        dead.send(body)
    assert send_back(dead, queue) == Redriven(25, ())
    assert bodies(queue) == sorted(BODIES)
    assert dead.depth().held == 0
    assert send_back(dead, queue) == Redriven(0, ())


@pytest.mark.parametrize("sent", [0, 1, 24])
def test_a_queue_that_takes_no_more_loses_nothing(dead: Queue, queue: Queue, sent: int) -> None:
    class Refusing(Queue):
        left = sent

        def send(self, body: str) -> None:
            if not self.left:
                raise QueueError("no answer")
            self.left -= 1
            super().send(body)

    for body in BODIES:
        dead.send(body)
    with pytest.raises(QueueError):
        send_back(dead, Refusing(queue.url, queue._client))
    assert queue.depth().held + dead.depth().held == len(BODIES)


class Functions:
    """A client of Lambda: functions that fail for some events, or that cannot be reached."""

    def __init__(self, fails: set[int], reached: bool = True) -> None:
        self.fails, self.reached = fails, reached
        self.called: list[tuple[str, Any]] = []

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        if not self.reached:
            raise EndpointConnectionError(endpoint_url="lambda")
        event = json.loads(Payload)
        self.called.append((FunctionName, event["n"]))
        failed = {"FunctionError": "Unhandled"} if event["n"] in self.fails else {}
        return {"Payload": io.BytesIO(b"no such bucket"), **failed}


def failed_event(n: int) -> str:
    return json.dumps({"requestContext": {"functionArn": "arn:fn"}, "requestPayload": {"n": n}})


def test_failed_events_go_to_their_function_and_what_fails_again_stays(dead: Queue) -> None:
    for n in range(12):
        dead.send(failed_event(n))
    dead.send("not JSON")
    dead.send("[]")
    functions = Functions(fails={3, 7})
    found = invoke_again(dead, functions)
    assert found.done == 10
    assert sorted(functions.called) == [("arn:fn", n) for n in range(12)]
    assert sum("no such bucket" in reason for reason in found.failed) == 2
    assert sum("no failed event of Lambda" in reason for reason in found.failed) == 2
    assert dead.depth().held == 4


def test_an_event_whose_function_cannot_be_reached_stays(dead: Queue) -> None:
    dead.send(failed_event(1))
    with pytest.raises(QueueError, match="no answer from Lambda for arn:fn"):
        invoke_again(dead, Functions(set(), reached=False))
    assert dead.depth().held == 1
