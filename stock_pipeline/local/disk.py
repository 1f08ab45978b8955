"""Whether the disk of a folder has room left."""

from __future__ import annotations

import shutil
from pathlib import Path

_MIB = 1 << 20
_NEEDED = 100 * _MIB


def shortage(folder: Path) -> str | None:
    """What is wrong with a disk that is nearly full, and what to do, in a sentence; None while there is room."""
    free = shutil.disk_usage(folder).free
    if free >= _NEEDED:
        return None
    return f"the disk of {folder} has {free // _MIB} MiB left, so little more can be stored; make room on it"
