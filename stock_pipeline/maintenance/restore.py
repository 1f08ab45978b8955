"""Puts an old version of a partition object back, and makes the ingests again that came after it.

The lake bucket keeps the versions of each object. The logs of the newer versions (`lake.ingest_log`) say which ingests
the old one lacks, in which order, and how each source was read. `latest_prices` has no log: it is computed again from
history.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pyarrow as pa

from stock_pipeline.errors import DamagedObject, MergeContention, ObjectNotFound, StockPipelineError
from stock_pipeline.ingest.daily import hints_of, ingest_daily_prices, symbol_of
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.ingest_log import IngestLog, Logged
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import decode, encode, footer
from stock_pipeline.lake.partitions import partition_key, swap, write_revisions
from stock_pipeline.lake.remembered import remembered_of
from stock_pipeline.lake.revisions import succeeded
from stock_pipeline.lake.transforms import SNAPSHOT, year_partition
from stock_pipeline.maintenance.snapshot import refresh
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings

RESTORABLE = {table.name: table for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY, LATEST_PRICES)}
"""The tables whose objects can be restored."""


@dataclass(frozen=True)
class Plan:
    """What a restore does: the version to put back (`info`, with `rows` rows, over the version `etag`), and the ingests
    to make again, in their order.

    `former` is the last version of today's rows that can be read, None if there is none. `missing` are ingests whose
    raw object is no longer in staging, `unreadable` is how many newer versions of the object cannot be read, and
    `removed` are sources that a person removed since and whose rows come back.
    """

    table: Table
    partition: str
    info: ObjectInfo
    rows: int
    data: bytes
    former: bytes | None
    etag: str | None
    again: list[tuple[ObjectInfo, Logged]]
    missing: list[Logged]
    unreadable: int
    removed: list[str]


@dataclass(frozen=True)
class _Content:
    """A readable version of a partition object: its log, and when each source without an entry stored rows."""

    rows: int
    log: IngestLog
    unlogged: frozenset[tuple[str, datetime]]
    sources: frozenset[str]


def partition_named(table: Table, text: str) -> str:
    """The partition that a person names: `2024` or `year=2024`; `2024-06-03T14:30` or its folder; `latest`."""
    if table is PRICE_BY_DATE and re.fullmatch(r"\d{4}", text):
        return year_partition(int(text))
    if table is STREAM_PRICES_HISTORY and (found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):?(\d\d)", text)):
        year, month, day, hour, minute = found.groups()
        return f"year={year}/month={month}/day={day}/{hour}{minute}"
    return SNAPSHOT if table is LATEST_PRICES else text.strip("/")


def versions_of(lake: ObjectStore, table: Table, partition: str) -> list[ObjectInfo]:
    """The versions of a partition object that the bucket keeps, oldest first. Raises StockPipelineError for none."""
    key = partition_key(table, partition)
    found = [info for info in lake.versions(key) if info.key == key]
    if not found:
        raise StockPipelineError(f"{table.name} has no partition {partition}: the lake has no version of {key}")
    return found


def plan_restore(
    table: Table,
    partition: str,
    *,
    staging: ObjectStore,
    lake: ObjectStore,
    version: str = "",
    before: datetime | None = None,
) -> Plan:
    """What a restore of a version (its id, or the last one written before a time) would do. Writes nothing.

    Raises StockPipelineError when there is no such version, or when it cannot be read or is the present one, and
    MergeContention when another writer was at work meanwhile.
    """
    kept = versions_of(lake, table, partition)
    at = _chosen(kept, version, before)
    key, now = kept[0].key, _present(lake, kept[0].key)
    if now is not None and now.etag != kept[-1].etag:
        raise MergeContention(
            f"{key} was rewritten while its versions were listed. Nothing was restored: run this again"
        )
    if now is not None and at == len(kept) - 1:
        raise StockPipelineError(f"this version of {key} is the present one, so there is nothing to restore")
    data = lake.get(key, version=kept[at].version).data
    old = _content(data, table, key)
    newer = [_tried(lake, info, table) for info in kept[at + 1 :]]
    readable = [content for content, _ in newer if content]
    former = next((data for content, data in reversed(newer) if content), None)
    again, missing = _located(_lacking(old, readable), staging) if table is not LATEST_PRICES else ([], [])
    memory = remembered_of(lake, table, old.sources) if table is not LATEST_PRICES else {}
    removed = [source for source, known in memory.items() if any(one.removed for one in known.values())]
    etag = now.etag if now else None
    return Plan(
        table, partition, kept[at], old.rows, data, former, etag, again, missing, len(newer) - len(readable),
        sorted(removed),
    )  # fmt: skip


def restore(
    plan: Plan, *, staging: ObjectStore, lake: ObjectStore, settings: Settings, now: datetime | None = None
) -> list[Receipt]:
    """Put the version back and make the ingests again. Returns a receipt for each.

    Of a table with revisions, the rows that change or go are put on record before, as by a rebuild. After a stop in
    between, `reconcile --all` finds what is missing. Raises MergeContention when another writer has changed the object
    since the plan was made: nothing is restored then.
    """
    now = now or datetime.now(UTC)
    if not swap(lake, plan.info.key, _put_on_record(plan, lake, now), plan.etag):
        raise MergeContention(f"{plan.info.key} was rewritten meanwhile. Nothing was restored: run this again")
    if plan.table is LATEST_PRICES:
        refresh(settings, lake)
        return []
    return _ingested(plan, staging, lake, settings, now + timedelta(microseconds=1))  # after what was put back


def _put_on_record(plan: Plan, lake: ObjectStore, now: datetime) -> bytes:
    """Write the revisions that the restore makes. Returns what to put back."""
    table, key = plan.table, plan.info.key
    if not table.revisions or plan.former is None:
        return plan.data
    old = decode(plan.data, table, key, to_write=True)
    rows, revised = succeeded(decode(plan.former, table, key, to_write=True), old, table, now)
    if revised.num_rows:
        write_revisions(lake, table, plan.partition, revised)
    return encode(rows, table, IngestLog.of_footer(footer(plan.data)).in_footer())


def _ingested(plan: Plan, staging: ObjectStore, lake: ObjectStore, settings: Settings, now: datetime) -> list[Receipt]:
    if plan.table is STREAM_PRICES_HISTORY:
        names = [info.named for info, _ in plan.again]
        return ingest_ticks(names, staging=staging, lake=lake, **options_of(settings), now=now)
    receipts: list[Receipt] = []
    for (replace, options), some in groupby(plan.again, lambda pair: (pair[1].replace, pair[1].options)):
        receipts += ingest_daily_prices(
            [info.named for info, _ in some],
            staging=staging,
            lake=lake,
            replace=replace,
            symbol=symbol_of(options),
            hints=hints_of(options),
            max_bytes=settings.max_object_bytes,
            now=now + timedelta(microseconds=len(receipts)),  # each ingest has its own time
        )
    return receipts


def _chosen(kept: Sequence[ObjectInfo], version: str, before: datetime | None) -> int:
    for at in reversed(range(len(kept))):
        if kept[at].version == version if version else before is None or kept[at].modified < before:
            return at
    what = f"version {version}" if version else f"version from before {before:%Y-%m-%d %H:%M:%S %Z}"
    raise StockPipelineError(
        f"the lake has no {what} of {kept[0].key}; its oldest is of {kept[0].modified:%Y-%m-%d %H:%M:%S} UTC. Without "
        "--version and --before, this command lists the versions"
    )


def _present(lake: ObjectStore, key: str) -> ObjectInfo | None:
    try:
        return lake.get(key).info
    except ObjectNotFound:
        return None


def _content(data: bytes, table: Table, key: str) -> _Content:
    try:
        names = [name for name in table.provenance if name in ("source", "etl_loading_ts")]
        rows, log = decode(data, table, key, names), IngestLog.of_footer(footer(data))
    except (DamagedObject, pa.ArrowException, ValueError) as error:
        raise StockPipelineError(f"this version of {key} cannot be read ({error}); restore an older one") from error
    if "source" not in names:
        return _Content(rows.num_rows, log, frozenset(), frozenset())
    sources = rows["source"].cast(pa.string()).to_pylist()
    loaded = zip(sources, rows["etl_loading_ts"].to_pylist(), strict=True)
    unlogged = frozenset(pair for pair in set(loaded) if pair[0] not in log.sources)
    return _Content(rows.num_rows, log, unlogged, frozenset(sources))


def _tried(lake: ObjectStore, info: ObjectInfo, table: Table) -> tuple[_Content | None, bytes]:
    data = lake.get(info.key, version=info.version).data
    try:
        return _content(data, table, info.key), data
    except StockPipelineError:
        return None, data


def _lacking(old: _Content, newer: Iterable[_Content]) -> list[Logged]:
    """The ingests that newer versions have and an old one lacks, in their order. A source without a log has no ETag."""
    added: Counter[tuple[str, str]] = Counter()
    unlogged: dict[str, datetime] = {}
    found: list[Logged] = []
    for content in newer:
        for source, loaded in content.unlogged - old.unlogged:
            if source not in old.log.sources:
                unlogged[source] = max(loaded, unlogged.get(source, loaded))
        times: Counter[tuple[str, str]] = Counter()
        for entry in content.log.entries:
            identity = entry.source, entry.etag
            times[identity] += 1
            if times[identity] > old.log.times(*identity) + added[identity]:
                added[identity] += 1
                found.append(entry)
    return [*(Logged(source, "") for source in sorted(unlogged, key=lambda s: unlogged[s])), *found]


def _located(entries: Sequence[Logged], staging: ObjectStore) -> tuple[list[tuple[ObjectInfo, Logged]], list[Logged]]:
    """The raw objects of ingests, and the ingests whose raw object is gone."""
    there: dict[str, list[ObjectInfo]] = {}
    for source in dict.fromkeys(entry.source for entry in entries):
        there[source] = [info for info in staging.versions(source) if info.key == source]
    found: list[tuple[ObjectInfo, Logged]] = []
    missing: list[Logged] = []
    for entry in entries:
        versions = [info for info in there[entry.source] if not entry.etag or info.etag == entry.etag]
        found += [(info, entry) for info in (versions[:1] if entry.etag else versions)]
        if not versions:
            missing.append(entry)
    return found, missing
