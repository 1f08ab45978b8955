"""What the pipeline needs of a bucket: get, conditional put, list. The one seam that tests replace; no S3 in here.

What works on a store imports this; `S3Store`, which brings boto3 with it, is for those who open a bucket (aws/s3.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stock_pipeline.errors import ObjectTooLarge
from stock_pipeline.settings import MIB


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing says of an object. `etag` is without quotes, `size` in bytes, `modified` in UTC."""

    key: str
    etag: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class StoredObject:
    """An object's bytes, with what identifies them."""

    info: ObjectInfo
    data: bytes


class ObjectStore(Protocol):
    """A bucket. Keys are as S3 has them, never URL-encoded."""

    bucket: str

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        """The object; raises ObjectNotFound, StoreUnavailable.

        Raises ObjectTooLarge for an object of more than `max_bytes`, before any of it is in memory.
        """
        ...

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        """Write the object whole and return its new ETag.

        With `if_match` only over that ETag, with `if_none_match` only where there is none; raises PreconditionFailed
        when another writer came first, and StoreUnavailable when the effect is unknown.
        """
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """The objects under a prefix in the order of their keys."""
        ...


def too_large(bucket: str, info: ObjectInfo, max_bytes: int) -> ObjectTooLarge:
    """The error for an object of more than `max_bytes`."""
    return ObjectTooLarge(
        info.key,
        info.etag,
        info.size,
        info.modified,
        f"s3://{bucket}/{info.key} has {info.size / MIB:,.1f} MiB, over the limit of {max_bytes / MIB:g} MiB for "
        "one object; split the file, or raise STOCK_PIPELINE_MAX_OBJECT_MB",
    )
