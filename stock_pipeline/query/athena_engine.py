"""Athena: start the statement, wait, page through the result, type it as Arrow.

The caller's values never become part of the statement. They are sent beside it, each as one SQL literal, which is the
form of Athena's execution parameters.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from botocore.exceptions import BotoCoreError, ClientError

from stock_pipeline.aws.clients import client_of
from stock_pipeline.errors import QueryError

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0  # seconds
_TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
}


def run(statement: str, parameters: Sequence[Any], *, workgroup: str, database: str) -> pa.Table:
    """Run one statement in a workgroup; raises QueryError with Athena's message and the query's id."""
    client: AthenaClient = client_of("athena")
    given: dict[str, Any] = {"ExecutionParameters": [literal(p) for p in parameters]} if parameters else {}
    try:
        started = client.start_query_execution(
            QueryString=statement, QueryExecutionContext={"Database": database}, WorkGroup=workgroup, **given
        )
        kind = _wait(client, started["QueryExecutionId"])
        return _result(client, started["QueryExecutionId"], kind)
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", str(error))
        raise QueryError(
            f"Athena refused the statement (workgroup {workgroup}, database {database}): {message}"
        ) from error
    except BotoCoreError as error:
        raise QueryError(f"Athena cannot be reached: {error}") from error


def literal(value: Any) -> str:
    """A parameter as a SQL literal. A text stays a text, even when it contains quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value  # the tables' times are in UTC and have no zone
        return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S.%f}'"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"CAST('{value!r}' AS DOUBLE)"
    return "'" + str(value).replace("'", "''") + "'"


def _wait(client: AthenaClient, query: str) -> str:
    """Wait until the query has succeeded and return its kind (DML, DDL, UTILITY); stop it when interrupted."""
    pause = _FIRST_POLL
    try:
        while True:
            execution = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            state = execution["Status"]["State"]
            if state == "SUCCEEDED":
                return execution.get("StatementType", "DML")
            if state in {"FAILED", "CANCELLED"}:
                reason = execution["Status"].get("StateChangeReason", state.lower())
                raise QueryError(f"{reason} (Athena query {query})")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)
    except KeyboardInterrupt:
        client.stop_query_execution(QueryExecutionId=query)
        raise


def _result(client: AthenaClient, query: str, kind: str) -> pa.Table:
    columns: list[Any] = []
    rows: list[list[str | None]] = []
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        columns = columns or list(page["ResultSet"].get("ResultSetMetadata", {}).get("ColumnInfo", []))
        rows.extend(_cells(page["ResultSet"].get("Rows", [])))
    names = [c["Name"] for c in columns]
    if kind == "DML" and rows and rows[0] == names:  # only a SELECT's result begins with its column names
        del rows[0]
    texts = zip(*rows, strict=True) if rows else ([] for _ in names)
    return pa.table([_typed(list(t), c) for t, c in zip(texts, columns, strict=True)], names=names)


def _cells(rows: Sequence[Any]) -> Iterator[list[str | None]]:
    for row in rows:
        yield [cell.get("VarCharValue") for cell in row["Data"]]


def _typed(texts: list[str | None], column: Any) -> pa.Array:
    """Athena's texts, converted to the column's type. Arrays, maps, rows and times of day stay text."""
    kind = column["Type"]
    values = pa.array(texts, pa.string())
    if kind == "timestamp":
        return values.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if kind == "decimal":
        return values.cast(pa.decimal128(column.get("Precision") or 38, column.get("Scale") or 0))
    return values.cast(_TYPES[kind]) if kind in _TYPES else values
