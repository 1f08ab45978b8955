"""DuckDB over the lake's Parquet objects, shut off from everything else.

The objects come through the object store as Arrow datasets (`lake_dataset`). The connection cannot reach any file,
network or Python object except these tables, and its configuration is locked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.query.bounded import Limits, rows_of
from stock_pipeline.query.lake_dataset import Fetches, LakeDataset
from stock_pipeline.schemas import TABLES, Table
from stock_pipeline.settings import Settings

_READING = {"SELECT", "EXPLAIN", "MULTI"}  # MULTI is what PIVOT expands to
_COMPARISON = r"[=<>]|\bin\b|\bbetween\b"


def run(
    statement: str, parameters: Sequence[Any], store: ObjectStore, database: str, limits: Limits | None = None
) -> pa.Table:
    """Run one statement within limits (by default those of the settings).

    Raises QueryError with DuckDB's message, or the error of the store; KeyboardInterrupt when a person stops it.
    """
    limits = limits or Limits.of(Settings())
    with closing(Fetches(store)) as fetches, duckdb.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{database}"')
        for table in _mentioned(statement):
            coded = [name for name in table.dictionary if not _compared(statement, name)]
            connection.register(table.name, LakeDataset(table, coded, store, fetches))
            connection.execute(f'CREATE VIEW "{database}"."{table.name}" AS FROM "{table.name}"')
        connection.execute(
            f"SET memory_limit = '{limits.memory_mb}MiB'; "
            "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET enable_external_access = false; "
            "SET lock_configuration = true"
        )
        try:
            _refuse_writes(connection, statement)
            rows = rows_of(connection, statement, parameters, limits, fetches.stop)
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            if failure := fetches.failure():
                raise failure from None
            raise QueryError(_told(str(error).strip())) from error
        if failure := fetches.failure():  # DuckDB took the end of a scan for the end of its rows
            raise failure
        return _plain(rows)


def _told(message: str) -> str:
    """DuckDB's message. For an unknown table it lists the tables of the lake, instead of DuckDB's guess."""
    if message.startswith("Catalog Error: Table with name"):
        return f"{message.splitlines()[0]} The tables are {', '.join(TABLES)}."
    return message


def _mentioned(statement: str) -> list[Table]:
    """The tables that a statement may name. Only these are listed in the store. A table that was not listed would look
    empty, so this takes in every table that the text may mean.
    """
    text = statement.lower()
    if text.startswith("show") or "information_schema" in text:
        return list(TABLES.values())
    return [t for t in TABLES.values() if t.name in text]


def _refuse_writes(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    kinds = [s.type.name for s in connection.extract_statements(statement)]
    if len(kinds) != 1:
        raise QueryError(f"one statement at a time; this text holds {len(kinds)}")
    if kinds[0] not in _READING:
        raise QueryError(f"{kinds[0]} is not allowed: SQL here only reads (SELECT, WITH, DESCRIBE, SHOW, EXPLAIN)")


def _compared(statement: str, column: str) -> bool:
    """Whether a statement may have a condition on a column, by which row groups could be skipped."""
    before, after = rf"\b{column}\b[\")\s]*({_COMPARISON})", rf"({_COMPARISON})[\s(\"]*(\w+\.)?\"?{column}\b"
    return re.search(f"{before}|{after}", statement, re.I) is not None


def _plain(rows: pa.Table) -> pa.Table:
    """DuckDB returns sums of bigint as 38-digit decimals. Where they fit they become bigint, as in Athena."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                rows = rows.set_column(at, field.name, rows[at].cast(pa.int64()))
            except pa.ArrowInvalid:
                continue
    return rows
