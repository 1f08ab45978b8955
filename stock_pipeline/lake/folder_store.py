"""An object store in a folder of one machine: a lake without AWS.

folder_paths.py turns keys into paths and back. A file that somebody copied into the folder is an object too, if its
path is that of a key.
"""

# ruff: noqa: PTH103, PTH104, PTH108, PTH118, PTH120, PTH123 - here pathlib would take longer than the work itself

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any
from zlib import crc32

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.folder_paths import folder_of, key_of, path_of
from stock_pipeline.lake.object_store import ObjectInfo, StoredObject, check_condition, check_key, too_large

_OWN = ".store"
"""The folder for locks and unfinished files. No key has a path that begins with a dot."""

_LOCKS = 64
_SETTLED = 2.0
"""A file this many seconds old is recognized by its time. The content of a younger file is read again."""


class FolderStore:
    """An ObjectStore in a folder. The first put makes the folder.

    Safe to share between threads, and between processes of one machine. A put is atomic, and on the disk before it
    returns: the data is written to a temporary file, synced and renamed. Conditions are checked and files renamed under
    a lock; the system frees the lock of a process that dies. An ETag is the MD5 of the content, as in S3. The file
    system must be case-sensitive.
    """

    def __init__(self, folder: Path) -> None:
        self.bucket = folder.name
        self._folder, self._own = os.fspath(folder), os.fspath(folder / _OWN)
        self._known: dict[str, tuple[tuple[int, int, int], str]] = {}

    def get(self, key: str, *, max_bytes: int | None = None, version: str = "") -> StoredObject:
        if version:
            raise ObjectNotFound(key, f"{self._folder} keeps no versions, so there is no version {version} of {key}")
        with self._opened(key) as file:
            status = os.fstat(file.fileno())
            if max_bytes is not None and status.st_size > max_bytes:
                raise too_large(self.bucket, _info(key, self._etag(file, status), status), max_bytes)
            data = file.read()
        return StoredObject(_info(key, self.version(status) or _md5(data), status), data)

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        check_key(self.bucket, key)
        path, conditional = self._path(key), if_none_match or if_match is not None
        for folder in (self._own, os.path.dirname(path)):
            os.makedirs(folder, exist_ok=True)
        number, aside = tempfile.mkstemp(dir=self._own)
        try:
            with open(number, "wb") as file:
                file.write(data)
                file.flush()
                self.sync(file.fileno())
                etag = self.version(os.fstat(file.fileno())) or _md5(data)
            with self._locked(key):
                if conditional:
                    check_condition(self.bucket, key, self._there(key), if_match, if_none_match=if_none_match)
                os.rename(aside, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside)
            raise
        self._sync_folder(os.path.dirname(path))
        return etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        found: list[tuple[str, os.DirEntry[str]]] = []
        for entry in _files(os.path.join(self._folder, folder_of(prefix)), self._own):
            key = key_of(os.path.relpath(entry.path, self._folder))
            if key is not None and key.startswith(prefix) and key > start_after:
                found.append((key, entry))
        for key, entry in sorted(found, key=lambda one: one[0]):
            status = entry.stat()
            yield _info(key, self._listed(key, status), status)

    def versions(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        yield from self.list(prefix, start_after=start_after)  # a folder keeps no versions

    def version(self, status: os.stat_result) -> str | None:  # noqa: ARG002 - for a store that need not hash
        """The ETag of a file, if its status is enough to know it. None means that the content must be hashed."""
        return None

    def sync(self, number: int) -> None:
        """Bring what was written to an open file or folder onto the disk."""
        os.fsync(number)

    def _path(self, key: str) -> str:
        return os.path.join(self._folder, path_of(key))

    def _there(self, key: str) -> str | None:
        """The ETag of the present content."""
        try:
            with self._opened(key) as file:
                return self._etag(file, os.fstat(file.fileno()))
        except ObjectNotFound:
            return None

    def _listed(self, key: str, status: os.stat_result) -> str:
        """The ETag of a file in a listing. It is remembered for a file that has not changed."""
        identity = (status.st_ino, status.st_size, status.st_mtime_ns)
        known = self._known.get(key)
        if known and known[0] == identity:
            return known[1]
        with self._opened(key) as file:
            etag = self._etag(file, status)
        if time.time() - status.st_mtime > _SETTLED:
            self._known[key] = (identity, etag)
        return etag

    def _etag(self, file: FileIO, status: os.stat_result) -> str:
        return self.version(status) or hashlib.file_digest(file, _hasher).hexdigest()

    @contextmanager
    def _opened(self, key: str) -> Iterator[FileIO]:
        check_key(self.bucket, key)
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                yield file
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectNotFound(key, f"s3://{self.bucket}/{key} does not exist in {self._folder}") from None

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Hold the lock of a key: no other thread or process works on the keys that share it."""
        with open(os.path.join(self._own, f"lock-{crc32(key.encode()) % _LOCKS}"), "ab") as file:
            fcntl.flock(
                file, fcntl.LOCK_EX
            )  # each opening of the file has its own lock, so that it also works between threads
            yield

    def _sync_folder(self, folder: str) -> None:
        number = os.open(folder, os.O_RDONLY)
        try:
            self.sync(number)
        finally:
            os.close(number)


def _files(folder: str, but: str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir():
            if entry.path != but:
                yield from _files(entry.path, but)
        else:
            yield entry


def _hasher() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _info(key: str, etag: str, status: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, etag, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
