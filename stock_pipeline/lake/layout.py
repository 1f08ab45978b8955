"""Where a tick of history belongs: the minutes and the symbols that one object holds, from which day on.

This module is the rule. The layout that is in force is data of the lake, in one object: see `lake.layout_object`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Ints, as_arrow, as_numpy
from stock_pipeline.errors import LayoutError
from stock_pipeline.lake.transforms import by_bucket, day_of
from stock_pipeline.schemas import SYMBOL, TIMESTAMP

DAY_MINUTES = 24 * 60
MOST_SHARDS = 100
"""A shard's number has two digits in the name of its object."""

_DAY = timedelta(days=1)
_OBJECT = re.compile(r"(year=\d{4}/month=\d\d/day=\d\d)/(\d\d)(\d\d)(?:-(\d\d))?", re.ASCII)
_EPOCH = date(1970, 1, 1)
_DAY_MICROS = 86_400_000_000


@dataclass(frozen=True)
class Section:
    """From the UTC day `first` on, an object of history holds `minutes` of event time, for one of `shards` sets of
    symbols. A symbol's set is `crc32(symbol) % shards`.

    Raises LayoutError for a length that does not divide a day, and for a number of shards outside 1 to 100.
    """

    first: date
    minutes: int
    shards: int

    def __post_init__(self) -> None:
        if self.minutes < 1 or DAY_MINUTES % self.minutes:
            raise LayoutError(
                f"{self.minutes} minutes do not divide a day; take a length such as 1, 5, 15, 60, 240 or 1440"
            )
        if not 1 <= self.shards <= MOST_SHARDS:
            raise LayoutError(f"{self.shards} shards are not possible; take a number from 1 to {MOST_SHARDS}")


@dataclass(frozen=True)
class Layout:
    """The sections in the order of their days; the first one begins with the calendar.

    Days before `settled_before` have their place for ever: a later version of the layout has the same sections for
    them. So whoever knows any version of the layout can place a tick of such a day. For a later day, the layout must be
    read again.
    """

    sections: tuple[Section, ...]
    settled_before: date = date.min

    def __post_init__(self) -> None:
        firsts = [section.first for section in self.sections]
        if not firsts or firsts[0] != date.min or firsts != sorted(set(firsts)):
            raise LayoutError("the sections of a layout must be in the order of their days, from 0001-01-01 on")

    @classmethod
    def of(cls, minutes: int, shards: int = 1) -> Layout:
        """The layout with one section for all days."""
        return cls((Section(date.min, minutes, shards),))

    def section(self, day: date) -> Section:
        """The section that is in force on a UTC day."""
        return self.sections[bisect_right([section.first for section in self.sections], day) - 1]

    def settles(self, day: date) -> bool:
        """Whether ticks of a day can be placed by this version of the layout."""
        return day < self.settled_before

    def settled_through(self, day: date) -> Layout:
        """This layout, in which that day and all days before it are settled."""
        following = day + _DAY if day < date.max else day
        return replace(self, settled_before=max(self.settled_before, following))

    def changed(self, section: Section) -> Layout:
        """This layout with a section that replaces all sections from its day on.

        Raises LayoutError for a day that is settled.
        """
        if self.settles(section.first):
            raise LayoutError(
                f"days before {self.settled_before} have their place already, so the layout cannot change on "
                f"{section.first}; let it change on {self.settled_before} or later"
            )
        kept = tuple(known for known in self.sections if known.first < section.first)
        return replace(self, sections=(*kept, section))

    def place(self, rows: pa.Table) -> tuple[Ints, list[str]]:
        """The partition of each tick, by its columns `produced_at` and `symbol` (a transform, see `lake.transforms`).

        The names are sorted. Every day of the rows must be settled, or nothing of it must be stored.
        """
        sections = {self.section(day) for day in days_between(rows)}
        if len(sections) < 2:
            return _placed(rows, *sections) if sections else (np.zeros(0, np.int64), [])
        micros = np.concatenate([as_numpy(chunk, np.int64) for chunk in rows["produced_at"].chunks])
        starts = [(section.first - _EPOCH).days * _DAY_MICROS for section in self.sections]
        at = np.searchsorted(np.array(starts), micros, side="right") - 1
        codes, names = np.zeros(rows.num_rows, np.int64), list[str]()
        for number in np.unique(at).tolist():
            mine = np.flatnonzero(at == number)
            found, more = _placed(rows.take(as_arrow(mine, pa.int64())), self.sections[number])
            codes[mine] = found + len(names)
            names += more
        return codes, names

    def names_of(self, ticks: Iterable[tuple[str, datetime]]) -> list[str]:
        """The partitions that hold these ticks, each given by its symbol and its time (UTC), in order."""
        symbols, moments = zip(*found, strict=True) if (found := list(ticks)) else ((), ())
        rows = pa.table({"symbol": pa.array(symbols, pa.string()).cast(SYMBOL), "produced_at": _times(moments)})
        return self.place(rows)[1]

    def names_at(self, moments: Iterable[datetime]) -> list[str]:
        """The partitions that may hold ticks of these moments (UTC), for any symbol, in order."""
        names: set[str] = set()
        for moment in {moment.astimezone(UTC) for moment in moments}:
            section = self.section(moment.date())
            whole = by_bucket(pa.table({"produced_at": _times([moment])}), section.minutes)[1]
            names.update(name + end for name in whole for end in _ends(section.shards))
        return sorted(names)

    def fits(self, partition: str) -> bool:
        """Whether a partition is one that this layout has on its day."""
        found = _OBJECT.fullmatch(partition)
        if not found:
            return False
        try:
            section = self.section(day_of(found[1]))
        except ValueError:  # not a day of the calendar
            return False
        hour, minute, shard = int(found[2]), int(found[3]), found[4]
        begins = hour < 24 and minute < 60 and (60 * hour + minute) % section.minutes == 0
        return begins and (shard is None if section.shards == 1 else shard is not None and int(shard) < section.shards)

    def to_json(self) -> bytes:
        """The layout as it is stored."""
        sections = [
            {"from": section.first.isoformat(), "minutes": section.minutes, "shards": section.shards}
            for section in self.sections
        ]
        return json.dumps({"sections": sections, "settled_before": self.settled_before.isoformat()}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Layout:
        """Read a stored layout. Raises ValueError, TypeError or KeyError for anything else, and LayoutError for a
        layout that cannot be.
        """
        found = json.loads(data)
        sections = [
            Section(date.fromisoformat(entry["from"]), int(entry["minutes"]), int(entry["shards"]))
            for entry in found["sections"]
        ]
        return cls(tuple(sections), date.fromisoformat(found["settled_before"]))


def days_between(rows: pa.Table) -> list[date]:
    """The first and the last UTC day of ticks, by their column `produced_at`; empty without ticks."""
    times = [as_numpy(chunk, np.int64) for chunk in rows["produced_at"].chunks if len(chunk)]
    if not times:
        return []
    ends = min(int(micros.min()) for micros in times), max(int(micros.max()) for micros in times)
    return [_EPOCH + timedelta(days=end // _DAY_MICROS) for end in ends]


def _placed(rows: pa.Table, section: Section) -> tuple[Ints, list[str]]:
    return by_bucket(rows, section.minutes, section.shards)


def _times(moments: Iterable[datetime]) -> pa.Array:
    return pa.array(list(moments), TIMESTAMP)


def _ends(shards: int) -> list[str]:
    return [""] if shards == 1 else [f"-{shard:02d}" for shard in range(shards)]
