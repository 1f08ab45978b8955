"""The lake of the local AWS while that does not run: its files, to read them without starting anything."""

from __future__ import annotations

import os
from pathlib import Path

from stock_pipeline.lake.folder_store import FolderStore
from stock_pipeline.local import LocalFolders, default_root

_LAKE = "*/stock-pipeline-local-lake-*"
"""The account, and the bucket's name in the template."""


class _Resting(FolderStore):
    """A FolderStore over files that are only read. So what the file system tells of a file is enough for an ETag."""

    def version(self, status: os.stat_result) -> str:
        return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def resting_lake(root: Path | None = None) -> FolderStore | None:
    """The lake that the last local AWS of a root left, or None. Read it only; its keys are those of tables.

    Every file is whole at each moment, also while a local AWS runs or starts.
    """
    found = sorted(LocalFolders(root or default_root()).objects.glob(_LAKE))
    return _Resting(found[0]) if found else None
