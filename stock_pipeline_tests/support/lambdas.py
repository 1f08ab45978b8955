"""Lambda handlers in this process, on moto's S3."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from stock_pipeline.deploy.sources import CHECKOUT
from stock_pipeline.settings import documented

STAGING, LAKE, STREAM = "the-staging", "the-lake", "the-stream"


@dataclass
class Context:
    """What Lambda gives a handler beside the event, as far as the logger and the handlers ask for it."""

    function_name: str = "function-under-test"
    memory_limit_in_mb: int = 128
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function-under-test"
    aws_request_id: str = "00000000-0000-0000-0000-000000000000"
    remaining: int = 120_000

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An S3 with the two buckets, and the environment that the template gives the functions."""
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", *documented()):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "STOCK_PIPELINE_STAGING_BUCKET": STAGING,
        "STOCK_PIPELINE_LAKE_BUCKET": LAKE,
        "STOCK_PIPELINE_STREAM_NAME": STREAM,
        "POWERTOOLS_SERVICE_NAME": request.node.nodeid,  # loggers are kept by this name: each test has its own
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=STAGING)
        client.create_bucket(Bucket=LAKE)
        yield client


def load(function: str) -> ModuleType:
    """A function's handler module, started anew as in a cold start."""
    path = CHECKOUT / "lambdas" / function / "handler.py"
    spec = importlib.util.spec_from_file_location(f"{function}_handler", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cold_start(s3: Any) -> Callable[[str], ModuleType]:
    return load
