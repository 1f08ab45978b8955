"""The local AWS for tests: one emulator for each test process, and a separate stack for each test that needs one.

A conftest.py makes these fixtures available by importing them.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pytest

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.local import LocalAws, LocalFolders, ensure_environment, local_aws
from stock_pipeline.local.stack import deploy
from stock_pipeline.settings import Settings

INSTALLED = CHECKOUT  # what the emulator runs on is installed once, beside the sources, for all tests

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
    deadline = time.monotonic() + within
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


@contextmanager
def nobody_told(stack: Stack) -> Iterator[None]:
    """Events of the staging bucket are lost in the block."""
    bucket = stack.staging.bucket
    told = stack.s3.get_bucket_notification_configuration(Bucket=bucket)
    del told["ResponseMetadata"]
    stack.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        stack.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=told)


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
