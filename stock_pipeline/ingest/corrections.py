"""Trades that were taken back: the cancels and corrections of a session, and how they change which ticks count.

A cancel or a correction never names our event id. It names its trade as the venue printed it: symbol, exchange,
session, number, price and size (`reference_of`). It is a row of `trade_corrections`, in the object of the trade's
session, whichever of the two arrives first. History keeps every trade unchanged. This module decides how it counts:

- a trade with a cancel does not count,
- a trade with a correction counts as the corrected trade, at the original trade's time and in its place among the
  others; the corrected trade can be taken back as well,
- the row of history that is the corrected trade itself (`corrects` is set) counts only instead of the trade that it
  corrects.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Ints, booleans, concatenated, valid
from stock_pipeline.clean.corrections import reference_of
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.lake.transforms import day_partition
from stock_pipeline.schemas import LATEST_PRICES, TRADE_CORRECTIONS
from stock_pipeline.trading_calendar.exchange_time import session_days

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)
_READERS = 8


def session_partition(session: date) -> str:
    """The partition of `trade_corrections` with the cancels and corrections of a session's trades."""
    return day_partition(session)


def session_of(moment: datetime) -> date:
    """The exchange's date of a moment."""
    return _date(session_days(np.array([(moment - _EPOCH) // _MICROSECOND]))[0])


def _date(days: np.int64) -> date:
    return (_EPOCH + int(days) * _DAY).date()


def by_session(corrections: pa.Table) -> tuple[Ints, list[str]]:
    """The partition of each row of `trade_corrections` (a transform, see `lake.transforms`)."""
    days, codes = np.unique(concatenated(corrections["session"], np.int32), return_inverse=True)
    return codes.astype(np.int64), [session_partition(_date(day)) for day in days]


def sessions_of(rows: pa.Table) -> set[date]:
    """The sessions of the rows of history that a venue can take back: rows with an exchange and a number."""
    if rows["exchange"].null_count == len(rows["exchange"]) or rows["trade_number"].null_count == rows.num_rows:
        return set()
    times = concatenated(rows["produced_at"], np.int64)[valid(rows["exchange"])]
    ends = session_days(np.array([times.min(), times.max()]))
    if ends[1] - ends[0] < 2:
        return {_date(day) for day in ends}
    return {_date(day) for day in np.unique(session_days(times))}


class Corrections:
    """The stored cancels and corrections of some sessions. Each session is read once."""

    def __init__(self, lake: ObjectStore) -> None:
        self._lake = lake
        self._by: dict[tuple[str, str], Row] = {}
        self._numbers: set[int] = set()
        self._sessions: set[date] = set()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Corrections) and self._by == other._by

    __hash__ = None  # type: ignore[assignment]

    def load(self, sessions: Iterable[date]) -> Corrections:
        """Read the sessions that have not been read yet. Returns itself."""
        missing = sorted(set(sessions) - self._sessions)
        if not missing:
            return self
        with ThreadPoolExecutor(_READERS) as threads:
            for rows in threads.map(
                lambda day: read_partition(self._lake, TRADE_CORRECTIONS, session_partition(day)), missing
            ):
                for row in [] if rows is None else rows.to_pylist():
                    self._by[row["symbol"], row["reference"]] = row
                    self._numbers.add(row["trade_number"])
        self._sessions.update(missing)
        return self

    def again(self) -> Corrections:
        """The same sessions, read again."""
        return Corrections(self._lake).load(self._sessions)

    def resolved(self, row: Row) -> Row | None:
        """A trade (columns of `latest_prices`) as it counts; None when it was cancelled.

        For a row that a correction has changed already, give it as the snapshot shows it: `corrects` then names the
        first trade of the chain.
        """
        root = reference = row["corrects"] or reference_in(row)
        seen: set[str] = set()
        while reference and reference not in seen and (found := self._by.get((row["symbol"], reference))):
            seen.add(reference)
            if found["price"] is None:
                return None
            row = row | {name: found[name] for name in ("price", "size", "event_id", "sets_last", "etl_loading_ts")}
            row, reference = row | {"corrects": root}, found["replacement"]
        return row

    def first_of_chain(self, symbol: str, reference: str) -> str:
        """The reference of the first trade in a chain of corrections, from any later reference of the chain."""
        before = {(s, row["replacement"]): r for (s, r), row in self._by.items() if row["replacement"]}
        seen: set[str] = set()
        while reference not in seen and (earlier := before.get((symbol, reference))):
            seen.add(reference)
            reference = earlier
        return reference

    def standing(self, rows: pa.Table) -> pa.Table:
        """Rows of history (in the schema of `latest_prices`) as they count: see the top of this module."""
        if (corrects := rows["corrects"]).null_count < len(corrects):
            rows = rows.filter(pc.is_null(corrects))
        return self.now(rows)

    def now(self, rows: pa.Table) -> pa.Table:
        """Rows that count, or counted before (in the schema of `latest_prices`), as they count now."""
        touched = self._touched(rows)
        if not touched.any():
            return rows
        found = [self.resolved(row) for row in rows.filter(booleans(touched)).to_pylist()]
        changed = pa.Table.from_pylist([row for row in found if row is not None], LATEST_PRICES.schema)
        return pa.concat_tables([rows.filter(booleans(~touched)), changed])

    @property
    def rows(self) -> list[Row]:
        """The rows of `trade_corrections` that have been read."""
        return list(self._by.values())

    def outdated(self, shown: pa.Table) -> list[Row]:
        """The rows of a snapshot that were taken back meanwhile, or corrected to something else."""
        rows = shown.filter(booleans(self._touched(shown))).to_pylist()
        return [row for row in rows if (now := self.resolved(row)) is None or now["event_id"] != row["event_id"]]

    def _touched(self, rows: pa.Table) -> Bools:
        """Rows whose number a correction names. They are few, and include every row that a correction is about."""
        if not self._numbers or rows["exchange"].null_count == rows.num_rows:
            return np.zeros(rows.num_rows, bool)
        numbers = concatenated(rows["trade_number"], np.int64)
        return np.isin(numbers, np.array(sorted(self._numbers))) & valid(rows["trade_number"])


def reference_in(row: Row) -> str | None:
    """The reference of a row of history; None for a trade that its vendor never takes back by number."""
    if row["exchange"] is None or row["trade_number"] is None:
        return None
    return reference_of(row["exchange"], session_of(row["produced_at"]), row["trade_number"], row["price"], row["size"])
