"""Why a rebuild of a year refuses: rows or values would be lost, or a source is refused that was not refused before.

Each function raises RowsWouldBeLost with the number of rows, examples and the remedy. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, as_arrow, booleans
from stock_pipeline.errors import RowsWouldBeLost
from stock_pipeline.lake.ingest_log import IngestLog
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.outcome import Outcome
from stock_pipeline.maintenance.rebuild_records import Judged
from stock_pipeline.maintenance.rebuild_steps import Step
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE

_SHOWN = 3
"""So many examples are in the message of a refusal."""


def refuse_loss(
    stored: pa.Table, lost: Bools, partition: str, log: IngestLog, there: frozenset[tuple[str, str]]
) -> None:
    """A stored row that no raw object gives would be taken away."""
    if not lost.any():
        return
    rows = stored.filter(booleans(lost))
    gone = sorted({entry.source for entry in log.entries if (entry.source, entry.etag) not in there})
    gone += sorted(set(pc.unique(rows["source"].cast(pa.string())).to_pylist()) - {key for key, _ in there} - set(gone))
    why = f"; versions of {len(gone)} raw objects are no longer in staging: {', '.join(gone[:_SHOWN])}" if gone else ""
    raise RowsWouldBeLost(
        f"{partition} holds {rows.num_rows:,} rows that no raw object in staging gives any more: {_examples(rows)}"
        f"{why}. Nothing was written. Put the raw objects back, or take the rows out with `stock-pipeline remove`, and "
        "then rebuild"
    )


def refuse_refused(
    steps: Sequence[Step], receipts: Sequence[Receipt], judged: Sequence[Judged], lake: ObjectStore, partition: str
) -> None:
    """A source that was refused when it came gave no rows, so it may be refused again. No other source may."""
    found = [
        receipt
        for step, receipt, one in zip(steps, receipts, judged, strict=True)
        if receipt.refused is not None and (step.stored or not one.was_refused(lake))
    ]
    if found:
        told = "; ".join(f"{receipt.source}: {receipt.refused}" for receipt in found[:_SHOWN])
        raise RowsWouldBeLost(
            f"{len(found)} sources of {partition} were refused: {told}. Nothing was written, because a rebuild without "
            "them may lose rows. Ingest each as it is meant to be read (its symbol, its hints), or remove it"
        )


def refuse_lost_values(stored: pa.Table, rebuilt: pa.Table, partition: str) -> None:
    """A row names only the source that completed it last. Another source may have given some of its values and be gone,
    so the values are compared.
    """
    fuller = np.flatnonzero(merge(rebuilt, stored, PRICE_BY_DATE).outcome == Outcome.UPDATED)
    if len(fuller):
        rows = stored.take(as_arrow(fuller, pa.int64()))
        raise RowsWouldBeLost(
            f"{partition} holds values in {len(fuller):,} rows that no raw object in staging gives any more "
            f"({_examples(rows)}); a rebuild would lose them. Put the raw objects back (the staging bucket keeps "
            "versions), or ingest without rebuilding"
        )


def _examples(rows: pa.Table) -> str:
    some = rows.slice(0, _SHOWN).to_pylist()
    told = ", ".join(f"{row['symbol']} {row['date']} from {row['source']}" for row in some)
    return told + (", …" if rows.num_rows > _SHOWN else "")
