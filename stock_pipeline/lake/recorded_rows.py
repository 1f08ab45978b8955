"""The rows of the rejected records as they are in memory, between an object and what an ingest says.

What does not belong here: reading and writing the objects (`rejected_records`).
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import as_arrow, repeated, strings
from stock_pipeline.lake.source_memory import Memory
from stock_pipeline.schemas import RECORDED, REJECTED_RECORDS, Reason, Table

KEPT = pa.schema([*RECORDED, ("etag", pa.string())])
"""The records of all versions of a source: each row with the ETag of its version."""


def plainly(rows: pa.Table, memory: Memory) -> pa.Table:
    """The rows as of today. Before version 3 of the schema, all were of the only version that the footer named."""
    if rows["etag"].null_count:
        etag = strings([next(iter(memory), "")])
        at = rows.schema.get_field_index("etag")
        filled = pc.fill_null(rows["etag"].cast(pa.string()), etag[0]).cast(rows.schema.field(at).type)
        rows = rows.set_column(at, rows.schema.field(at), filled)
    return _plainly_stored(rows)


def of_version(rows: pa.Table, etag: str) -> pa.Table:
    return rows.append_column("etag", pa.repeat(pa.scalar(etag), rows.num_rows)).cast(KEPT)


def _plainly_stored(rows: pa.Table) -> pa.Table:
    """The rows with false instead of null in `stored`: before version 2 no row with a record was stored."""
    at = rows.schema.get_field_index("stored")
    filled = rows["stored"].fill_null(False) if rows["stored"].null_count else rows["stored"]
    return rows.set_column(at, rows.schema.field(at), filled)


def once_stored(rows: pa.Table) -> pa.Table:
    """The records of values that were stored once: replaced values and removed rows."""
    return rows.filter(pc.is_in(rows["reason"], strings([Reason.REPLACED.value, Reason.REMOVED.value])))


def distinct(rows: pa.Table) -> pa.Table:
    """The rows in the order of their lines, without duplicates. Those of a line are in the order of their versions."""
    lines = rows["line"].to_numpy()
    if (lines[1:] > lines[:-1]).all():  # usually; a group of a thousand objects has a thousand of these
        return rows.combine_chunks()
    numbered = rows.append_column("at", pa.array(np.arange(rows.num_rows)))
    first = numbered.group_by(KEPT.names, use_threads=False).aggregate([("at", "min")])["at_min"]
    rows = rows.take(np.sort(first.to_numpy()))
    _, version = np.unique(rows["etag"].to_numpy(zero_copy_only=False), return_inverse=True)
    return rows.take(np.lexsort((version, rows["line"].to_numpy()))).combine_chunks()


def as_table(rows: pa.Table, table: Table, source: str, now: datetime) -> pa.Table:
    def same(text: str) -> pa.Array:
        codes = as_arrow(np.zeros(rows.num_rows, np.int32), pa.int32())
        return pa.DictionaryArray.from_arrays(codes, strings([text]), safe=False)

    columns = {
        "target_table": same(table.name),
        "source": same(source),
        **{name: rows[name] for name in KEPT.names},
        "reason": rows["reason"].dictionary_encode(),
        "symbol": rows["symbol"].dictionary_encode(),
        "etag": rows["etag"].dictionary_encode(),
        "etl_loading_ts": repeated(now, rows.num_rows),
    }
    names = REJECTED_RECORDS.schema.names
    return pa.Table.from_arrays([columns[name] for name in names], schema=REJECTED_RECORDS.schema)
