"""Which engine runs a statement, on which lake: Athena in AWS, DuckDB locally. Each has modules beside this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from stock_pipeline.query.statements import reading
from stock_pipeline.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Parameter", "sql"]

Parameter = str | int | float | bool | date


def sql(
    statement: str,
    parameters: Sequence[Parameter] = (),
    *,
    settings: Settings | None = None,
    as_of: datetime | None = None,
) -> pa.Table:
    """Run one statement that only reads, and return its rows.

    Each `?` in the statement takes the next of `parameters`. The tables are those of `schemas.TABLES`, with their
    partition columns. The engine is `settings.sql_engine`. Without `settings` the environment's are used; if these name
    no bucket, the local AWS is asked. With `as_of` (a past time with a zone) `price_by_date` has the rows that a reader
    saw at that time; the statement may then name no other table. Raises QueryError when the statement is not a single
    SELECT, WITH, DESCRIBE, SHOW or EXPLAIN, when `as_of` names no zone or is in the future, or when the engine refuses
    the statement; the engine's own message is passed on. On DuckDB it is also raised for a statement that needs more
    time or memory than the settings `sql_seconds` and `sql_memory_mb` allow; on Athena for one whose objects are
    replaced at each of some tries, and for one that asks for years of ticks which the lake has and Athena does not
    look for.
    """
    return _run(reading(statement), parameters, settings, as_of)


def selected(
    select: str,
    parameters: Sequence[Parameter],
    order: Sequence[str],
    schema: pa.Schema,
    *,
    settings: Settings | None,
    as_of: datetime | None = None,
) -> pa.Table:
    """The rows of a SELECT in the order of some of its columns. From Athena they come as Parquet, by UNLOAD.

    `schema` has the columns of the SELECT, each once, in types that are not dictionaries. Raises what `sql` raises.
    """
    if by_athena(settings) is None:
        names = ", ".join(f'"{name}"' for name in order)
        return _run(f"{select} ORDER BY {names}", parameters, settings, as_of)
    found = _run(select, parameters, settings, as_of, schema)
    return found.sort_by([(name, "ascending") for name in order])


def by_athena(settings: Settings | None) -> Settings | None:
    """The settings with which Athena answers, or None where DuckDB does; see `_place`."""
    given = settings or Settings.from_env()
    return given if given.sql_engine == "athena" and (settings or given.names_buckets) else None


def by_objects(settings: Settings | None) -> Settings | None:
    """The settings with which a small table is read by GET of its objects, where Athena would be asked otherwise.

    Athena needs seconds, and cannot read an object that is replaced meanwhile. Without the name of the lake bucket it
    is asked nevertheless.
    """
    athena = by_athena(settings)
    return replace(athena, sql_engine="duckdb") if athena and athena.lake_bucket else settings


def _run(
    statement: str,
    parameters: Sequence[Parameter],
    settings: Settings | None,
    as_of: datetime | None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Run a statement. With a schema, Athena gives the rows with its columns, in no order, by UNLOAD."""
    with _place(settings) as (settings, client):
        if as_of is not None:
            from stock_pipeline.query.past import as_known

            statement = as_known(statement, as_of, settings.database)
        if settings.sql_engine == "athena":
            from stock_pipeline.query import athena_engine, athena_unload, projected

            projected.refuse_outside(statement, parameters, settings.database)
            where = {"workgroup": settings.athena_workgroup, "database": settings.database}
            if schema is not None:
                return athena_unload.rows(statement, parameters, schema, **where)
            return athena_engine.run(statement, parameters, **where)
        from stock_pipeline.aws.s3 import S3Store
        from stock_pipeline.query import bounded, duckdb_engine

        lake, limits = S3Store(settings.require("lake_bucket"), client), bounded.Limits.of(settings)
        return duckdb_engine.run(statement, parameters, lake, settings.database, limits)


@contextmanager
def _place(settings: Settings | None) -> Iterator[tuple[Settings, S3Client | None]]:
    """The settings and the S3 client to use (None: a client made from the environment).

    When neither the caller nor the environment names a bucket, as in a notebook beside `stock-pipeline dev`, the local
    AWS is used. One is started if none runs.
    """
    given = settings or Settings.from_env()
    if settings or given.names_buckets:
        yield given, None
        return
    from stock_pipeline.local import local_aws

    with local_aws() as local:
        yield Settings.from_env(local.environ()), local.client("s3")
