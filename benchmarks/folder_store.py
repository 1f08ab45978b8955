"""A bucket in a folder: what is measured on it is the pipeline, and neither a network nor an emulator of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.objects import ObjectInfo, StoredObject


class FolderStore:
    """An ObjectStore for one process. An object's ETag is its file's identity, size and time."""

    def __init__(self, folder: Path) -> None:
        self.bucket = folder.name
        self._folder = folder
        self._lock = Lock()
        self.written = 0
        """Bytes of all puts."""

    def get(self, key: str, *, version_id: str | None = None) -> StoredObject:
        assert version_id is None
        try:
            with (self._folder / key).open("rb") as file:
                return StoredObject(_info(key, os.fstat(file.fileno())), file.read())
        except FileNotFoundError:
            raise ObjectNotFound(key, f"{key} does not exist") from None

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            there = _info(key, path.stat()).etag if path.exists() else None
            if (if_none_match and there) or (if_match is not None and there != if_match):
                raise PreconditionFailed(key, f"{key} was written by somebody else")
            new = path.with_name(path.name + ".new")
            new.write_bytes(data)
            new.rename(path)
            self.written += len(data)
            return _info(key, path.stat()).etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        paths = (path for path in (self._folder / prefix).rglob("*") if path.is_file())
        for key, path in sorted((str(path.relative_to(self._folder)), path) for path in paths):
            if key > start_after:
                yield _info(key, path.stat())


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    etag = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return ObjectInfo(key, etag, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
