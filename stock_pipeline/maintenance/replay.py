"""Rejected records as a way back: which there are, and their sources ingested again after a rule or an alias was fixed.

A replay is an ingest like any other. What is stored counts as duplicate, what is still wrong is rejected again, and a
source's rejected records are replaced whole by those of its last ingest; so it is safe at any time and however often.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY, Reason, Table
from stock_pipeline.settings import Settings

TARGETS: dict[str, Table] = {table.name: table for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY)}
"""The tables that rows can be rejected from."""


def rejected_records(
    lake: ObjectStore,
    *,
    tables: Sequence[str] = (),
    sources: Sequence[str] = (),
    reasons: Sequence[str] = (),
) -> pa.Table:
    """The rejected records (schema REJECTED_RECORDS, plain strings), narrowed to what is named; a table's newest first.

    A source is named by its key, with or without `s3://bucket/`, or by the end of it (the file's name). Raises
    StockPipelineError for a table or reason that there is not, and for a source that no rejected record is from.
    """
    if unknown := [t for t in tables if t not in TARGETS]:
        raise StockPipelineError(f"no row is rejected from {unknown[0]!r}; the tables are {', '.join(TARGETS)}")
    if unknown := [r for r in reasons if r not in set(Reason)]:
        raise StockPipelineError(f"{unknown[0]!r} is no reason; there are {', '.join(Reason)}")
    found = pa.concat_tables([read_rejects(lake, TARGETS[name]) for name in tables or TARGETS])
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in found.schema])
    found = found.cast(plain)
    if sources:
        keys = set(found["source"].to_pylist())
        wanted = [key for source in sources for key in _keys_named(source, keys)]
        found = found.filter(pc.is_in(found["source"], pa.array(wanted, pa.string())))
    if reasons:
        found = found.filter(pc.is_in(found["reason"], pa.array(list(reasons), pa.string())))
    return found


def counts(found: pa.Table) -> pa.Table:
    """How many of some rejected records there are of each table, source and reason, most first in a source (`rows`).

    Those of rows that are `stored` without a value are counted apart.
    """
    counted = found.group_by(["target_table", "source", "reason", "stored"]).aggregate([([], "count_all")])
    counted = counted.rename_columns(["target_table", "source", "reason", "stored", "rows"])
    return counted.sort_by([("target_table", "ascending"), ("source", "ascending"), ("rows", "descending")])


def replay_rejects(
    staging: ObjectStore,
    lake: ObjectStore,
    settings: Settings,
    *,
    tables: Sequence[str] = (),
    sources: Sequence[str] = (),
    reasons: Sequence[str] = (),
    on_progress: Progress | None = None,
) -> list[Receipt]:
    """Ingest the sources of rejected records again, whole; a receipt each, those of daily prices first.

    The records are chosen as in `rejected_records`, which says what is raised. Values that a restatement replaced,
    and rows that were taken out, are on record as well, but are nothing to bring back: they alone make no source of a
    replay. A source that is gone from
    staging gives a receipt that says so, and what is on record for it stays. `on_progress` is called with (sources
    done, sources in all).

    Raises StoreUnavailable or MergeContention when the work could not be done: calling again is safe.
    """
    found = rejected_records(lake, tables=tables, sources=sources, reasons=reasons)
    for once_stored in (Reason.REPLACED, Reason.REMOVED):
        if once_stored not in reasons:
            found = found.filter(pc.not_equal(found["reason"], once_stored.value))
    daily, ticks = (_sources(found, table) for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY))
    total = len(daily) + len(ticks)

    def after(before: int) -> Progress | None:
        return on_progress and (lambda done, _: on_progress(before + done, total))

    limit = settings.max_object_bytes
    receipts = ingest_daily_prices(daily, staging=staging, lake=lake, max_bytes=limit, on_progress=after(0))
    receipts += ingest_ticks(ticks, staging=staging, lake=lake, **options_of(settings), on_progress=after(len(daily)))
    return receipts


def _sources(found: pa.Table, target: Table) -> list[str]:
    """The sources of a table's rejected records, each once, the longest waiting first.

    So the one that was ingested first is the first again, where two of them hold different values.
    """
    mine = found.filter(pc.equal(found["target_table"], target.name)).sort_by([("etl_loading_ts", "ascending")])
    return list(dict.fromkeys(mine["source"].to_pylist()))


def _keys_named(source: str, keys: set[str]) -> list[str]:
    """The keys that a person means: the key itself, with or without its bucket, or the end of it."""
    name = source.removeprefix("s3://").partition("/")[2] if source.startswith("s3://") else source
    found = [key for key in sorted(keys) if key == name or key.endswith(f"/{name}")]
    if not found:
        raise StockPipelineError(
            f"no rejected row comes from {source}; `stock-pipeline rejects list` shows the sources"
        )
    return found
