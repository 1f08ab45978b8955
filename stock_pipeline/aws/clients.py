"""Clients for questions about the state of AWS, and the errors that AWS answers with.

The modules beside this one move data, each with its own timeouts and retries.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["BotoCoreError", "ClientError", "impatient"]

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})


def impatient(service: Any) -> Any:
    """A client whose calls end within seconds, because a person waits for the answer."""
    return boto3.client(service, config=_CONFIG)
