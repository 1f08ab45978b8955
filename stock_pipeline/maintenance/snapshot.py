"""The latest prices out of history: recompute, compare with the stored snapshot, rebuild it. No Dagster.

SQL only finds when each symbol last traded, which reads two columns of history. The rows themselves are read from the
history objects of those moments: Athena has times to the millisecond, the tables to the microsecond, and of two ticks
of one moment the greater event id is the latest. Both come out exactly as in the snapshot that each ingest updates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import HistoryMisplaced
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import (
    attempts,
    commit,
    merge_into_partition,
    partition_key,
    read_partition,
    read_version,
)
from stock_pipeline.lake.transforms import SNAPSHOT, by_bucket
from stock_pipeline.query import sql
from stock_pipeline.query.history import Span
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, TIMESTAMP
from stock_pipeline.settings import Settings

_READERS = 8
_IMPRECISION = timedelta(milliseconds=1)
_COLUMNS = LATEST_PRICES.schema.names
# Not etl_loading_ts: a tick whose worker died between history and snapshot enters the snapshot at a later try.
_COMPARED = ("symbol", "price", "size", "produced_at", "event_id")

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """Two snapshots, each as its rows (of `_COMPARED`) by symbol, where they differ."""

    only_stored: dict[str, Row]
    only_recomputed: dict[str, Row]
    differing: dict[str, tuple[Row, Row]]

    @property
    def equal(self) -> bool:
        return not (self.only_stored or self.only_recomputed or self.differing)

    @property
    def suspects(self) -> dict[str, Row]:
        """The stored rows that are not the recomputed ones: newer ticks, if history has them."""
        return self.only_stored | {symbol: stored for symbol, (stored, _) in self.differing.items()}

    def examples(self) -> pa.Table:
        """The differences side by side: symbol, and time, event id and price in the snapshot and as recomputed."""
        pairs: list[tuple[str, tuple[Row | None, Row | None]]] = [
            *((symbol, rows) for symbol, rows in self.differing.items()),
            *((symbol, (row, None)) for symbol, row in self.only_stored.items()),
            *((symbol, (None, row)) for symbol, row in self.only_recomputed.items()),
        ]
        rows: dict[str, list[Any]] = {"symbol": [symbol for symbol, _ in pairs]}
        for side, name in enumerate(("stored", "recomputed")):
            for column in ("produced_at", "event_id", "price"):
                at = _COMPARED.index(column)
                rows[f"{name}_{column}"] = [row[at] if (row := pair[side]) else None for _, pair in pairs]
        return pa.table(rows)


def compare(stored: pa.Table, recomputed: pa.Table) -> Comparison:
    """Where two tables of latest prices differ, when a row was loaded aside."""
    here, there = by_symbol(stored), by_symbol(recomputed)
    return Comparison(
        {symbol: row for symbol, row in here.items() if symbol not in there},
        {symbol: row for symbol, row in there.items() if symbol not in here},
        {symbol: (row, there[symbol]) for symbol, row in here.items() if symbol in there and row != there[symbol]},
    )


def by_symbol(rows: pa.Table) -> dict[str, Row]:
    """The compared values of each symbol's row."""
    return {row[0]: row for row in _compared(rows)}


def stored_snapshot(lake: ObjectStore) -> pa.Table:
    """The snapshot as it is stored; no rows when there is none yet."""
    rows = read_partition(lake, LATEST_PRICES, SNAPSHOT)
    return LATEST_PRICES.schema.empty_table() if rows is None else rows


def recompute(settings: Settings, lake: ObjectStore, span: Span | None = None) -> pa.Table:
    """The latest tick of each symbol in history, or of those that traded in a span of days, as rows of `latest_prices`.

    Raises QueryError, and HistoryMisplaced when the object that must hold a latest tick does not.
    """
    condition, parameters = span.condition() if span else ("true", [])
    found = sql(
        "SELECT symbol, max(produced_at) AS produced_at FROM stream_prices_history "  # noqa: S608
        f"WHERE {condition} GROUP BY symbol",
        parameters,
        settings=settings,
    )
    last = dict(zip(found["symbol"].to_pylist(), found["produced_at"].to_pylist(), strict=True))
    moments = [at + shift for at in last.values() for shift in (-_IMPRECISION, timedelta(), _IMPRECISION)]
    parts = _read(_buckets(moments, settings.tick_bucket_minutes), lake)
    rows = merge(None, pa.concat_tables([LATEST_PRICES.schema.empty_table(), *parts]), LATEST_PRICES).table
    rows = LATEST_PRICES.schema.empty_table() if rows is None else rows
    read = dict(zip(rows["symbol"].to_pylist(), rows["produced_at"].to_pylist(), strict=True))
    for symbol, at in last.items():
        if symbol not in read or read[symbol] < at - _IMPRECISION:
            raise HistoryMisplaced(
                f"the latest tick of {symbol}, of {at}, is not in the history object of its time; set "
                "STOCK_PIPELINE_TICK_BUCKET_MINUTES to the length that history was written with"
            )
    return rows.filter(pc.is_in(rows["symbol"].cast(pa.string()), pa.array(list(last), pa.string())))


def in_history(rows: Iterable[Row], settings: Settings, lake: ObjectStore) -> set[Row]:
    """Which of these rows (of `_COMPARED`) are ticks of history, with the very same values."""
    wanted = set(rows)
    ids = pa.array([row[_COMPARED.index("event_id")] for row in wanted], pa.string())
    moments = [row[_COMPARED.index("produced_at")] for row in wanted]
    found: set[Row] = set()
    for name in _buckets(moments, settings.tick_bucket_minutes):
        part = read_partition(lake, STREAM_PRICES_HISTORY, name, _COLUMNS)
        if part is not None:
            part = part.filter(pc.is_in(part["event_id"], ids))
            found |= wanted.intersection(_compared(part))
    return found


def refresh(settings: Settings, lake: ObjectStore) -> Comparison:
    """Merge the recomputed snapshot into the stored one, where nothing newer gives way; returns how they differed."""
    stored, recomputed = stored_snapshot(lake), recompute(settings, lake)
    if recomputed.num_rows:
        merge_into_partition(lake, LATEST_PRICES, SNAPSHOT, recomputed)
    return compare(stored, recomputed)


def rebuild(settings: Settings, lake: ObjectStore) -> Comparison:
    """Swap in the snapshot that history gives, without the rows that history does not have; returns how they differed.

    A stored row that differs from the recomputed one stays if it is a tick of history that is later: it came meanwhile.
    When somebody writes while this goes on, the snapshot is read, judged and swapped again. A tick that came before the
    swap may have found a wrong, later row in its way, and so have left no trace in the snapshot; it is in history, and
    recomputing once more after the swap brings it in.
    """
    recomputed = recompute(settings, lake)
    for _ in attempts(partition_key(LATEST_PRICES, SNAPSHOT)):
        found, etag = read_version(lake, LATEST_PRICES, SNAPSHOT)
        stored = LATEST_PRICES.schema.empty_table() if found is None else found
        difference = compare(stored, recomputed)
        if difference.equal:
            return difference
        swapped_in = _later_of(recomputed, stored, in_history(difference.suspects.values(), settings, lake))
        if commit(lake, LATEST_PRICES, SNAPSHOT, swapped_in, etag):
            break
    refresh(settings, lake)
    return difference


def _later_of(recomputed: pa.Table, stored: pa.Table, true: set[Row]) -> pa.Table:
    """The recomputed snapshot with the stored rows that are true, where they are later."""
    kept = pa.array([row in true for row in _compared(stored)], pa.bool_())
    rows = merge(None, pa.concat_tables([recomputed, stored.filter(kept)]), LATEST_PRICES).table
    return LATEST_PRICES.schema.empty_table() if rows is None else rows


def _compared(rows: pa.Table) -> Iterator[Row]:
    return zip(*(rows[name].to_pylist() for name in _COMPARED), strict=True)


def _buckets(moments: Sequence[datetime], minutes: int) -> list[str]:
    """The partitions of history that hold these moments."""
    return by_bucket(pa.table({"produced_at": pa.array(moments, TIMESTAMP)}), minutes)[1] if moments else []


def _read(names: Sequence[str], lake: ObjectStore) -> list[pa.Table]:
    """The latest tick of each symbol in each of some partitions of history, in the schema of `latest_prices`."""

    def latest(name: str) -> pa.Table | None:
        rows = read_partition(lake, STREAM_PRICES_HISTORY, name, _COLUMNS)
        return None if rows is None else merge(None, rows.select(_COLUMNS), LATEST_PRICES).table

    with ThreadPoolExecutor(_READERS) as threads:
        return [rows for rows in threads.map(latest, names) if rows is not None]
