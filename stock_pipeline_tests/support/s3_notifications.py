"""S3 notifications as S3 writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus


def record(key: str, *, name: str = "ObjectCreated:Put", bucket: str = "staging") -> dict[str, Any]:
    """One record as S3 sends it: the key encoded as in a form, with the slashes left alone."""
    entity = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": 1}}
    return {"eventSource": "aws:s3", "eventName": name, "s3": entity}


def event(*keys: str, **more: str) -> dict[str, Any]:
    return {"Records": [record(key, **more) for key in keys]}
