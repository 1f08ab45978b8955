"""Stored columns → the columns of a table, whichever version of its schema wrote them.

A nullable column that is not stored reads as null. The order of columns does not matter. A stored type whose values all
fit into the table's type is cast to it. Anything else is an error that names the object: a required column is missing,
or a value would have to be cut to fit. Columns that the table does not have are not read. A caller that would write the
object again, and so drop them, is refused.

The footer of each object says which version of its table's schema and of this package wrote it. Objects without this
were written before there was a second version.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from stock_pipeline import __version__
from stock_pipeline.errors import NewerSchema, SchemaMismatch
from stock_pipeline.schemas import Column, Table

SCHEMA_VERSION, WRITTEN_BY = "schema_version", "written_by"
"""The footer keys for the version of the schema, and for the version of the package."""

FIRST_VERSION = 1
"""The version of objects whose footer has none."""

_REMEDY = (
    "if that is a newer version than this, deploy it here, too; if not, restore the object from the bucket's versions, "
    "or build it again from the raw objects"
)
_UNITS = ("s", "ms", "us", "ns")


def signature(table: Table) -> dict[str, str]:
    """The footer's entries about the writer of the object."""
    return {SCHEMA_VERSION: str(table.version), WRITTEN_BY: f"stock-pipeline {__version__}"}


def check_readable(stored: pa.Schema, footer: Mapping[str, str], table: Table, names: list[str], key: str) -> None:
    """Raise SchemaMismatch unless these columns of a stored object can be read as the columns of the table."""
    for name in names:
        column = table.column(name)
        at = stored.get_field_index(name)
        if at < 0:
            if not column.nullable:
                raise SchemaMismatch(
                    f"{key} has no column {name}, which every row of {table.name} needs; it was written by "
                    f"{_writer(footer)}, and {_REMEDY}"
                )
        elif not _widens(stored.field(at).type, column):
            raise SchemaMismatch(
                f"{key} holds {name} as {stored.field(at).type}, which does not fit into {plain_type(column.type)}, "
                f"the type that {table.name} has here (schema {table.version}); it was written by {_writer(footer)}, "
                f"and {_REMEDY}"
            )


def check_writable(stored: pa.Schema, footer: Mapping[str, str], table: Table, key: str) -> None:
    """Raise NewerSchema when writing this object again would drop what a newer version of the schema put into it."""
    unknown = [name for name in stored.names if name not in table.schema.names]
    if not unknown and version_of(footer) <= table.version:
        return
    what = f"columns that this version does not know ({', '.join(unknown)})" if unknown else "rows of a newer schema"
    raise NewerSchema(
        f"{key} holds {what}: it was written by {_writer(footer)}, and this is stock-pipeline {__version__} with "
        f"schema {table.version} of {table.name}, which would drop them. Nothing was written; deploy the newer version "
        "everywhere that writes this lake (functions, Dagster, command line), then run this again"
    )


def project(rows: pa.Table, table: Table, names: list[str], key: str) -> pa.Table:
    """The rows in the columns of the table. `check_readable` must have accepted the object before.

    Raises SchemaMismatch for a value that does not fit into the table's type, and for a null in a required column.
    """
    schema = pa.schema([table.schema.field(name) for name in names])
    if rows.schema.equals(schema):
        return rows
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.chunked_array([pa.nulls(rows.num_rows, field.type)], field.type))
            continue
        column = rows.column(field.name)
        if column.null_count and not field.nullable:
            raise SchemaMismatch(
                f"{key} has {column.null_count:,} rows without {field.name}, which every row of {table.name} needs; "
                "restore the object from the bucket's versions, or build it again from the raw objects"
            )
        try:
            columns.append(_cast(column, field.type))
        except pa.ArrowInvalid as error:
            raise SchemaMismatch(
                f"{key} holds a {field.name} that a {plain_type(field.type)} cannot: {error}"
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def version_of(footer: Mapping[str, str]) -> int:
    """The version of its table's schema that an object was written by."""
    said = footer.get(SCHEMA_VERSION, "")
    return int(said) if said.isdecimal() else FIRST_VERSION


def plain_type(type_: pa.DataType) -> pa.DataType:
    """The type of the values, if the column is a dictionary."""
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if column.type.equals(type_):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not pa.types.is_dictionary(type_):
        return column.cast(type_)
    return column.cast(type_.value_type).combine_chunks().dictionary_encode().cast(type_)


def _widens(stored: pa.DataType, column: Column) -> bool:
    """Whether every value of a stored type fits into a column, or the cast reports a value that does not."""
    one, other = plain_type(stored), plain_type(column.type)
    is_ = pa.types
    if one.equals(other):
        return True
    if is_.is_null(one):
        return column.nullable
    if is_.is_integer(one) and is_.is_integer(other):
        if is_.is_signed_integer(one) == is_.is_signed_integer(other):
            return bool(one.bit_width < other.bit_width)
        return is_.is_signed_integer(other) and bool(one.bit_width < other.bit_width)
    if is_.is_floating(one) and is_.is_floating(other):
        return bool(one.bit_width < other.bit_width)
    if is_.is_timestamp(one) and is_.is_timestamp(other):
        return bool(one.tz == other.tz) and _UNITS.index(one.unit) < _UNITS.index(other.unit)
    return (is_.is_integer(one) and is_.is_floating(other)) or (_is_text(one) and _is_text(other))


def _is_text(type_: pa.DataType) -> bool:
    return any(is_(type_) for is_ in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _writer(footer: Mapping[str, str]) -> str:
    """Who wrote an object, according to its footer."""
    if WRITTEN_BY not in footer:
        return "a version before schema 2, or another tool"
    return f"{footer[WRITTEN_BY]} with schema {version_of(footer)}"
