"""Clients for those who ask AWS how it is, and the errors that AWS answers with.

What moves data has a module for each service beside this one, with timeouts and retries of its own.
"""

from __future__ import annotations

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["BotoCoreError", "ClientError", "impatient"]

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "max_attempts": 2})


def impatient(service: Any) -> Any:
    """A client whose calls end within seconds: a person waits for the answer."""
    return boto3.client(service, config=_CONFIG)
