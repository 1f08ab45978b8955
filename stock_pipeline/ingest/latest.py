"""Updates the snapshot `latest_prices` after an ingest: for each symbol the greatest tick of history that counts.

A merge adds later ticks. When a trade in the snapshot was taken back, history is searched backwards from the trade's
time, and the best remaining tick replaces it.

Nothing is lost in any order of arrival. A worker writes ticks to history and corrections to their table before it reads
the snapshot, and reads the corrections again after it has written the snapshot. So when a trade and its cancel come at
the same time, at least one worker sees both. A worker that is stopped in between is called again with the same objects,
and repeats everything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import strings
from stock_pipeline.ingest.corrections import Corrections, Row, reference_in, sessions_of
from stock_pipeline.lake.contents import own_partitions
from stock_pipeline.lake.merge import merge
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import attempts, commit, partition_key, read_partition, read_version
from stock_pipeline.lake.transforms import SNAPSHOT, day_partition
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY, TIMESTAMP

COLUMNS = LATEST_PRICES.schema.names
"""The columns of the snapshot; history has all of them."""

_DAY = timedelta(days=1)
_NEAR = 5
"""How many days the backward search lists one by one. Earlier days are listed in one go."""


def update_snapshot(rows: pa.Table, corrected: Sequence[Row], lake: ObjectStore, *, shown: bool = False) -> None:
    """Bring the snapshot in line with these ticks of history, and with the stored corrections.

    `rows` has at least the columns of the snapshot; with `shown` they are rows of a snapshot, not of history.
    `corrected` are rows of `trade_corrections`. A second call changes nothing. Raises MergeContention or
    StoreUnavailable; the same call, made again, does what is missing.
    """
    rows = rows.select(COLUMNS)
    sessions = sessions_of(rows) | {row["session"] for row in corrected}
    corrections = Corrections(lake).load(sessions)
    while _brought_in(corrections.now(rows) if shown else corrections.standing(rows), corrected, corrections, lake):
        if not sessions:
            return
        before, corrections = corrections, corrections.again()
        if corrections == before:
            return


def best_left(
    lake: ObjectStore, gone: Sequence[Row], corrections: Corrections, now: datetime | None = None
) -> list[pa.Table]:
    """For each row of the snapshot that does not count any more, the greatest tick of history that counts, if there is
    one.

    Ticks that are later than the row, in the order of the snapshot, are in the snapshot already or about to be merged.
    So the search goes backwards from the row's time. There is one exception: when no trade is left that may set the
    last price, a trade that may not can be later than the row. With `now`, ticks later than it do not count.
    """
    found: list[pa.Table] = []
    pending = {row["symbol"]: row for row in gone}
    last = max((row["produced_at"] for row in gone), default=None)
    for name in _backwards(lake, last) if last else ():
        for row in _greatest_in(lake, name, pending, corrections, now):
            if row["sets_last"] is not False or pending[row["symbol"]]["sets_last"] is False:
                found.append(_table([row]))
                del pending[row["symbol"]]
        if not pending:
            return found
    for name in _backwards(lake, None) if pending else ():
        for row in _greatest_in(lake, name, pending, corrections, now):
            found.append(_table([row]))
            del pending[row["symbol"]]
        if not pending:
            break
    return found


def find_trade(lake: ObjectStore, row: Row, reference: str, corrections: Corrections) -> pa.Table | None:
    """The trade of history that a row of `trade_corrections` corrects in the end (`reference`), as it counts now."""
    for name in _backwards(lake, row["produced_at"]):
        if name < _name_of(datetime.combine(row["session"], datetime.min.time())):
            break
        rows = _of_symbols(lake, name, [row["symbol"]])
        for trade in rows.filter(pc.is_null(rows["corrects"])).to_pylist():
            if reference_in(trade) == reference:
                now = corrections.load([row["session"]]).resolved(trade)
                return _table([now]) if now else None
    return None


def _brought_in(counting: pa.Table, corrected: Sequence[Row], corrections: Corrections, lake: ObjectStore) -> bool:
    """Merge ticks that count into the snapshot, and replace its rows that do not count any more. Returns whether
    anything was written.
    """
    latest = merge(None, counting, LATEST_PRICES).table
    for _ in attempts(partition_key(LATEST_PRICES, SNAPSHOT)):  # pragma: no branch - it ends by raising
        found, etag = read_version(lake, LATEST_PRICES, SNAPSHOT)
        shown = LATEST_PRICES.no_rows if found is None else found
        gone = corrections.outdated(shown)
        more = best_left(lake, gone, corrections) + _corrected(lake, corrected, shown, corrections)
        if gone:
            shown = shown.filter(pc.invert(_is_of(shown, [row["symbol"] for row in gone])))
        incoming = [table for table in (latest, *more) if table is not None]
        merged = merge(shown, pa.concat_tables([shown.slice(0, 0), *incoming]), LATEST_PRICES)
        if merged.sorted is None and not gone:
            return False
        if commit(lake, LATEST_PRICES, SNAPSHOT, shown if merged.sorted is None else merged.sorted, etag):
            return True
    raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says


def _corrected(
    lake: ObjectStore, corrected: Sequence[Row], shown: pa.Table, corrections: Corrections
) -> list[pa.Table]:
    """The corrected trades, each as it replaces the trade that it corrects. Trades in the snapshot are left out: those
    are replaced there.
    """
    here = {row["symbol"]: row["corrects"] or reference_in(row) for row in _few(shown, corrected)}
    found = []
    for row in corrected:
        first = corrections.first_of_chain(row["symbol"], row["reference"])
        if row["price"] is not None and here.get(row["symbol"]) != first:
            found.append(find_trade(lake, row, first, corrections))
    return [table for table in found if table is not None]


def _greatest_in(
    lake: ObjectStore, name: str, symbols: Collection[str], corrections: Corrections, now: datetime | None
) -> list[Row]:
    """For each of these symbols, the greatest tick that counts in one object of history."""
    rows = _of_symbols(lake, name, symbols)
    if now is not None:
        rows = rows.filter(pc.less_equal(rows["produced_at"], pa.scalar(now, TIMESTAMP)))
    counting = corrections.load(sessions_of(rows)).standing(rows)
    merged = merge(None, counting, LATEST_PRICES).table
    return [] if merged is None else merged.to_pylist()


def _of_symbols(lake: ObjectStore, name: str, symbols: Collection[str]) -> pa.Table:
    rows = read_partition(lake, STREAM_PRICES_HISTORY, name, COLUMNS)
    if rows is None:
        return LATEST_PRICES.no_rows
    return rows.select(COLUMNS).filter(_is_of(rows, symbols))


def _is_of(rows: pa.Table, symbols: Collection[str]) -> pa.ChunkedArray:
    return pc.is_in(rows["symbol"].cast(pa.string()), strings(symbols))


def _few(shown: pa.Table, corrected: Sequence[Row]) -> list[Row]:
    return shown.filter(_is_of(shown, [row["symbol"] for row in corrected])).to_pylist() if corrected else []


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), LATEST_PRICES.schema)


def _name_of(moment: datetime) -> str:
    """A text that sorts, among the names of history objects, where the object of this moment would be, or after it."""
    return f"{day_partition(moment)}/{moment:%H%M}"


def _backwards(lake: ObjectStore, last: datetime | None) -> Iterator[str]:
    """The partitions of history backwards from that of a moment (None: from the last one), the latest first."""
    if last is None:
        yield from reversed(own_partitions(lake, STREAM_PRICES_HISTORY))
        return
    behind, day = _name_of(last) + "~", last
    for _ in range(_NEAR):
        folder = _name_of(day).rpartition("/")[0] + "/"
        yield from (name for name in reversed(own_partitions(lake, STREAM_PRICES_HISTORY, folder)) if name < behind)
        day -= _DAY
    before = _name_of(day + _DAY).rpartition("/")[0]
    yield from (name for name in reversed(own_partitions(lake, STREAM_PRICES_HISTORY)) if name < before)
