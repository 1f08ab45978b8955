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
from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectStore, StoredObject, named
from stock_pipeline.settings import MIB

Result = TypeVar("Result")

ALONE = 16 * MIB
"""An object that is larger, as stored or unpacked, is read while no other one is."""


def each_raw_object(
    keys: Sequence[Named],
    staging: ObjectStore,
    work: Callable[[StoredObject, int], Result],
    refused: Callable[[ObjectInfo, str, bool], Result],
    *,
    max_bytes: int,
    readers: int,
    now: datetime,
) -> Iterator[Result]:
    """The result of `work` for each object, in the order of the keys. `readers` objects are read at a time. Where a
    version is named, that version is read, whatever is under its key now.

    `work` gets the object and the most bytes that it may unpack to. It raises FileTooLarge for an object that has more,
    and FileRefused for one that cannot be read. Then `refused` gives the result from the object, the reason, and
    whether the object does not exist. `refused` also gives the result for an object that does not exist (its info has
    the ETag that was named, if any, and no size), and for one that is over `max_bytes` as stored; of the latter nothing
    is fetched.
    """

    def attempt(what: Named, limit: int) -> Result | None:
        key, version, etag = named(what)
        try:
            found = staging.get(key, max_bytes=limit, version=version)
        except ObjectNotFound as error:
            return refused(ObjectInfo(key, etag, 0, now, version), str(error), True)
        except ObjectTooLarge as error:
            found_info = ObjectInfo(key, error.etag, error.size, error.modified, version)
            return refused(found_info, str(error), False) if limit == max_bytes else None
        try:
            return work(found, limit)
        except FileRefused as error:
            if isinstance(error, FileTooLarge) and limit < max_bytes:
                return None
            return refused(found.info, str(error), False)

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
