"""What a table is made of: columns, views of a moment, keys, partitions. The tables themselves are in `schemas`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

__all__ = ["PROVENANCE", "STRING", "SYMBOL", "TIMESTAMP", "Column", "Table", "View"]

TIMESTAMP = pa.timestamp("us", tz="UTC")
STRING = pa.string()
# Repeated strings stay dictionary-encoded in memory: a year of 5,000 symbols has 1.26 M rows and 5,000 strings.
SYMBOL = pa.dictionary(pa.int32(), pa.string())

PROVENANCE = ("source", "etl_loading_ts")
"""The columns that say where a row came from and when. All tables that have them use these names."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, whether it may be null, and what one value means (with its unit).

    A column that is not `compared` does not decide between duplicate and conflict; it says where a row came from, or
    what we made of it. `since` is the version of its table's schema that added the column, or gave it its present type.
    A column that is added later must be nullable, and a later type must hold all values of the earlier one, because
    stored objects are not rewritten. `price` says that a bar with a value of zero or below is rejected.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    compared: bool = True
    since: int = 1
    price: bool = False

    @property
    def athena_type(self) -> str:
        """The column's type in Glue and Athena (Hive names)."""
        if pa.types.is_dictionary(self.type) or pa.types.is_string(self.type):
            return "string"
        if pa.types.is_timestamp(self.type):
            return "timestamp"
        return {
            pa.date32(): "date",
            pa.float64(): "double",
            pa.int64(): "bigint",
            pa.int32(): "int",
            pa.bool_(): "boolean",
        }[self.type]


@dataclass(frozen=True)
class View:
    """Columns that hold their writer's view at one moment, such as an adjusted close. The column `written_at` has the
    moment. See `lake.views`.
    """

    columns: tuple[str, ...]
    written_at: str


@dataclass(frozen=True)
class Table:
    """One table of the lake.

    `key` names the columns that identify a row. `keep` says which of several rows with one key stays: "first" is the
    one stored first, "greatest" is the greatest by the columns of `order`. There null is least, but in a boolean column
    it counts as true. A table that is computed from another one has "replace" (`lake.derived`). `values` are compared
    to tell a duplicate from a conflict; the provenance columns (`source`, `etl_loading_ts`) and others that are not
    `compared` never are. Rows inside an object are sorted by `sort`, and the object of a partition is called
    `<prefix><partition><suffix>`. A partition is named by its partition columns and then, for a table with several
    objects in a folder, by `leaf` (a regular expression). `bounds` are pairs of columns: where a row has both, the
    first is never below the second. `views` are columns that are not compared, but renewed. `scaled` are the prices
    that a split scales together; the last of them is used to recognize the split. `time` is the column with the time of
    the event that a row describes. `revisions` is the name of the table that keeps the rows that changed or were taken
    out. `to_query` is a sentence for people who query it.
    """

    name: str
    prefix: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sort: tuple[str, ...]
    partition: tuple[str, ...] = ()
    suffix: str = ".parquet"
    leaf: str = "[^/]+"
    keep: str = "first"
    order: tuple[str, ...] = ()
    dictionary: tuple[str, ...] = ("symbol", "source")
    bounds: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = ()
    scaled: tuple[str, ...] = ()
    time: str = "etl_loading_ts"
    revisions: str = ""
    to_query: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @cached_property
    def no_rows(self) -> pa.Table:
        """A table without rows. It is made once: an empty array of each column takes longer than merging a few rows."""
        return self.schema.empty_table()

    @cached_property
    def partition_names(self) -> re.Pattern[str]:
        """What the names of this table's partitions look like: `year=2024`, `year=2024/month=06/day=03/1430`."""
        digits = {"year": r"\d{4}", "month": r"(0[1-9]|1[0-2])", "day": r"(0[1-9]|[12]\d|3[01])"}
        parts = [f"{name}={digits.get(name, '[^/]+')}" for name in self.partition]
        return re.compile("/".join(parts if self.suffix.startswith("/") else [*parts, self.leaf]), re.ASCII)

    @cached_property
    def version(self) -> int:
        """The version of the schema: the number of its latest change."""
        return max(c.since for c in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError when there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    @cached_property
    def provenance(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.name in PROVENANCE and c.name not in self.key)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The values of a row that are not its key, without the views."""
        views = {name for view in self.views for name in (*view.columns, view.written_at)}
        others = {*self.key, *self.provenance, *views}
        return tuple(c.name for c in self.columns if c.compared and c.name not in others)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The columns that a source gives. The other columns say where the row came from and when."""
        others = {*self.provenance, *(view.written_at for view in self.views)}
        return tuple(c.name for c in self.columns if c.name not in others)
