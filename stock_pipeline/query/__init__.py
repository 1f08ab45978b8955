"""SQL over the lake: Athena in AWS, DuckDB locally; the same table names, read-only in both.

Here are the functions that callers use: `sql`, and `read_prices`, `read_ticks`, `latest_prices` for pandas or Arrow.
All times are in UTC, in the tables and in every result.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Literal, overload

import pyarrow as pa

from stock_pipeline.query import frames
from stock_pipeline.query.engines import Parameter, by_athena, by_objects, sql
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Parameter",
    "latest_prices",
    "read_prices",
    "read_ticks",
    "sql",
]

_Symbols = Sequence[str] | str | None
_Columns = Sequence[str] | None
_Bound = date | str | None
"""A day (a date, or `2024-01-31`), for ticks also a time; None: no limit on that side."""


# fmt: off
@overload
def read_prices(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: Literal[False] = ...
) -> pd.DataFrame: ...
@overload
def read_prices(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: Literal[True]
) -> pa.Table: ...
@overload
def read_prices(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., as_of: datetime | None = ...,
    arrow: bool
) -> pd.DataFrame | pa.Table: ...
# fmt: on
def read_prices(
    symbols: _Symbols = None,
    start: _Bound = None,
    end: _Bound = None,
    columns: _Columns = None,
    *,
    settings: Settings | None = None,
    as_of: datetime | None = None,
    arrow: bool = False,
) -> pd.DataFrame | pa.Table:
    """Daily bars as a DataFrame, one row a symbol and session, ordered by both; dates as datetime64.

    `start` and `end` are sessions (dates, or texts such as `2024-01-31`), both inclusive; without one of them that side
    has no limit. Only years and row groups that can hold matching rows are read. With `as_of` (a past time with a zone)
    the rows are those that a reader saw at that time, whatever restatements came since. With `arrow` the rows come as a
    pyarrow.Table. Warns of symbols that have no row, and of a `start` after the `end`. Raises QueryError for a column
    that `price_by_date` does not have, for a text that is no day, and for an `as_of` without a zone or in the future.
    """
    names = frames.chosen(PRICE_BY_DATE, columns)
    conditions, parameters = frames.of_symbols(symbols)
    first, last = frames.span(frames.day(start), frames.day(end))
    for bound, sign in ((first, ">="), (last, "<=")):
        if bound is not None:
            conditions.append(f'"date" {sign} ? AND "year" {sign} ?')
            parameters.extend((bound, bound.year))
    rows = frames.read(PRICE_BY_DATE, names, (conditions, parameters), settings, as_of)
    frames.warn_of_missing(rows, symbols, PRICE_BY_DATE)
    return frames.frame(rows, names, arrow=arrow)


# fmt: off
@overload
def read_ticks(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[False] = ...
) -> pd.DataFrame: ...
@overload
def read_ticks(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: Literal[True]
) -> pa.Table: ...
@overload
def read_ticks(
    symbols: _Symbols = ..., start: _Bound = ..., end: _Bound = ...,
    columns: _Columns = ..., *, settings: Settings | None = ..., arrow: bool
) -> pd.DataFrame | pa.Table: ...
# fmt: on
def read_ticks(
    symbols: _Symbols = None,
    start: _Bound = None,
    end: _Bound = None,
    columns: _Columns = None,
    *,
    settings: Settings | None = None,
    arrow: bool = False,
) -> pd.DataFrame | pa.Table:
    """Ticks as a DataFrame, one row a trade, ordered by symbol and time; `produced_at` as datetime64 in UTC.

    `start` and `end` are moments, both inclusive: a datetime (in UTC if it names no zone), or a date, which stands for
    the whole of that day in UTC; or either of them as a text of ISO 8601. Without one of them that side has no limit.
    History only grows, so name both: then only days and row groups that can hold matching rows are read. With `arrow`
    the rows come as a pyarrow.Table. Warns of symbols that have no row, and of a `start` after the `end`.

    Both engines give the same rows: the bounds hold to the microsecond. Athena itself gives `produced_at` to the
    millisecond, and in that order. It is not asked for the ticks of the last hour: their objects are read by GET, so
    their times are to the microsecond. Raises QueryError for a column that `stream_prices_history` does not have, for
    years that the lake has and Athena does not look for, and for a text that is no time; HistoryMisplaced when Athena's
    row at a bound is not in the history object of its time.
    """
    names = frames.chosen(STREAM_PRICES_HISTORY, columns)
    first, last = frames.span(frames.moment(start, time.min), frames.moment(end, time.max))
    if athena := by_athena(settings):
        from stock_pipeline.query import athena_ticks

        rows = athena_ticks.read(symbols, names, first, last, athena)
    else:
        conditions, parameters = frames.of_symbols(symbols)
        more, values = frames.of_times(first, last)
        where = [*conditions, *more], [*parameters, *values]
        rows = frames.read(STREAM_PRICES_HISTORY, names, where, settings)
    frames.warn_of_missing(rows, symbols, STREAM_PRICES_HISTORY)
    return frames.frame(rows, names, arrow=arrow)


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

    The snapshot is one object, read by one GET on either engine; Athena is asked only where no setting names the lake
    bucket. With `arrow` the rows come as a pyarrow.Table. Raises QueryError for a column that `latest_prices` does not
    have.
    """
    names = frames.chosen(LATEST_PRICES, columns)
    rows = frames.read(LATEST_PRICES, names, frames.of_symbols(symbols), by_objects(settings))
    frames.warn_of_missing(rows, symbols, LATEST_PRICES)
    return frames.frame(rows, names, arrow=arrow)
