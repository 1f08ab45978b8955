"""The SELECTs behind `read_prices`, `read_ticks` and `latest_prices`, and their rows as the caller wants them.

Names come from the schema, each in double quotes, because some are reserved words in an engine. Values go as
parameters. So no text from the caller becomes SQL.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import NothingFound, QueryError
from stock_pipeline.query.engines import Parameter, selected
from stock_pipeline.schemas import Table
from stock_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

_PROVENANCE = {"source", "etl_loading_ts"}
_SHOWN = 5
_At = TypeVar("_At", bound=date)
Conditions = tuple[list[str], list[Parameter]]
"""Conditions that all hold, and the values of their `?`, in order."""


def chosen(table: Table, columns: Sequence[str] | None) -> list[str]:
    """The columns that a caller named, by default all but the provenance. Raises QueryError for an unknown one."""
    known = table.schema.names
    names = list(columns) if columns is not None else [n for n in known if n not in _PROVENANCE]
    if unknown := [c for c in names if c not in known]:
        raise QueryError(f"{table.name} has no column {', '.join(unknown)}; it has {', '.join(known)}")
    return names


def order_of(table: Table) -> list[str]:
    """The columns that order the rows of a table."""
    return list(dict.fromkeys((*table.sort, *table.key)))


def plain_schema(table: Table, names: Iterable[str]) -> pa.Schema:
    """The schema of some columns, each once, with texts instead of dictionaries."""
    fields = [table.schema.field(name) for name in dict.fromkeys(names)]
    coded = pa.types.is_dictionary
    return pa.schema([pa.field(f.name, f.type.value_type if coded(f.type) else f.type) for f in fields])


def read(
    table: Table,
    columns: Iterable[str],
    where: Conditions,
    settings: Settings | None,
    as_of: datetime | None = None,
) -> pa.Table:
    """The rows that meet the conditions, in the table's order. They have the columns named and those of the order."""
    order = order_of(table)
    schema = plain_schema(table, (*columns, *order))
    conditions, parameters = where
    names = ", ".join(map(quoted, schema.names))
    statement = f"SELECT {names} FROM {quoted(table.name)} WHERE {' AND '.join(conditions) or 'true'}"  # noqa: S608
    return selected(statement, parameters, order, schema, settings=settings, as_of=as_of)


def frame(rows: pa.Table, names: Sequence[str], *, arrow: bool) -> pd.DataFrame | pa.Table:
    """The chosen columns of rows, as pandas or Arrow."""
    rows = rows.select(names)
    return rows if arrow else rows.to_pandas(date_as_object=False)


def quoted(name: str) -> str:
    """A name as an identifier of SQL."""
    return f'"{name}"'


def wanted(symbols: Sequence[str] | str | None) -> list[str] | None:
    """The symbols that a caller named; None: all."""
    return [symbols] if isinstance(symbols, str) else None if symbols is None else list(symbols)


def of_symbols(symbols: Sequence[str] | str | None) -> Conditions:
    """The condition on the symbol."""
    if (names := wanted(symbols)) is None:
        return [], []
    return [f'"symbol" IN ({", ".join("?" * len(names))})' if names else "false"], list(names)


def of_times(first: datetime | None, last: datetime | None, reach: timedelta = timedelta()) -> Conditions:
    """The conditions of ticks from `first` to `last` (UTC, both included; None: no limit on that side).

    With a `reach` the times may lie so much outside, but not the partitions: these are those of the exact times.
    """
    conditions, parameters = list[str](), list[Parameter]()
    for bound, sign, by in ((first, ">=", -reach), (last, "<=", reach)):
        if bound is not None:
            conditions.append(f'"produced_at" {sign} ? AND "year" {sign} ?')
            parameters.extend((shifted(bound, by), bound.year))
    if first and last:
        conditions += _calendar(first, last)
    return conditions, parameters


def day(bound: date | str | None) -> date | None:
    """A bound that is a session; a text is a day of ISO 8601. Raises QueryError for another text."""
    if not isinstance(bound, str):
        return bound
    try:
        return date.fromisoformat(bound)
    except ValueError as error:
        raise QueryError(f"{bound!r} is no day; write it as 2024-01-31") from error


def moment(bound: date | str | None, of_day: time) -> datetime | None:
    """A bound in UTC. A date stands for that time of its day; a time without a zone is in UTC.

    A text is a day or a time of ISO 8601. Raises QueryError for another text.
    """
    if isinstance(bound, str):
        bound = _read(bound)
    if bound is None:
        return None
    if not isinstance(bound, datetime):
        return datetime.combine(bound, of_day, UTC)
    return bound.astimezone(UTC) if bound.tzinfo else bound.replace(tzinfo=UTC)


def _read(text: str) -> date:
    for kind in (date, datetime):
        with suppress(ValueError):
            return kind.fromisoformat(text)
    raise QueryError(f"{text!r} is no day and no time; write it as 2024-01-31, or as 2024-01-31T14:30:00Z")


def span(first: _At | None, last: _At | None) -> tuple[_At | None, _At | None]:
    """Both bounds. Warns when the first is after the last, because then there is no row."""
    if first is not None and last is not None and first > last:
        warnings.warn(f"the start, {first}, is after the end, {last}", NothingFound, stacklevel=3)
    return first, last


def warn_of_missing(rows: pa.Table, symbols: Sequence[str] | str | None, table: Table) -> None:
    """Warn of symbols that were asked for and have no row. Without that an empty frame would say nothing."""
    found = set(pc.unique(rows["symbol"]).to_pylist()) if symbols is not None else set()
    if missing := [symbol for symbol in wanted(symbols) or () if symbol not in found]:
        told = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        cased = any(symbol != symbol.upper() for symbol in missing)
        warnings.warn(
            f"{table.name} has no row of {told} in what was asked for" + ("; symbols keep their case" if cased else ""),
            NothingFound,
            stacklevel=3,
        )


def shifted(at: datetime, by: timedelta) -> datetime:
    """A moment and some time later or earlier; the moment itself where Python's calendar ends."""
    try:
        return at + by
    except OverflowError:
        return at


def _calendar(first: datetime, last: datetime) -> list[str]:
    """Conditions on month and day that hold from one moment to another.

    Athena finds the objects of a day by the partition columns only; a condition on `produced_at` does not help it.
    """
    days = [first.date() + timedelta(n) for n in range(min((last.date() - first.date()).days + 1, 366))]
    conditions = []
    for part, number in (("month", 12), ("day", 31)):
        values = sorted({getattr(day, part) for day in days})
        if values and len(values) < number:
            conditions.append(f'"{part}" IN ({", ".join(map(str, values))})')
    return conditions
