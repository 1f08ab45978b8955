"""Receipts as materializations: which assets and partitions an ingest changed, and the metadata of each.

The metadata come from the functions that the assets' own runs use. So a year looks the same, whether Dagster or Lambda
wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import dagster as dg

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.transforms import day_of, year_of
from stock_pipeline.maintenance.snapshot import stored_snapshot
from stock_pipeline.orchestration.batch.assets import (
    daily_price_uploads,
    price_by_date,
    raw_daily_prices,
    year_metadata,
)
from stock_pipeline.orchestration.batch.price_revisions import price_revisions, with_revised
from stock_pipeline.orchestration.partitions import DAILY, has_day, has_year
from stock_pipeline.orchestration.rejected_records import rejected_records, with_rejected
from stock_pipeline.orchestration.stream.assets import latest_prices, raw_stream_ticks, stream_prices_history
from stock_pipeline.orchestration.stream.reports import day_reports, snapshot_report
from stock_pipeline.orchestration.ui.metadata import Metadata, beside_metadata, noteworthy, receipts_metadata
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS, REJECTED_RECORDS, STREAM_PRICES_HISTORY
from stock_pipeline.staging.keys import RAW_TICKS, UPLOADS
from stock_pipeline.staging.keys import session_of as session_named

Named = TypeVar("Named", int, date)

RECEIPT_IDS = "receipt_ids"
"""The metadata entry with the ids of the receipts that a materialization shows. It reveals a second delivery."""

_CLOCKS = 3600.0  # seconds that the clocks of Lambda and Dagster may differ by
_LOOKED_AT = 200  # materializations

# The order of the events: raw before clean, history before the snapshot, former versions and rejected rows last.
_ORDER = [
    spec.key
    for spec in (
        raw_daily_prices, daily_price_uploads, price_by_date,
        raw_stream_ticks, stream_prices_history, latest_prices, price_revisions, rejected_records,
    )
]  # fmt: skip
_BESIDE = {price_revisions.key: PRICE_REVISIONS, rejected_records.key: REJECTED_RECORDS}


@dataclass(frozen=True)
class Target:
    """An asset, or a partition of one, that an ingest changed."""

    asset: dg.AssetKey
    partition: str | None = None

    def __str__(self) -> str:
        return f"{self.asset.to_user_string()} {self.partition or ''}".rstrip()

    @property
    def years(self) -> list[int]:
        """The year, if this is a partition of `price_by_date`: it needs its checks."""
        return [int(self.partition)] if self.asset == price_by_date.key and self.partition else []

    @property
    def order(self) -> tuple[int, str]:
        """Sorts targets in the order of `_ORDER`."""
        return _ORDER.index(self.asset), self.partition or ""


def targets_of(receipt: Receipt) -> list[Target]:
    """The targets of a receipt that are partitions in Dagster (`without_partition` has the others).

    Raises ValueError when its table or one of its partitions is not one of this pipeline.
    """
    rejected = [Target(rejected_records.key)] if with_rejected([receipt]) else []
    if receipt.table == PRICE_BY_DATE.name:
        years = [Target(price_by_date.key, str(year)) for year in _years(receipt) if has_year(year)]
        revised = [Target(price_revisions.key)] if with_revised([receipt]) else []
        return [*_raw_prices(receipt), *years, *revised, *rejected]
    days = _days(receipt)
    history = [Target(stream_prices_history.key, day.isoformat()) for day in days if has_day(day)]
    return [Target(raw_stream_ticks.key), *history, *([Target(latest_prices.key)] if days else []), *rejected]


def without_partition(receipt: Receipt) -> list[str]:
    """The stored parts of a receipt that Dagster has no partitions for, in words."""
    if receipt.table != PRICE_BY_DATE.name:
        return [day.isoformat() for day in _days(receipt) if not has_day(day)]
    session = session_of(receipt)
    unknown = [session.partition] if session and session.partition and not _exists(session) else []
    return [*unknown, *(str(year) for year in _years(receipt) if not has_year(year))]


def warnings_of(receipts: Sequence[Receipt]) -> Iterator[str]:
    """What a log warns of: what of the sources was not taken as it came, and what is no partition in Dagster."""
    yield from noteworthy(receipts)
    for receipt in receipts:
        if left_out := without_partition(receipt):
            yield f"{receipt.source} was stored in {', '.join(left_out)}, no partitions in Dagster"


def session_of(receipt: Receipt) -> Target | None:
    """The partition of `raw_daily_prices` for a generated object. It may not exist yet, or never."""
    found = session_named(receipt.source) if receipt.table == PRICE_BY_DATE.name else None
    return Target(raw_daily_prices.key, found) if found else None


def is_to_come(receipt: Receipt) -> bool:
    """Whether the session of a receipt becomes a partition later: at midnight UTC, hours after its close."""
    session = session_of(receipt)
    return bool(session and not _exists(session) and session.partition == f"{datetime.now(UTC):%Y-%m-%d}")


def _exists(session: Target) -> bool:
    return bool(session.partition and DAILY.has_partition_key(session.partition))


def by_target(receipts: Iterable[Receipt]) -> dict[Target, list[Receipt]]:
    """The receipts of each asset or partition that they changed, in the order of the events."""
    found: dict[Target, list[Receipt]] = {}
    for receipt in receipts:
        for target in targets_of(receipt):
            found.setdefault(target, []).append(receipt)
    return {target: found[target] for target in sorted(found, key=lambda target: target.order)}


def materialization(
    target: Target, receipts: Sequence[Receipt], staging: ObjectStore, lake: ObjectStore
) -> dg.AssetMaterialization:
    """The event of a target that ingests changed, with the metadata of the assets' own runs, read from the lake now."""
    metadata: dict[str, Any] = dict(_metadata(target, receipts, staging, lake))
    metadata[RECEIPT_IDS] = dg.MetadataValue.json(sorted(receipt.id for receipt in receipts))
    return dg.AssetMaterialization(target.asset, partition=target.partition, metadata=metadata)


def shown(instance: dg.DagsterInstance, target: Target, receipts: Sequence[Receipt]) -> set[str]:
    """The ids of the receipts that a materialization of the target shows already."""
    found: set[str] = set()
    since = min(receipt.started_at.timestamp() for receipt in receipts) - _CLOCKS
    for metadata in _recent(instance, target, since):
        found.update(ids if isinstance(ids := metadata.get(RECEIPT_IDS), list) else ())
    if target.asset == raw_daily_prices.key:
        # If Dagster simulated the session, its own run shows it, also when a Lambda function ingests it.
        known = [_identity(metadata) for metadata in _recent(instance, target, None)]
        found.update(r.id for r in receipts if _identity(_plain(_session(r, ""))) in known)
    return found & {receipt.id for receipt in receipts}


def _recent(instance: dg.DagsterInstance, target: Target, since: float | None) -> Iterator[Mapping[str, Any]]:
    partitions = [target.partition] if target.partition else None
    records = dg.AssetRecordsFilter(target.asset, asset_partitions=partitions, after_timestamp=since)
    for record in instance.fetch_materializations(records, limit=_LOOKED_AT if since else 5).records:
        if done := record.asset_materialization:
            yield _plain(done.metadata)


def _plain(metadata: Metadata) -> Mapping[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def _identity(metadata: Mapping[str, Any]) -> tuple[str, int, int]:
    """Key, size and rows of the raw object of a session's materialization."""
    key = str(metadata.get("dagster/uri", "")).partition("://")[2].partition("/")[2]
    return key, int(metadata.get("bytes", -1)), int(metadata.get("dagster/row_count", -1))


def _metadata(target: Target, receipts: Sequence[Receipt], staging: ObjectStore, lake: ObjectStore) -> Metadata:
    if target.asset == price_by_date.key and target.partition:
        return year_metadata(lake, int(target.partition), receipts)
    if target.asset == stream_prices_history.key and target.partition:
        day = date.fromisoformat(target.partition)
        return day_reports(lake, [_of_day(receipt, day) for receipt in receipts])[day]
    if target.asset == latest_prices.key:
        return snapshot_report(stored_snapshot(lake), lake, receipts)
    if target.asset in _BESIDE:
        return beside_metadata(_BESIDE[target.asset], receipts, lake)
    if target.asset == raw_daily_prices.key:
        return _session(max(receipts, key=lambda receipt: receipt.loaded_at), staging.bucket)
    prefix = RAW_TICKS if target.asset == raw_stream_ticks.key else UPLOADS
    return {
        "dagster/uri": dg.MetadataValue.text(f"s3://{staging.bucket}/{prefix}"),
        "bytes": dg.MetadataValue.int(sum(receipt.bytes for receipt in receipts)),
        **receipts_metadata(receipts),
    }


def _session(receipt: Receipt, bucket: str) -> Metadata:
    """The metadata that `raw_daily_prices` shows for a session's object."""
    return {
        "dagster/row_count": dg.MetadataValue.int(receipt.rows),
        "dagster/uri": dg.MetadataValue.text(f"s3://{bucket}/{receipt.source}"),
        "bytes": dg.MetadataValue.int(receipt.bytes),
    }


def _of_day(receipt: Receipt, day: date) -> Receipt:
    """The receipt with the partitions of one day. Its counts stay those of the whole source."""
    return replace(receipt, partitions={name: n for name, n in receipt.partitions.items() if day_of(name) == day})


def _raw_prices(receipt: Receipt) -> list[Target]:
    session = session_of(receipt)
    if not session:
        return [Target(daily_price_uploads.key)]
    return [session] if _exists(session) else []


def _years(receipt: Receipt) -> list[int]:
    """The years of a receipt. If a session's object has no good row, it is the year of the session."""
    years = _partitions(receipt, year_of)
    if not years and (session := session_named(receipt.source)):
        return [int(session[:4])]
    return years


def _days(receipt: Receipt) -> list[date]:
    if receipt.table != STREAM_PRICES_HISTORY.name:
        raise ValueError(f"the receipt of {receipt.source} names an unknown table")
    return _partitions(receipt, day_of)


def _partitions(receipt: Receipt, named: Callable[[str], Named]) -> list[Named]:
    """The years or days in the names of a receipt's partitions, sorted."""
    try:
        return sorted({named(partition) for partition in receipt.partitions})
    except ValueError as error:
        raise ValueError(f"the receipt of {receipt.source} names no partition of {receipt.table}: {error}") from error
