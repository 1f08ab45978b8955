"""A bucket in a folder: what is measured on it is the pipeline, and neither a network nor an emulator of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from stock_pipeline.errors import ObjectNotFound, PreconditionFailed
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, too_large


class FolderStore:
    """An ObjectStore for one process. An object's ETag is its file's identity, size and time."""

    def __init__(self, folder: Path) -> None:
        self.bucket = folder.name
        self._folder = folder
        self._lock = Lock()
        self._made: set[str] = set()
        self.written = 0
        """Bytes of all puts."""

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        try:
            with open(f"{self._folder}/{key}", "rb", buffering=0) as file:  # noqa: PTH123
                info = _info(key, os.fstat(file.fileno()))
                if max_bytes is not None and info.size > max_bytes:
                    raise too_large(self.bucket, info, max_bytes)
                return StoredObject(info, file.read())
        except FileNotFoundError:
            raise ObjectNotFound(key, f"{key} does not exist") from None

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        path = f"{self._folder}/{key}"
        parent = os.path.dirname(path)  # noqa: PTH120 (what is measured should not be this store)
        with self._lock:
            if parent not in self._made:
                Path(parent).mkdir(parents=True, exist_ok=True)
                self._made.add(parent)
            there = _etag(path)
            if (if_none_match and there) or (if_match is not None and there != if_match):
                raise PreconditionFailed(key, f"{key} was written by somebody else")
            with open(f"{path}.new", "wb", buffering=0) as file:  # noqa: PTH123
                file.write(data)
            os.rename(f"{path}.new", path)  # noqa: PTH104
            self.written += len(data)
            return _etag(path) or ""

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        paths = (path for path in (self._folder / prefix).rglob("*") if path.is_file())
        for key, path in sorted((str(path.relative_to(self._folder)), path) for path in paths):
            if key > start_after:
                yield _info(key, path.stat())


def _etag(path: str) -> str | None:
    try:
        return _info("", os.stat(path)).etag  # noqa: PTH116
    except FileNotFoundError:
        return None


def _info(key: str, status: os.stat_result) -> ObjectInfo:
    etag = f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"
    return ObjectInfo(key, etag, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
