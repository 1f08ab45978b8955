"""An object store on top of another, for work on the lake that its readers must not see yet."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator

from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore, StoredObject


class OverlayStore:
    """An ObjectStore in which some keys are in the store above, and all others in the store below.

    Objects of the store below under the keys of the store above are neither seen nor written. Safe to share between
    threads if both stores are.
    """

    def __init__(self, below: ObjectStore, above: ObjectStore, keys: Collection[str]) -> None:
        self.bucket = below.bucket
        self._below, self._above, self._keys = below, above, frozenset(keys)

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        return self._store(key).get(key, max_bytes=max_bytes, version=version)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        return self._store(key).put(key, data, if_match=if_match, if_none_match=if_none_match)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        yield from self._both(*(store.list(prefix, start_after=start_after) for store in (self._below, self._above)))

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        yield from self._both(
            *(store.versions(prefix, start_after=start_after) for store in (self._below, self._above))
        )

    def _both(self, below: Iterator[ObjectInfo], above: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
        seen = (info for info in below if info.key not in self._keys)
        own = (info for info in above if info.key in self._keys)
        yield from heapq.merge(seen, own, key=lambda info: info.key)

    def _store(self, key: str) -> ObjectStore:
        return self._above if key in self._keys else self._below
