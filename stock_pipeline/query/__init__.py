"""SQL over the lake: Athena in AWS, DuckDB locally; the same table names, read-only in both.

Here: what callers use (`sql`, `read_prices`) and the rule of what a statement may be. One module an engine beside it.
All times are UTC, in the tables and in every result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_s3 import S3Client

Parameter = str | int | float | bool | date
_COMMENTS = re.compile(r"\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/", re.S)
_EXPLAIN = re.compile(r"explain(\s+analyze)?(\s+verbose)?(\s*\([^()]*\))?\b", re.I)
_READS = re.compile(r"(select|with|describe|desc|show)\b", re.I)


def sql(statement: str, parameters: Sequence[Parameter] = (), *, settings: Settings | None = None) -> pa.Table:
    """Run one reading statement and return its rows.

    Each `?` in the statement takes the next of `parameters`. Tables are those of `schemas.TABLES`, with their partition
    columns. The engine is `settings.sql_engine`; without settings those of the environment hold, and if that names no
    bucket, the local AWS is asked. Raises QueryError when the statement is not a single SELECT, WITH,
    DESCRIBE, SHOW or EXPLAIN, or when the engine refuses it; the engine's own message is passed on.
    """
    statement = _reading(statement)
    with _place(settings) as (settings, client):
        if settings.sql_engine == "athena":
            from stock_pipeline.query import athena

            return athena.run(statement, parameters, workgroup=settings.athena_workgroup, database=settings.database)
        from stock_pipeline.lake.store import S3Store
        from stock_pipeline.query import duck

        return duck.run(statement, parameters, S3Store(settings.require("lake_bucket"), client), settings.database)


@contextmanager
def _place(settings: Settings | None) -> Iterator[tuple[Settings, S3Client | None]]:
    """The settings to work by, and the S3 client to use (None: by the environment).

    Where neither the caller nor the environment names a bucket, as in a notebook beside `stock-pipeline dev`, that is
    the local AWS: the one that runs, or one started for this.
    """
    given = settings or Settings.from_env()
    if settings or given.names_buckets:
        yield given, None
        return
    from stock_pipeline.local import local_aws
    from stock_pipeline.local.stack import client

    with local_aws() as local:
        yield Settings.from_env(local.environ()), client("s3", local.endpoint)


def read_prices(
    symbols: Sequence[str] | str | None = None,
    start: date | None = None,
    end: date | None = None,
    columns: Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Daily bars as a DataFrame, one row a symbol and session, ordered by both; dates as datetime64.

    `start` and `end` are sessions, both inclusive; what is left out is not limited. Only the years and row groups that
    can hold what is asked for are read. Raises QueryError for a column that `price_by_date` does not have.
    """
    known = PRICE_BY_DATE.schema.names
    chosen = list(columns) if columns is not None else [n for n in known if n not in {"source", "etl_loading_ts"}]
    if unknown := [c for c in chosen if c not in known]:
        raise QueryError(f"price_by_date has no column {', '.join(unknown)}; it has {', '.join(known)}")
    wanted = [symbols] if isinstance(symbols, str) else symbols
    conditions: list[str] = ["true"]
    parameters: list[Parameter] = []
    if wanted is not None:
        conditions.append(f"symbol IN ({', '.join('?' * len(wanted))})" if wanted else "false")
        parameters.extend(wanted)
    for bound, sign in ((start, ">="), (end, "<=")):
        if bound is not None:
            conditions.append(f"date {sign} ? AND year {sign} ?")
            parameters.extend((bound, bound.year))
    names = ", ".join(f'"{c}"' for c in chosen)
    # Names come from the schema and values go as parameters: nothing of the caller's becomes SQL.
    statement = f"SELECT {names} FROM price_by_date WHERE {' AND '.join(conditions)} ORDER BY symbol, date"  # noqa: S608
    return sql(statement, parameters, settings=settings).to_pandas(date_as_object=False)  # type: ignore[no-any-return]


def _reading(statement: str) -> str:
    """The statement without what surrounds it; raises QueryError when it does anything but read."""
    start = 0
    while found := _COMMENTS.match(statement, start):
        start = found.end()
    statement = statement[start:].rstrip().rstrip(";").rstrip()
    if not statement:
        raise QueryError("there is no statement; try: SELECT * FROM price_by_date LIMIT 10")
    explained = _EXPLAIN.match(statement)
    inner = statement[explained.end() :] if explained else statement
    if not _READS.match(inner.lstrip("( \t\r\n")):
        word = re.split(r"\W", statement, maxsplit=1)[0].upper() or statement[:10]
        raise QueryError(f"{word} is not allowed: SQL here only reads (SELECT, WITH, DESCRIBE, SHOW, EXPLAIN)")
    return statement
