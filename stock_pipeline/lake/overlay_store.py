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

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        return self._store(key).get(key, max_bytes=max_bytes)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        return self._store(key).put(key, data, if_match=if_match, if_none_match=if_none_match)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        below = (i for i in self._below.list(prefix, start_after=start_after) if i.key not in self._keys)
        above = (i for i in self._above.list(prefix, start_after=start_after) if i.key in self._keys)
        yield from heapq.merge(below, above, key=lambda info: info.key)

    def _store(self, key: str) -> ObjectStore:
        return self._above if key in self._keys else self._below
