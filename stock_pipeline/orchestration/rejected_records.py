"""The table of rejected records as an asset, and the metadata of the ingests that wrote to it.

Dagster does not materialize it by itself: an ingest writes its table and its rejected records together, and reports
both. So this asset depends on the raw objects that its rows come from, not on the tables.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.orchestration.ui.catalog import OWNERS, QUALITY, described, description_of
from stock_pipeline.orchestration.ui.metadata import beside_metadata, column_schema
from stock_pipeline.query import sql
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import REJECTED_RECORDS

rejected_records = dg.AssetSpec(
    REJECTED_RECORDS.name,
    deps=["raw_daily_prices", "daily_price_uploads", "raw_stream_ticks"],
    description=description_of(
        REJECTED_RECORDS,
        f"{REJECTED_RECORDS.description} One object has the records of one raw object. The ingest that fills "
        "price_by_date or stream_prices_history writes it, and replaces it when the raw object is ingested again.",
    ),
    group_name=QUALITY,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "rejected"},
    # A rejected record has no columns of the raw row. It has the row as it came, and the key of its object.
    metadata=described(column_schema(REJECTED_RECORDS), ingest_daily_prices, ingest_ticks, sql, table=REJECTED_RECORDS),
)


def with_rejected(receipts: Iterable[Receipt]) -> list[Receipt]:
    """The receipts of ingests that wrote rejected records: rejected rows, conflicts, refused files."""
    return [r for r in receipts if r.etag and (r.rejected_rows or r.conflicts or r.refused)]


def report_rejected(context: dg.AssetExecutionContext, receipts: Iterable[Receipt], lake: ObjectStore) -> None:
    """If the ingests of a run wrote rejected records, report that as well."""
    if own := with_rejected(receipts):
        context.log_event(
            dg.AssetMaterialization(rejected_records.key, metadata=beside_metadata(REJECTED_RECORDS, own, lake))
        )
