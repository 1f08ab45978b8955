"""Finds the raw objects that no table has seen, and ingests them. This repairs lost events.

A table has seen a version of an object in two cases: it holds rows of that source that were stored after the version
appeared, or the source's rejected record is of that version. Every other object counts as unseen. Ingesting one twice
is safe: it adds nothing. Only the tables say what was ingested; there is no other list. An ingest may leave no row of
its source, because other sources had given every row before. Then `repair` writes an empty rejected record for the
object, so that it counts as seen.

Two things limit the cost. Only objects that appeared within a window are checked. And only partition objects that were
written after the earliest of these can hold rows of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from stock_pipeline.errors import DamagedObject, ObjectNotFound
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.partial_failure import ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.contents import own_objects
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode
from stock_pipeline.lake.rejected_records import is_judged, write_judged
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, RAW_TICKS

SINCE = timedelta(days=3)
"""The default window. If this runs every hour, a lost event is found within the hour."""

AGE = timedelta(minutes=15)
"""Younger objects may still be on their way. Failed events are retried for longer than this, but ingesting their
objects here is safe.
"""

_DELIVERY = timedelta(days=2)
"""Firehose names an object by the hour of its first tick, and tries for a day to deliver it."""

_READERS = 8


@dataclass(frozen=True)
class Unseen:
    """The objects that no table has seen, in the order of arrival, and how many objects were looked at."""

    prices: tuple[ObjectInfo, ...]
    ticks: tuple[ObjectInfo, ...]
    looked_at: int

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        return self.prices + self.ticks


@dataclass(frozen=True)
class Repaired:
    """The receipts of the ingested objects. For each other object, by its key, why it was not ingested."""

    receipts: list[Receipt]
    failed: dict[str, str]


def find_unseen(
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    since: timedelta | None = SINCE,
    age: timedelta = AGE,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> Unseen:
    """The raw objects that appeared in the window from `since` to `age` ago, and that no table has seen.

    Without `since` every object is checked. With it, only the folders of ticks in the window are listed: an object in
    the folder of a much older day is then not found. `on_progress` is called with (objects done, objects looked at),
    first for one path, then for the other. Writes nothing. Raises what the stores raise.
    """
    now = now or datetime.now(UTC)
    first = now - since if since is not None else None
    prices = _listed(staging.list(RAW_DAILY_PRICES), first, now - age)
    after = f"{RAW_TICKS}{first - _DELIVERY:%Y/%m/%d}" if first else ""
    ticks = _listed(staging.list(RAW_TICKS, start_after=after), first, now - age)
    return Unseen(
        tuple(_unseen(prices, PRICE_BY_DATE, lake, on_progress)),
        tuple(_unseen(ticks, STREAM_PRICES_HISTORY, lake, on_progress)),
        len(prices) + len(ticks),
    )


def repair(
    unseen: Unseen,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    settings: Settings,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> Repaired:
    """Ingest what no table has seen, in the order of arrival. If one object breaks the ingest, only that one fails.

    Raises StoreUnavailable or MergeContention when the work could not be done: calling again is safe.
    """
    now = now or datetime.now(UTC)
    total = len(unseen.objects)

    def prices(keys: Sequence[str]) -> list[Receipt]:
        return ingest_daily_prices(
            keys, staging=staging, lake=lake, max_bytes=settings.max_object_bytes, now=now,
            on_progress=on_progress and (lambda done, _: on_progress(done, total)),
        )  # fmt: skip

    def ticks(keys: Sequence[str]) -> list[Receipt]:
        return ingest_ticks(
            keys, staging=staging, lake=lake, **options_of(settings), now=now,
            on_progress=on_progress and (lambda done, _: on_progress(len(unseen.prices) + done, total)),
        )  # fmt: skip

    receipts: list[Receipt] = []
    failed: dict[str, str] = {}
    for infos, table, ingest in (
        (unseen.prices, PRICE_BY_DATE, prices),
        (unseen.ticks, STREAM_PRICES_HISTORY, ticks),
    ):
        if infos:
            ingested = ingest_each([info.key for info in infos], ingest)
            _record_as_judged({info.key: info for info in infos}, ingested.receipts, table, lake, now)
            receipts += ingested.receipts
            failed |= ingested.not_done
    return Repaired(receipts, failed)


def _listed(infos: Iterable[ObjectInfo], first: datetime | None, last: datetime) -> list[ObjectInfo]:
    """The raw objects that appeared from `first` to `last`, in the order of their arrival."""
    found = [
        info
        for info in infos
        if not info.key.endswith("/") and info.modified <= last and (first is None or info.modified >= first)
    ]
    return sorted(found, key=lambda info: (info.modified, info.key))


def _unseen(infos: Sequence[ObjectInfo], table: Table, lake: ObjectStore, report: Progress | None) -> list[ObjectInfo]:
    left = {info.key: info for info in infos}
    for stored in _stored_since(min((info.modified for info in infos), default=None), table, lake):
        for source, loaded in stored.items():
            if source in left and loaded >= left[source].modified.replace(microsecond=0):
                del left[source]
        if report:
            report(len(infos) - len(left), len(infos))
        if not left:
            break
    with ThreadPoolExecutor(_READERS) as threads:
        judged = list(threads.map(lambda info: _is_judged(lake, table, info), left.values()))
    return [info for info, known in zip(left.values(), judged, strict=True) if not known]


def _is_judged(lake: ObjectStore, table: Table, info: ObjectInfo) -> bool:
    """Whether a record says so. A damaged record says nothing; to ingest its source names the record."""
    try:
        return is_judged(lake, table, info)
    except DamagedObject:
        return False


def _stored_since(moment: datetime | None, table: Table, lake: ObjectStore) -> Iterator[Mapping[str, datetime]]:
    """For each partition object written since a moment, newest first: when the last row of each source was stored."""
    if moment is None:
        return
    since = moment.replace(microsecond=0)
    written = [info for info in own_objects(lake, table) if info.modified >= since]
    written.sort(key=lambda info: info.modified, reverse=True)
    with ThreadPoolExecutor(_READERS) as threads:
        for start in range(0, len(written), _READERS):
            group = written[start : start + _READERS]
            yield from threads.map(lambda info: _last_stored(lake, info.key, table), group)


def _last_stored(lake: ObjectStore, key: str, table: Table) -> dict[str, datetime]:
    try:
        rows = decode(lake.get(key).data, table, key, ["source", "etl_loading_ts"])
    except (ObjectNotFound, DamagedObject):  # of a damaged object nobody sees any row; to ingest them names the object
        return {}
    plain = pa.table([rows["source"].cast(pa.string()), rows["etl_loading_ts"]], ["source", "loaded"])
    last = plain.group_by("source").aggregate([("loaded", "max")])
    return dict(zip(last["source"].to_pylist(), last["loaded_max"].to_pylist(), strict=True))


def _record_as_judged(
    infos: Mapping[str, ObjectInfo], receipts: Sequence[Receipt], table: Table, lake: ObjectStore, now: datetime
) -> None:
    """Write an empty rejected record for each object without a stored row, so that it counts as seen."""
    silent = [receipt.source for receipt in receipts if not (receipt.inserted or receipt.updated)]
    with ThreadPoolExecutor(_READERS) as threads:
        list(threads.map(lambda key: write_judged(lake, table, infos[key], now), silent))
