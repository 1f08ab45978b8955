"""The two files of an object on disk, written so that a crash at any moment leaves the old object or the new one.

An object is its bytes, and a sidecar (`.meta.json`) with its ETag, its versions and so on. A write first makes a draft
(`.tmp`) of each, the bytes first, and flushes both. Then it renames the bytes, then the sidecar, and flushes the
folder.
So after a crash the draft of the bytes tells what happened: if it is there, the old object is still whole, and the
drafts are removed. If only the sidecar's draft is there, the new bytes are in place, and the sidecar follows them.

This module imports nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

SIDECAR = ".meta.json"
DRAFT = ".tmp"


def write(path: Path, body: bytes | None, sidecar: bytes) -> None:
    """Write an object, or only its sidecar if `body` is None, and return once the disk has it.

    Raises OSError if the disk does not take it; then the old object is still there.
    """
    make_folder(path.parent)
    files = [(path, body)] if body is not None else []
    files.append((path.with_name(path.name + SIDECAR), sidecar))
    try:
        drafts = [(_draft(file, data), file) for file, data in files]
    except OSError:
        for file, _ in reversed(files):  # the sidecar's draft first: alone, it would mean that the bytes are in place
            with contextlib.suppress(OSError):
                _draft_of(file).unlink()
        raise
    for draft, file in drafts:
        draft.replace(file)
    flush_folder(path.parent)


def link(path: Path, name: Path) -> None:
    """Give a file a second name, and return once the disk has it. The file then outlives the next write to `path`.

    Raises OSError.
    """
    make_folder(name.parent)
    name.unlink(missing_ok=True)
    name.hardlink_to(path)
    flush_folder(name.parent)


def remove(path: Path) -> None:
    """Remove an object: the bytes, then the sidecar, which alone means nothing. Raises OSError."""
    found = False
    for file in (path, path.with_name(path.name + SIDECAR)):
        if file.is_file():  # not the folder of other keys
            file.unlink()
            found = True
    if found:
        flush_folder(path.parent)


def finish_interrupted_writes(folder: Path) -> int:
    """Bring each object whose write a crash has interrupted to its old or its new state. Returns how many drafts."""
    drafts = [path for path in folder.rglob(f"*{DRAFT}") if path.is_file()]
    for draft in drafts:
        if draft.name.endswith(SIDECAR + DRAFT):
            of_bytes = draft.with_name(draft.name.removesuffix(SIDECAR + DRAFT) + DRAFT)
            if of_bytes in drafts or not _is_whole(draft):
                draft.unlink()
            else:
                draft.replace(draft.with_name(draft.name.removesuffix(DRAFT)))
    for draft in drafts:
        draft.unlink(missing_ok=True)
    return len(drafts)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, and flush each that is new. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    flush_folder(folder.parent)


def flush_folder(folder: Path) -> None:
    """Return once the disk has the names in a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _draft(path: Path, data: bytes) -> Path:
    draft = _draft_of(path)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _draft_of(path: Path) -> Path:
    return path.with_name(path.name + DRAFT)


def _is_whole(sidecar: Path) -> bool:
    try:
        json.loads(sidecar.read_bytes())
    except ValueError:
        return False
    return True
