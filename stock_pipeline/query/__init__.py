"""SQL over the lake: Athena in AWS, DuckDB locally; the same table names, read-only in both.

Here are the functions that callers use (`sql`, and `read_prices`, `read_ticks`, `latest_prices` for pandas or Arrow),
and the rule for which statements are allowed. Each engine has a module beside this one. All times are in UTC, in the
tables and in every result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING, Literal, overload

import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.query.statements import reading
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_s3 import S3Client

__all__ = [
    "Parameter",
    "latest_prices",
    "read_prices",
    "read_ticks",
    "sql",
]

Parameter = str | int | float | bool | date
_Symbols = Sequence[str] | str | None
_Columns = Sequence[str] | None
_Cut = Callable[[pa.Table], pa.Table]
_PROVENANCE = {"source", "etl_loading_ts"}


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
    time or memory than the settings `sql_seconds` and `sql_memory_mb` allow.
    """
    statement = reading(statement)
    with _place(settings) as (settings, client):
        if as_of is not None:
            from stock_pipeline.query.past import as_known

            statement = as_known(statement, as_of, settings.database)
        if settings.sql_engine == "athena":
            from stock_pipeline.query import athena_engine

            return athena_engine.run(
                statement, parameters, workgroup=settings.athena_workgroup, database=settings.database
            )
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


# fmt: off
@overload
def read_prices(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: Literal[False] = ...
) -> pd.DataFrame: ...
@overload
def read_prices(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: Literal[True]
) -> pa.Table: ...
@overload
def read_prices(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: bool
) -> pd.DataFrame | pa.Table: ...
# fmt: on
def read_prices(
    symbols: _Symbols = None,
    start: date | None = None,
    end: date | None = None,
    columns: _Columns = None,
    *,
    settings: Settings | None = None,
    as_of: datetime | None = None,
    arrow: bool = False,
) -> pd.DataFrame | pa.Table:
    """Daily bars as a DataFrame, one row a symbol and session, ordered by both; dates as datetime64.

    `start` and `end` are sessions, both inclusive; without one of them that side has no limit. Only years and row
    groups that can hold matching rows are read. With `as_of` (a past time with a zone) the rows are those that a reader
    saw at that time, whatever restatements came since. With `arrow` the rows come as a pyarrow.Table. Raises QueryError
    for a column that `price_by_date` does not have, and for an `as_of` without a zone or in the future.
    """
    conditions, parameters = _of_symbols(symbols)
    for bound, sign in ((start, ">="), (end, "<=")):
        if bound is not None:
            conditions.append(f"date {sign} ? AND year {sign} ?")
            parameters.extend((bound, bound.year))
    return _frame(PRICE_BY_DATE, columns, conditions, parameters, settings, arrow, as_of=as_of)


# fmt: off
@overload
def read_ticks(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[False] = ...
) -> pd.DataFrame: ...
@overload
def read_ticks(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[True]
) -> pa.Table: ...
@overload
def read_ticks(
    symbols: _Symbols = ..., start: date | None = ..., end: date | None = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: bool
) -> pd.DataFrame | pa.Table: ...
# fmt: on
def read_ticks(
    symbols: _Symbols = None,
    start: date | None = None,
    end: date | None = None,
    columns: _Columns = None,
    *,
    settings: Settings | None = None,
    arrow: bool = False,
) -> pd.DataFrame | pa.Table:
    """Ticks as a DataFrame, one row a trade, ordered by symbol and time; `produced_at` as datetime64 in UTC.

    `start` and `end` are moments, both inclusive: a datetime (in UTC if it names no zone), or a date, which stands for
    the whole of that day in UTC. Without one of them that side has no limit. History only grows, so name both: then
    only days and row groups that can hold matching rows are read. With `arrow` the rows come as a pyarrow.Table.

    Both engines give the same rows: the bounds hold to the microsecond. Athena itself gives `produced_at` to the
    millisecond, and in that order. Raises QueryError for a column that `stream_prices_history` does not have, and
    HistoryMisplaced when Athena's row at a bound is not in the history object of its time.
    """
    conditions, parameters = _of_symbols(symbols)
    first = None if start is None else _moment(start, time.min)
    last = None if end is None else _moment(end, time.max)
    cut: _Cut | None = None
    asked = [(first, ">="), (last, "<=")]
    if (first or last) and (athena := _athena(settings)):
        from stock_pipeline.query.milliseconds import IMPRECISION, shifted, within

        asked = [(first and shifted(first, -IMPRECISION), ">="), (last and shifted(last, IMPRECISION), "<=")]
        cut = partial(within, first=first, last=last, settings=athena)
    for exact, (bound, sign) in zip((first, last), asked, strict=True):
        if exact is not None:
            conditions.append(f"produced_at {sign} ? AND year {sign} ?")
            parameters.extend((bound or exact, exact.year))  # the partitions are those of the exact times
    if first and last:
        conditions += _calendar(first, last)
    return _frame(STREAM_PRICES_HISTORY, columns, conditions, parameters, settings, arrow, cut)


def _athena(settings: Settings | None) -> Settings | None:
    """The settings with which Athena answers, or None where DuckDB does; see `_place`."""
    given = settings or Settings.from_env()
    return given if given.sql_engine == "athena" and (settings or given.names_buckets) else None


# fmt: off
@overload
def latest_prices(
    symbols: _Symbols = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[False] = ...
) -> pd.DataFrame: ...
@overload
def latest_prices(
    symbols: _Symbols = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[True]
) -> pa.Table: ...
@overload
def latest_prices(
    symbols: _Symbols = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: bool
) -> pd.DataFrame | pa.Table: ...
# fmt: on
def latest_prices(
    symbols: _Symbols = None,
    columns: _Columns = None,
    *,
    settings: Settings | None = None,
    arrow: bool = False,
) -> pd.DataFrame | pa.Table:
    """The latest tick of each symbol as a DataFrame, ordered by symbol; `produced_at` as datetime64 in UTC.

    With `arrow` the rows come as a pyarrow.Table. Raises QueryError for a column that `latest_prices` does not have.
    """
    return _frame(LATEST_PRICES, columns, *_of_symbols(symbols), settings, arrow)


def _frame(
    table: Table,
    columns: _Columns,
    conditions: Sequence[str],
    parameters: Sequence[Parameter],
    settings: Settings | None,
    arrow: bool,
    cut: _Cut | None = None,
    as_of: datetime | None = None,
) -> pd.DataFrame | pa.Table:
    """The chosen columns (by default all but the provenance) of the rows that meet conditions, in the table's order.

    `cut` takes the rows, with the columns of the table's order too, and returns those that are wanted.
    """
    known = table.schema.names
    chosen = list(columns) if columns is not None else [n for n in known if n not in _PROVENANCE]
    if unknown := [c for c in chosen if c not in known]:
        raise QueryError(f"{table.name} has no column {', '.join(unknown)}; it has {', '.join(known)}")
    order = list(dict.fromkeys((*table.sort, *table.key)))
    names = ", ".join(f'"{c}"' for c in (dict.fromkeys((*chosen, *order)) if cut else chosen))
    # Names come from the schema and values go as parameters, so no text from the caller becomes SQL.
    where = " AND ".join(conditions) or "true"
    statement = f"SELECT {names} FROM {table.name} WHERE {where} ORDER BY {', '.join(order)}"  # noqa: S608
    rows = sql(statement, parameters, settings=settings, as_of=as_of)
    rows = cut(rows).select(chosen) if cut else rows
    return rows if arrow else rows.to_pandas(date_as_object=False)


def _of_symbols(symbols: _Symbols) -> tuple[list[str], list[Parameter]]:
    if symbols is None:
        return [], []
    wanted = [symbols] if isinstance(symbols, str) else list(symbols)
    return [f"symbol IN ({', '.join('?' * len(wanted))})" if wanted else "false"], list(wanted)


def _moment(bound: date, of_day: time) -> datetime:
    if not isinstance(bound, datetime):
        return datetime.combine(bound, of_day, UTC)
    return bound.astimezone(UTC) if bound.tzinfo else bound.replace(tzinfo=UTC)


def _calendar(first: datetime, last: datetime) -> list[str]:
    """Conditions on month and day that hold from one moment to another.

    Athena finds the objects of a day by the partition columns only; a condition on `produced_at` does not help it.
    """
    days = [first.date() + timedelta(n) for n in range(min((last.date() - first.date()).days + 1, 366))]
    conditions = []
    for part, number in (("month", 12), ("day", 31)):
        values = sorted({getattr(day, part) for day in days})
        if values and len(values) < number:
            conditions.append(f"{part} IN ({', '.join(map(str, values))})")
    return conditions
