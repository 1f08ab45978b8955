"""The metadata that runs show in the UI: column schemas, previews, sums of receipts; and progress in the log."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import without_contents
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.orchestration.cancellation import stop_if_cancelled
from stock_pipeline.orchestration.ui import charts, markdown
from stock_pipeline.progress import Progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import Table

Metadata = Mapping[str, dg.MetadataValue[Any]]

PREVIEW_ROWS = 10
LISTED_SOURCES = 50
_BAR = 30
_BETWEEN_BARS = 2.0  # seconds


def column_schema(table: Table, only: Collection[str] = ()) -> dg.TableSchema:
    """The columns of a table (or only those named) with their types in Athena, their meaning and constraints."""
    keys = ", ".join(table.key)
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.athena_type,
            description=column.description,
            constraints=dg.TableColumnConstraints(
                nullable=column.nullable, other=[f"key: ({keys})"] if column.name in table.key else []
            ),
        )
        for column in table.columns
        if not only or column.name in only
    ]
    return dg.TableSchema(columns=columns, constraints=dg.TableConstraints(other=[f"({keys}) is unique"]))


def preview(rows: pa.Table, schema: dg.TableSchema, by: str = "date") -> dg.TableMetadataValue:
    """The last rows of a table of prices, newest first by a column of dates or times."""
    times = rows[by].cast(pa.int32() if pa.types.is_date32(rows[by].type) else pa.int64()).to_numpy()
    return records(rows.take(np.argsort(-times, kind="stable")[:PREVIEW_ROWS]), schema)


def records(rows: pa.Table, schema: dg.TableSchema | None = None) -> dg.TableMetadataValue:
    """A few rows as a table in the UI, with the columns' meaning when a schema is given."""
    plain = ({name: _plain(value) for name, value in row.items()} for row in rows.to_pylist())
    schema = schema or dg.TableSchema([dg.TableColumn(name) for name in rows.column_names])
    return dg.MetadataValue.table([dg.TableRecord(record) for record in plain], schema=schema)


def number(value: float) -> dg.IntMetadataValue | dg.FloatMetadataValue:
    """A number that the UI can plot."""
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(value)


def _plain(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, (str, int, float)) else str(value)


def chart(name: str, draw: Callable[..., str | None], *arguments: object) -> Metadata:
    """A chart under a name; nothing when there is nothing to draw.

    If a drawing fails, a message takes its place. The run does not fail, because its rows are stored.
    """
    try:
        drawn = draw(*arguments)
    except Exception as error:
        drawn = f"this chart could not be drawn ({type(error).__name__})"
    return {name: dg.MetadataValue.md(drawn)} if drawn else {}


def beside_metadata(table: Table, receipts: Sequence[Receipt], lake: ObjectStore) -> Metadata:
    """Of ingests that wrote to a table beside their own (rejected records, former versions): their counts and sources,
    and where that table is.
    """
    uri = dg.MetadataValue.text(f"s3://{lake.bucket}/{table.prefix}")
    return {**receipts_metadata(receipts), "dagster/uri": uri}


def receipts_metadata(receipts: Sequence[Receipt]) -> Metadata:
    """What became of the rows of some sources: counts to plot, rejected rows by reason, the sources themselves.

    Counts are sums over whole sources, so for a source of several years they cover all of these.
    """
    rejected, nulled = Counter[str](), Counter[str]()
    for receipt in receipts:
        rejected.update(receipt.rejected)
        nulled.update(receipt.nulled)
    refused = [receipt for receipt in receipts if receipt.refused]
    counts = {
        "rows_read": sum(r.rows for r in receipts),
        "duplicates": sum(r.duplicates for r in receipts),
        "updated": sum(r.updated for r in receipts),
        "conflicts": sum(r.conflicts for r in receipts),
        "replaced": sum(r.replaced for r in receipts),
        "rejected": rejected.total(),
        "skipped": sum(r.skipped for r in receipts),
        "nulled": nulled.total(),
        "sources": len(receipts),
        "refused_sources": len(refused),
    }
    metadata: dict[str, dg.MetadataValue[Any]] = dict(chart("chart_rejected", charts.rejected, rejected))
    metadata |= {name: dg.MetadataValue.int(count) for name, count in counts.items()}
    metadata |= {f"rejected/{reason}": dg.MetadataValue.int(count) for reason, count in sorted(rejected.items())}
    metadata |= {f"nulled/{reason}": dg.MetadataValue.int(count) for reason, count in sorted(nulled.items())}
    if refused:
        metadata["refused"] = dg.MetadataValue.md(
            markdown.table(["source", "why"], [[r.source, r.refused] for r in refused])
        )
    metadata |= _understood(receipts)
    metadata["receipts"] = dg.MetadataValue.md(_receipts_table(receipts))
    return metadata


def _understood(receipts: Sequence[Receipt]) -> Metadata:
    """How sources were read: unread columns, what was decided by which evidence, and conflicts with one common cause.
    Sources that were read alike share a row.
    """
    told: dict[str, Callable[[Receipt], list[str]]] = {
        "unread": lambda r: [", ".join(r.unread)] if r.unread else [],
        "decided": lambda r: ["; ".join(f"{what}: {how}" for what, how in r.decided.items())] if r.decided else [],
        "rescaled": lambda r: list(r.rescaled),
    }
    metadata: dict[str, dg.MetadataValue[Any]] = {}
    for name, words_of in told.items():
        sources: dict[str, list[str]] = defaultdict(list)
        for receipt in receipts:
            for words in words_of(receipt):
                sources[words].append(receipt.source)
        if sources:
            rows = [[_first_and_number(alike), words] for words, alike in list(sources.items())[:LISTED_SOURCES]]
            metadata[name] = dg.MetadataValue.md(markdown.table(["source", name], rows))
    return metadata


def _first_and_number(sources: Sequence[str]) -> str:
    return sources[0] + (f" and {len(sources) - 1:,} more" if len(sources) > 1 else "")


def stored_by(receipts: Sequence[Receipt], rows: pa.Table) -> pa.Table:
    """The rows of a table that ingests (of Dagster or Lambda) stored.

    Each receipt says when its rows were stored, and from what source. If a table has no sources (the snapshot), the
    result may include rows of another object that the same function stored at the same moment.
    """
    sources: dict[datetime, list[str]] = defaultdict(list)
    for receipt in receipts:
        if receipt.inserted or receipt.updated:
            sources[receipt.loaded_at].append(receipt.source)
    moments = rows["etl_loading_ts"]
    rows = rows.filter(pc.is_in(moments, pa.array(sources, moments.type)))
    if "source" not in rows.schema.names:
        return rows
    parts = [rows.slice(0, 0)]
    for moment, names in sources.items():
        part = rows.filter(pc.equal(rows["etl_loading_ts"], pa.scalar(moment, moments.type)))
        parts.append(part.filter(pc.is_in(part["source"].cast(pa.string()), pa.array(names, pa.string()))))
    return pa.concat_tables(parts)


def seconds_of(receipts: Sequence[Receipt]) -> dg.FloatMetadataValue:
    """Seconds from the beginning of the first ingest to the end of the last."""
    ends = [receipt.started_at.timestamp() + receipt.seconds for receipt in receipts]
    begins = [receipt.started_at.timestamp() for receipt in receipts]
    return dg.MetadataValue.float(round(max(ends, default=0.0) - min(begins, default=0.0), 3))


def noteworthy(receipts: Sequence[Receipt]) -> Iterator[str]:
    """A line for the log about each source that was refused or has rows that were not stored."""
    for receipt in receipts:
        if receipt.refused:
            yield f"{receipt.source} was refused: {without_contents(receipt.refused)}"
        elif receipt.rejected or receipt.conflicts:
            reasons = receipt.rejected | ({"conflict": receipt.conflicts} if receipt.conflicts else {})
            yield f"{receipt.source}: not stored: {', '.join(f'{count:,} {why}' for why, count in reasons.items())}"


def _receipts_table(receipts: Sequence[Receipt]) -> str:
    shown = sorted(receipts, key=lambda r: (r.inserted + r.updated + r.rejected_rows == 0, r.source))[:LISTED_SOURCES]
    header = ["source", "rows", "new", "updated", "duplicates", "conflicts", "rejected", "skipped"]
    rows = [
        [r.source, r.rows, r.inserted, r.updated, r.duplicates, r.conflicts, r.rejected_rows, r.skipped] for r in shown
    ]
    text = markdown.table(header, rows)
    more = len(receipts) - len(shown)
    return text + (f"\n\nand {more:,} more" if more else "")


def progress(log: Callable[[str], object], what: str) -> Progress:
    """A callback (done, total) that logs a bar with the rate, every two seconds and at the end.

    It also ends the run there if a person has cancelled it.
    """
    started = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and now - last < _BETWEEN_BARS:
            return
        last = now
        stop_if_cancelled()
        log(f"{bar(done, total)} {what}, {done / max(now - started, 1e-9):,.0f} a second")

    return report


def bar(done: int, total: int) -> str:
    """`█████░░░░░  250/753`: how much of the work is done."""
    filled = _BAR * done // max(total, 1)
    return f"{'█' * filled}{'░' * (_BAR - filled)} {done:>{len(str(total))}}/{total}"
