"""The rule for which SQL statements are allowed: one statement that only reads."""

from __future__ import annotations

import re

from stock_pipeline.errors import QueryError

_COMMENTS = re.compile(r"\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/", re.S)
EXPLAIN = re.compile(r"explain(\s+analyze)?(\s+verbose)?(\s*\([^()]*\))?\b", re.I)
_READS = re.compile(r"(select|with|describe|desc|show)\b", re.I)


def reading(statement: str) -> str:
    """The statement without comments and semicolons around it. Raises QueryError when it does anything but read."""
    start = 0
    while found := _COMMENTS.match(statement, start):
        start = found.end()
    statement = statement[start:].rstrip().rstrip(";").rstrip()
    if not statement:
        raise QueryError("there is no statement; try: SELECT * FROM price_by_date LIMIT 10")
    explained = EXPLAIN.match(statement)
    inner = statement[explained.end() :] if explained else statement
    if not _READS.match(inner.lstrip("( \t\r\n")):
        word = re.split(r"\W", statement, maxsplit=1)[0].upper() or statement[:10]
        raise QueryError(f"{word} is not allowed: SQL here only reads (SELECT, WITH, DESCRIBE, SHOW, EXPLAIN)")
    return statement
