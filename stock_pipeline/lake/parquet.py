"""Tables to Parquet bytes and back, with the layout that the queries want.

Rows are sorted and compressed with zstd. Row groups have 128k rows, so a query for one symbol reads few of them. Only
columns whose values repeat have dictionaries: in a column of prices a dictionary would cost time and save nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from stock_pipeline.errors import DamagedObject
from stock_pipeline.lake.projection import check_readable, check_writable, project, signature
from stock_pipeline.lake.sorted_rows import Sorted
from stock_pipeline.schemas import Table
from stock_pipeline.settings import MIB

ROW_GROUP = 128 * 1024

FEW = 500
"""Fewer rows are not compressed: setting up a compressor for each column would take longer than all the rest."""


def encode(rows: pa.Table | Sorted, table: Table, metadata: dict[str, str] | None = None) -> bytes:
    """The rows as one Parquet file. `metadata` goes into the footer, beside the versions of the writer."""
    # One row group at a time: a sorted copy of all rows would be the largest thing in memory.
    pieces = rows.pieces(ROW_GROUP) if isinstance(rows, Sorted) else [rows]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="zstd" if rows.num_rows >= FEW else "none",
        # A column that is the whole key has each value once.
        use_dictionary=[n for n in (*table.dictionary, "date") if n in table.schema.names and table.key != (n,)],
        sorting_columns=pq.SortingColumn.from_ordering(rows.schema, [(name, "ascending") for name in table.sort]),
        store_schema=False,  # with it Arrow would read symbols as dictionaries, by which it cannot skip row groups
    ) as writer:
        for piece in pieces:
            writer.write_table(piece, row_group_size=ROW_GROUP)
        writer.add_key_value_metadata(signature(table) | (metadata or {}))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def decode(
    data: bytes, table: Table, key: str, columns: list[str] | None = None, *, to_write: bool = False
) -> pa.Table:
    """The rows of a stored object, projected on the table's schema (see `projection`); `key` names it in errors.

    Raises SchemaMismatch when it does not fit the table, NewerSchema when it is read `to_write` it again and that would
    drop something, and DamagedObject when it is not a Parquet file, or cannot be read to its end.
    """
    names = table.schema.names if columns is None else columns
    with _naming_damage(data, table, key):
        file = _opened(data, table)
        stored = file.schema_arrow
        if not stored.equals(table.schema):
            check_readable(stored, _footer(file), table, names, key)
        if to_write:
            check_writable(stored, _footer(file), table, key)
        # A small file is read without Arrow's threads: they do not help, and one of them may still hold the bytes when
        # the interpreter ends after a Ctrl-C, which would abort it.
        rows = file.read(columns=[name for name in names if name in stored.names], use_threads=len(data) > MIB)
        return project(rows, table, names, key)


def check(data: bytes, table: Table, key: str, *, to_write: bool = False) -> None:
    """Raise what `decode` would raise for the columns of a stored object, without reading its rows.

    `to_write` only checks whether another object may replace it.
    """
    with _naming_damage(data, table, key):
        file = pq.ParquetFile(pa.BufferReader(data))
        if to_write:
            check_writable(file.schema_arrow, _footer(file), table, key)
        else:
            check_readable(file.schema_arrow, _footer(file), table, table.schema.names, key)


@contextmanager
def _naming_damage(data: bytes, table: Table, key: str) -> Iterator[None]:
    """Turn what Arrow raises for bytes that it cannot read into DamagedObject."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        what = "is empty (0 bytes)" if not data else f"cannot be read ({str(error).strip().splitlines()[0][:120]})"
        raise DamagedObject(
            key,
            f"the object {key} of {table.name} {what}. Bring back its last good version "
            "from the bucket's versions (docs/operations.md), and run `stock-pipeline reconcile --all`",
        ) from error


def footer(data: bytes) -> dict[str, str]:
    """The metadata that `encode` put into the footer. Raises what Arrow raises for bytes that it cannot read, mostly
    ValueError or OSError: `decode` first names the damaged object.
    """
    return _footer(pq.ParquetFile(pa.BufferReader(data)))


def _opened(data: bytes, table: Table) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(table.dictionary))
    except KeyError:  # one of these columns is not stored
        names = pq.read_schema(pa.BufferReader(data)).names
        return pq.ParquetFile(pa.BufferReader(data), read_dictionary=[n for n in table.dictionary if n in names])


def _footer(file: pq.ParquetFile) -> dict[str, str]:
    metadata = file.metadata.metadata or {}
    return {k.decode(): v.decode() for k, v in metadata.items() if k != b"ARROW:schema"}
