"""An object's two files on disk: whatever call fails, and wherever a process dies, it is the old object or the new."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stock_pipeline.local.gateway import files

MOST_CALLS = 30


class Killed(BaseException):
    """The process ends here."""


def sidecar(body: bytes) -> bytes:
    return json.dumps({"etag": body.decode()}).encode()


def stored(path: Path) -> tuple[bytes, bytes] | None:
    """The bytes and what the sidecar says of them, as the emulator reads them at its start."""
    meta = path.with_name(path.name + files.SIDECAR)
    return (path.read_bytes(), meta.read_bytes()) if path.exists() else None


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, BaseException], None]]:
    """Lets the n-th call to the file system raise."""
    left = [0]
    error: list[BaseException] = []

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 or (left[0] < 0 and isinstance(error[0], Killed)):
                raise error[0]
            return call(*arguments, **named)

        return asked

    def at(number: int, failure: BaseException) -> None:
        left[0] = number
        error[:] = [failure]
        for owner, name in [
            (os, "open"), (os, "fsync"), (os, "fdopen"),
            (Path, "replace"), (Path, "mkdir"), (Path, "unlink"), (Path, "hardlink_to"),
        ]:  # fmt: skip
            patch.setattr(owner, name, counted(getattr(owner, name)))

    with monkeypatch.context() as patch:
        at.undo = patch.undo  # type: ignore[attr-defined]
        yield at


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("number", range(1, MOST_CALLS))
def test_a_process_that_dies_leaves_the_old_object_or_the_new(
    before: bytes | None, number: int, tmp_path: Path, failing: Any
) -> None:
    path = tmp_path / "folder" / "of" / "key"
    if before:
        files.write(path, before, sidecar(before))
    failing(number, Killed())
    try:
        files.write(path, b"new", sidecar(b"new"))
        acknowledged = True
    except Killed:
        acknowledged = False
    failing.undo()
    files.finish_interrupted_writes(tmp_path)
    new, old = (b"new", sidecar(b"new")), before and (before, sidecar(before))
    assert stored(path) == new if acknowledged else stored(path) in (old, new)
    assert list(tmp_path.rglob(f"*{files.DRAFT}")) == []


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("number", range(1, MOST_CALLS))
def test_a_disk_that_takes_no_more_leaves_the_old_object_and_no_drafts(
    before: bytes | None, number: int, tmp_path: Path, failing: Any
) -> None:
    path = tmp_path / "key"
    if before:
        files.write(path, before, sidecar(before))
    failing(number, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    try:
        files.write(path, b"new", sidecar(b"new"))
        failed = False
    except OSError as error:
        failed = error.errno == errno.ENOSPC
        assert failed
    failing.undo()
    files.finish_interrupted_writes(tmp_path)
    if not failed:
        assert stored(path) == (b"new", sidecar(b"new"))
    else:
        assert stored(path) in (before and (before, sidecar(before)), (b"new", sidecar(b"new")))


def test_a_torn_sidecar_is_no_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "key"
    files.write(path, b"old", sidecar(b"old"))
    (tmp_path / "key.meta.json.tmp").write_bytes(sidecar(b"new")[:-3])
    assert files.finish_interrupted_writes(tmp_path) == 1
    assert stored(path) == (b"old", sidecar(b"old"))


def test_a_link_outlives_the_next_write(tmp_path: Path) -> None:
    path, version = tmp_path / "key", tmp_path / "versions" / "1" / "key"
    files.write(path, b"old", sidecar(b"old"))
    files.link(path, version)
    files.write(path, b"new", sidecar(b"new"))
    files.link(path, tmp_path / "versions" / "2")
    files.remove(path)
    files.remove(path)
    assert (version.read_bytes(), (tmp_path / "versions" / "2").read_bytes()) == (b"old", b"new")
    assert not path.exists()


def test_the_folder_of_other_keys_is_not_removed(tmp_path: Path) -> None:
    files.write(tmp_path / "a" / "b", b"rows", sidecar(b"rows"))
    files.remove(tmp_path / "a")
    files.remove(tmp_path / "a" / "b" / "c")
    assert stored(tmp_path / "a" / "b")


def test_only_this_user_can_read(tmp_path: Path) -> None:
    path = tmp_path / "bucket" / "key"
    files.write(path, b"rows", sidecar(b"rows"))
    modes = [found.stat().st_mode & 0o777 for found in sorted(path.parent.iterdir())]
    assert (path.parent.stat().st_mode & 0o777, modes) == (0o700, [0o600, 0o600])
