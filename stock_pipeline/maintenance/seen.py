"""Which versions of raw objects a table has seen. Only the table's own objects say so; there is no other list.

The log of each partition object names the versions that it was made from. A version with rows of several partitions is
seen if all of them name it: each entry names the partition with the next one (`lake.ingest_log`). The rejected record
of a source also says how many entries each version had when it was last ingested. So an object that was put back by
hand, with an earlier content, is found by what it lacks.

Objects of earlier versions of this package have no log. There a version is seen if a row of its source was stored after
the version appeared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from stock_pipeline.errors import DamagedObject, ObjectNotFound
from stock_pipeline.lake.contents import own_objects
from stock_pipeline.lake.ingest_log import IngestLog
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode, footer
from stock_pipeline.lake.remembered import remembered, remembered_of
from stock_pipeline.lake.source_memory import Remembered
from stock_pipeline.progress import Progress
from stock_pipeline.schemas import Table

Identity = tuple[str, str]
"""The key and the ETag of a version."""

_READERS = 8


@dataclass(frozen=True)
class _Partition:
    """What one partition object says: its log, and when the last row of each source without an entry was stored."""

    name: str
    log: IngestLog
    stored: Mapping[str, datetime]


@dataclass
class _Found:
    """The partitions that name a version, each with its number of entries, and the partitions that should."""

    times: dict[str, int] = field(default_factory=dict)
    expected: set[str] = field(default_factory=set)

    @property
    def is_whole(self) -> bool:
        return bool(self.times) and self.expected <= self.times.keys()

    def holds(self, known: Remembered) -> bool:
        """Whether the partitions have the entries that were there when the version was last ingested."""
        return known.removed or all(self.times.get(name, 0) >= times for name, times in known.logged.items())


def unseen_versions(
    versions: Sequence[ObjectInfo], table: Table, lake: ObjectStore, report: Progress | None, *, thorough: bool
) -> list[ObjectInfo]:
    """The versions that the table has not seen, in the order given.

    When `thorough`, the records of all sources are compared with the partitions, and all partitions are read. Otherwise
    only the records of versions that no partition names, and reading ends when every version is accounted for.
    """
    by_key: dict[str, list[ObjectInfo]] = defaultdict(list)
    for info in versions:
        by_key[info.key].append(info)
    found: dict[Identity, _Found] = defaultdict(_Found)
    left = {_identity(info) for info in versions}
    first = min((info.modified for info in versions), default=None)
    for partition in _partitions_since(None if thorough and versions else first, table, lake, thorough=thorough):
        touched = _take_in(partition, by_key, found)
        left -= {identity for identity in touched if found[identity].is_whole}
        if report:
            report(len(versions) - len(left), len(versions))
        if not left and not thorough:
            return []
    known = _memory([i for i in versions if thorough or _identity(i) in left], table, lake, thorough=thorough)
    return [info for info in versions if not _is_seen(info, found[_identity(info)], known.get(_identity(info)), left)]


def logged_in(lake: ObjectStore, table: Table, source: str, etag: str, partitions: Sequence[str]) -> dict[str, int]:
    """How many entries a version has in the logs of some partitions; those without any are left out."""
    with ThreadPoolExecutor(_READERS) as threads:
        logs = list(threads.map(lambda name: _log(lake, f"{table.prefix}{name}{table.suffix}"), partitions))
    found = {name: log.times(source, etag) for name, log in zip(partitions, logs, strict=True)}
    return {name: times for name, times in found.items() if times}


def _is_seen(info: ObjectInfo, found: _Found, known: Remembered | None, left: set[Identity]) -> bool:
    if known is None:
        return _identity(info) not in left
    if not known.judged:
        return _identity(info) not in left and found.holds(known)
    return found.holds(known)


def _memory(
    versions: Sequence[ObjectInfo], table: Table, lake: ObjectStore, *, thorough: bool
) -> dict[Identity, Remembered]:
    keys = list(dict.fromkeys(info.key for info in versions))
    if thorough:
        found = remembered_of(lake, table, keys)
    else:
        with ThreadPoolExecutor(_READERS) as threads:
            found = dict(zip(keys, threads.map(lambda key: remembered(lake, table, key), keys), strict=True))
    return {(key, etag): known for key, memory in found.items() for etag, known in memory.items()}


def _take_in(
    partition: _Partition, by_key: Mapping[str, Sequence[ObjectInfo]], found: dict[Identity, _Found]
) -> set[Identity]:
    touched = set()
    for entry in partition.log.entries:
        if entry.source in by_key:
            identity = entry.source, entry.etag
            found[identity].times[partition.name] = partition.log.times(*identity)
            if entry.then:
                found[identity].expected.add(entry.then)
            touched.add(identity)
    for source, loaded in partition.stored.items():
        for info in by_key.get(source, ()):
            if loaded >= info.modified.replace(microsecond=0):
                found[_identity(info)].times.setdefault(partition.name, 1)
                touched.add(_identity(info))
    return touched


def _partitions_since(
    moment: datetime | None, table: Table, lake: ObjectStore, *, thorough: bool
) -> Iterator[_Partition]:
    """The partition objects written since a moment (when `thorough`: all), newest first."""
    if moment is None and not thorough:
        return
    since = moment and moment.replace(microsecond=0)
    written = [info for info in own_objects(lake, table) if since is None or info.modified >= since]
    written.sort(key=lambda info: info.modified, reverse=True)
    with ThreadPoolExecutor(_READERS) as threads:
        for start in range(0, len(written), _READERS):
            group = written[start : start + _READERS]
            yield from threads.map(lambda info: _partition(lake, info.key, table), group)


def _partition(lake: ObjectStore, key: str, table: Table) -> _Partition:
    name = key.removeprefix(table.prefix).removesuffix(table.suffix)
    try:
        data = lake.get(key).data
        rows, log = decode(data, table, key, ["source", "etl_loading_ts"]), IngestLog.of_footer(footer(data))
    except (ObjectNotFound, DamagedObject):  # of a damaged object nobody sees any row; to ingest them names the object
        return _Partition(name, IngestLog(), {})
    plain = pa.table([rows["source"].cast(pa.string()), rows["etl_loading_ts"]], ["source", "loaded"])
    last = plain.group_by("source").aggregate([("loaded", "max")])
    stored = zip(last["source"].to_pylist(), last["loaded_max"].to_pylist(), strict=True)
    return _Partition(name, log, {source: at for source, at in stored if source not in log.sources})


def _log(lake: ObjectStore, key: str) -> IngestLog:
    try:
        return IngestLog.of_footer(footer(lake.get(key).data))
    except ObjectNotFound:
        return IngestLog()


def _identity(info: ObjectInfo) -> Identity:
    return info.key, info.etag
