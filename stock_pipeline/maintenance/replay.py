"""Finds rejected records, and ingests their sources again after a rule or an alias was fixed.

A replay is an ordinary ingest. Stored rows count as duplicates, rows that are still wrong are rejected again, and the
records of the last ingest replace all earlier records of the source. So a replay is safe at any time, and can be
repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectStore, ObjectVersion
from stock_pipeline.lake.rejected_records import read_objects, record_key, record_objects
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Reason, Table
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_DAILY_PRICES, RAW_TICKS

TARGETS: dict[str, Table] = {table.name: table for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY)}
"""The tables that rows can be rejected from."""


def rejected_records(
    lake: ObjectStore,
    *,
    tables: Sequence[str] = (),
    sources: Sequence[str] = (),
    reasons: Sequence[str] = (),
) -> pa.Table:
    """The rejected records (schema REJECTED_RECORDS, plain strings) that match the arguments; the newest of each table
    first.

    A source is named by its key, with or without `s3://bucket/`, or by the end of it (the file's name). Raises
    StockPipelineError for an unknown table or reason, and for a source without a rejected record.
    """
    objects = [info.key for table in _known(tables, reasons) for info in record_objects(lake, table)]
    return _matching(read_objects(lake, objects), sources, reasons)


@dataclass(frozen=True)
class Listed:
    """Rejected records (as `rejected_records` gives them), the last written first, and how many objects of records,
    one a source, were left unread.
    """

    rows: pa.Table
    unread: int


def newest_records(
    lake: ObjectStore,
    staging: ObjectStore,
    *,
    tables: Sequence[str] = (),
    sources: Sequence[str] = (),
    reasons: Sequence[str] = (),
    since: datetime | None = None,
    most: int | None = None,
) -> Listed:
    """As `rejected_records`, but only what was written `since` a time (UTC), and not more than the `most` objects that
    were written last. So the time that it takes does not grow with the lake.

    The records of `sources` that are in staging are read in any case, however old they are.
    """
    known = _known(tables, reasons)
    found = [info for table in known for info in record_objects(lake, table, since=since)]
    found.sort(key=lambda info: info.modified, reverse=True)
    chosen = [info.key for info in found[:most]]
    if sources and len(chosen) < len(found):
        staged = {info.key for prefix in (RAW_DAILY_PRICES, RAW_TICKS) for info in staging.list(prefix)}
        named = {record_key(table, key) for source in sources for key in _named(source, staged) for table in known}
        chosen += [info.key for info in found[most:] if info.key in named]
    unread = len(found) - len(chosen)
    more = f" among the {len(chosen):,} records that were read; {unread:,} older ones were not (--all)"
    return Listed(_matching(read_objects(lake, chosen), sources, reasons, more if unread else ""), unread)


def _known(tables: Sequence[str], reasons: Sequence[str]) -> list[Table]:
    """The tables of these names, or all; raises StockPipelineError for an unknown table or reason."""
    if unknown := [t for t in tables if t not in TARGETS]:
        raise StockPipelineError(f"no row is rejected from {unknown[0]!r}; the tables are {', '.join(TARGETS)}")
    if unknown := [r for r in reasons if r not in set(Reason)]:
        raise StockPipelineError(f"{unknown[0]!r} is not a reason; the reasons are {', '.join(Reason)}")
    return [TARGETS[name] for name in tables or TARGETS]


def _matching(found: pa.Table, sources: Sequence[str], reasons: Sequence[str], among: str = "") -> pa.Table:
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in found.schema])
    found = found.cast(plain)
    if sources:
        keys = set(found["source"].to_pylist())
        wanted = [key for source in sources for key in _keys_named(source, keys, among)]
        found = found.filter(pc.is_in(found["source"], pa.array(wanted, pa.string())))
    if reasons:
        found = found.filter(pc.is_in(found["reason"], pa.array(list(reasons), pa.string())))
    return found


def counts(found: pa.Table) -> pa.Table:
    """How many of these records each table, source and reason has (`rows`), most first in a source.

    Records of rows that are `stored` without a value are counted apart.
    """
    counted = found.group_by(["target_table", "source", "reason", "stored"]).aggregate([([], "count_all")])
    counted = counted.rename_columns(["target_table", "source", "reason", "stored", "rows"])
    return counted.sort_by([("target_table", "ascending"), ("source", "ascending"), ("rows", "descending")])


def replay_rejects(
    staging: ObjectStore,
    lake: ObjectStore,
    settings: Settings,
    *,
    tables: Sequence[str] = (),
    sources: Sequence[str] = (),
    reasons: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> list[Receipt]:
    """Ingest the sources of rejected records again, whole. Returns a receipt for each, daily prices first.

    The records are chosen as in `rejected_records`, which raises for wrong arguments. Replaced values and removed rows
    are on record as well, but must not come back: a source that has only such records is not replayed. A source that is
    gone from staging gives a receipt that says so, and its records stay. `on_progress` is called with (sources done,
    number of sources).

    Raises StoreUnavailable or MergeContention when the work could not be done: calling again is safe.
    """
    found = rejected_records(lake, tables=tables, sources=sources, reasons=reasons)
    for once_stored in (Reason.REPLACED, Reason.REMOVED):
        if once_stored not in reasons:
            found = found.filter(pc.not_equal(found["reason"], once_stored.value))
    daily, ticks = (_sources(found, table) for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY))
    total = len(daily) + len(ticks)

    def after(before: int) -> Progress | None:
        return on_progress and (lambda done, _: on_progress(before + done, total))

    limit = settings.max_object_bytes
    prices = _versions(daily, staging)
    receipts = ingest_daily_prices(prices, staging=staging, lake=lake, max_bytes=limit, on_progress=after(0))
    receipts += ingest_ticks(
        _versions(ticks, staging),
        staging=staging,
        lake=lake,
        **options_of(settings),
        on_progress=after(len(daily)),
    )
    return receipts


def _versions(sources: Sequence[ObjectVersion], staging: ObjectStore) -> list[Named]:
    """The versions with rejected records that staging keeps, and each object as it is now: a person may have put a
    corrected file under the same name.
    """
    kept: dict[str, dict[str, ObjectInfo]] = {}
    for source in sources:
        if source.key not in kept:
            of_key = (info for info in staging.versions(source.key) if info.key == source.key)
            kept[source.key] = {info.etag: info for info in of_key}
    found: dict[Named, None] = {}
    for source in sources:
        versions = kept[source.key]
        wanted = [info for etag, info in versions.items() if etag == source.etag]
        found |= dict.fromkeys(info.named for info in (*wanted, *list(versions.values())[-1:]))
        if not versions:
            found[source.key] = None  # its receipt says that it is gone
    return list(found)


def _sources(found: pa.Table, target: Table) -> list[ObjectVersion]:
    """The versions of the sources of a table's rejected records, each once, the oldest first.

    So, when two of them hold different values, the one that was ingested first is the first again.
    """
    mine = found.filter(pc.equal(found["target_table"], target.name)).sort_by([("etl_loading_ts", "ascending")])
    pairs = zip(mine["source"].to_pylist(), mine["etag"].to_pylist(), strict=True)
    return list(dict.fromkeys(ObjectVersion(source, etag=etag or "") for source, etag in pairs))


def _keys_named(source: str, keys: set[str], among: str = "") -> list[str]:
    """The keys of rejected rows that a person's text names; raises StockPipelineError when there are none."""
    found = _named(source, keys)
    if not found:
        raise StockPipelineError(
            f"no rejected row comes from {source}{among}; `stock-pipeline rejects list` shows the sources"
        )
    return found


def _named(source: str, keys: Iterable[str]) -> list[str]:
    """The keys that match a person's text: a whole key, with or without its bucket, or the end of a key."""
    name = source.removeprefix("s3://").partition("/")[2] if source.startswith("s3://") else source
    return [key for key in sorted(keys) if key == name or key.endswith(f"/{name}")]
