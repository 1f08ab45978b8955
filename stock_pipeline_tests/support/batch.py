"""Files dropped for the batch assets, and their results."""

from __future__ import annotations

from datetime import date

import dagster as dg

from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.pipeline import Pipeline

HEADER = "Date,Open,High,Low,Close,Volume\n"


def stored(pipeline: Pipeline, year: int) -> dict[tuple[str, date], float]:
    rows = read_partition(pipeline.lake, PRICE_BY_DATE, year_partition(year))
    return {} if rows is None else {(r["symbol"], r["date"]): r["close"] for r in rows.to_pylist()}


def drop(pipeline: Pipeline, name: str, *rows: str) -> str:
    """A vendor's file in staging; returns its key."""
    key = f"daily_prices/uploads/{name}"
    pipeline.staging.put(key, (HEADER + "\n".join(rows)).encode())
    return key


def bar(day: str, close: float = 10.0) -> str:
    return f"{day},10,12,9,{close},100"


def evaluations(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    found = [e.asset_check_evaluation_data for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"]
    return {(str(e.partition), e.check_name): e for e in found}
