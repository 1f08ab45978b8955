"""How the emulator keeps objects: what it acknowledges is on disk.

The emulator itself changes its state in memory, then writes the object without flushing it, and only logs what fails.
So it acknowledges objects that a full disk does not keep. Here an object is on disk (see `files.py`) before the answer.
If it cannot be, the state in memory is read from the disk again, nothing is told to triggers, and the answer is an
error: 507 if the disk is full, else 500. An object whose file cannot be read is an error, too, and not an empty object.

A request first changes the state in memory, on the event loop, and notes what is to be written. Threads then write it,
so that the flushes of several requests share the disk. Meanwhile other requests for the same key wait.

Bytes are on disk only. The emulator itself keeps the bytes of every version in memory.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary
from xml.sax.saxutils import escape

from ministack.core.responses import get_account_id
from ministack.services import s3 as s3_service

from . import files

log = logging.getLogger("gateway")

Answer = tuple[int, dict[str, str], bytes]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_AT_ONCE = 16  # writes that wait for the disk


class NotKept(Exception):
    """An object that could not be written to disk, or not be read from it."""

    def __init__(self, bucket: str, key: str, cause: OSError) -> None:
        super().__init__(f"{bucket}/{key}: {cause.strerror or cause}")
        self.bucket, self.key = bucket, key
        self.is_full = cause.errno in _FULL


@dataclass
class _Change:
    """What a request has changed in memory, and what is left to do: to write, then to forget, then to tell."""

    writes: list[tuple[str, str, Callable[[], None]]] = field(default_factory=list)
    written: list[dict[str, Any]] = field(default_factory=list)  # records whose bytes may leave the memory
    events: list[Callable[[], None]] = field(default_factory=list)
    is_over: bool = False

    def write(self) -> None:
        """Write to disk, in a thread. Raises NotKept."""
        for bucket, key, step in self.writes:
            try:
                step()
            except OSError as error:
                raise NotKept(bucket, key, error) from error

    def finish(self) -> None:
        """Let go of the bytes, and tell triggers. What comes after that, in tasks of this request, is done at once."""
        self.is_over = True
        for record in self.written:
            record["body"] = None
        for tell in self.events:
            tell()


_change: ContextVar[_Change | None] = ContextVar("change", default=None)
_turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
_threads = ThreadPoolExecutor(_AT_ONCE, "disk")


def install() -> None:
    """Make the emulator's S3 keep objects as this module says."""
    s3_service._persist_object = _persist_object
    s3_service._persist_delete_marker = _persist_delete_marker
    s3_service._persist_displaced_version = _persist_displaced_version
    s3_service._delete_persisted_object = _delete_persisted_object
    s3_service._read_body = _read_body
    project = s3_service._version_entry_from_record
    # The bytes of a version are those of the current object, or in a file of their own when it is no longer current.
    s3_service._version_entry_from_record = lambda record, version, _data: project(record, version, None)
    fire = s3_service._fire_s3_event_async
    s3_service._fire_s3_event_async = lambda *given, **named: _tell(lambda: fire(*given, **named))
    handle = s3_service.handle_request

    async def answer(method: str, path: str, *rest: Any, **named: Any) -> Answer:
        if method in {"GET", "HEAD"}:
            async with _turn(path):
                pass
            return await _changing(lambda: handle(method, path, *rest, **named))
        # Even if the client goes away, its change is written as a whole.
        return await asyncio.shield(asyncio.create_task(in_turn(method, path, *rest, **named)))

    async def in_turn(method: str, path: str, *rest: Any, **named: Any) -> Answer:
        others = [] if path.strip("/").count("/") else list(_turns.values())  # several keys: after all that are written
        for other in others:
            async with other:
                pass
        async with _turn(path):
            return await _changing(lambda: handle(method, path, *rest, **named))

    s3_service.handle_request = answer


def _turn(path: str) -> asyncio.Lock:
    """The lock of an object, or of a bucket."""
    return _turns.setdefault(path, asyncio.Lock())


async def _changing(handle: Callable[[], Any]) -> Answer:
    """Let the emulator handle a request, and write what it has changed before answering."""
    change = _Change()
    token = _change.set(change)
    uploads = dict(s3_service._multipart_uploads._data)
    try:
        answered: Answer = await handle()
        if change.writes:
            await asyncio.get_running_loop().run_in_executor(_threads, change.write)
    except NotKept as error:
        log.error("%s", error)
        if change.writes:
            _restore(error.bucket, error.key)
            for name, upload in uploads.items():  # so that the client may complete its upload once there is room
                s3_service._multipart_uploads._data.setdefault(name, upload)
        return _refusal(error)
    finally:
        _change.reset(token)
    change.finish()
    return answered


def _refusal(error: NotKept) -> Answer:
    """The answer for an object that is not kept. Clients try 500 again at once, but not 507."""
    status, code = (507, "InsufficientStorage") if error.is_full else (500, "InternalError")
    what = f"the disk of the local AWS is full; make room on the one that has {s3_service.DATA_DIR}"
    body = f"<Error><Code>{code}</Code><Message>{escape(what if error.is_full else str(error))}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode()


def _persist_object(bucket: str, key: str, record: dict[str, Any]) -> None:
    meta = {**s3_service._object_meta_from_record(record), **s3_service._key_history_meta(bucket, key), "key": key}
    path, body, sidecar = _path(bucket, key), record.get("body"), json.dumps(meta).encode()
    _later(bucket, key, lambda: files.write(path, body, sidecar))
    _later_remove(bucket, key, s3_service._other_key_disk_path(_folder(bucket), key, str(path)))
    if change := _open_change():
        change.written.append(record)


def _persist_delete_marker(bucket: str, key: str, marker: dict[str, Any]) -> None:
    kept = {"version_id": marker.get("version_id"), "last_modified": marker.get("last_modified", "")}
    meta = {"is_delete_marker": True, **kept, **s3_service._key_history_meta(bucket, key), "key": key}
    path, sidecar = _path(bucket, key), json.dumps(meta).encode()
    _later(bucket, key, lambda: files.write(path, None, sidecar))


def _persist_displaced_version(bucket: str, key: str, prior: dict[str, Any] | None, versioning: str) -> None:
    if versioning == "Suspended":
        s3_service._delete_version_file(bucket, key, "null")
    version = (prior or {}).get("version_id") or "null"
    if prior is None or (versioning == "Suspended" and version == "null"):
        return
    path, kept = _path(bucket, key), Path(s3_service._version_disk_path(bucket, key, version))
    _later(bucket, key, lambda: files.link(path, kept))


def _delete_persisted_object(bucket: str, key: str) -> None:
    path = _path(bucket, key)
    _later_remove(bucket, key, str(path))
    _later_remove(bucket, key, s3_service._other_key_disk_path(_folder(bucket), key, str(path)))


def _read_body(bucket: str, key: str, record: dict[str, Any]) -> bytes:
    body: bytes | None = record.get("body")
    if body is not None:
        return body
    try:
        return _path(bucket, key).read_bytes()
    except OSError as error:
        raise NotKept(bucket, key, error) from error


def _open_change() -> _Change | None:
    """The change of the request that is being handled, if one is."""
    change = _change.get()
    return None if change is None or change.is_over else change


def _tell(event: Callable[[], None]) -> None:
    if change := _open_change():
        change.events.append(event)
    else:
        event()


def _later(bucket: str, key: str, step: Callable[[], None]) -> None:
    if change := _open_change():
        change.writes.append((bucket, key, step))
    else:
        step()


def _later_remove(bucket: str, key: str, path: str | None) -> None:
    if path:
        _later(bucket, key, lambda: files.remove(Path(path)))


def _restore(bucket: str, key: str) -> None:
    """Read a key's state from the disk again, after a write of it has failed."""
    s3_service._buckets[bucket]["objects"].pop(key, None)
    s3_service._object_versions.pop((bucket, key), None)
    path = _path(bucket, key)
    listed = s3_service._persisted_key_files

    def only_this(_folder: str, sidecars: bool) -> list[tuple[str, str]]:
        found = Path(f"{path}{files.SIDECAR}") if sidecars else path
        return [(str(found), key)] if found.is_file() else []

    s3_service._persisted_key_files = only_this
    try:
        s3_service._load_persisted_bucket(get_account_id(), bucket, _folder(bucket))
    finally:
        s3_service._persisted_key_files = listed


def _path(bucket: str, key: str) -> Path:
    return Path(s3_service._object_disk_path(bucket, key))


def _folder(bucket: str) -> str:
    return str(Path(s3_service.DATA_DIR) / get_account_id() / bucket)
