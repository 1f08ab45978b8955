"""An object store in memory: for tests, for scratch work, and for a table that nobody may see before it is complete."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from threading import Lock

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, check_condition, check_key, too_large


class MemoryStore:
    """An ObjectStore that answers like S3. Safe to share between threads. Its objects end with the process.

    `clock` gives the time at which an object is written (UTC). `objects` holds the objects by key. If it is
    `versioned`, it also keeps each version that was written, in `kept`, the oldest of each key first.
    """

    def __init__(
        self,
        bucket: str = "memory",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        versioned: bool = False,
    ) -> None:
        self.bucket = bucket
        self.objects: dict[str, StoredObject] = {}
        self.kept: dict[str, list[StoredObject]] = {}
        self._clock, self._lock, self._versioned = clock, Lock(), versioned

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        found = self._version(key, version) if version else self.objects.get(key)
        if found is None:
            raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist{' in this version' if version else ''}")
        if max_bytes is not None and found.info.size > max_bytes:
            raise too_large(self.bucket, found.info, max_bytes)
        return found

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        check_key(self.bucket, key)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        with self._lock:
            there = self.objects.get(key)
            check_condition(self.bucket, key, there.info.etag if there else None, if_match, if_none_match=if_none_match)
            self._write(StoredObject(ObjectInfo(key, etag, len(data), self._clock()), bytes(data)))
        return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        with self._lock:
            found = [
                stored.info for key, stored in self.objects.items() if key.startswith(prefix) and key > start_after
            ]
        yield from sorted(found, key=lambda info: info.key)

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        if not self._versioned:
            yield from self.list(prefix, start_after=start_after)
            return
        with self._lock:
            kept = [
                (key, list(all_)) for key, all_ in self.kept.items() if key.startswith(prefix) and key > start_after
            ]
        for _, all_ in sorted(kept, key=lambda one: one[0]):
            yield from (stored.info for stored in all_)

    def _write(self, stored: StoredObject) -> None:
        if self._versioned:
            kept = self.kept.setdefault(stored.info.key, [])
            stored = StoredObject(replace(stored.info, version=f"v{len(kept) + 1}"), stored.data)
            kept.append(stored)
        self.objects[stored.info.key] = stored

    def _version(self, key: str, version: str) -> StoredObject | None:
        return next((stored for stored in self.kept.get(key, ()) if stored.info.version == version), None)
