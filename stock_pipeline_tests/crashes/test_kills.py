"""Workers killed by SIGKILL at random points, with real queues and readers all the time: the tables are exact in the
end.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.aws.sqs import depth
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline_tests.crashes.crew import Crew, forkserver
from stock_pipeline_tests.crashes.feed import Feed
from stock_pipeline_tests.crashes.gate import Gate
from stock_pipeline_tests.crashes.model import Values, latest
from stock_pipeline_tests.crashes.watchers import watch
from stock_pipeline_tests.support.amounts import Amounts
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually

pytestmark = [pytest.mark.crash, pytest.mark.timeout(1800)]

TRIES = 5  # as the template has it
HIDDEN = 2  # seconds
WORKERS, READERS = 4, 2
AT_ONCE = 5  # messages a worker takes
WAITING = 40  # messages; below, more objects are dropped
LOOK = 0.25  # seconds between looks at the queues


@dataclass
class Queues:
    """The two queues of arrivals, each with its dead-letter queue."""

    stack: Stack
    bars: str
    dead_bars: str
    redriven: int = 0

    @cached_property
    def sqs(self) -> Any:
        return self.stack.client("sqs")

    @property
    def pairs(self) -> list[tuple[str, str]]:
        outputs = self.stack.outputs
        return [(outputs["StreamQueueUrl"], outputs["StreamDlqUrl"]), (self.bars, self.dead_bars)]

    def held(self, queue: str) -> int:
        """Messages in a queue, hidden or not."""
        return depth(self.sqs, queue).held

    def redrive(self) -> None:
        """What an operator does about dead letters: move them back to their queue."""
        for queue, dead in self.pairs:
            if not self.held(dead):
                continue
            found = self.sqs.receive_message(
                QueueUrl=dead, MaxNumberOfMessages=10, MessageSystemAttributeNames=["ApproximateReceiveCount"]
            )
            for message in found.get("Messages", []):
                # Received five times by workers, and once now: no message is given up earlier.
                assert int(message["Attributes"]["ApproximateReceiveCount"]) == TRIES + 1
                self.sqs.send_message(QueueUrl=queue, MessageBody=message["Body"])
                self.sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
                self.redriven += 1


@pytest.fixture
def stack(new_stack: NewStack) -> Stack:
    return new_stack("dagster", hidden=HIDDEN)


@pytest.fixture
def queues(stack: Stack) -> Queues:
    sqs = stack.client("sqs")
    dead = sqs.create_queue(QueueName=f"{stack.aws.stage}-dead-bars")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": TRIES})
    attributes = {"VisibilityTimeout": str(HIDDEN), "RedrivePolicy": redrive}
    bars = sqs.create_queue(QueueName=f"{stack.aws.stage}-bars", Attributes=attributes)["QueueUrl"]
    sqs.purge_queue(QueueUrl=stack.outputs["StreamQueueUrl"])  # S3's test event, which comes with a new bucket
    return Queues(stack, bars, dead)


@dataclass
class Readers:
    reads: Any
    changes: Any
    processes: list[Any]
    log: Path

    def check(self) -> None:
        ended = [process.exitcode for process in self.processes if process.exitcode is not None]
        assert not ended, self.log.read_text()[-3000:]


@contextmanager
def readers(stack: Stack, number: int, log: Path) -> Iterator[Readers]:
    """Processes that read the tables for the length of the block; raises what they found wrong."""
    context = forkserver()
    reads, changes, stop = context.RawArray("q", number), context.RawArray("q", number), context.Event()
    processes = [
        context.Process(target=watch, args=(dict(stack.aws.environ()), at, reads, changes, stop, str(log)))
        for at in range(number)
    ]
    for process in processes:
        process.start()
    found = Readers(reads, changes, processes, log)
    try:
        yield found
        found.check()
    finally:
        stop.set()
        for process in processes:
            process.join(20)
            process.kill()
            process.join()
    assert [process.exitcode for process in processes] == [0] * number, log.read_text()[-3000:]


def stored(stack: Stack, table: Table) -> dict[Any, tuple[Values, str]]:
    """All rows of a table with two keys or values alike nowhere: key, values, source."""
    found: dict[Any, tuple[Values, str]] = {}
    for name in partitions(stack.lake, table):
        rows = read_partition(stack.lake, table, name)
        assert rows is not None
        for row in rows.to_pylist():
            if table is PRICE_BY_DATE:
                key, values = (row["symbol"], row["date"]), (row["close"], row["volume"])
            else:
                key, values = row["event_id"], (row["symbol"], row["price"], row["size"], row["produced_at"])
            assert key not in found, f"{key} is stored twice"
            found[key] = values, row["source"]
    return found


def rejected(stack: Stack, table: Table) -> Counter[tuple[str, int, str, str]]:
    rows = read_rejects(stack.lake, table).to_pylist()
    return Counter((row["source"], row["line"], row["reason"], row["raw"].rstrip("\n")) for row in rows)


def snapshot(stack: Stack) -> dict[str, Values]:
    rows = read_partition(stack.lake, LATEST_PRICES, SNAPSHOT)
    assert rows is not None
    return {row["symbol"]: (row["produced_at"], row["event_id"], row["price"], row["size"]) for row in rows.to_pylist()}


def assert_exact(stack: Stack, feed: Feed) -> None:
    ticks = stored(stack, STREAM_PRICES_HISTORY)
    feed.ticks.check(ticks, rejected(stack, STREAM_PRICES_HISTORY))
    feed.bars.check(stored(stack, PRICE_BY_DATE), rejected(stack, PRICE_BY_DATE))
    assert snapshot(stack) == latest(ticks)


def test_killed_workers_lose_nothing_and_write_nothing_by_halves(
    stack: Stack, queues: Queues, amounts: Amounts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(amounts.seed)
    feed = Feed(stack, queues.bars, chance)
    crew = Crew(stack.aws.environ(), queues.bars, chance, WORKERS, AT_ONCE, tmp_path / "workers.log")
    began = time.monotonic()
    with readers(stack, READERS, tmp_path / "readers.log") as reading, crew:
        looked = 0.0
        while crew.kills.total() < amounts.kills or sum(reading.reads) < amounts.reads:
            if crew.kills.total() < amounts.kills:
                crew.kill_who_is_due()
            if time.monotonic() > looked + LOOK:  # questions cost the emulator time that the workers want
                looked = time.monotonic()
                for queue, drop in ((queues.pairs[0][0], feed.drop_ticks), (queues.bars, feed.drop_bars)):
                    for _ in range(max(0, WAITING - queues.held(queue))):
                        drop()
                        if crew.kills.total() < amounts.kills:
                            crew.kill_who_is_due()
                crew.check()
                reading.check()
                queues.redrive()
            time.sleep(0.002)
        killing = time.monotonic() - began

        def done() -> bool:
            crew.check()
            queues.redrive()
            return not any(queues.held(queue) for pair in queues.pairs for queue in pair)

        assert eventually(done, within=120), "messages are left, or come back again and again"
    assert_exact(stack, feed)
    with capsys.disabled():
        rows = sum(len(lines) for model in (feed.ticks, feed.bars) for lines in model.lines.values())
        print(
            f"\n{crew.kills.total():,} kills in {killing:.0f} s: {dict(crew.kills.most_common())}; "
            f"{feed.told:,} messages, {queues.redriven} redriven; {rows:,} rows; "
            f"{sum(reading.reads):,} reads, {sum(reading.changes):,} of changed objects"
        )


def test_a_message_whose_worker_dies_five_times_waits_for_the_operator_and_loses_nothing(
    stack: Stack, queues: Queues, tmp_path: Path
) -> None:
    """A kill counts as a try, as SQS cannot tell it from poison; redriven, the message is stored and acknowledged."""
    chance = random.Random(1)
    feed = Feed(stack, queues.bars, chance, twice=0)
    with Gate(stack.aws.endpoint) as gate:
        env = {**stack.aws.environ(), "AWS_ENDPOINT_URL": gate.url}
        with Crew(env, queues.bars, chance, 1, AT_ONCE, tmp_path / "workers.log") as crew:
            # A worker writes several objects at a time, so some of its requests may come after it was killed.
            with gate.holding("PUT", f"/{STREAM_PRICES_HISTORY.prefix}") as held:
                feed.drop_ticks()
                for _ in range(TRIES):
                    held.reached()
                    assert queues.held(queues.pairs[0][0]) > 0, "nothing is acknowledged before it is stored"
                    crew.kill()
                    held.settle()
            assert eventually(lambda: queues.held(queues.pairs[0][1]) == 1, within=180), "in the dead-letter queue"
            assert partitions(stack.lake, STREAM_PRICES_HISTORY) == [], "no write had come through"
            queues.redrive()
            assert eventually(lambda: not any(queues.held(queue) for queue in queues.pairs[0]), within=60)
    feed.ticks.check(stored(stack, STREAM_PRICES_HISTORY), rejected(stack, STREAM_PRICES_HISTORY))
    assert snapshot(stack) == latest(stored(stack, STREAM_PRICES_HISTORY))
    assert crew.kills.total() == TRIES
    assert queues.redriven == feed.told == 1
