"""The table of trades that were taken back, as an asset. The ingest of ticks writes it."""

from __future__ import annotations

import dagster as dg

from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.orchestration.ui.catalog import OWNERS, STREAM, described, description_of
from stock_pipeline.orchestration.ui.metadata import column_schema
from stock_pipeline.query import sql
from stock_pipeline.schemas import TRADE_CORRECTIONS

trade_corrections = dg.AssetSpec(
    TRADE_CORRECTIONS.name,
    deps=["raw_stream_ticks"],
    description=description_of(TRADE_CORRECTIONS, TRADE_CORRECTIONS.description),
    group_name=STREAM,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "clean"},
    metadata=described(column_schema(TRADE_CORRECTIONS), ingest_ticks, sql, table=TRADE_CORRECTIONS),
)
