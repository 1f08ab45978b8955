"""The forms of Athena's results as tables: rows of a SELECT, listings of DESCRIBE and SHOW, plans of EXPLAIN.

Only the rows of a SELECT come as one datum a column, with their names in the first row. DESCRIBE and SHOW come as
lines, as Hive prints them: one datum a row, in it the cells, padded with blanks and separated by tabs, while the
metadata names each column. A plan comes as lines of text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

_Cells = list[str | None]
_Rows = Sequence[_Cells]

_TYPES: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
}
_WORD = re.compile(r"\s*(\w*)")
_PARTITIONS = "# Partition Information"
_HEADINGS = {_PARTITIONS, "# col_name"}
"""What a plain DESCRIBE prints between the columns and, once more, the partition columns."""


def table_of(statement: str, columns: Sequence[Any], rows: _Rows) -> pa.Table:
    """The result of a statement, by the descriptions of its columns (ColumnInfo) and the texts of its rows."""
    found = _WORD.match(statement)
    word = found[1].lower() if found else ""
    names = [column["Name"] for column in columns]
    if word in {"describe", "desc", "show"}:
        return _listed(names, rows, described=word != "show")
    if rows and list(rows[0]) == names:  # a SELECT's result begins with its column names, and a plan's may
        rows = rows[1:]
    if word == "explain" and len(names) == 1:
        return pa.table({names[0]: pa.array(_lines(rows), pa.string())})
    texts = zip(*(_padded(row, len(names)) for row in rows), strict=True) if rows else ([] for _ in names)
    return pa.table([_typed(list(t), c) for t, c in zip(texts, columns, strict=True)], names=names)


def _typed(texts: _Cells, column: Any) -> pa.Array:
    """Athena's texts, converted to the column's type. Arrays, maps, rows and times of day stay text."""
    kind = column["Type"]
    values = pa.array(texts, pa.string())
    if kind == "timestamp":
        return values.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    if kind == "decimal":
        return values.cast(pa.decimal128(column.get("Precision") or 38, column.get("Scale") or 0))
    return values.cast(_TYPES[kind]) if kind in _TYPES else values


def _lines(rows: _Rows) -> list[str]:
    return [line.rstrip() for row in rows for cell in row for line in (cell or "").split("\n")]


def _listed(names: list[str], rows: _Rows, *, described: bool) -> pa.Table:
    """The lines of DESCRIBE and SHOW as rows of texts. Blank lines are left out; an empty cell is null."""
    found = [cells for row in rows if any(cells := _cells(row, len(names)))]
    if described and {cells[0] for cells in found if (cells[0] or "").startswith("#")} <= _HEADINGS:
        return _described(names, found)
    return _texts(names, found)


def _described(names: list[str], rows: _Rows) -> pa.Table:
    """The columns of a table, each once, and whether it is a partition column."""
    heading = next((at for at, row in enumerate(rows) if row[0] == _PARTITIONS), len(rows))
    again = [row for row in rows[heading:] if not (row[0] or "").startswith("#")]
    partition = {row[0] for row in again}
    columns = [*rows[:heading], *(row for row in again if row[0] not in {other[0] for other in rows[:heading]})]
    listed = _texts(names, columns)
    return listed.append_column("partition", pa.array([row[0] in partition for row in columns], pa.bool_()))


def _texts(names: list[str], rows: _Rows) -> pa.Table:
    cells = [[row[at] for row in rows] for at in range(len(names))]
    return pa.table([pa.array(texts, pa.string()) for texts in cells], names=names)


def _cells(row: _Cells, width: int) -> _Cells:
    """The cells of one line. A line of one column keeps its indentation: SHOW CREATE TABLE prints DDL."""
    if width == 1:
        return [(row[0] or "").rstrip() or None if row else None]
    cells = (row[0] or "").split("\t", width - 1) if len(row) == 1 else row
    return _padded([(cell or "").strip() or None for cell in cells], width)


def _padded(cells: _Cells, width: int) -> _Cells:
    return [*cells, *[None] * (width - len(cells))]
