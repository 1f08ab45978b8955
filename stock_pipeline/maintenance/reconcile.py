"""Finds the versions of raw objects that no table has seen, and ingests them. This repairs lost events, and tables that
were put back by hand.

What counts as seen is in `seen`. Ingesting an object twice is safe: it adds nothing. An ingest may change nothing,
because other sources had given every row before. Then `repair` remembers the version as judged, so that it counts as
seen. Former versions of an object count too: a name may be used again before anybody has read it.

Two things limit the cost. Only versions that appeared within a window are checked. And only partition objects that were
written after the earliest of these can hold rows of them. Without a window all partitions are read, and compared with
all that is remembered of the sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, groupby

from stock_pipeline.ingest.daily import hints_of, ingest_daily_prices, symbol_of
from stock_pipeline.ingest.partial_failure import NO_TIME, Ingest, Ingested, ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.ingest_log import Options
from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectStore
from stock_pipeline.lake.rejected_records import write_judged
from stock_pipeline.lake.remembered import remembered_of
from stock_pipeline.lake.source_memory import Remembered
from stock_pipeline.maintenance.rebuild import rebuild_year, unfinished
from stock_pipeline.maintenance.seen import logged_in, unseen_versions
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
    """The versions of objects that no table has seen, in the order of arrival, and how many were looked at.

    `rebuilds` are the years of `price_by_date` whose rebuild was stopped before it was finished.
    """

    prices: tuple[ObjectInfo, ...]
    ticks: tuple[ObjectInfo, ...]
    looked_at: int
    rebuilds: tuple[int, ...] = ()

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        return self.prices + self.ticks

    def __bool__(self) -> bool:
        """Whether there is anything to repair."""
        return bool(self.objects or self.rebuilds)


@dataclass(frozen=True)
class Repaired:
    """The receipts of the ingested objects. For each other object, by its key, why it was not ingested: it failed, or
    (`NO_TIME`) the time was up.
    """

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
    """The versions of raw objects that appeared in the window from `since` to `age` ago, and that no table has seen.

    Without `since` every version is checked, and what each partition lacks. With it, only the folders of ticks in the
    window are listed: an object in the folder of a much older day is then not found. `on_progress` is called with
    (objects done, objects looked at), first for one path, then for the other. Writes nothing. Raises what the stores
    raise.
    """
    now = now or datetime.now(UTC)
    first = now - since if since is not None else None
    prices = _listed(staging.versions(RAW_DAILY_PRICES), first, now - age)
    after = f"{RAW_TICKS}{first - _DELIVERY:%Y/%m/%d}" if first else ""
    ticks = _listed(staging.versions(RAW_TICKS, start_after=after), first, now - age)
    return Unseen(
        tuple(unseen_versions(prices, PRICE_BY_DATE, lake, on_progress, thorough=since is None)),
        tuple(unseen_versions(ticks, STREAM_PRICES_HISTORY, lake, on_progress, thorough=since is None)),
        len(prices) + len(ticks),
        tuple(unfinished(lake)),
    )


def repair(
    unseen: Unseen,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    settings: Settings,
    now: datetime | None = None,
    on_progress: Progress | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> Repaired:
    """Ingest what no table has seen, in the order in which it came, and finish rebuilds that were stopped. If one
    object breaks the ingest, only that one fails. The symbols, hints and restatements that the lake remembers are used
    again. `go_on`, for callers whose time is limited, is called before each further group of objects and before each
    rebuild. When it returns False, the next call does the rest.

    Raises StoreUnavailable or MergeContention when the work could not be done, and what `rebuild_year` raises: calling
    again is safe.
    """
    now = now or datetime.now(UTC)
    repaired = Repaired([], {})
    _ingest(unseen, repaired, staging, lake, settings, now, on_progress, go_on)
    later = now + timedelta(microseconds=len(unseen.objects) + 1)  # each ingest has its own time
    for year in unseen.rebuilds:
        if not go_on():
            break
        rebuild_year(year, staging=staging, lake=lake, max_bytes=settings.max_object_bytes, now=later)
    return repaired


def _ingest(
    unseen: Unseen,
    repaired: Repaired,
    staging: ObjectStore,
    lake: ObjectStore,
    settings: Settings,
    now: datetime,
    on_progress: Progress | None,
    go_on: Callable[[], bool],
) -> None:
    """Ingest the unseen versions, and put what came of them into `repaired`."""
    receipts, failed, total = repaired.receipts, repaired.failed, len(unseen.objects)

    def report(done: int, _: int) -> None:
        if on_progress:
            on_progress(len(receipts) + done, total)

    def take(ingested: Ingested, infos: Sequence[ObjectInfo], table: Table) -> None:
        receipts.extend(ingested.receipts)
        failed.update({str(what): reason for what, reason in ingested.not_done.items()})
        _record_as_judged(infos, ingested.receipts, table, lake, now)

    def each(keys: Sequence[Named], ingest: Ingest) -> Ingested:
        return ingest_each(keys, ingest, go_on) if go_on() else Ingested(failed=dict.fromkeys(keys, NO_TIME))

    calls, limit = count(), settings.max_object_bytes

    def moment() -> datetime:
        return now + timedelta(microseconds=next(calls))  # each ingest has its own time

    for (replace, options), some in groupby(_again(unseen.prices, lake), lambda again: (again.replace, again.options)):
        infos = [again.info for again in some]

        def prices(keys: Sequence[Named], replace: bool = replace, options: Options = options) -> list[Receipt]:
            return ingest_daily_prices(
                keys, staging=staging, lake=lake, replace=replace, symbol=symbol_of(options), hints=hints_of(options),
                max_bytes=limit, now=moment(), on_progress=report, go_on=go_on,
            )  # fmt: skip

        take(each([info.named for info in infos], prices), infos, PRICE_BY_DATE)

    def ticks(keys: Sequence[Named]) -> list[Receipt]:
        return ingest_ticks(
            keys, staging=staging, lake=lake, **options_of(settings), now=moment(), on_progress=report, go_on=go_on
        )  # fmt: skip

    if unseen.ticks:
        take(each([info.named for info in unseen.ticks], ticks), unseen.ticks, STREAM_PRICES_HISTORY)


def _listed(infos: Iterable[ObjectInfo], first: datetime | None, last: datetime) -> list[ObjectInfo]:
    """The versions of raw objects that appeared from `first` to `last`, in the order of their arrival.

    A version with the content of an earlier one of its key is the same version to the tables.
    """
    found: dict[tuple[str, str], ObjectInfo] = {}
    for info in infos:
        if not info.key.endswith("/") and info.modified <= last and (first is None or info.modified >= first):
            found.setdefault((info.key, info.etag), info)
    return sorted(found.values(), key=lambda info: (info.modified, info.key))


@dataclass(frozen=True)
class _Again:
    """An ingest to make: of a version, as a restatement or not, and how it is to be read."""

    info: ObjectInfo
    at: datetime
    replace: bool = False
    options: Options = ()


def _again(prices: Sequence[ObjectInfo], lake: ObjectStore) -> list[_Again]:
    """The ingests of unseen versions as the lake remembers them, in the order in which they came."""
    memory = remembered_of(lake, PRICE_BY_DATE, {info.key for info in prices})
    found = []
    for info in prices:
        known = memory.get(info.key, {}).get(info.etag, Remembered())
        at = datetime.fromisoformat(known.restated) if known.restated else info.modified
        found.append(_Again(info, at, bool(known.restated), known.options))
    return sorted(found, key=lambda again: again.at)


def _record_as_judged(
    infos: Iterable[ObjectInfo], receipts: Sequence[Receipt], table: Table, lake: ObjectStore, now: datetime
) -> None:
    """Remember each object as judged that changed nothing, so that it counts as seen."""
    by_identity = {(info.key, info.etag): info for info in infos}
    silent = [
        receipt
        for receipt in receipts
        if not (receipt.inserted or receipt.updated) and (receipt.source, receipt.etag) in by_identity
    ]

    def judge(receipt: Receipt) -> None:
        logged = logged_in(lake, table, receipt.source, receipt.etag, list(receipt.partitions))
        write_judged(lake, table, by_identity[receipt.source, receipt.etag], logged, now)

    with ThreadPoolExecutor(_READERS) as threads:
        list(threads.map(judge, silent))
