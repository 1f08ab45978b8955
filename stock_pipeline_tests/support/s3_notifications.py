"""S3 notifications as S3 writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote_plus


def record(
    key: str, *, name: str = "ObjectCreated:Put", bucket: str = "staging", version: str = "", etag: str = ""
) -> dict[str, Any]:
    """One record as S3 sends it: the key encoded as in a form, with the slashes left alone. `version` and `etag` say
    which version it is of.
    """
    which = {"key": quote_plus(key, safe="/"), "size": 1}
    which |= ({"versionId": version} if version else {}) | ({"eTag": etag} if etag else {})
    entity = {"bucket": {"name": bucket}, "object": which}
    return {"eventSource": "aws:s3", "eventName": name, "s3": entity}


def event(*keys: str, **more: str) -> dict[str, Any]:
    return {"Records": [record(key, **more) for key in keys]}
