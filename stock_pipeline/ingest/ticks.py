"""Tick objects into history and the latest snapshot: parse → clean → merge. Returns a receipt for each source.

The order is history, then cancels and corrections, then the snapshot. After a stop in between, the objects are
delivered again, and the merges ignore rows that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypedDict

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Codes, Ints, valid
from stock_pipeline.clean.ticks import MAX_SKEW, clean_tick_objects
from stock_pipeline.ingest.commit import merge_group, with_provenance
from stock_pipeline.ingest.corrections import by_session
from stock_pipeline.ingest.latest import update_snapshot
from stock_pipeline.ingest.sources import LoadingTimes, SourceObject
from stock_pipeline.lake.layout import days_between
from stock_pipeline.lake.layout_object import layout_to_write
from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.partitions import merge_into_partition, read_partition
from stock_pipeline.parse.files import MAX_BYTES, Unpacked, unpack
from stock_pipeline.parse.ticks.parser import parse_tick_objects
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, TRADE_CORRECTIONS
from stock_pipeline.settings import MIB, Settings
from stock_pipeline.staging.reader import each_raw_object

GROUP_BYTES = 128 * MIB
"""Objects are merged together up to this many bytes (unpacked), whatever their number."""

_READERS = 16


def ingest_ticks(
    keys: Sequence[Named],
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_skew: timedelta = MAX_SKEW,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
    go_on: Callable[[], bool] | None = None,
) -> list[Receipt]:
    """Bring raw objects of ticks into `stream_prices_history` and `latest_prices`. Returns one receipt for each key, in
    their order. Where a version of an object is named instead of a key, that version is read.

    A tick further than `max_skew` ahead of `now` (UTC) is rejected. `on_progress` is called with (sources done, number
    of sources). `go_on`, for callers whose time is limited, is called before each further group of objects, and within
    a group before each further history object. When it returns False, only the receipts of finished objects are
    returned, fewer than the keys. Committed rows stay, and the next call goes on.

    An object that is refused, or that does not exist, gives a receipt that says so; the others are ingested. Raises
    StoreUnavailable or MergeContention when the work could not be done, and DamagedObject or LayoutError when an object
    of the lake must be mended first: calling again with the same keys is safe.
    """
    now = now or datetime.now(UTC)
    receipts: list[Receipt] = []
    times = LoadingTimes()
    for group in _read(list(dict.fromkeys(keys)), staging, max_bytes, now):
        done = _ingest_group(group, lake, max_skew, times.of((raw.info for raw in group), now), go_on)
        receipts += done
        stopped = len(done) < len(group)
        del group  # otherwise the next one is read while this one is still in memory
        if on_progress:
            on_progress(len(receipts), len(keys))
        if stopped or (go_on and not go_on()):
            break
    return receipts


class Options(TypedDict):
    """The arguments of `ingest_ticks` that settings decide."""

    max_skew: timedelta
    max_bytes: int


def options_of(settings: Settings) -> Options:
    """The arguments of `ingest_ticks` from the settings, in one place for all consumers."""
    return {
        "max_skew": timedelta(seconds=settings.max_clock_skew_seconds),
        "max_bytes": settings.max_object_bytes,
    }


@dataclass(frozen=True)
class _Raw:
    """An object of ticks, unpacked, or the reason for its refusal."""

    info: ObjectInfo
    text: Unpacked
    refused: str | None = None
    gone: bool = False


def _read(keys: Sequence[Named], staging: ObjectStore, max_bytes: int, now: datetime) -> Iterator[list[_Raw]]:
    """The objects in the order of the keys, in groups of GROUP_BYTES; one that is gone has no ETag."""

    def unpacked(found: StoredObject, limit: int) -> _Raw:
        text = unpack(found.data, limit)
        return _Raw(found.info, text, None if text.data else "the object is empty; it must hold ticks as lines of JSON")

    def refused(info: ObjectInfo, reason: str, gone: bool) -> _Raw:
        return _Raw(info, Unpacked(b""), reason, gone)

    group: list[_Raw] = []
    size = 0
    for raw in each_raw_object(keys, staging, unpacked, refused, max_bytes=max_bytes, readers=_READERS, now=now):
        group.append(raw)
        size += len(raw.text.data)
        del raw  # free a finished group before the next object is read
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _ingest_group(
    group: list[_Raw],
    lake: ObjectStore,
    max_skew: timedelta,
    now: datetime,
    go_on: Callable[[], bool] | None,
) -> list[Receipt]:
    started_at = datetime.now(UTC)
    objects = [(raw.text, raw.info.key) for raw in group]
    ticks = clean_tick_objects(parse_tick_objects(objects), now, max_skew=max_skew)
    sources = []
    for at, raw in enumerate(group):
        refused = raw.refused or ticks.refused.get(at)
        sources.append(SourceObject(raw.info, started_at, None if refused else ticks.of(at), refused, raw.gone))

    keys = [raw.info.key for raw in group]
    rows = with_provenance(ticks.good, keys, ticks.objects, STREAM_PRICES_HISTORY, now)
    corrections = with_provenance(ticks.corrections, keys, ticks.correction_objects, TRADE_CORRECTIONS, now)
    merged = merge_group(
        sources, rows, STREAM_PRICES_HISTORY, partial(_place, lake), lake, now,
        then=lambda: _merge_corrections(sources, corrections, ticks.correction_objects, lake), go_on=go_on,
        keep_met=True,
    )  # fmt: skip
    update_snapshot(merged.stored(rows), corrections.to_pylist() if merged.receipts else [], lake)
    merged.note()
    return merged.receipts


def _place(lake: ObjectStore, rows: pa.Table) -> tuple[Ints, list[str]]:
    """The partition of each tick, by the layout of the lake. Without ticks no layout is needed."""
    days = days_between(rows)
    return layout_to_write(lake, days[-1]).place(rows) if days else (np.zeros(0, np.int64), [])


def _merge_corrections(
    sources: Sequence[SourceObject], corrections: pa.Table, owners: Codes, lake: ObjectStore
) -> None:
    """Put cancels and corrections into their table. The receipt counts a corrected trade by its row in history."""
    codes, names = by_session(corrections)
    for at, name in enumerate(names):
        mine = np.flatnonzero(codes == at)
        incoming = corrections.take(mine)
        outcome = merge_into_partition(lake, TRADE_CORRECTIONS, name, incoming).outcome
        cancels = np.flatnonzero(~valid(incoming["price"]))
        if (outcome[cancels] == Outcome.DUPLICATE).any():
            outcome[_own(incoming, lake, name)] = Outcome.INSERTED
        for owner, what in zip(owners[mine][cancels].tolist(), outcome[cancels].tolist(), strict=True):
            sources[owner].outcomes[what] += 1


def _own(incoming: pa.Table, lake: ObjectStore, name: str) -> list[int]:
    """The first rows of their keys that this same ingest has stored before, at an attempt whose reply was lost."""
    told = ("symbol", "reference", "event_id", "source", "etl_loading_ts")
    stored = read_partition(lake, TRADE_CORRECTIONS, name)
    there = set() if stored is None else set(zip(*(stored[column].to_pylist() for column in told), strict=True))
    first: dict[object, int] = {}
    for row, values in enumerate(zip(*(incoming[column].to_pylist() for column in told), strict=True)):
        if values in there:
            first.setdefault(values, row)
    return list(first.values())
