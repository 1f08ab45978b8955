"""The store in memory with additions for tests: it records its calls, and lets other code act between them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from stock_pipeline.lake import memory_store
from stock_pipeline.lake.object_store import StoredObject


class MemoryStore(memory_store.MemoryStore):
    """`puts` and `gets` are the keys of its calls; `before_put` is called ahead of every write, `after_put` behind it.

    Its clock is a second later at every write.
    """

    def __init__(self, bucket: str = "bucket", *, versioned: bool = False) -> None:
        super().__init__(bucket, clock=self._tick, versioned=versioned)
        self.puts: list[str] = []
        self.gets: list[str] = []
        self.before_put: Callable[[str], None] = lambda key: None
        self.after_put: Callable[[str], None] = lambda key: None
        self._now = datetime(2024, 1, 1, tzinfo=UTC)

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        self.gets.append(key)
        return super().get(key, max_bytes=max_bytes, version=version)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        self.before_put(key)
        etag = super().put(key, data, if_match=if_match, if_none_match=if_none_match)
        self.puts.append(key)
        self.after_put(key)
        return etag

    def _tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now
