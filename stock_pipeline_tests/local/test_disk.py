"""A disk that is nearly full is told, with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from stock_pipeline.local.disk import shortage


@pytest.mark.parametrize(("free", "told"), [(0, "has 0 MiB left"), (99 << 20, "has 99 MiB left"), (100 << 20, None)])
def test_little_room_is_told(free: int, told: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    said = shortage(tmp_path)
    assert (said is None) == (told is None)
    assert told is None or (told in str(said) and "make room" in str(said))
