"""What the pipeline needs of a bucket: get, conditional put, list. The one seam that tests replace; no S3 in here.

What works on a store imports this. The stores themselves are `MemoryStore`, `FolderStore`, `OverlayStore` (beside this
module) and `S3Store` (aws/s3.py, which brings boto3 with it). They behave alike: one contract test holds them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from stock_pipeline.errors import ObjectNotFound, ObjectTooLarge, PreconditionFailed, StoreError
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
        when another writer came first, ObjectNotFound when there is nothing to match, and StoreUnavailable when the
        effect is unknown.
        """
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """The objects under a prefix in the order of their keys, from the first after `start_after` on."""
        ...


LONGEST_KEY = 1024
"""Bytes of a key in UTF-8, as in S3."""


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


def check_key(bucket: str, key: str) -> None:
    """Raise StoreError for what S3 takes for no key."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST_KEY:
        raise StoreError(key, f"{key!r} is no key in s3://{bucket}: a key is text of 1 to {LONGEST_KEY} bytes in UTF-8")


def check_condition(bucket: str, key: str, there: str | None, if_match: str | None, *, if_none_match: bool) -> None:
    """Raise what S3 answers to a conditional write over the ETag that is there, if it must not be made."""
    if if_match is not None and there is None:
        raise ObjectNotFound(key, f"s3://{bucket}/{key} does not exist")
    if (if_none_match and there is not None) or (if_match is not None and there != if_match):
        raise PreconditionFailed(key, f"s3://{bucket}/{key} was written by somebody else")
