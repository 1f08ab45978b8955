"""Buckets in memory from folders, and back: a lake that another version of the code wrote, or will read."""

from __future__ import annotations

from pathlib import Path

from stock_pipeline_tests.support.memory_store import MemoryStore

V1 = Path(__file__).parents[1] / "data" / "lake_v1"


def opened(folder: Path) -> tuple[MemoryStore, MemoryStore]:
    """The staging and the lake bucket of a folder; their objects appeared in the order of their keys, staging first."""
    staging, lake = MemoryStore("staging"), MemoryStore("lake")
    for store in (staging, lake):
        root = folder / store.bucket
        for path in sorted(root.rglob("*"), key=lambda path: path.relative_to(root).as_posix()):
            if path.is_file():
                store.put(path.relative_to(root).as_posix(), path.read_bytes())
    return staging, lake


def saved(folder: Path, *stores: MemoryStore) -> None:
    """Put all objects of some buckets into a folder."""
    for store in stores:
        for key, found in store.objects.items():
            path = folder / store.bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found.data)
