"""The layout of a lake that has no layout object, recognized by its objects of history.

Such a lake was written by a version that had a setting for the length of an object, or its layout object was lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date

import pyarrow.compute as pc

from stock_pipeline.errors import DamagedObject, LayoutError
from stock_pipeline.lake.layout import DAY_MINUTES, Layout
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partition_key, partition_of, read_partition
from stock_pipeline.lake.transforms import day_of
from stock_pipeline.schemas import STREAM_PRICES_HISTORY

MINUTES, SHARDS = 60, 1
"""The layout of a lake without ticks; docs/adr/019 has the arithmetic."""

FORMER_MINUTES = 5
"""The default length in versions that had a setting for it."""

_READ = 64
"""So many objects are read at most to see how late in an object its ticks are."""

_READERS = 8


def recognized(lake: ObjectStore) -> Layout:
    """The layout that fits all objects of history, with the days settled that have one; the default without objects.

    The begins of all objects are multiples of the length, and no tick is later in its object than that. Where several
    lengths fit (few ticks), it is the default of former versions or today's, else the longest. Each of them has every
    stored tick in the object where it is.

    Raises LayoutError when no length fits, or when the objects have shards: nothing says then how many.
    """
    found = list(_objects(lake))
    if not found:
        return Layout.of(MINUTES, SHARDS)
    begins = [_begin(name) for name, _, _ in found]
    if None in begins:
        raise _unknown("its objects have shards, so there was a layout")
    longest = math.gcd(DAY_MINUTES, *(begin for begin in begins if begin is not None))
    latest = _latest_minute(lake, _telling(found))
    fitting = [n for n in range(1, longest + 1) if longest % n == 0 and n > latest]
    if not fitting:
        raise _unknown(f"its objects begin at multiples of {longest} minutes, and hold ticks {latest} minutes later")
    all_read = len(found) <= _READ
    usual = [n for n in (FORMER_MINUTES, MINUTES) if n in fitting and (all_read or n == longest)]
    return Layout.of(usual[0] if usual else longest).settled_through(max(day for _, day, _ in found))


def _unknown(why: str) -> LayoutError:
    return LayoutError(
        f"nothing says where ticks belong: the lake has no {STREAM_PRICES_HISTORY.prefix}_layout.json, and {why}. "
        "Bring it back from the bucket's versions. If there never was one, say the length that ticks are to be stored "
        "by: stock-pipeline layout --minutes 5; `stock-pipeline doctor` then names the objects that do not fit it"
    )


def _begin(name: str) -> int | None:
    """The minute of the day at which an object begins; None for an object of a shard."""
    clock = name.rpartition("/")[2]
    return None if "-" in clock else 60 * int(clock[:2]) + int(clock[2:])


def _objects(lake: ObjectStore) -> Iterator[tuple[str, date, int]]:
    """The name, the day and the size of each object of history."""
    for info in lake.list(STREAM_PRICES_HISTORY.prefix):
        if name := partition_of(STREAM_PRICES_HISTORY, info.key):
            with suppress(ValueError):  # a day that no calendar has
                yield name, day_of(name), info.size


def _telling(found: Sequence[tuple[str, date, int]]) -> list[str]:
    """The objects to read: all, or the largest of days that are spread over history."""
    if len(found) <= _READ:
        return [name for name, _, _ in found]
    largest: dict[date, tuple[int, str]] = {}
    for name, day, size in found:
        largest[day] = max(largest.get(day, (0, "")), (size, name))
    days = sorted(largest)
    return [largest[day][1] for day in days[:: -(-len(days) // _READ)]]


def _latest_minute(lake: ObjectStore, names: Sequence[str]) -> int:
    """How many minutes after the begin of its object the latest tick is, over some objects."""

    def latest(name: str) -> int:
        try:
            rows = read_partition(lake, STREAM_PRICES_HISTORY, name, ["produced_at"])
        except DamagedObject:  # it tells by its name only, and whoever needs its rows fails
            return 0
        last = None if rows is None else pc.max(rows["produced_at"]).as_py()
        begin = _begin(name) or 0
        if last is None:
            return 0
        if last.date() != day_of(name) or (minute := 60 * last.hour + last.minute) < begin:
            raise _unknown(f"{partition_key(STREAM_PRICES_HISTORY, name)} holds ticks of {last}, which is not its time")
        return int(minute - begin)

    with ThreadPoolExecutor(_READERS) as threads:
        return max(threads.map(latest, names))
