"""A table of the lake as a dataset that DuckDB scans: which objects a scan needs, their bytes, and their rows.

A condition on a partition column (or on `date` and `produced_at`, which imply them) decides which objects are fetched.
Conditions on other columns decide which row groups are decoded. Arrow decodes from memory only. It must never read a
file that is written in Python: its scan begins while the caller holds the interpreter's lock (pyarrow 26.0,
`Scanner.to_reader`), and then waits for a thread of its own that would need the same lock to read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

from stock_pipeline.errors import QueryError
from stock_pipeline.lake.contents import own_objects
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.parquet import check, decode
from stock_pipeline.schemas import TIMESTAMP, Table

_CALENDAR = {"year", "month", "day"}
_AHEAD = 10  # objects fetched at a time; a boto3 client keeps ten connections by default
_PATIENCE = 0.2  # seconds; how soon a scan that waits for an object hears that the statement is stopped


class Fetches:
    """The objects that one statement fetches, each once and whole, by some threads. Close it at the statement's end.

    One GET means that a reader sees an object as it was before or after a concurrent write, never half of each, and
    that two scans of a table see the same.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(_AHEAD, "fetch")
        self._starting = threading.Lock()
        self._found: dict[str, Future[pa.Buffer]] = {}
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    def start(self, table: Table, keys: Sequence[str]) -> None:
        """Begin to fetch some objects of a table."""
        with self._starting:
            for key in keys:
                if key not in self._found and not self._stopped.is_set():
                    self._found[key] = self._threads.submit(_bytes_of, self._store, table, key)

    def of(self, keys: Sequence[str]) -> list[pa.Buffer]:
        """The bytes of objects that were begun. Raises the errors of the store; QueryError when the statement stops."""
        found = [self._found.get(key) for key in keys]
        while not self._stopped.is_set():
            if not wait(filter(None, found), _PATIENCE).not_done:
                return [fetch.result() for fetch in found if fetch]
        raise QueryError("the statement was stopped")

    def stop(self) -> None:
        """Make scans that wait for an object end; nothing more is fetched."""
        self._stopped.set()

    def keep(self, error: BaseException) -> None:
        """Keep why a scan ended. DuckDB would tell less, or wait for ever for a thread of its own (duckdb 2.0)."""
        self._error = error

    def failure(self) -> BaseException | None:
        """Why a scan ended too early. It is given out once and not kept: a kept error would refer to itself."""
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Release everything. What is on its way is waited for, but not after a stop: a store may take its time."""
        self._threads.shutdown(wait=not self._stopped.is_set(), cancel_futures=True)
        self._found.clear()
        self._error = None


class LakeDataset(ds.FileSystemDataset):  # type: ignore[misc]
    """The objects of one table, listed once. DuckDB asks it for a scanner, with the columns and conditions it needs.

    Columns in `coded` are read as dictionaries, as they are stored; DuckDB groups by these in half the time. The others
    are read as texts, because Arrow has no bounds for a dictionary and so cannot skip row groups by it. In SQL both are
    texts.
    """

    def __init__(self, table: Table, coded: list[str], store: ObjectStore, fetches: Fetches) -> None:
        schema, format_ = _schema(table, coded), ds.ParquetFileFormat(dictionary_columns=coded)
        parts: dict[str, ds.Expression] = {}
        listed = []
        for info in own_objects(store, table):
            folder = info.key.rpartition("/")[0]
            if folder not in parts:
                parts[folder] = _partition(table, schema, info.key)
            listed.append(format_.make_fragment(info.key, LocalFileSystem(), parts[folder]))
        # These fragments are never opened. They tell which keys a condition leaves.
        super().__init__(listed, schema, format_)
        self._table, self._fetches = table, fetches

    def scanner(self, columns: list[str] | None = None, filter: ds.Expression | None = None) -> _Scan:
        """The rows of some columns that meet a condition. DuckDB calls this by these names."""
        schema = super().scanner(columns=columns, filter=filter).projected_schema
        needed = [(f.path, f.partition_expression) for f in self.get_fragments(filter)]
        return _Scan(schema, self._batches(needed, columns, filter))

    def _batches(
        self, needed: list[tuple[str, ds.Expression]], columns: list[str] | None, condition: ds.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches. An error ends them; it is kept and not raised, because DuckDB calls this."""
        try:
            parts = _parts(needed)
            for at, part in enumerate(parts):
                # The first part is not followed by a second one before it is used up: it may be enough for a LIMIT.
                for soon in parts[at : at + 2 if at else at + 1]:
                    self._fetches.start(self._table, [key for key, _ in soon])
                found = self._fetches.of([key for key, _ in part])
                fragments = [
                    self.format.make_fragment(pa.BufferReader(data), partition_expression=expression)
                    for data, (_, expression) in zip(found, part, strict=True)
                ]
                try:
                    dataset = ds.FileSystemDataset(fragments, self.schema, self.format)
                    yield from dataset.scanner(columns=columns, filter=condition).to_batches()
                except (pa.ArrowException, OSError):
                    for data, (key, _) in zip(found, part, strict=True):
                        decode(data.to_pybytes(), self._table, key)  # raises DamagedObject for the one that it is
                    raise
        except Exception as error:
            self._fetches.keep(error)


class _Scan:
    """What DuckDB asks a scanner for."""

    def __init__(self, schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> None:
        self._schema, self._batches = schema, batches

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._schema, self._batches)


def _parts(needed: list[tuple[str, ds.Expression]]) -> list[list[tuple[str, ds.Expression]]]:
    """Objects in parts that are fetched and decoded together. The first part has objects of the first folder only."""
    if not needed:
        return []
    folder = needed[0][0].rpartition("/")[0]
    first = next((n for n, (key, _) in enumerate(needed) if key.rpartition("/")[0] != folder), len(needed))
    first = min(first, _AHEAD)
    return [needed[:first], *(needed[at : at + _AHEAD] for at in range(first, len(needed), _AHEAD))]


def _bytes_of(store: ObjectStore, table: Table, key: str) -> pa.Buffer:
    """An object's bytes. Arrow reads them as the table's columns; when it cannot, the error names the object."""
    data = store.get(key).data
    check(data, table, key)
    return pa.py_buffer(data)


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
