"""An object store in memory: for tests, for scratch work, and for a table that nobody may see before it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Lock

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, check_condition, check_key, too_large


class MemoryStore:
    """An ObjectStore that answers like S3. Safe to share between threads. Its objects end with the process.

    `clock` gives the time at which an object is written (UTC). `objects` holds the objects by key.
    """

    def __init__(self, bucket: str = "memory", *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.bucket = bucket
        self.objects: dict[str, StoredObject] = {}
        self._clock, self._lock = clock, Lock()

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        found = self.objects.get(key)
        if found is None:
            raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist")
        if max_bytes is not None and found.info.size > max_bytes:
            raise too_large(self.bucket, found.info, max_bytes)
        return found

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        check_key(self.bucket, key)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        with self._lock:
            there = self.objects.get(key)
            check_condition(self.bucket, key, there.info.etag if there else None, if_match, if_none_match=if_none_match)
            self.objects[key] = StoredObject(ObjectInfo(key, etag, len(data), self._clock()), bytes(data))
        return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            found = [
                stored.info for key, stored in self.objects.items() if key.startswith(prefix) and key > start_after
            ]
        yield from sorted(found, key=lambda info: info.key)
