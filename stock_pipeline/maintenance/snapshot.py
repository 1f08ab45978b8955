"""The latest prices from history: recompute them, compare them with the stored snapshot, rebuild it. No Dagster.

First it is found when each symbol last traded, which reads few columns of history: by SQL, or by tasks (see
`stock_pipeline.heavy.snapshot`). The rows themselves are read from the history objects of those moments. There are two
reasons: Athena's times are to the millisecond and the tables' to the
microsecond, and the venue's sequence orders two ticks of one moment. Trades that were taken back, and trades later than
now, are left out. If that is the last trade of a symbol, the one before it takes its place. The result is exactly the
snapshot that the ingests keep up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.errors import DamagedObject, HistoryMisplaced
from stock_pipeline.ingest.corrections import Corrections, sessions_of
from stock_pipeline.ingest.latest import COLUMNS, best_left, find_trade, update_snapshot
from stock_pipeline.lake.layout_object import layout_to_read
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import attempts, commit, partition_key, partitions, read_partition, read_version
from stock_pipeline.lake.transforms import SNAPSHOT, day_of
from stock_pipeline.maintenance.last_trades import Moments
from stock_pipeline.query import sql
from stock_pipeline.query.history import Span
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, TIMESTAMP, TRADE_CORRECTIONS
from stock_pipeline.settings import Settings

_READERS = 8
_IMPRECISION, _DAY = timedelta(milliseconds=1), timedelta(days=1)
# Not etl_loading_ts: a tick whose worker died between history and snapshot enters the snapshot at a later try.
_COMPARED = ("symbol", "price", "size", *LATEST_PRICES.order)

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
        """The stored rows that differ from the recomputed ones. They are newer ticks, if history has them."""
        return self.only_stored | {symbol: stored for symbol, (stored, _) in self.differing.items()}

    def examples(self) -> pa.Table:
        """The differences side by side: the symbol, and time, event id and price as stored and as recomputed."""
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
    """Where two tables of latest prices differ. The loading time does not count."""
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


def recompute(
    settings: Settings,
    lake: ObjectStore,
    span: Span | None = None,
    now: datetime | None = None,
    moments: Moments | None = None,
) -> pa.Table:
    """The latest tick of each symbol in history, or of those that traded in a span of days, as rows of `latest_prices`.

    Ticks later than `now` (UTC, by default the present) are left out. `moments` finds when each symbol last traded in
    all of history; without it SQL does. Raises QueryError, and HistoryMisplaced when a latest tick is not in the object
    that must hold it.
    """
    now = now or datetime.now(UTC)
    last = moments(now) if moments else _last_moments(settings, span, now)
    shifts = (-_IMPRECISION, timedelta(), _IMPRECISION)
    around = [(symbol, at + shift) for symbol, at in last.items() for shift in shifts]
    corrections = Corrections(lake).load(_sessions(lake, span))
    parts = _read(_places(around, lake), lake, corrections, now)
    rows, standing = (_greatest([part[at] for part in parts]) for at in (0, 1))
    _refuse_misplaced(rows, last)
    here, there = by_symbol(rows), by_symbol(standing)
    gone = [row for row in rows.to_pylist() if there.get(row["symbol"]) != here[row["symbol"]]]
    changed = pc.is_in(standing["symbol"].cast(pa.string()), _texts(row["symbol"] for row in gone))
    kept = standing.filter(pc.invert(changed))
    found = _greatest([kept, *best_left(lake, gone, corrections, now)])
    found = _greatest([found, *_corrected(lake, found, corrections)])
    return found.filter(pc.is_in(found["symbol"].cast(pa.string()), _texts(last)))


def ahead_of(shown: pa.Table, now: datetime, skew: timedelta) -> pa.Table:
    """The rows of a snapshot that are later than now (UTC) by more than the allowed skew of clocks."""
    return shown.filter(pc.greater(shown["produced_at"], pa.scalar(now + skew, TIMESTAMP)))


def order_of(row: Row) -> tuple[Any, ...]:
    """The sort key of a row of `_COMPARED`: the order of `latest_prices`."""
    named = dict(zip(_COMPARED, row, strict=True))
    return (named["sets_last"] is not False, *(_least(named[name]) for name in LATEST_PRICES.order[1:]))


def in_history(rows: Iterable[Row], lake: ObjectStore) -> set[Row]:
    """Which of these rows (of `_COMPARED`) are ticks of history that count, with the same values."""
    wanted = set(rows)
    symbols = _texts(row[0] for row in wanted)
    moments = [(row[0], row[_COMPARED.index("produced_at")]) for row in wanted]
    corrections = Corrections(lake)
    found: set[Row] = set()
    for name in _places(moments, lake):
        part = read_partition(lake, STREAM_PRICES_HISTORY, name, COLUMNS)
        if part is not None:
            part = part.select(COLUMNS).filter(pc.is_in(part["symbol"].cast(pa.string()), symbols))
            found |= wanted.intersection(_compared(corrections.load(sessions_of(part)).standing(part)))
    return found


def refresh(
    settings: Settings, lake: ObjectStore, now: datetime | None = None, moments: Moments | None = None
) -> Comparison:
    """Merge the recomputed snapshot into the stored one, and return how they differed. Newer stored rows stay.

    A trade that was taken back is replaced in any case. Ticks later than `now` (UTC) are not merged in.
    """
    stored, recomputed = stored_snapshot(lake), recompute(settings, lake, now=now, moments=moments)
    update_snapshot(pa.concat_tables([stored, recomputed]), [], lake, shown=True)
    return compare(stored, recomputed)


def rebuild(
    settings: Settings, lake: ObjectStore, now: datetime | None = None, moments: Moments | None = None
) -> Comparison:
    """Swap in the snapshot that history gives, without rows that are not in history. Returns how the two differed.

    A stored row that differs from the recomputed one may have come meanwhile. It stays if it is a tick of history that
    counts, and is later than the recomputed one but not later than now. When another writer changes the snapshot
    meanwhile, it is read, compared and swapped again. A damaged snapshot counts as one without rows. A tick that came
    before the swap may have lost against a wrong, later row, and so be missing from the snapshot. It is in history, so
    the snapshot is recomputed once more after the swap.
    """
    recomputed = recompute(settings, lake, now=now, moments=moments)
    for _ in attempts(partition_key(LATEST_PRICES, SNAPSHOT)):
        stored, etag, damaged = _stored_version(lake)
        difference = compare(stored, recomputed)
        if difference.equal and not damaged:
            return difference
        true = in_history(difference.suspects.values(), lake)
        if commit(lake, LATEST_PRICES, SNAPSHOT, _later_of(recomputed, stored, true, now or datetime.now(UTC)), etag):
            break
    refresh(settings, lake, now, moments)
    return difference


def _stored_version(lake: ObjectStore) -> tuple[pa.Table, str | None, bool]:
    """The stored snapshot, its ETag, and whether it is damaged and so cannot be read."""
    none = LATEST_PRICES.schema.empty_table()
    try:
        found, etag = read_version(lake, LATEST_PRICES, SNAPSHOT)
    except DamagedObject as error:
        return none, error.etag, True
    return none if found is None else found, etag, False


def _later_of(recomputed: pa.Table, stored: pa.Table, true: set[Row], now: datetime) -> pa.Table:
    """The recomputed snapshot, with the stored rows that are true and later, but not later than now."""
    at = _COMPARED.index("produced_at")
    kept = pa.array([row in true and row[at] <= now for row in _compared(stored)], pa.bool_())
    return _greatest([recomputed, stored.filter(kept)])


def _last_moments(settings: Settings, span: Span | None, now: datetime) -> dict[str, datetime]:
    """When each symbol last traded, to the precision of the engine. Trades that may set the price are preferred."""
    condition, parameters = span.condition() if span else ("true", [])
    found = sql(
        "SELECT symbol, coalesce(max(CASE WHEN coalesce(sets_last, true) THEN produced_at END), max(produced_at)) "  # noqa: S608  # nosec B608
        "AS produced_at FROM stream_prices_history "
        f"WHERE corrects IS NULL AND produced_at <= ? AND {condition} GROUP BY symbol",
        [now, *parameters],
        settings=settings,
    )
    return dict(zip(found["symbol"].to_pylist(), found["produced_at"].to_pylist(), strict=True))


def _refuse_misplaced(rows: pa.Table, last: dict[str, datetime]) -> None:
    read = dict(zip(rows["symbol"].to_pylist(), rows["produced_at"].to_pylist(), strict=True))
    for symbol, at in last.items():
        if symbol not in read or read[symbol] < at - 2 * _IMPRECISION:
            raise HistoryMisplaced(
                f"the latest tick of {symbol}, of {at}, is not in the history object that the layout "
                "has for it; `stock-pipeline doctor` names the objects that do not fit the layout"
            )


def _sessions(lake: ObjectStore, span: Span | None) -> list[date]:
    """The sessions that have cancels or corrections, or those around a span."""
    days = [day_of(name) for name in partitions(lake, TRADE_CORRECTIONS)]
    return [day for day in days if span is None or span.first - _DAY <= day <= span.last + _DAY]


def _corrected(lake: ObjectStore, latest: pa.Table, corrections: Corrections) -> list[pa.Table]:
    """The corrected trades that may be later than the latest trades: their correction came after the latest trade."""
    last = dict(zip(latest["symbol"].to_pylist(), latest.to_pylist(), strict=True))
    found = []
    for row in corrections.rows:
        shown = last.get(row["symbol"])
        settled = shown and shown["sets_last"] is not False and shown["produced_at"] >= row["produced_at"]
        if row["price"] is not None and shown and not settled:
            first = corrections.first_of_chain(row["symbol"], row["reference"])
            found.append(find_trade(lake, row, first, corrections))
    return [table for table in found if table is not None]


def _greatest(parts: Sequence[pa.Table]) -> pa.Table:
    none = LATEST_PRICES.schema.empty_table()
    rows = merge(None, pa.concat_tables([none, *parts]), LATEST_PRICES).table
    return none if rows is None else rows


def _least(value: Any) -> Any:
    return -1 if value is None else value


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _compared(rows: pa.Table) -> Iterator[Row]:
    return zip(*(rows[name].to_pylist() for name in _COMPARED), strict=True)


def _places(ticks: Sequence[tuple[str, datetime]], lake: ObjectStore) -> list[str]:
    """The partitions of history that hold these ticks, given by symbol and time."""
    if not ticks:
        return []
    return layout_to_read(lake, max(at for _, at in ticks).astimezone(UTC).date()).names_of(ticks)


def _read(
    names: Sequence[str], lake: ObjectStore, corrections: Corrections, now: datetime
) -> list[tuple[pa.Table, pa.Table]]:
    """The latest tick of each symbol in some partitions of history, until now: as it was sent, and among those that
    count.
    """

    def of(name: str) -> tuple[pa.Table, pa.Table] | None:
        rows = read_partition(lake, STREAM_PRICES_HISTORY, name, COLUMNS)
        if rows is None:
            return None
        rows = rows.select(COLUMNS).filter(pc.less_equal(rows["produced_at"], pa.scalar(now, TIMESTAMP)))
        rows = rows.filter(pc.is_null(rows["corrects"]))
        counting = corrections.now(rows)
        latest = _greatest([rows])
        return latest, latest if counting is rows else _greatest([counting])

    with ThreadPoolExecutor(_READERS) as threads:
        return [part for part in threads.map(of, names) if part is not None]
