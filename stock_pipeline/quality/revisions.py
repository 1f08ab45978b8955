"""What the check of `price_revisions` looks for."""

from __future__ import annotations

import pyarrow as pa

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.quality.finding import Finding
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS

_VERSION = ["symbol", "date", "source", "etl_loading_ts"]
"""The columns that identify a version of a bar."""


def unfinished(lake: ObjectStore) -> Finding:
    """Versions that are on record as former ones, and are still in price_by_date."""
    found, versions = [], 0
    for name in partitions(lake, PRICE_REVISIONS):
        # The table is read last: what is still in it then was not changed after it was put on record.
        revised = read_partition(lake, PRICE_REVISIONS, name, [*_VERSION, "known_to", "replaced_by", "change"])
        stored = read_partition(lake, PRICE_BY_DATE, name, _VERSION)
        if revised is not None and stored is not None:
            versions += revised.num_rows
            found.append(_plain(revised).join(_plain(stored), _VERSION, join_type="inner"))
    examples = pa.concat_tables(found).sort_by([("symbol", "ascending"), ("date", "ascending")]) if found else None
    wrong = examples.num_rows if examples is not None else 0
    said = f"{wrong:,} versions are on record as former ones and still stored: run what changes them again"
    return Finding(wrong, examples, {"versions": versions}, said=said if wrong else "")


def _plain(rows: pa.Table) -> pa.Table:
    """The rows with texts instead of dictionaries, by which Arrow cannot join."""
    types = [f.type.value_type if pa.types.is_dictionary(f.type) else f.type for f in rows.schema]
    return rows.cast(pa.schema([f.with_type(t) for f, t in zip(rows.schema, types, strict=True)]))
