"""The local AWS for tests: one emulator for each test process, and a separate stack for each test that needs one.

A conftest.py makes these fixtures available by importing them.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote_plus

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.local import LocalAws, LocalFolders, ensure_environment, local_aws
from stock_pipeline.local.stack import deploy
from stock_pipeline.settings import Settings

INSTALLED = CHECKOUT  # what the emulator runs on is installed once, beside the sources, for all tests

# In a Dagster as it stays in AWS, each run is a task, which first has to import everything.
PATIENCE = 3 if os.environ.get("LIVE_DAGSTER") else 1

_lost = itertools.count(1)

Result = TypeVar("Result")
NewStack = Callable[..., "Stack"]


@dataclass
class Stack:
    """A deployed stack with clients of the AWS that it is in."""

    aws: LocalAws

    @property
    def env(self) -> dict[str, str]:
        return self.aws.env

    @property
    def outputs(self) -> dict[str, str]:
        return self.aws.outputs

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    def client(self, service: str) -> Any:
        return self.aws.client(service)

    @cached_property
    def s3(self) -> Any:
        return self.client("s3")

    @cached_property
    def staging(self) -> S3Store:
        return S3Store(self.outputs["StagingBucket"], self.s3)

    @cached_property
    def lake(self) -> S3Store:
        return S3Store(self.outputs["LakeBucket"], self.s3)

    def log(self) -> str:
        """The end of what the emulator and the functions have printed, for the message of a failed assertion."""
        return LocalFolders(self.aws.root).log.read_text(errors="replace")[-4000:]


def eventually(question: Callable[[], Result], *, within: float = 30.0) -> Result:
    """The first true answer to a question that is asked until a deadline, or the last answer."""
    deadline = time.monotonic() + within * PATIENCE
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


@contextmanager
def nobody_told(stack: Stack) -> Iterator[None]:
    """Events of objects that come to the staging bucket in the block are lost: they go to a queue that nobody works on.

    S3 looks at the bucket's configuration some time after an object has come. So the block ends only when the event of
    each of its objects is in that queue: otherwise the last of them could still be told to the stack.
    """
    sqs, bucket = stack.client("sqs"), stack.staging.bucket
    url = sqs.create_queue(QueueName=f"nobody-{next(_lost)}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    open_to_s3 = {"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:*", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [open_to_s3]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    told = stack.s3.get_bucket_notification_configuration(Bucket=bucket)
    del told["ResponseMetadata"]
    before = {(info.key, info.version) for info in stack.staging.versions("")}
    lost = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    stack.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=lost)
    try:
        yield
        new = {(info.key, info.version) for info in stack.staging.versions("")} - before
        heard: set[tuple[str, str]] = set()

        def all_are_lost() -> bool:
            for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
                objects = [record["s3"]["object"] for record in json.loads(message["Body"]).get("Records", [])]
                heard.update((unquote_plus(each["key"]), each.get("versionId", "null")) for each in objects)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return new <= heard

        assert eventually(all_are_lost), f"no event came of {sorted(new - heard)}"
    finally:
        stack.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)
        sqs.delete_queue(QueueUrl=url)


@pytest.fixture(scope="session")
def installed() -> Path:
    """A root with everything installed that the local AWS runs on."""
    ensure_environment(INSTALLED)
    return INSTALLED


@pytest.fixture(scope="session")
def emulator(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """A local AWS that this test process shares; its own stack has the processor dagster."""
    with local_aws(tmp_path_factory.mktemp("aws"), installed=installed) as aws:
        yield aws


_stages = itertools.count(1)


@pytest.fixture(scope="session")
def new_stack(emulator: LocalAws, installed: Path) -> NewStack:
    """Deploys a new stack: `new_stack(processor="dagster", **parameters)`. Its buckets and tables are its own.

    `hidden` is for how many seconds a message of an arrival that is being worked on is hidden; no parameter of the
    template allows so few, because AWS takes no fewer than the function's timeout.
    """

    def make(processor: str = "dagster", *, hidden: int | None = None, **parameters: str) -> Stack:
        stage = f"test{next(_stages)}"
        wanted = {"Processor": processor, "Database": f"stock_market_{stage}", **parameters}
        outputs = deploy(emulator.endpoint, emulator.key, LocalFolders(installed), stage=stage, parameters=wanted)
        for queue in ("DailyQueueUrl", "StreamQueueUrl") if hidden is not None else ():
            attributes = {"VisibilityTimeout": str(hidden)}
            emulator.client("sqs").set_queue_attributes(QueueUrl=outputs[queue], Attributes=attributes)
        return Stack(replace(emulator, processor=processor, stage=stage, outputs=outputs, ui=None))

    return make


@pytest.fixture
def local_aws_env(new_stack: NewStack) -> Stack:
    """A fresh stack in which nothing is triggered: the processor is dagster."""
    return new_stack()
