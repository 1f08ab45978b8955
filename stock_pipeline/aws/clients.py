"""Clients of AWS, and the errors that AWS answers with.

The modules beside this one move data, each with its own timeouts and retries.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.credentials import region_of

__all__ = ["BotoCoreError", "ClientError", "client_of", "impatient"]

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})


_WHO = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
)


def client_of(service: Any, config: Config | None = None) -> Any:
    """A client with the credentials and the region that the environment has now.

    boto3's default session keeps those that it found first, but each start of the local AWS has a key of its own.
    """
    return _session(*(os.environ.get(name) for name in _WHO)).client(service, config=config)


@lru_cache(maxsize=4)
def _session(*_who: str | None) -> boto3.Session:
    return boto3.Session(region_name=region_of())


def impatient(service: Any) -> Any:
    """A client whose calls end within seconds, because a person waits for the answer."""
    return client_of(service, _CONFIG)
