"""`price_by_date` as a reader saw it at a time, in SQL that both engines understand.

A row of `price_by_date` is known from its `etl_loading_ts` on, a former version (a row of `price_revisions`) from its
`known_from`. At a time, the last version of each key that was known by then counts, unless it had been taken out by
then. `known_to` does not decide which version that is: if a change was interrupted, or lost a race, a later end than
the true one may be on record (see `lake.revisions`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from stock_pipeline.errors import QueryError
from stock_pipeline.query.statements import EXPLAIN
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS, TABLES

_WITH = re.compile(r"with\s+(recursive\s+)?", re.I)
_SELECT = re.compile(r"[(\s]*select\b", re.I)
_TEXTS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.S)
_NAME = re.compile(r"[A-Za-z_][\w$]*")


def moment_of(as_of: datetime) -> datetime:
    """The time in UTC. Raises QueryError for a time without a zone, and for one in the future: until then the table may
    still change.
    """
    if not isinstance(as_of, datetime) or as_of.tzinfo is None:
        raise QueryError(f"as_of {as_of} has no time zone; give one, for example 2024-06-03T20:00:00+00:00")
    if as_of > (now := datetime.now(UTC)):
        raise QueryError(
            f"as_of {as_of.isoformat()} lies in the future: it is {now.isoformat(timespec='seconds')}, and until then "
            "the table may change"
        )
    return as_of.astimezone(UTC)


def past_prices(as_of: datetime, database: str) -> str:
    """The SELECT that gives the rows of `price_by_date` at a time, with its partition column.

    Raises QueryError as `moment_of` does.
    """
    at = f"TIMESTAMP '{moment_of(as_of):%Y-%m-%d %H:%M:%S.%f}'"
    names = ", ".join(f'"{name}"' for name in (*PRICE_BY_DATE.schema.names, *PRICE_BY_DATE.partition))
    now, past = (f'"{database}"."{table.name}"' for table in (PRICE_BY_DATE, PRICE_REVISIONS))
    # The year is among the columns of the window, so that a condition on it skips objects.
    return (
        f"SELECT {names} FROM {now} WHERE etl_loading_ts <= {at} UNION ALL "  # noqa: S608 - names from the schema
        f"SELECT {names} FROM (SELECT *, row_number() OVER "
        f'(PARTITION BY symbol, "date", "year" ORDER BY known_from DESC, known_to DESC) AS nth FROM {past} '
        f"WHERE known_from <= {at}) AS r WHERE nth = 1 AND known_to > {at} AND NOT EXISTS (SELECT 1 FROM {now} AS c "
        f'WHERE c.symbol = r.symbol AND c."date" = r."date" AND c."year" = r."year" AND c.etl_loading_ts <= {at})'
    )


def as_known(statement: str, as_of: datetime, database: str) -> str:
    """A statement in which `price_by_date` is the table as a reader saw it at a time.

    Raises QueryError as `moment_of` does, for a statement that is no SELECT or WITH, and for one that names another
    table: only `price_by_date` keeps its past.
    """
    table = f"{PRICE_BY_DATE.name} AS ({past_prices(as_of, database)})"
    _refuse_other_tables(statement, database)
    explained = EXPLAIN.match(statement)
    start = explained.end() if explained else 0
    before, rest = f"{statement[:start]} ".lstrip(), statement[start:].lstrip()
    if found := _WITH.match(rest):
        return f"{before}WITH {found[1] or ''}{table}, {rest[found.end() :]}"
    if _SELECT.match(rest):
        return f"{before}WITH {table} {rest}"
    raise QueryError("as_of is for a SELECT or a WITH; leave it out to see what tables there are")


def _refuse_other_tables(statement: str, database: str) -> None:
    names = [name.lower() for name in _NAME.findall(_TEXTS.sub(" ", statement))]
    if others := [name for name in names if name in TABLES and name != PRICE_BY_DATE.name]:
        raise QueryError(f"as_of is for {PRICE_BY_DATE.name} alone: {others[0]} does not keep its past")
    if database.lower() in names:
        raise QueryError(f"with as_of, name the table without its database: {PRICE_BY_DATE.name}")
