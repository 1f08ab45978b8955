"""Rows of a SELECT from Athena by UNLOAD: Athena writes them as Parquet, and they are read by GET.

GetQueryResults gives 1,000 rows a call: 1,260 calls one after the other for a year of 5,000 symbols. UNLOAD costs what
the SELECT costs. Its files lie where the workgroup's results lie, each statement's in a folder of its own, and expire
with these (seven days in the stack): no reader needs a permission to delete. Files have no order among each other, so
whoever needs one sorts the rows.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.query import athena_engine

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient

FOLDER = "unloaded/"
"""Where the files lie, below the workgroup's location of results."""
_AHEAD = 10  # files fetched at a time; a boto3 client keeps ten connections by default
_MICROSECONDS = pa.timestamp("us")


def rows(select: str, parameters: Sequence[Any], schema: pa.Schema, *, workgroup: str, database: str) -> pa.Table:
    """The rows of a SELECT whose columns have different names, in no order, with the columns of a schema.

    A workgroup that keeps its results in storage of Athena's own has no place for files. There the rows are paged.
    Raises QueryError as `athena_engine.run` does, and the errors of the store.
    """
    with athena_engine.telling(workgroup, database) as client:
        results = _location(client, workgroup)
        if not results:
            found = athena_engine.run(select, parameters, workgroup=workgroup, database=database)
            return _as(found, schema)

        def once() -> Mapping[str, Any]:
            # A new folder for each try: Athena writes only into an empty one, and leaves there what a failed try wrote.
            place = f"{results}{FOLDER}{uuid.uuid4().hex}/"
            statement = f"UNLOAD ({select}) TO '{place}' WITH (format = 'PARQUET', compression = 'SNAPPY')"
            done = athena_engine.execute(client, statement, parameters, workgroup=workgroup, database=database)
            return {"place": place, **done}

        done = athena_engine.retried(once)
    store = S3Store(_split(results)[0])
    with ThreadPoolExecutor(_AHEAD) as threads:
        parts = list(threads.map(lambda key: _as(_parquet(store.get(key).data), schema), _written(done, store)))
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _location(client: AthenaClient, workgroup: str) -> str:
    """Where the results of a workgroup lie, with a `/` at the end; empty if it names no place in S3."""
    group = client.get_work_group(WorkGroup=workgroup)["WorkGroup"]
    place = group.get("Configuration", {}).get("ResultConfiguration", {}).get("OutputLocation", "")
    return place and f"{place.rstrip('/')}/"


def _written(done: Mapping[str, Any], store: S3Store) -> list[str]:
    """The files of a statement. The manifest counts: a try that Athena itself gave up may have left others."""
    manifest = done.get("Statistics", {}).get("DataManifestLocation", "")
    if not manifest:
        return [info.key for info in store.list(_split(done["place"])[1])]
    lines = csv.reader(io.StringIO(store.get(_split(manifest)[1]).data.decode()))
    return [_split(line[0])[1] for line in lines if line and line[0].strip()]


def _split(url: str) -> tuple[str, str]:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def _parquet(data: bytes) -> pa.Table:
    """The rows of one file. Its times may be stored in the old form of 96 bits, which Arrow reads as nanoseconds."""
    return pq.read_table(pa.BufferReader(data), coerce_int96_timestamp_unit="us")


def _as(found: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with the columns and types of a schema. Times without a zone are in UTC."""
    columns = []
    for field in schema:
        column = found[field.name]
        if pa.types.is_timestamp(column.type) and column.type.tz is None:
            column = column.cast(_MICROSECONDS)
        columns.append(column.cast(field.type))
    return pa.table(columns, schema=schema)
