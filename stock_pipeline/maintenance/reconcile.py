"""Raw objects that no table has seen: found by what the tables know, and ingested. How lost events are repaired.

A table has seen a version of an object when it holds rows of that source which were stored after the version appeared,
or when the source's rejected record is of that version. What is not provably seen counts as unseen: to ingest it again
adds nothing. Nothing beside the tables lists what was ingested. Where an ingest leaves no row of its source (every row
was there already, from other sources), `repair` leaves the object an empty rejected record, so that it is not taken up
again.

What bounds the cost: only objects that appeared within a window are asked about, and only partition objects that were
written after the earliest of those can hold rows of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.partial_failure import ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode
from stock_pipeline.lake.rejected_records import is_judged, write_judged
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, RAW_TICKS

SINCE = timedelta(days=3)
"""How far back is looked by default: an event that was lost is missed within the hour, if this runs every hour."""

AGE = timedelta(minutes=15)
"""Younger objects are on their way. Failed events are tried again for longer; to take up their objects is safe."""

_DELIVERY = timedelta(days=2)
"""Firehose names an object by the hour of its first tick, and tries for a day to deliver it."""

_READERS = 8


@dataclass(frozen=True)
class Unseen:
    """What no table has seen, in the order of arrival, among so many objects that were looked at."""

    prices: tuple[ObjectInfo, ...]
    ticks: tuple[ObjectInfo, ...]
    looked_at: int

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        return self.prices + self.ticks


@dataclass(frozen=True)
class Repaired:
    """The receipts of what was ingested, and why each of the other objects was not, by its key."""

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

    Without `since` every object is asked about. With it, the folders of ticks are those of the window, so that an
    object put into the folder of a much older day is found without it only. `on_progress` is called with (objects
    accounted for, objects looked at), for either path in its turn. Writes nothing. Raises what the stores raise.
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
    """Ingest what no table has seen, in the order of arrival; an object that breaks the ingest fails alone.

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
    """The raw objects that appeared from `first` to `last`, in the order in which they did."""
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
        judged = list(threads.map(lambda info: is_judged(lake, table, info), left.values()))
    return [info for info, known in zip(left.values(), judged, strict=True) if not known]


def _stored_since(moment: datetime | None, table: Table, lake: ObjectStore) -> Iterator[Mapping[str, datetime]]:
    """Of each partition object written since a moment, newest first: when the last row of each source was stored."""
    if moment is None:
        return
    since = moment.replace(microsecond=0)
    written = [i for i in lake.list(table.prefix) if i.key.endswith(table.suffix) and i.modified >= since]
    written.sort(key=lambda info: info.modified, reverse=True)
    with ThreadPoolExecutor(_READERS) as threads:
        for start in range(0, len(written), _READERS):
            group = written[start : start + _READERS]
            yield from threads.map(lambda info: _last_stored(lake, info.key, table), group)


def _last_stored(lake: ObjectStore, key: str, table: Table) -> dict[str, datetime]:
    try:
        rows = decode(lake.get(key).data, table, key, ["source", "etl_loading_ts"])
    except ObjectNotFound:
        return {}
    plain = pa.table([rows["source"].cast(pa.string()), rows["etl_loading_ts"]], ["source", "loaded"])
    last = plain.group_by("source").aggregate([("loaded", "max")])
    return dict(zip(last["source"].to_pylist(), last["loaded_max"].to_pylist(), strict=True))


def _record_as_judged(
    infos: Mapping[str, ObjectInfo], receipts: Sequence[Receipt], table: Table, lake: ObjectStore, now: datetime
) -> None:
    """Put an empty rejected record for each object of which no row was stored, so that it counts as seen."""
    silent = [receipt.source for receipt in receipts if not (receipt.inserted or receipt.updated)]
    with ThreadPoolExecutor(_READERS) as threads:
        list(threads.map(lambda key: write_judged(lake, table, infos[key], now), silent))
