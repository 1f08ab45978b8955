"""The objects of a bucket that runs have been requested for. The cursor has a fixed size and misses no object.

S3 cannot list by time, and a time alone is not enough: many objects arrive in one second, an object can be rewritten
under its old key, and a slow multipart upload appears with the time at which it began. So each tick of the sensor lists
everything and asks the cursor which (key, ETag) pairs are new. Dagster stores the cursor with every tick, and a list of
all pairs would take megabytes. So the cursor remembers
    the newest objects one by one (`RECENT` of them), and
    for the older objects, which are spread over `BUCKETS` buckets, the sum of the 64-bit hashes in each bucket.
To find the new objects of a bucket, the cursor sorts its listed objects by time, without those that it remembers one by
one. If the first n of them add up to the remembered sum, these n are known and the rest is new. If there is no such n
(an old object was rewritten or deleted, or one with an old time appeared), all of them count as new. Merges ignore the
duplicates, and no object is missed.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from itertools import accumulate

from stock_pipeline.lake.object_store import ObjectInfo

RECENT = 512
BUCKETS = 256
_MODULUS = 2**64


def identity(info: ObjectInfo) -> int:
    """The 64-bit hash of an object's key and ETag."""
    return int.from_bytes(blake2b(f"{info.etag}\n{info.key}".encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Batch:
    """The objects of one run. The cursor keeps the batch until the run has succeeded.

    `first` and `last` are the years of the run. `attempt` counts from 1. If the run has failed, `due` (seconds since
    the epoch) is the time of the next attempt.
    """

    run_key: str
    first: int
    last: int
    attempt: int
    objects: tuple[int, ...]
    due: float | None = None


@dataclass
class Cursor:
    """The objects that runs have been requested for. `born` makes the run keys of a reset cursor different."""

    born: int
    recent: frozenset[int] = frozenset()
    sums: tuple[int, ...] = (0,) * BUCKETS
    batches: list[Batch] = field(default_factory=list)

    def new(self, listed: Iterable[ObjectInfo]) -> list[ObjectInfo]:
        """The listed objects, by time, that no run was requested for, or whose content has changed since then."""
        handed = self.recent.union(*(batch.objects for batch in self.batches))
        unknown: list[list[ObjectInfo]] = [[] for _ in range(BUCKETS)]
        for info in sorted(listed, key=_by_time):
            if (number := identity(info)) not in handed:
                unknown[number % BUCKETS].append(info)
        found = [info for bucket, sums in zip(unknown, self.sums, strict=True) for info in _beyond(bucket, sums)]
        return sorted(found, key=_by_time)

    def remember(self, listed: Iterable[ObjectInfo], new: Iterable[ObjectInfo]) -> None:
        """Remember all listed objects as requested, except the new ones and those of batches that are not done."""
        left = {identity(info) for info in new}.union(*(batch.objects for batch in self.batches))
        known = [number for info in sorted(listed, key=_by_time) if (number := identity(info)) not in left]
        sums = [0] * BUCKETS
        for number in known[:-RECENT]:
            sums[number % BUCKETS] = (sums[number % BUCKETS] + number) % _MODULUS
        self.recent = frozenset(known[-RECENT:])
        self.sums = tuple(sums)

    def to_text(self) -> str:
        """The cursor as a string of a few KB at most, plus 11 bytes for each object in a batch."""
        batches = [asdict(batch) | {"objects": _packed(batch.objects)} for batch in self.batches]
        state = {"recent": _packed(sorted(self.recent)), "sums": _packed(self.sums)}
        return json.dumps({"born": self.born, **state, "batches": batches}, separators=(",", ":"))

    @classmethod
    def from_text(cls, cursor: str | None, now: float) -> Cursor:
        """The cursor that `to_text` wrote, or an empty one, born `now`, if there is none or it cannot be read.

        An empty cursor requests all objects again, which is safe.
        """
        try:
            state = json.loads(cursor or "{}")
            batches = [Batch(**batch | {"objects": tuple(_unpacked(batch["objects"]))}) for batch in state["batches"]]
            sums = tuple(_unpacked(state["sums"]))
            if len(sums) != BUCKETS:
                raise ValueError("a cursor of other dimensions")
            return cls(state["born"], frozenset(_unpacked(state["recent"])), sums, batches)
        except (ValueError, KeyError, TypeError, zlib.error):
            return cls(int(now))


def _by_time(info: ObjectInfo) -> tuple[float, str]:
    return info.modified.timestamp(), info.key


def _beyond(objects: Sequence[ObjectInfo], known: int) -> Sequence[ObjectInfo]:
    """The objects after the first n whose hashes add up to `known`; all objects if there is no such n."""
    sums = [total % _MODULUS for total in accumulate(map(identity, objects), initial=0)]
    return objects[sums.index(known) :] if known in sums else objects


def _packed(numbers: Iterable[int]) -> str:
    raw = b"".join(number.to_bytes(8, "big") for number in numbers)
    return base64.b64encode(zlib.compress(raw)).decode()


def _unpacked(text: str) -> list[int]:
    raw = zlib.decompress(base64.b64decode(text))
    return [int.from_bytes(raw[at : at + 8], "big") for at in range(0, len(raw), 8)]
