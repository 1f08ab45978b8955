"""Which engine runs a statement, on which lake: Athena in AWS, DuckDB locally. Each has modules beside this one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.query.statements import reading
from stock_pipeline.settings import Settings, variable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from stock_pipeline.lake.object_store import ObjectStore

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
    no bucket, the local AWS is asked, or, while it does not run, the files that it left are read. With `as_of` (a past
    time with a zone) `price_by_date` has the rows that a reader saw at that time; the statement may then name no other
    table.

    Raises QueryError when the statement is not a single SELECT, WITH, DESCRIBE, SHOW or EXPLAIN, when `as_of` names no
    zone or is in the future, when there is no lake, or when the engine refuses the statement; the engine's own message
    is passed on. On DuckDB it is also raised for a statement that needs more time or memory than the settings
    `sql_seconds` and `sql_memory_mb` allow; on Athena for one whose objects are replaced at each of some tries, and for
    one that asks for years of ticks which the lake has and Athena does not look for.
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
    with _place(settings) as (settings, lake):
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
        from stock_pipeline.query import bounded, duckdb_engine

        lake = lake or _lake_of(settings)
        return duckdb_engine.run(statement, parameters, lake, settings.database, bounded.Limits.of(settings))


@contextmanager
def _place(settings: Settings | None) -> Iterator[tuple[Settings, ObjectStore | None]]:
    """The settings, and the lake where these do not name it.

    When neither the caller nor the environment names a bucket, as in a notebook, this is the lake of the local AWS: of
    the one that runs, or the files that the last one left. Raises QueryError when there is none.
    """
    given = settings or Settings.from_env()
    if settings or given.names_buckets:
        yield given, None
        return
    from stock_pipeline.local import local_aws, running
    from stock_pipeline.query.resting import resting_lake

    if running():
        with local_aws() as local:
            here = Settings.from_env(local.environ())
            yield here, _lake_of(here, local.client("s3"))
        return
    if (lake := resting_lake()) is None:
        raise QueryError(
            "there are no tables on this machine yet: run `make demo` or `stock-pipeline dev`, or name the lake of a "
            f"stack in {variable('lake_bucket')}"
        )
    yield replace(given, sql_engine="duckdb"), lake


def _lake_of(settings: Settings, client: S3Client | None = None) -> ObjectStore:
    from stock_pipeline.aws.s3 import S3Store

    return S3Store(settings.require("lake_bucket"), client)
