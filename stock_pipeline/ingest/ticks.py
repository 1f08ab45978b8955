"""Tick objects into history and the latest snapshot: parse → clean → merge twice; returns a receipt a source.

History first, then the snapshot: whoever is stopped in between delivers again, and both merges ignore what they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import pyarrow as pa

from stock_pipeline.arrow import booleans
from stock_pipeline.clean.ticks import MAX_SKEW, clean_tick_objects
from stock_pipeline.ingest.commit import SourceObject, merge_group, with_provenance
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.lake.partitions import merge_into_partition
from stock_pipeline.lake.transforms import BUCKET_MINUTES, SNAPSHOT, by_bucket
from stock_pipeline.parse.files import Unpacked, unpack
from stock_pipeline.parse.ticks.parser import parse_tick_objects
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.settings import MIB, Settings
from stock_pipeline.staging.reader import each_raw_object

MAX_BYTES = 1024 * MIB
GROUP_BYTES = 128 * MIB
"""Objects are merged together up to so many bytes (unpacked), whatever their number."""

_READERS = 16


def ingest_ticks(
    keys: Sequence[str],
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    bucket_minutes: int = BUCKET_MINUTES,
    max_skew: timedelta = MAX_SKEW,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Receipt]:
    """Bring raw objects of ticks into `stream_prices_history` and `latest_prices`; one receipt a key, in their order.

    `bucket_minutes` is the length of a history object in event time; it must divide a day. A tick further than
    `max_skew` ahead of `now` (UTC) is rejected. `on_progress` is called with (sources done, sources in all). `go_on` is
    asked before each further group of objects: once it says no, the receipts of what is done are returned, and they are
    fewer than the keys.

    An object that is refused, or that does not exist, gives a receipt that says so; the others are ingested. Raises
    StoreUnavailable or MergeContention when the work could not be done: calling again with the same keys is safe.
    """
    now = now or datetime.now(UTC)
    receipts: list[Receipt] = []
    for group in _read(list(dict.fromkeys(keys)), staging, max_bytes, now):
        receipts += _ingest_group(group, lake, bucket_minutes, max_skew, now)
        del group  # else the next one is read while this one is still held
        if on_progress:
            on_progress(len(receipts), len(keys))
        if not go_on():
            break
    return receipts


class Options(TypedDict):
    """The arguments of `ingest_ticks` that settings decide."""

    bucket_minutes: int
    max_skew: timedelta
    max_bytes: int


def options_of(settings: Settings) -> Options:
    """What the settings say to `ingest_ticks`, in one place: all consumers must put a tick into the same object."""
    return {
        "bucket_minutes": settings.tick_bucket_minutes,
        "max_skew": timedelta(seconds=settings.max_clock_skew_seconds),
        "max_bytes": settings.max_object_bytes,
    }


@dataclass(frozen=True)
class _Raw:
    """An object of ticks, unpacked, or the reason why it is refused."""

    info: ObjectInfo
    text: Unpacked
    refused: str | None = None


def _read(keys: Sequence[str], staging: ObjectStore, max_bytes: int, now: datetime) -> Iterator[list[_Raw]]:
    """The objects in the order of the keys, in groups of GROUP_BYTES; one that is gone has no ETag."""

    def unpacked(found: StoredObject, limit: int) -> _Raw:
        return _Raw(found.info, unpack(found.data, limit))

    def refused(info: ObjectInfo, reason: str) -> _Raw:
        return _Raw(info, Unpacked(b""), reason)

    group: list[_Raw] = []
    size = 0
    for raw in each_raw_object(keys, staging, unpacked, refused, max_bytes=max_bytes, readers=_READERS, now=now):
        group.append(raw)
        size += len(raw.text.data)
        del raw  # a group that is done is let go before the next object is read
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _ingest_group(
    group: list[_Raw], lake: ObjectStore, minutes: int, max_skew: timedelta, now: datetime
) -> list[Receipt]:
    started_at = datetime.now(UTC)
    # With its content, an object's key is its identity: a copied lake has the same, a rewritten key is another one.
    objects = [(raw.text, raw.info.key) for raw in group]
    ticks = clean_tick_objects(parse_tick_objects(objects), now, max_skew=max_skew)
    source_objects = []
    for at, raw in enumerate(group):
        refused = raw.refused or ticks.refused.get(at)
        source_objects.append(SourceObject(raw.info, started_at, None if refused else ticks.of(at), refused))

    sources = [raw.info.key for raw in group]
    rows = with_provenance(ticks.good, sources, ticks.objects, STREAM_PRICES_HISTORY, now)
    receipts, outcomes = merge_group(
        source_objects, rows, STREAM_PRICES_HISTORY, lambda rows: by_bucket(rows, minutes), lake, now
    )
    # What history has not taken, as it holds other values for the event, is no price to show either.
    taken = outcomes != Outcome.CONFLICT
    shown = rows.select(LATEST_PRICES.schema.names)
    _update_snapshot(shown if taken.all() else shown.filter(booleans(taken)), lake)
    return receipts


def _update_snapshot(rows: pa.Table, lake: ObjectStore) -> None:
    """Let the latest of these ticks into the snapshot, where they are later than what it has."""
    latest = merge(None, rows, LATEST_PRICES).table
    if latest is not None:
        merge_into_partition(lake, LATEST_PRICES, SNAPSHOT, latest)
