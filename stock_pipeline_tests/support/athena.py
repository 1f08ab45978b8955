"""An Athena on loopback, in the documented forms of the real one: its API, its results, its limits. SQL runs in DuckDB.

What the service does and emulators leave out: a SELECT's first row is its names, a page has 1,000 rows, times have
milliseconds; DESCRIBE and SHOW answer in tab-separated lines; UNLOAD writes files without an order into a folder that
must be empty, with a manifest of them; a projection has nothing outside of its range; a statement fails when an object
is replaced while it runs.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.lake.parquet import decode
from stock_pipeline.lake.partitions import partition_of
from stock_pipeline.query import athena_engine, projected
from stock_pipeline.schemas import DATABASE, TABLES, Table

PAGE = 1_000  # rows that GetQueryResults gives at most, the row of names among them
_UNLOAD = re.compile(r"UNLOAD \((?P<select>.*)\) TO 's3://(?P<bucket>[^/]+)/(?P<prefix>[^']+)' WITH \((.*)\)", re.S)
_KINDS: dict[str, Callable[[pa.DataType], bool]] = {
    "boolean": pa.types.is_boolean,
    "bigint": pa.types.is_int64,
    "integer": pa.types.is_integer,
    "double": pa.types.is_floating,
    "date": pa.types.is_date,
    "timestamp": pa.types.is_timestamp,
    "decimal": pa.types.is_decimal,
}


def down(at: datetime) -> datetime:
    """A time cut to the millisecond."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def half_up(at: datetime) -> datetime:
    """A time rounded to the millisecond."""
    return down(at + timedelta(microseconds=500))


class Refused(Exception):
    """Why a statement fails: Athena's StateChangeReason, and its AthenaError."""

    def __init__(self, reason: str, error: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.error = reason, error or {}


@dataclass
class FakeAthena:
    """The service, over the objects of a lake. Its attributes may be changed between two statements."""

    lake: str
    results: str = "s3://lake/athena_results/"
    rounded: Callable[[datetime], datetime] = half_up
    years: dict[str, tuple[int, int]] = field(default_factory=dict)
    failures: list[Refused] = field(default_factory=list)
    """What the next statements fail with, one each."""
    listings: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """Answers to statements: the names of the columns, and the lines."""
    statements: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    int96: bool = False
    manifest: bool = True
    waits: int = 0
    """How often the next statements are still running when somebody asks."""
    done: dict[str, dict[str, Any]] = field(default_factory=dict)

    def reset(self) -> None:
        """Begin anew, with an empty lake and without tables in Glue."""
        for name in [f.name for f in fields(self) if f.name != "lake"]:
            setattr(self, name, getattr(FakeAthena(self.lake), name))
        s3, glue = boto3.client("s3"), boto3.client("glue")
        for info in list(S3Store(self.lake).list("")):
            s3.delete_object(Bucket=self.lake, Key=info.key)
        for found in glue.get_databases()["DatabaseList"]:
            glue.delete_database(Name=found["Name"])
        projected._years_of.cache_clear()

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        self.calls.append(operation)
        return getattr(self, f"_{operation}")(asked)  # type: ignore[no-any-return]

    def _GetWorkGroup(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        where = {"OutputLocation": self.results} if self.results else {}
        return {"WorkGroup": {"Name": asked["WorkGroup"], "Configuration": {"ResultConfiguration": where}}}

    def _StartQueryExecution(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        name = str(uuid.uuid5(uuid.NAMESPACE_OID, asked["ClientRequestToken"]))
        if name in self.done:  # a call that is repeated starts nothing
            return {"QueryExecutionId": name}
        self.statements.append(asked["QueryString"])
        execution: dict[str, Any] = {"QueryExecutionId": name, "Query": asked["QueryString"], "StatementType": "DML"}
        try:
            if self.failures:
                raise self.failures.pop(0)
            self._run(execution, _with_values(asked["QueryString"], asked.get("ExecutionParameters", [])))
            execution["Status"] = {"State": "SUCCEEDED"}
        except Refused as why:
            execution["Status"] = {"State": "FAILED", "StateChangeReason": why.reason, "AthenaError": why.error}
        except duckdb.Error as error:
            execution["Status"] = {"State": "FAILED", "StateChangeReason": str(error)}
        self.done[name] = execution
        return {"QueryExecutionId": name}

    def _GetQueryExecution(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        execution = self.done[asked["QueryExecutionId"]]
        if self.waits:
            self.waits -= 1
            return {"QueryExecution": {**execution, "rows": [], "columns": [], "Status": {"State": "RUNNING"}}}
        return {"QueryExecution": {k: v for k, v in execution.items() if k not in {"rows", "columns"}}}

    def _StopQueryExecution(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.stopped.append(asked["QueryExecutionId"])
        return {}

    def _GetQueryResults(self, asked: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        execution = self.done[asked["QueryExecutionId"]]
        start = int(asked.get("NextToken", 0))
        rows = execution.get("rows", [])
        page = [{"Data": [{} if t is None else {"VarCharValue": t} for t in row]} for row in rows[start : start + PAGE]]
        more = {"NextToken": str(start + PAGE)} if start + PAGE < len(rows) else {}
        return {"ResultSet": {"Rows": page, "ResultSetMetadata": {"ColumnInfo": execution.get("columns", [])}}, **more}

    def _run(self, execution: dict[str, Any], statement: str) -> None:
        if found := _UNLOAD.fullmatch(statement):
            self._unload(execution, found["select"], found["bucket"], found["prefix"])
        elif statement in self.listings:
            names, lines = self.listings[statement]
            execution["StatementType"] = "UTILITY"
            execution["columns"] = [{"Name": name, "Type": "string"} for name in names]
            execution["rows"] = [[line] for line in lines]
        else:
            found_rows = self._select(statement)
            execution["columns"] = [{"Name": f.name, "Type": _kind(f.type)} for f in found_rows.schema]
            texts = [[_text(value) for value in column.to_pylist()] for column in found_rows.columns]
            execution["rows"] = [list(found_rows.schema.names), *(list(row) for row in zip(*texts, strict=True))]

    def _unload(self, execution: dict[str, Any], select: str, bucket: str, prefix: str) -> None:
        store = S3Store(bucket)
        if any(store.list(prefix)):
            raise Refused(f"HIVE_PATH_ALREADY_EXISTS: Target directory already exists: s3://{bucket}/{prefix}")
        rows = self._select(select)
        if len(set(rows.schema.names)) < rows.num_columns:
            raise Refused("DUPLICATE_COLUMN_NAME: Column name specified more than once")
        rows = rows.cast(pa.schema([pa.field(f.name, _stored(f.type)) for f in rows.schema]))
        urls = []
        for number in reversed(range(min(rows.num_rows, 3))):  # parts without an order among them
            part, data = rows.take(pa.array(range(number, rows.num_rows, 3))), pa.BufferOutputStream()
            pq.write_table(part, data, compression="snappy", use_deprecated_int96_timestamps=self.int96)
            key = f"{prefix}{uuid.uuid4().hex}"
            store.put(key, data.getvalue().to_pybytes())
            urls.append(f"s3://{bucket}/{key}\n")
        if self.manifest:
            given_up = pa.BufferOutputStream()
            pq.write_table(rows, given_up)  # what a try left that Athena itself gave up
            store.put(f"{prefix}given-up", given_up.getvalue().to_pybytes())
            place = f"{self.results}{execution['QueryExecutionId']}-manifest.csv"
            store.put(place.removeprefix(f"s3://{bucket}/"), "".join(urls).encode())
            execution["Statistics"] = {"DataManifestLocation": place}

    def _select(self, statement: str) -> pa.Table:
        with duckdb.connect() as connection:
            connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA \"{DATABASE}\"")
            connection.execute("CREATE MACRO approx_percentile(x, share) AS approx_quantile(x, share)")  # Trino's name
            for table in TABLES.values():
                if table.name in statement:
                    connection.register(table.name, self._rows(table))
                    connection.execute(f'CREATE VIEW "{DATABASE}"."{table.name}" AS FROM "{table.name}"')
            return connection.sql(statement).to_arrow_table()

    def _rows(self, table: Table) -> pa.Table:
        """All objects of a table as Athena sees them: texts, times in milliseconds, columns of the partition."""
        store, parts = S3Store(self.lake), []
        first, last = self.years.get(table.name, (0, 9999))
        for info in store.list(table.prefix):
            name = partition_of(table, info.key)
            if name is None:
                continue
            values = dict(part.split("=") for part in name.split("/") if "=" in part)
            if not first <= int(values.get("year", first)) <= last:
                continue
            part = self._seen(decode(store.get(info.key).data, table, info.key))
            for column, value in values.items():
                typed = pa.scalar(value).cast(pa.string() if column == "table" else pa.int32())
                part = part.append_column(column, pa.repeat(typed, part.num_rows))
            parts.append(part)
        if parts:
            return pa.concat_tables(parts)
        kinds = [(n, pa.string() if n == "table" else pa.int32()) for n in table.partition]
        return pa.schema([*self._seen(table.schema.empty_table()).schema, *map(pa.field, *zip(*kinds, strict=True))]
                         if kinds else self._seen(table.schema.empty_table()).schema).empty_table()  # fmt: skip

    def _seen(self, part: pa.Table) -> pa.Table:
        for at, column in enumerate(part.schema):
            if pa.types.is_dictionary(column.type):
                part = part.set_column(at, column.name, part[at].cast(pa.string()))
            if pa.types.is_timestamp(column.type):
                times = [value and self.rounded(value).replace(tzinfo=None) for value in part[at].to_pylist()]
                part = part.set_column(at, column.name, pa.array(times, pa.timestamp("us")))
        return part


@contextmanager
def on_loopback() -> Iterator[FakeAthena]:
    """An Athena that the package finds, over the bucket `lake` in moto's S3. Nothing waits between two calls."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.setattr(athena_engine, "_FIRST_POLL", 0.0)
        patch.setattr(athena_engine, "_FIRST_WAIT", 0.0)
        projected._years_of.cache_clear()
        boto3.client("s3").create_bucket(Bucket="lake")
        service = FakeAthena("lake")
        with served(service) as url:
            patch.setenv("AWS_ENDPOINT_URL_ATHENA", url)
            yield service


@contextmanager
def served(service: FakeAthena) -> Iterator[str]:
    """The URL at which the service answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(service.answer(operation, asked)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _with_values(statement: str, values: Sequence[str]) -> str:
    """A statement with execution parameters in the places of its `?` (outside of quotes)."""
    given = iter(values)
    parts = re.split(r"('(?:[^']|'')*'|\?)", statement)
    if parts.count("?") != len(values):
        raise Refused("INVALID_PARAMETER_USAGE: Incorrect number of parameters")
    return "".join(next(given) if part == "?" else part for part in parts)


def _kind(type_: pa.DataType) -> str:
    return next((kind for kind, is_kind in _KINDS.items() if is_kind(type_)), "varchar")


def _stored(type_: pa.DataType) -> pa.DataType:
    return pa.timestamp("ms") if pa.types.is_timestamp(type_) else type_


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        at = value.astimezone(UTC) if value.tzinfo else value
        return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    return (
        value.isoformat() if isinstance(value, date) else str(value).lower() if isinstance(value, bool) else str(value)
    )
