"""What the pipeline needs from a bucket: get, conditional put, list, also of former versions. No S3 in here.

Code that works on a store imports this module. The stores are `MemoryStore`, `FolderStore`, `OverlayStore` (beside this
module) and `S3Store` (aws/s3.py, which imports boto3). They behave alike: one contract test runs for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from stock_pipeline.errors import ObjectNotFound, ObjectTooLarge, PreconditionFailed, StoreError
from stock_pipeline.settings import MIB


class ObjectVersion(NamedTuple):
    """One version of an object, as an event or a listing names it.

    `version` is the id that the bucket gave it; it is empty in a bucket without versions. `etag` is that of its
    content; it is empty where nobody named it.
    """

    key: str
    version: str = ""
    etag: str = ""

    def __str__(self) -> str:
        return self.key


Named = str | ObjectVersion
"""What an ingest takes: a key, which means the object as it is now, or a version of an object."""


def named(what: Named) -> ObjectVersion:
    """A key or a version as a version."""
    return what if isinstance(what, ObjectVersion) else ObjectVersion(what)


@dataclass(frozen=True)
class ObjectInfo:
    """An entry of a listing. `etag` is without quotes, `size` in bytes, `modified` in UTC.

    `version` is the id of this version, where the bucket keeps versions and the call tells it.
    """

    key: str
    etag: str
    size: int
    modified: datetime
    version: str = field(default="", compare=False)

    @property
    def named(self) -> ObjectVersion:
        """This version, as an ingest takes it."""
        return ObjectVersion(self.key, self.version, self.etag)


@dataclass(frozen=True)
class StoredObject:
    """An object's bytes and their entry in a listing."""

    info: ObjectInfo
    data: bytes


class ObjectStore(Protocol):
    """A bucket. Keys are plain S3 keys, never URL-encoded."""

    bucket: str

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        """The object as it is now, or a `version` of it; raises ObjectNotFound, StoreUnavailable.

        Raises ObjectTooLarge for an object of more than `max_bytes`, before its content is in memory.
        """
        ...

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        """Write the object whole and return its new ETag.

        With `if_match` it replaces only an object with that ETag. With `if_none_match` it writes only if there is no
        object. Raises PreconditionFailed when another writer came first, ObjectNotFound when there is no object to
        match, and StoreUnavailable when nobody knows whether it was written.
        """
        ...

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """The objects under a prefix in the order of their keys, from the first after `start_after` on."""
        ...

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """As `list`, with every version that the bucket keeps, also of deleted objects: each key's oldest first.

        A bucket without versions gives what `list` gives.
        """
        ...


LONGEST_KEY = 1024
"""The most bytes of a key in UTF-8, as in S3."""


def too_large(bucket: str, info: ObjectInfo, max_bytes: int) -> ObjectTooLarge:
    """The error for an object of more than `max_bytes`."""
    return ObjectTooLarge(
        info.key,
        info.etag,
        info.size,
        info.modified,
        f"s3://{bucket}/{info.key} has {info.size / MIB:,.1f} MiB, over the limit of {max_bytes / MIB:g} MiB for "
        "one object; split the file, or raise STOCK_PIPELINE_MAX_OBJECT_MB (of a deployed stack: the parameter "
        "MaxObjectMb)",
    )


def check_key(bucket: str, key: str) -> None:
    """Raise StoreError for a key that S3 does not accept."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= LONGEST_KEY:
        raise StoreError(
            key, f"{key!r} is not a key in s3://{bucket}: a key is text of 1 to {LONGEST_KEY} bytes in UTF-8"
        )


def check_condition(bucket: str, key: str, there: str | None, if_match: str | None, *, if_none_match: bool) -> None:
    """Raise S3's answer to a conditional write that must not be made, given the present ETag."""
    if if_match is not None and there is None:
        raise ObjectNotFound(key, f"s3://{bucket}/{key} does not exist")
    if (if_none_match and there is not None) or (if_match is not None and there != if_match):
        raise PreconditionFailed(key, f"s3://{bucket}/{key} was written by somebody else")
