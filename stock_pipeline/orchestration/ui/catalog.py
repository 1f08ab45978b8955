"""The metadata of the asset graph: the owners of each asset, its columns, where they come from, and the code."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import dagster as dg

from stock_pipeline.orchestration.ui.metadata import column_schema
from stock_pipeline.schemas import DATABASE, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table

OWNERS = ["team:market-data"]

BATCH, STREAM, QUALITY = "batch", "stream", "quality"
"""The groups of the asset graph: the two paths, and the rejected records of both."""

# A vendor's file may have its symbol in its file name only, and may lack columns. Raw rows have no provenance columns.
_PROVENANCE = {"source", "etl_loading_ts"}
RAW_BAR_COLUMNS = [name for name in PRICE_BY_DATE.schema.names if name not in _PROVENANCE]
RAW_TICK_COLUMNS = [name for name in STREAM_PRICES_HISTORY.schema.names if name not in _PROVENANCE]

Code = Callable[..., Any]


def described(
    columns: dg.TableSchema,
    *code: Code,
    derived_from: Mapping[str, Collection[str]] | None = None,
    table: Table | None = None,
) -> dict[str, Any]:
    """The metadata of an asset's definition.

    `code` are the functions that compute it. `derived_from` has, for each asset upstream (by its name, with slashes),
    the columns that are copied here under the same names. `table` is its table in SQL.
    """
    metadata: dict[str, Any] = {"dagster/column_schema": columns}
    if derived_from:
        lineage = column_lineage([column.name for column in columns.columns], derived_from)
        metadata = {"dagster/column_schema": _with_origins(columns, lineage), "dagster/column_lineage": lineage}
    if table:
        metadata["dagster/table_name"] = f"{DATABASE}.{table.name}"
    if code:
        metadata["dagster/code_references"] = dg.CodeReferencesMetadataValue(
            code_references=[_reference(function) for function in code]
        )
    return metadata


def description_of(table: Table, text: str) -> str:
    """The description of a table's asset: what it is, its name in SQL, where its objects are, how to query it."""
    return (
        f"{text} In SQL it is `{DATABASE}.{table.name}` (Athena in AWS, DuckDB locally). Its objects are under "
        f"`{table.prefix}` in the lake bucket. {table.to_query}"
    ).strip()


def column_lineage(columns: Collection[str], derived_from: Mapping[str, Collection[str]]) -> dg.TableColumnLineage:
    """For each column, the columns upstream that it comes from: those of the same name."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(dg.AssetKey.from_user_string(asset), column)
                for asset, theirs in derived_from.items()
                if column in theirs
            ]
            for column in columns
            if any(column in theirs for theirs in derived_from.values())
        }
    )


def raw_columns(table: Table, names: Collection[str]) -> dg.TableSchema:
    """The columns of raw rows for a table: any value may be missing, and no key is unique."""
    of_table = column_schema(table, only=names)
    return dg.TableSchema([dg.TableColumn(c.name, c.type, c.description) for c in of_table.columns])


def _with_origins(columns: dg.TableSchema, lineage: dg.TableColumnLineage) -> dg.TableSchema:
    """Columns with tags that say where they come from, because the open-source UI does not draw column lineage."""

    def tagged(column: dg.TableColumn) -> dg.TableColumn:
        deps = lineage.deps_by_column.get(column.name, [])
        tags = {dep.asset_key.to_python_identifier(): dep.column_name for dep in deps}
        return dg.TableColumn(column.name, column.type, column.description, column.constraints, tags)

    return dg.TableSchema([tagged(column) for column in columns.columns], columns.constraints)


def _reference(function: Code) -> dg.LocalFileCodeReference:
    code = function.__code__
    return dg.LocalFileCodeReference(
        file_path=code.co_filename, line_number=code.co_firstlineno, label=function.__name__
    )
