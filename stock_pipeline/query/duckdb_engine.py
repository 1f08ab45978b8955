"""DuckDB over the lake's Parquet objects, shut off from everything else.

The objects come through the object store as Arrow datasets. A condition on a partition column (or on `date` and
`produced_at`, which imply them) decides which objects are fetched. Conditions on other columns decide which row groups
are decoded. Objects of one folder are in the same partition, so they are fetched side by side. The connection cannot
reach any file, network or Python object except these tables, and its configuration is locked.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.contents import own_objects
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.lake.parquet import check, decode
from stock_pipeline.query.bounded import Limits, rows_of
from stock_pipeline.schemas import TABLES, TIMESTAMP, Table
from stock_pipeline.settings import Settings

_READING = {"SELECT", "EXPLAIN", "MULTI"}  # MULTI is what PIVOT expands to
_CALENDAR = {"year", "month", "day"}
_COMPARISON = r"[=<>]|\bin\b|\bbetween\b"
_AHEAD = 10  # objects fetched at a time; a boto3 client keeps ten connections by default


def run(
    statement: str, parameters: Sequence[Any], store: ObjectStore, database: str, limits: Limits | None = None
) -> pa.Table:
    """Run one statement within limits (by default those of the settings).

    Raises QueryError with DuckDB's message, or the error of the store; KeyboardInterrupt when a person stops it.
    """
    limits = limits or Limits.of(Settings())
    with _fetching() as (threads, objects), duckdb.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{database}"')
        for table in _mentioned(statement):
            coded = [name for name in table.dictionary if not _compared(statement, name)]
            rows = _rows(table, coded, store, objects, threads)
            connection.register(table.name, rows)
            connection.execute(f'CREATE VIEW "{database}"."{table.name}" AS FROM "{table.name}"')
        connection.execute(
            f"SET memory_limit = '{limits.memory_mb}MiB'; "
            "SET TimeZone = 'UTC'; SET python_enable_replacements = false; SET enable_external_access = false; "
            "SET lock_configuration = true"
        )
        try:
            _refuse_writes(connection, statement)
            return _plain(rows_of(connection, statement, parameters, limits))
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
            if failure := next(filter(None, (found.failure() for found in objects)), None):
                raise failure from None
            for found in objects:
                found.refuse_damage()
            raise QueryError(_told(str(error).strip())) from error


@contextmanager
def _fetching() -> Iterator[tuple[ThreadPoolExecutor, list[_Object]]]:
    """Threads that fetch objects, and a list for the objects of a statement. Both are released at the end."""
    threads = ThreadPoolExecutor(_AHEAD)
    objects: list[_Object] = []
    try:
        yield threads, objects
    finally:
        threads.shutdown(cancel_futures=True)
        for found in objects:
            found.let_go()


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


def _rows(
    table: Table, coded: list[str], store: ObjectStore, objects: list[_Object], threads: ThreadPoolExecutor
) -> pa.Table | ds.Dataset:
    """A table in a form that DuckDB can scan: a dataset of its objects, or an empty table of the right types.

    Columns in `coded` are read as dictionaries, as they are stored; DuckDB groups by these in half the time. The others
    are read as texts, because Arrow has no bounds for a dictionary and so cannot skip row groups by it. In SQL both are
    texts.
    """
    schema = _schema(table, coded)
    format_ = ds.ParquetFileFormat(dictionary_columns=coded)
    fragments = []
    folders: dict[str, tuple[ds.Expression, list[_Object]]] = {}
    for info in own_objects(store, table):
        folder = info.key.rpartition("/")[0]
        if folder not in folders:
            folders[folder] = _partition(table, schema, info.key), []
        expression, siblings = folders[folder]
        found = _Object(store, info, table, siblings, threads)
        fragments.append(format_.make_fragment(found, partition_expression=expression))
        found.registered = True
        objects.append(found)
    return ds.FileSystemDataset(fragments, schema, format_) if fragments else schema.empty_table()


def _schema(table: Table, coded: list[str]) -> pa.Schema:
    """The table's columns (in `coded` as dictionaries), then its partition columns, in the types that Glue has."""
    plain = [f for f in table.schema if pa.types.is_dictionary(f.type) and f.name not in coded]
    columns = [f.with_type(f.type.value_type) if f in plain else f for f in table.schema]
    partition = [pa.field(n, pa.int32() if n in _CALENDAR else pa.string()) for n in table.partition]
    return pa.schema(columns + partition)


def _partition(table: Table, schema: pa.Schema, key: str) -> ds.Expression:
    """The values that all rows of an object share, read from its key: partition columns, and the time they imply."""
    known: ds.Expression = ds.scalar(True)
    values: dict[str, Any] = {}
    for part in key.removeprefix(table.prefix).split("/"):
        name, equals, value = part.partition("=")
        if equals and name in table.partition:
            typed = pa.scalar(value).cast(schema.field(name).type)
            known = known & (ds.field(name) == typed)
            values[name] = typed.as_py()
    if "date" in schema.names and "year" in values:
        day = ds.field("date")
        known = known & (day >= date(values["year"], 1, 1)) & (day <= date(values["year"], 12, 31))
    if "produced_at" in schema.names and values.keys() >= _CALENDAR:
        begin = datetime(values["year"], values["month"], values["day"], tzinfo=UTC)
        time = ds.field("produced_at")
        known = known & (time >= pa.scalar(begin, TIMESTAMP)) & (time < pa.scalar(begin + timedelta(days=1), TIMESTAMP))
    return known


def _plain(rows: pa.Table) -> pa.Table:
    """DuckDB returns sums of bigint as 38-digit decimals. Where they fit they become bigint, as in Athena."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                rows = rows.set_column(at, field.name, rows[at].cast(pa.int64()))
            except pa.ArrowInvalid:
                continue
    return rows


def _data(store: ObjectStore, key: str, table: Table) -> bytes:
    """An object's bytes. Arrow reads them as the table's columns; when it cannot, the error names the object."""
    data = store.get(key).data
    check(data, table, key)
    return data


class _Position(threading.local):
    """Where a thread reads next. Arrow moves to a place and reads there in one thread. A statement may scan a table
    twice at the same time, and Arrow asks for the size without the lock that it holds while it reads.
    """

    at = 0


class _Object(io.RawIOBase):
    """An object of the lake as a file, fetched whole by one GET when it is first read.

    One GET means that a reader sees the object as it was before or after a concurrent write, never half of each. The
    GET comes only when the bytes are needed, so a pruned partition costs nothing. Arrow asks for the size once, when
    the fragment is made, and gets it from the listing. Later the size is that of the fetched bytes.
    """

    def __init__(
        self, store: ObjectStore, info: ObjectInfo, table: Table, siblings: list[_Object], threads: ThreadPoolExecutor
    ) -> None:
        self._store: ObjectStore | None = store
        self._info, self._table, self._threads = info, table, threads
        self._siblings, self._place = siblings, len(siblings)
        siblings.append(self)
        self._starting = threading.Lock()
        self._fetch: Future[bytes] | None = None
        self._error: BaseException | None = None
        self._position = _Position()
        self.registered = False

    def _start(self) -> Future[bytes]:
        with self._starting:
            if self._fetch is None:
                assert self._store, "the statement is over"
                self._fetch = self._threads.submit(_data, self._store, self._info.key, self._table)
            return self._fetch

    def _fetched(self) -> memoryview:
        try:
            fetch = self._start()
            if not fetch.done():
                for sibling in self._siblings[self._place + 1 : self._place + _AHEAD]:
                    sibling._start()
            return memoryview(fetch.result())
        except BaseException as error:
            # A Python exception that crosses Arrow and DuckDB on a thread of theirs stops the query for good
            # (duckdb 2.0 waits for itself), so it is kept, and a file of no bytes fails the scan instead.
            self._error = error
            return memoryview(b"")

    def failure(self) -> BaseException | None:
        """Why the object could not be read. The error is given out once and not kept: a kept error would refer to
        itself.
        """
        error, self._error = self._error, None
        return error

    def refuse_damage(self) -> None:
        """Raise DamagedObject if the bytes that were fetched cannot be read to their end. Arrow does not name them."""
        if self._fetch and self._fetch.done() and not self._fetch.exception():
            decode(self._fetch.result(), self._table, self._info.key)

    def let_go(self) -> None:
        """Release everything: Arrow never frees a file that it could not open."""
        self._store, self._fetch, self._error = None, None, None
        self._siblings.clear()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        data = self._fetched()
        start = self._position.at
        found = bytes(data[start : len(data) if size is None or size < 0 else start + size])
        self._position.at += len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset += len(self._fetched()) if self.registered else self._info.size
        elif whence == io.SEEK_CUR:
            offset += self._position.at
        self._position.at = offset
        return offset

    def tell(self) -> int:
        return self._position.at
