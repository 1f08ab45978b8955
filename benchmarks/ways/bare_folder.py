"""The store in a folder, without hashing and syncing, so that the pipeline is measured and not this store."""

from __future__ import annotations

import os
from pathlib import Path

from stock_pipeline.lake.folder_store import FolderStore


class BareFolder(FolderStore):
    """A FolderStore that neither hashes nor syncs. An object's ETag is its file's identity, size and time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written = 0
        """Bytes of all puts."""

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        etag = super().put(key, data, if_match=if_match, if_none_match=if_none_match)
        self.written += len(data)
        return etag

    def version(self, status: os.stat_result) -> str:
        return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"

    def sync(self, number: int) -> None:
        pass
