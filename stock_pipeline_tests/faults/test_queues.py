"""The queue of the simulator: hidden messages, redelivery, dead letters."""

from __future__ import annotations

import random

import pytest

from stock_pipeline_tests.faults.hub import Hub
from stock_pipeline_tests.faults.queues import Queue


@pytest.fixture
def queue() -> Queue:
    hub = Hub(random.Random(1))
    return Queue(hub, hub.random, visibility=60, most_tries=2, careful=True)


def test_a_message_is_hidden_comes_again_and_ends_in_the_dead_letters(queue: Queue) -> None:
    queue.send("body")
    for tries in (1, 2):
        (message,) = queue.receive(10)
        assert (message.body, message.tries) == ("body", tries)
        assert queue.receive(10) == []
        queue.hub.now += 61
    assert queue.receive(10) == []
    assert [m.body for m in queue.dead] == ["body"]
    assert queue.done
    queue.redrive()
    (message,) = queue.receive(10)
    queue.delete(message)
    assert (queue.done, queue.dead, queue.redelivered) == (True, [], 1)


def test_what_failed_is_given_at_once_and_what_is_late_later(queue: Queue) -> None:
    queue.send("late", delay=30)
    assert queue.receive(1) == []
    queue.hub.now += 30
    (message,) = queue.receive(1)
    queue.give_back(message)
    assert queue.receive(1) == [message]


def test_a_careless_queue_gives_twice_and_forgets_to_delete() -> None:
    hub = Hub(random.Random(1))
    queue = Queue(hub, hub.random, visibility=60, most_tries=1000)
    for number in range(200):
        queue.send(str(number))
    first = queue.receive(200)
    assert [m.body for m in first] != [str(n) for n in range(200)]  # in any order
    again = queue.receive(200)
    assert 0 < len(again) < 60
    for message in first:
        queue.delete(message)
    assert 0 < len(queue.waiting) < 60
