"""Rows of `price_by_date` for merges."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.schemas import PRICE_BY_DATE

LOADED = datetime(2024, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def bar(symbol: str = "AAPL", day: int = 2, close: float = 10.0, **more: Any) -> Row:
    values = {column.name: None for column in PRICE_BY_DATE.columns if column.nullable}
    row = {"symbol": symbol, "date": date(2024, 1, 1) + timedelta(days=day - 1), "close": close}
    return row | values | {"source": "a.csv", "etl_loading_ts": LOADED} | more


def table(*rows: Row) -> pa.Table:
    return pa.Table.from_pylist(list(rows), PRICE_BY_DATE.schema)


def outcomes(merged: Any) -> list[str]:
    return [Outcome(o).name for o in merged.outcome]
