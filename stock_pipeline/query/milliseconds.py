"""Times that Athena rounds to the millisecond: which rows lie within bounds that are exact to the microsecond.

The tables' times are to the microsecond. Athena reads them to the millisecond, so a tick of 15:00:00.9996 may come
back as one of 15:00:01. A statement for Athena therefore asks for one millisecond more on each side. Some rows are so
close to a bound that rounding may have moved them across it. These few are looked up in their objects of history.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import HistoryMisplaced
from stock_pipeline.lake.layout_object import layout_to_read
from stock_pipeline.lake.partitions import read_partition
from stock_pipeline.query.frames import shifted
from stock_pipeline.schemas import STREAM_PRICES_HISTORY, TIMESTAMP
from stock_pipeline.settings import Settings

IMPRECISION = timedelta(milliseconds=1)
"""A time from Athena is less than this away from the stored one, whichever way it was rounded."""

_COLUMNS = [*STREAM_PRICES_HISTORY.key, "produced_at"]
Key = tuple[str, str]


def within(rows: pa.Table, first: datetime | None, last: datetime | None, settings: Settings) -> pa.Table:
    """The rows whose stored time is from `first` to `last`, both included (UTC; None: no limit on that side).

    `rows` come from Athena, have `symbol`, `event_id` and `produced_at`, and are at most one millisecond outside the
    bounds. Raises HistoryMisplaced when a row that has to be looked up is not in the history object of its time.
    """
    windows = {bound: _window(rows["produced_at"], bound, IMPRECISION) for bound in (first, last) if bound is not None}
    hit = {bound: window for bound, window in windows.items() if pc.any(window).as_py()}
    if not hit:
        return rows
    near = reduce(pc.or_, hit.values())
    stored = _stored(list(hit), settings)
    kept = iter([
        any((first or at) <= at <= (last or at) for at in _exact(symbol, event_id, rounded, stored=stored))
        for symbol, event_id, rounded in zip(*(rows.filter(near)[name].to_pylist() for name in _COLUMNS), strict=True)
    ])  # fmt: skip
    return rows.filter(pa.array([next(kept) if unsure else True for unsure in near.to_pylist()], pa.bool_()))


def _exact(symbol: str, event_id: str, rounded: datetime, *, stored: dict[Key, list[datetime]]) -> list[datetime]:
    """The stored times that a row may have; one, unless its id was given twice within two milliseconds."""
    times = [at for at in stored.get((symbol, event_id), ()) if abs(at - rounded) <= IMPRECISION]
    if not times:
        raise HistoryMisplaced(
            f"the tick {event_id} of {symbol}, of {rounded}, is not in the history object that the layout has for it: "
            "it was removed a moment ago, then ask again; or it is in an object that does not fit the layout, which "
            "`stock-pipeline doctor` names"
        )
    return times


def _stored(bounds: list[datetime], settings: Settings) -> dict[Key, list[datetime]]:
    """The stored times of the ticks around the bounds, by symbol and event id."""
    reach = 2 * IMPRECISION
    edges = [shifted(bound, shift) for bound in bounds for shift in (-reach, reach)]
    lake = S3Store(settings.require("lake_bucket"))
    found: dict[Key, list[datetime]] = {}
    for name in layout_to_read(lake, max(edges).astimezone(UTC).date()).names_at(edges):
        part = read_partition(lake, STREAM_PRICES_HISTORY, name, _COLUMNS)
        if part is not None:
            part = part.filter(reduce(pc.or_, [_window(part["produced_at"], bound, reach) for bound in bounds]))
            for symbol, event_id, at in zip(*(part[column].to_pylist() for column in _COLUMNS), strict=True):
                found.setdefault((symbol, event_id), []).append(at)
    return found


def _window(times: pa.ChunkedArray, bound: datetime, reach: timedelta) -> pa.ChunkedArray:
    begin, end = (pa.scalar(shifted(bound, shift), TIMESTAMP) for shift in (-reach, reach))
    return pc.and_(pc.greater_equal(times, begin), pc.less_equal(times, end))
