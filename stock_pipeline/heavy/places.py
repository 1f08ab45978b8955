"""Where a store is, as a text that can be sent to another process: `s3://bucket`, or `file:/folder` for a lake in a
folder of this machine.
"""

from __future__ import annotations

from pathlib import Path

from stock_pipeline.lake.object_store import ObjectStore

_S3, _FOLDER = "s3://", "file:"


def opened(place: str) -> ObjectStore:
    """The store at a place. Credentials, region and endpoint come from the environment. Raises ValueError for any
    other text.
    """
    if place.startswith(_S3):
        from stock_pipeline.aws.s3 import S3Store

        return S3Store(place.removeprefix(_S3))
    if place.startswith(_FOLDER):
        from stock_pipeline.lake.folder_store import FolderStore

        return FolderStore(Path(place.removeprefix(_FOLDER)))
    raise ValueError(f"{place!r} is no place of a store; it begins with {_S3} or {_FOLDER}")
