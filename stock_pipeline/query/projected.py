"""The years that Athena looks for in a table, and a refusal where that would leave out rows without a word.

Athena lists the folder of each partition that the table's projection names and that a statement's conditions on the
partition columns allow, whether there is such a folder or not. So the ranges are short. Outside of a range Athena finds
nothing and does not say so. Therefore the lake is asked first whether it has years outside. Only then can a statement
miss rows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stock_pipeline.aws.clients import BotoCoreError, ClientError, impatient
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import QueryError, StoreError
from stock_pipeline.schemas import TABLES
from stock_pipeline.settings import variable

_KEPT = 600.0  # seconds for which an answer about a table is kept
_TEXTS = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.S)
_SELECTS = re.compile(r"[(\s]*(select|with)\b|explain\b", re.I)
_VALUE = r"\(?\s*(?:\d{1,9}|\?)(?:\s*(?:,|\band\b)\s*(?:\d{1,9}|\?))*"
_CONDITION = re.compile(rf'\byear\b"?\s*(<=|>=|=|<|>|\bbetween\b|\bin\b)\s*({_VALUE})', re.I)


@dataclass(frozen=True)
class Years:
    """The years that Athena looks for in a table, both included, and those outside of them that the lake has."""

    first: int
    last: int
    outside: tuple[int, ...] = ()


def refuse_outside(statement: str, parameters: Sequence[Any], database: str) -> None:
    """Raise QueryError for a SELECT that asks for years which the lake has and Athena does not look for.

    What it asks for is told by its conditions on the column `year`; without any it asks for all years. Where the caller
    may not see the table in Glue or the lake, nothing is known, and nothing is refused.
    """
    if not _SELECTS.match(statement):
        return
    text = _TEXTS.sub(lambda found: " " * len(found[0]), statement)
    first, last = _asked(text, parameters)
    for name in re.findall(r"\w+", text.lower()):
        if name not in TABLES or "year" not in TABLES[name].partition:
            continue
        years = years_of(database, name)
        if years and (missed := [year for year in years.outside if first <= year <= last]):
            raise QueryError(_refusal(name, years, missed))


def years_of(database: str, table: str) -> Years | None:
    """The years of a table, as they are known for some minutes. None: the table, or its lake, cannot be seen."""
    return _years_of(database, table, int(time.monotonic() // _KEPT))


def _refusal(table: str, years: Years, missed: Sequence[int]) -> str:
    these, wider = ", ".join(map(str, missed)), f"{min(years.first, *missed)},{max(years.last, *missed)}"
    return (
        f"the lake has rows of {table} of {these}, but Athena looks only for {years.first} to {years.last} and would "
        f"leave them out. Add a condition, such as year BETWEEN {years.first} AND {years.last}; or deploy the stack "
        f"with other years (TickYears={wider}; each year is 372 more folders that a query without a condition lists); "
        f"or set {variable('sql_engine')}=duckdb, which reads what is there"
    )


def _asked(text: str, parameters: Sequence[Any]) -> tuple[float, float]:
    """The least and the greatest year that the conditions on `year` allow, in a statement without its texts."""
    lower, upper = list[float](), list[float]()
    for found in _CONDITION.finditer(text):
        values = list(_values(found, text, parameters))
        if found[1] not in {"<", "<="}:
            lower += values
        if found[1] not in {">", ">="}:
            upper += values
    return min(lower, default=float("-inf")), max(upper, default=float("inf"))


def _values(found: re.Match[str], text: str, parameters: Sequence[Any]) -> Iterator[float]:
    """The numbers of a condition. A `?` without a number leaves the side open."""
    strict = {"<": -1, ">": 1}.get(found[1], 0)
    place = text.count("?", 0, found.start(2))
    for value in re.findall(r"\d+|\?", found[2]):
        if value != "?":
            yield int(value) + strict
            continue
        given = parameters[place] if place < len(parameters) else None
        place += 1
        if isinstance(given, int) and not isinstance(given, bool):
            yield given + strict
        else:
            yield from (float("-inf"), float("inf"))


@lru_cache(maxsize=64)
def _years_of(database: str, table: str, _since: int) -> Years | None:
    try:
        given = impatient("glue").get_table(DatabaseName=database, Name=table)["Table"]
        first, last = map(int, given["Parameters"]["projection.year.range"].split(","))
        bucket, _, prefix = given["StorageDescriptor"]["Location"].removeprefix("s3://").partition("/")
        return Years(first, last, tuple(_outside(S3Store(bucket), prefix, first, last)))
    except (ClientError, BotoCoreError, StoreError, KeyError, ValueError):
        return None


def _outside(lake: S3Store, prefix: str, first: int, last: int) -> Iterator[int]:
    """The years outside of a range that have an object: a listing for each such year, and two more."""
    after = f"{prefix}year="
    while info := next(lake.list(f"{prefix}year=", start_after=after), None):
        folder = info.key.removeprefix(prefix).partition("/")[0]
        name = folder.removeprefix("year=")
        inside = name.isdecimal() and first <= int(name) <= last
        if name.isdecimal() and not inside:
            yield int(name)
        after = f"{prefix}{f'year={last:04d}' if inside else folder}/~"
