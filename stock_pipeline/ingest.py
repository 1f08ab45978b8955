"""parse → clean → merge for arrivals; returns a receipt a source. Assets, Lambdas and the command line all call this.

A group of sources is merged together: each touched partition is read and written once for the whole group. Sources are
always ingested whole, so their rejected records can be replaced whole too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrivals import Arrival, merge_group, with_provenance
from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import ObjectNotFound, RowsWouldBeLost
from stock_pipeline.lake.objects import ObjectInfo, ObjectStore, StoredObject
from stock_pipeline.lake.partitions import attempts, partition_key, read_version, swap
from stock_pipeline.lake.rejects import read_rejects
from stock_pipeline.parse.buffers import Ints, as_numpy
from stock_pipeline.parse.daily import parse_daily_prices
from stock_pipeline.raw_objects import each_raw_object
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, Reason
from stock_pipeline.settings import MIB

RAW_DAILY_PRICES = "daily_prices/"
"""Everything under this prefix of the staging bucket is a raw object of daily prices."""

MAX_BYTES = 1024 * MIB
GROUP_ROWS, GROUP_BYTES = 2_000_000, 256 * MIB
"""Sources are merged once so many rows, or so much text, is gathered: a long backfill then needs no more memory than a
short one."""

_READERS = 8
_SESSION_FOLDER = re.compile(r"daily_prices/date=(\d{4})-\d\d-\d\d/")

Progress = Callable[[int, int], None]


def ingest_daily_prices(
    keys: Sequence[str],
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    replace: bool = False,
    symbol: str | None = None,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> list[Receipt]:
    """Bring raw objects of daily prices into `price_by_date`; one receipt a key, in the order of the keys.

    Where two sources hold different values for one symbol and session, the one stored first stays, then the one named
    first. With `replace` (a restatement) each source's values take the place of stored ones, source after source, and
    the values that gave way go to the rejected records. `symbol` names the symbol of files that name none. `now` (UTC)
    is the loading time of all rows. `on_progress` is called with (sources done, sources in all).

    An object that is refused, or that no longer exists, gives a receipt that says so; the others are ingested. Raises
    StoreUnavailable or MergeContention when the work could not be done: calling again with the same keys is safe.
    """
    now = now or datetime.now(UTC)
    receipts: list[Receipt] = []
    arrivals = _counted(_read_daily_prices(keys, staging, symbol, max_bytes, now), len(keys), on_progress)
    for group in _groups(arrivals, 1 if replace else GROUP_ROWS):
        done, _ = merge_group(group, _joined(group, now), PRICE_BY_DATE, _by_year, lake, now, replace=replace)
        receipts += done
        del group  # else the next one is read while this one is still held
    return receipts


def raw_keys_of_year(staging: ObjectStore, year: int) -> list[str]:
    """The raw objects that may hold prices of a year, in the order of their arrival.

    Those are the generated objects of the year's sessions and every upload: only its content tells an upload's years.
    """
    found: list[ObjectInfo] = []
    for info in staging.list(RAW_DAILY_PRICES):
        session = _SESSION_FOLDER.match(info.key)
        if info.size and not info.key.endswith("/") and (not session or int(session[1]) == year):
            found.append(info)
    return [info.key for info in sorted(found, key=lambda info: (info.modified, info.key))]


def rebuild_year(
    year: int,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    max_bytes: int = MAX_BYTES,
    now: datetime | None = None,
    on_progress: Progress | None = None,
) -> list[Receipt]:
    """Build a year of `price_by_date` again from nothing but the raw objects, and swap it in whole.

    Sources are taken in the order of their arrival, and those that were restatements (they have replaced values on
    record) replace again. Readers see the old year until the new one is complete. When anybody wrote the year
    meanwhile, the rebuild starts over, so that their rows are in it.

    Raises RowsWouldBeLost when the stored year has rows from objects that are no longer in staging, and what
    `ingest_daily_prices` raises.
    """
    partition = f"year={year:04d}"
    key = partition_key(PRICE_BY_DATE, partition)
    for _ in attempts(key):  # pragma: no branch - it ends by raising
        stored, etag = read_version(lake, PRICE_BY_DATE, partition, ["source"])
        keys = raw_keys_of_year(staging, year)
        _refuse_loss(stored, keys, partition)
        restatements = _restatements(lake)
        rebuilt = _Rebuilding(lake, key)
        receipts: list[Receipt] = []
        for replace, run in itertools.groupby(keys, restatements.__contains__):
            receipts += ingest_daily_prices(
                list(run), staging=staging, lake=rebuilt, replace=replace, max_bytes=max_bytes, now=now,
                on_progress=_shifted(on_progress, len(receipts), len(keys)),
            )  # fmt: skip
        if rebuilt.object is None or swap(lake, key, rebuilt.object.data, etag):
            return receipts
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


class _Rebuilding:
    """A lake in which one object is being written anew: it is kept in memory, everything else is the lake's."""

    def __init__(self, lake: ObjectStore, key: str) -> None:
        self.bucket = lake.bucket
        self._lake, self._key = lake, key
        self.object: StoredObject | None = None

    def get(self, key: str, *, max_bytes: int | None = None) -> StoredObject:
        if key != self._key:
            return self._lake.get(key, max_bytes=max_bytes)
        if self.object is None:
            raise ObjectNotFound(key, f"{key} is not rebuilt yet")
        return self.object

    def put(self, key: str, data: bytes, *, if_match: str | None = None, if_none_match: bool = False) -> str:
        if key != self._key:
            return self._lake.put(key, data, if_match=if_match, if_none_match=if_none_match)
        self.object = StoredObject(ObjectInfo(key, "rebuilding", len(data), datetime.now(UTC)), data)
        return self.object.info.etag

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        return self._lake.list(prefix, start_after=start_after)  # pragma: no cover - a store lists; no ingest asks it


def _refuse_loss(stored: pa.Table | None, keys: list[str], partition: str) -> None:
    sources = set() if stored is None else set(pc.unique(stored["source"].cast(pa.string())).to_pylist())
    gone = sorted(sources - set(keys))
    if gone:
        raise RowsWouldBeLost(
            f"{partition} holds rows from {len(gone)} raw objects that are no longer in staging ({gone[0]}, …); a "
            "rebuild would lose them. Put them back (the staging bucket keeps versions), or ingest without rebuilding"
        )


def _restatements(lake: ObjectStore) -> set[str]:
    """The sources that were ingested as restatements: those with replaced values on record."""
    recorded = read_rejects(lake, PRICE_BY_DATE).select(["source", "reason"])
    replaced = recorded.filter(pc.equal(recorded["reason"].cast(pa.string()), Reason.REPLACED.value))
    return set(replaced["source"].cast(pa.string()).to_pylist())


def _shifted(on_progress: Progress | None, done: int, total: int) -> Progress | None:
    return on_progress and (lambda more, _: on_progress(done + more, total))


def _counted(arrivals: Iterator[Arrival], total: int, on_progress: Progress | None) -> Iterator[Arrival]:
    for done, arrival in enumerate(arrivals, 1):
        if on_progress:
            on_progress(done, total)
        yield arrival
        del arrival


def _read_daily_prices(
    keys: Sequence[str], staging: ObjectStore, symbol: str | None, max_bytes: int, now: datetime
) -> Iterator[Arrival]:
    """Raw objects of daily prices, read, parsed and cleaned, in the order of the keys; a few are read ahead."""

    def judged(found: StoredObject, limit: int) -> Arrival:
        started_at = datetime.now(UTC)
        rows = parse_daily_prices(found.data, found.info.key, symbol=symbol, max_bytes=limit)
        cleaned = clean_daily_prices(rows, now.date())
        return Arrival(found.info, started_at, cleaned, held=len(rows.lines.text))

    def refused(info: ObjectInfo, reason: str) -> Arrival:
        return Arrival(info, datetime.now(UTC), refused=reason)

    return each_raw_object(keys, staging, judged, refused, max_bytes=max_bytes, readers=_READERS, now=now)


def _groups(arrivals: Iterator[Arrival], rows: int) -> Iterator[list[Arrival]]:
    """The arrivals in groups of at least this many rows, or GROUP_BYTES of text; a refused one counts as none."""
    group: list[Arrival] = []
    for arrival in arrivals:
        group.append(arrival)
        del arrival  # a group that is done is let go before the next object is read
        if sum(a.rows for a in group) >= rows or sum(a.held for a in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _joined(group: list[Arrival], now: datetime) -> pa.Table:
    """The good rows of a group with their provenance, in its order."""
    columns = [c for c in PRICE_BY_DATE.schema if c.name not in ("source", "etl_loading_ts")]
    good = [arrival.cleaned.good for arrival in group if arrival.cleaned]
    rows = pa.concat_tables([pa.schema(columns).empty_table(), *good]).unify_dictionaries()
    owners = np.repeat(np.arange(len(group), dtype=np.int32), [arrival.rows for arrival in group])
    return with_provenance(rows, [arrival.info.key for arrival in group], owners, PRICE_BY_DATE, now)


def _by_year(rows: pa.Table) -> tuple[Ints, list[str]]:
    days = np.concatenate([np.zeros(0, np.int32), *(as_numpy(chunk, np.int32) for chunk in rows["date"].chunks)])
    if not len(days):
        return days.astype(np.int64), []
    # Of the days between the first and the last: there are far fewer of them than rows.
    first, last = int(days.min()), int(days.max())
    year_of = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    return year_of[days - first] - year_of[0], [f"year={year:04d}" for year in range(year_of[0], year_of[-1] + 1)]
