"""Reads raw objects from staging: small ones side by side, a large one alone.

So the memory for reading depends only on the largest accepted object, not on the number of objects or on their
compression.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from stock_pipeline.errors import FileRefused, FileTooLarge, ObjectNotFound, ObjectTooLarge
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.settings import MIB

Result = TypeVar("Result")

ALONE = 16 * MIB
"""An object that is larger, as stored or unpacked, is read while no other one is."""


def each_raw_object(
    keys: Sequence[str],
    staging: ObjectStore,
    work: Callable[[StoredObject, int], Result],
    refused: Callable[[ObjectInfo, str], Result],
    *,
    max_bytes: int,
    readers: int,
    now: datetime,
) -> Iterator[Result]:
    """The result of `work` for each object, in the order of the keys. `readers` objects are read at a time.

    `work` gets the object and the most bytes that it may unpack to. It raises FileTooLarge for an object that has more,
    and FileRefused for one that cannot be read. Then `refused` gives the result from the object and the reason.
    `refused` also gives the result for an object that does not exist (its info has no ETag), and for one that is over
    `max_bytes` as stored; of the latter nothing is fetched.
    """

    def attempt(key: str, limit: int) -> Result | None:
        try:
            found = staging.get(key, max_bytes=limit)
        except ObjectNotFound as error:
            return refused(ObjectInfo(key, "", 0, now), str(error))
        except ObjectTooLarge as error:
            found_info = ObjectInfo(key, error.etag, error.size, error.modified)
            return refused(found_info, str(error)) if limit == max_bytes else None
        try:
            return work(found, limit)
        except FileRefused as error:
            if isinstance(error, FileTooLarge) and limit < max_bytes:
                return None
            return refused(found.info, str(error))

    with ThreadPoolExecutor(readers) as threads:
        for start in range(0, len(keys), readers):
            batch = keys[start : start + readers]
            results = threads.map(attempt, batch, [min(ALONE, max_bytes)] * len(batch))
            for key, result in zip(batch, results, strict=True):
                if result is None:
                    result = attempt(key, max_bytes)
                    assert result is not None
                yield result
                del result  # so that only the caller holds it while the next one is read
