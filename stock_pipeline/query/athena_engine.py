"""Athena: start a statement, wait for it, start it again when it met an object that was replaced, return its rows.

The caller's values never become part of the statement. They are sent beside it, each as one SQL literal, which is the
form of Athena's execution parameters.

A merge replaces an object whole. Athena plans a query by the sizes that it lists and reads the objects later. AWS
documents that it does not support objects that are replaced in between: the query fails, most often with
`HIVE_FILESYSTEM_ERROR: Incorrect fileSize`. Such a statement is started again, a limited number of times.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from stock_pipeline.aws.clients import BotoCoreError, ClientError, client_of
from stock_pipeline.errors import QueryError
from stock_pipeline.query.athena_results import table_of
from stock_pipeline.settings import variable

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

TRIES = 4
"""How often a statement is started, at most."""

_FIRST_POLL, _LONGEST_POLL = 0.1, 2.0  # seconds
_FIRST_WAIT = 1.0  # seconds before the second try; doubled before each further one
_UNREAD = re.compile(
    r"\bHIVE_(FILESYSTEM_ERROR|CANNOT_OPEN_SPLIT|CURSOR_ERROR|FILE_NOT_FOUND)\b"
    r"|incorrect file ?size|not (a )?valid parquet|malformed parquet|\bPAR1\b",
    re.I,
)
"""What Athena says of an object that it could not read to its end. See its page "Troubleshooting" in the user guide."""
_FOR_GOOD = re.compile(
    r"access ?denied|forbidden|status code: 40[13]|InvalidObjectState|storage class|cannot be cast|incompatible"
    r"|mismatch|unsupported|NoSuchBucket",
    re.I,
)
"""Of these errors, those that come again however often the statement is tried."""


class _Passing(QueryError):
    """A failure that the same statement may not meet again."""


def run(statement: str, parameters: Sequence[Any], *, workgroup: str, database: str) -> pa.Table:
    """Run one statement in a workgroup and return its rows.

    Raises QueryError with Athena's message and the query's id: at once, or after `TRIES` tries if an object could not
    be read, or if Athena itself says that the statement may succeed when it is tried again.
    """
    with telling(workgroup, database) as client:
        done = retried(lambda: execute(client, statement, parameters, workgroup=workgroup, database=database))
        return table_of(statement, *_pages(client, done["QueryExecutionId"]))


@contextmanager
def telling(workgroup: str, database: str) -> Iterator[AthenaClient]:
    """A client of Athena, whose errors come as QueryError."""
    client: AthenaClient = client_of("athena")
    try:
        yield client
    except ClientError as error:
        message = error.response.get("Error", {}).get("Message", str(error))
        raise QueryError(
            f"Athena refused the statement (workgroup {workgroup}, database {database}): {message}"
        ) from error
    except BotoCoreError as error:
        raise QueryError(f"Athena cannot be reached: {error}") from error


def retried(execution: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What `execute` returns, tried again after failures that may pass. Raises QueryError as `run` does."""
    for number in range(1, TRIES):
        try:
            return execution()
        except _Passing:
            time.sleep(_FIRST_WAIT * 2 ** (number - 1) * random.uniform(0.5, 1.5))  # nosec B311
    try:
        return execution()
    except _Passing as error:
        raise QueryError(f"{error}, and so ended each of {TRIES} tries. {_remedy(str(error))}") from None


def _remedy(failure: str) -> str:
    if not _UNREAD.search(failure):
        return "Athena says that the statement may succeed later"
    return (
        "Athena cannot read an object that is replaced meanwhile: ask for days or years that nothing is written to "
        f"now, or set {variable('sql_engine')}=duckdb, which reads each object whole. If nothing is written, the "
        "object is damaged, and `stock-pipeline doctor` names it"
    )


def execute(
    client: AthenaClient, statement: str, parameters: Sequence[Any], *, workgroup: str, database: str
) -> Mapping[str, Any]:
    """Run one statement once, and return what GetQueryExecution says of it when it has succeeded."""
    given: dict[str, Any] = {"ExecutionParameters": [literal(p) for p in parameters]} if parameters else {}
    started = client.start_query_execution(
        QueryString=statement, QueryExecutionContext={"Database": database}, WorkGroup=workgroup, **given
    )
    return _finished(client, started["QueryExecutionId"])


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


def _finished(client: AthenaClient, query: str) -> Mapping[str, Any]:
    """Wait until the query has succeeded; stop it when interrupted. Raises QueryError, `_Passing` or ClientError."""
    pause = _FIRST_POLL
    try:
        while True:
            execution: Any = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
            status = execution["Status"]
            if status["State"] == "SUCCEEDED":
                return {"QueryExecutionId": query, **execution}
            if status["State"] in {"FAILED", "CANCELLED"}:
                raise _failure(query, status)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)
    except KeyboardInterrupt:
        client.stop_query_execution(QueryExecutionId=query)
        raise


def _failure(query: str, status: Mapping[str, Any]) -> QueryError:
    reason = status.get("StateChangeReason", status["State"].lower())
    passes = status.get("AthenaError", {}).get("Retryable", False)
    if _UNREAD.search(reason):
        passes = not _FOR_GOOD.search(reason)
    known = _Passing if passes and status["State"] == "FAILED" else QueryError
    return known(f"{reason} (Athena query {query})")


def _pages(client: AthenaClient, query: str) -> tuple[list[Any], list[list[str | None]]]:
    """What describes the columns of a result, and the texts of all its rows. A page has at most 1,000 rows."""
    columns: list[Any] = []
    rows: list[list[str | None]] = []
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        columns = columns or list(page["ResultSet"].get("ResultSetMetadata", {}).get("ColumnInfo", []))
        rows.extend([cell.get("VarCharValue") for cell in row["Data"]] for row in page["ResultSet"].get("Rows", []))
    return columns, rows
