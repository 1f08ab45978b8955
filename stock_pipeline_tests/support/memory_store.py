"""A bucket in memory that behaves as S3 does: versions by ETag, conditional writes, listings in the order of keys."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, too_large


class MemoryStore:
    """An ObjectStore. `before_put` is called ahead of every write: tests interleave another writer there."""

    def __init__(self, bucket: str = "bucket") -> None:
        self.bucket = bucket
        self.objects: dict[str, StoredObject] = {}
        self.puts: list[str] = []
        self.gets: list[str] = []
        self.before_put: Callable[[str], None] = lambda key: None
        self.after_put: Callable[[str], None] = lambda key: None
        self._lock = threading.Lock()
        self._clock = datetime(2024, 1, 1, tzinfo=UTC)

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        with self._lock:
            self.gets.append(key)
            if key not in self.objects:
                raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist")
            found = self.objects[key]
            if max_bytes is not None and found.info.size > max_bytes:
                raise too_large(self.bucket, found.info, max_bytes)
            return found

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        self.before_put(key)
        with self._lock:
            there = self.objects.get(key)
            if if_match is not None and there is None:
                raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist")
            if (if_none_match and there) or (if_match is not None and there and there.info.etag != if_match):
                raise PreconditionFailed(key, f"{key} was written by somebody else")
            self.puts.append(key)
            self._clock += timedelta(seconds=1)
            etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
            self.objects[key] = StoredObject(ObjectInfo(key, etag, len(data), self._clock), bytes(data))
        self.after_put(key)
        return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > start_after:
                yield self.objects[key].info
