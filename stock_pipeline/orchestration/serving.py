"""What is queried: the tables of Athena (locally DuckDB's) over the objects that the assets upstream write.

They are views of those objects, so nothing materializes them: a row is there for SQL as soon as its object is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from stock_pipeline.orchestration.ui.catalog import OWNERS, SERVING, described
from stock_pipeline.orchestration.ui.metadata import column_schema
from stock_pipeline.query import sql
from stock_pipeline.schemas import (
    DATABASE,
    LATEST_PRICES,
    PRICE_BY_DATE,
    REJECTED_RECORDS,
    STREAM_PRICES_HISTORY,
    Table,
)

_PARTITIONS = {
    PRICE_BY_DATE.name: "Give a condition on `year`, so that only the objects of those years are read.",
    STREAM_PRICES_HISTORY.name: "Give conditions on `year`, `month` and `day`, so that only those days are read.",
    LATEST_PRICES.name: "One object, read whole.",
    REJECTED_RECORDS.name: "`reason` is one of a closed list, and `raw` is the row as it came.",
}


def _table(table: Table, written_by: Mapping[str, Sequence[str]]) -> dg.AssetSpec:
    """A table in SQL and the assets whose objects it reads, each with the columns that come from it."""
    return dg.AssetSpec(
        [DATABASE, table.name],
        deps=list(written_by),
        description=(
            f"{table.description} It is `{DATABASE}.{table.name}` in SQL, which Athena runs in AWS and DuckDB locally. "
            f"{_PARTITIONS[table.name]}"
        ),
        group_name=SERVING,
        owners=OWNERS,
        kinds={"athena", "table"},
        tags={"layer": "serving"},
        metadata=described(column_schema(table), sql, derived_from=written_by, table=table),
    )


TABLES = [
    _table(PRICE_BY_DATE, {"price_by_date": PRICE_BY_DATE.schema.names}),
    _table(STREAM_PRICES_HISTORY, {"price_by_date_stream": STREAM_PRICES_HISTORY.schema.names}),
    _table(LATEST_PRICES, {"latest_stream_prices": LATEST_PRICES.schema.names}),
    # Rows that were rejected share no column with those that were not; where they came from is in each of them.
    _table(REJECTED_RECORDS, {"price_by_date": [], "price_by_date_stream": []}),
]
