"""The rejected records of a rebuilt year, and the note by which a stopped rebuild is finished.

A rebuild changes the records of the rows that it changes, and no others. A row that is stored now is no conflict any
more, and its record says what was left out of it; a row that met another value is a conflict only. A line that could
not be read once, and is a row of the year now, is not on record as rejected any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Ints, booleans
from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.ingest.sources import SourceObject
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.partitions import attempts, swap
from stock_pipeline.lake.rejected_records import as_recorded, read_rejects, rewrite_rejects
from stock_pipeline.lake.transforms import year_of, year_partition
from stock_pipeline.schemas import PRICE_BY_DATE, RECORDED, Reason

Key = tuple[str, date]
_NOTES = f"{PRICE_BY_DATE.prefix}_rebuild/"  # query engines ignore names that begin with an underscore
_NOTHING = b"{}"
_STAYS = (Reason.CONFLICT, Reason.REPLACED, Reason.REMOVED)


@dataclass(frozen=True)
class Judged:
    """What a rebuild found in a version of a source: the lines that are rows of the year; its conflicts, and the rows
    that are stored without a value (schema RECORDED).
    """

    info: ObjectInfo
    lines: Ints
    conflicts: pa.Table
    notes: pa.Table

    @classmethod
    def of(cls, source: SourceObject) -> Judged:
        """From a source that was merged."""
        records = source.conflicts.records if source.conflicts else RECORDED.empty_table()
        conflicts = records.filter(pc.equal(records["reason"], Reason.CONFLICT.value))
        if (cleaned := source.cleaned) is None:
            return cls(source.info, np.zeros(0, np.int64), conflicts, RECORDED.empty_table())
        noted = cleaned.notes["line"].to_numpy()
        stored = np.isin(noted, cleaned.lines) & ~np.isin(noted, source.disputed)
        notes = as_recorded(cleaned.notes.filter(booleans(stored)), stored=True)
        return cls(source.info, cleaned.lines, conflicts, notes)

    def was_refused(self, lake: ObjectStore) -> bool:
        """Whether it is on record that this version was refused as a whole."""
        found = read_rejects(lake, PRICE_BY_DATE, self.info.key).select(["etag", "reason"]).to_pylist()
        return any(row["reason"] == Reason.FILE_REFUSED and row["etag"] == self.info.etag for row in found)


class Note:
    """What an unfinished rebuild of a year has to do after its swap: the keys of the rows that it changes (`keys`), and
    the versions to ingest, because nobody had ingested them before (`sources`, by key and ETag).
    """

    def __init__(self, lake: ObjectStore, year: int) -> None:
        self._lake, self._key = lake, f"{_NOTES}{year_partition(year)}.json"
        self.keys: set[Key] = set()
        self.sources: set[tuple[str, str]] = set()
        self.etag: str | None = None
        self._read()

    def take_in(self, rows: pa.Table, sources: Iterable[ObjectInfo]) -> None:
        """Note further rows and versions, beside those that a stopped rebuild, or another one, has noted."""
        keys = set(zip(rows["symbol"].cast(pa.string()).to_pylist(), rows["date"].to_pylist(), strict=True))
        versions = {(info.key, info.etag) for info in sources}
        for _ in attempts(self._key):  # pragma: no branch - it ends by raising
            if keys <= self.keys and versions <= self.sources:
                return
            listed = sorted((symbol, day.isoformat()) for symbol, day in self.keys | keys)
            told = {"rows": listed, "sources": sorted(self.sources | versions)}
            swap(self._lake, self._key, json.dumps(told).encode(), self.etag)
            self._read()

    def clear(self, noted: str | None) -> None:
        """Note that the rebuild is finished whose note had the ETag `noted`, unless another has noted more since."""
        if self.keys or self.sources:
            swap(self._lake, self._key, _NOTHING, noted)

    def _read(self) -> None:
        try:
            found = self._lake.get(self._key)
        except ObjectNotFound:
            return
        told = json.loads(found.data)
        self.etag = found.info.etag
        self.keys = {(symbol, date.fromisoformat(day)) for symbol, day in told.get("rows", ())}
        self.sources = {(key, etag) for key, etag in told.get("sources", ())}

    @classmethod
    def years(cls, lake: ObjectStore) -> Iterator[int]:
        """The years that have an unfinished rebuild."""
        for info in list(lake.list(_NOTES)):
            if info.size > len(_NOTHING):
                yield year_of(info.key.removeprefix(_NOTES).removesuffix(".json"))


class Overtaken(Exception):
    """Another writer has changed the year before the records were right."""


def correct_records(
    judged: Sequence[Judged], keys: Collection[Key], lake: ObjectStore, now: datetime, stands: Callable[[], bool]
) -> None:
    """Make the records of the versions right, given the keys of the rows of the year that have changed.

    `stands` tells whether the year is still as it was rebuilt. Raises Overtaken when it is not, and a conflict would
    come or go: whoever changed the year since may have put on record what it met.
    """
    last = {(one.info.key, one.info.etag): one for one in judged if one.info.etag}
    for one in last.values():
        change = partial(_corrected, judged=one, keys=keys, stands=stands)
        rewrite_rejects(lake, PRICE_BY_DATE, one.info, change, now)


def _corrected(rows: pa.Table, judged: Judged, keys: Collection[Key], stands: Callable[[], bool]) -> pa.Table:
    before, kept, dropped = rows.to_pylist(), [], set[int]()
    lines = set(judged.lines.tolist())
    for row in before:
        conflict = row["reason"] == Reason.CONFLICT
        if conflict and (row["symbol"], row["date"]) in keys:
            continue
        if row["line"] in lines and row["reason"] not in _STAYS and not row["stored"]:
            dropped.add(row["line"])
            continue
        kept.append(row)
    known = _conflicts(kept)
    kept += [
        row
        for row in judged.conflicts.to_pylist()
        if row["line"] not in known and (row["line"] in dropped or (row["symbol"], row["date"]) in keys)
    ]
    met = _conflicts(kept) ^ _conflicts(before)
    # The records were read before the year: if another writer changes them after this, they are read again.
    if met and not stands():
        raise Overtaken
    kept = [row for row in kept if not (row["stored"] and row["line"] in met)]
    kept += [row for row in judged.notes.to_pylist() if row["line"] in met | dropped]
    return pa.Table.from_pylist(kept, RECORDED) if kept != before else rows


def _conflicts(rows: Iterable[dict[str, Any]]) -> set[int]:
    return {row["line"] for row in rows if row["reason"] == Reason.CONFLICT}
