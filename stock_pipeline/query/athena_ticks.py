"""`read_ticks` on Athena: closed hours by UNLOAD, the newest ticks by GET. The bounds hold to the microsecond."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.query import frames
from stock_pipeline.query.milliseconds import IMPRECISION, within
from stock_pipeline.query.tail import begin_of_tail, ticks_since
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings

_MICROSECOND = timedelta(microseconds=1)
_LONGEST = timedelta(days=1, hours=1)  # an object of history has a day at most


def read(
    symbols: Sequence[str] | str | None,
    columns: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    settings: Settings,
) -> pa.Table:
    """The ticks from `first` to `last` (UTC, both included; None: no limit on that side), in the table's order.

    They have the columns named and those of the order. Without the name of the lake bucket Athena is asked for all.
    Raises what `sql` raises, HistoryMisplaced, and the errors of the store.
    """
    now = datetime.now(UTC)
    if not settings.lake_bucket or (last is not None and last < now - _LONGEST):
        return _closed(symbols, columns, first, last, settings)
    lake = S3Store(settings.lake_bucket)
    begin = begin_of_tail(lake, now)
    schema = frames.plain_schema(HISTORY, (*columns, *frames.order_of(HISTORY)))
    parts = []
    if first is None or first < begin:
        ends = begin - _MICROSECOND
        parts.append(_closed(symbols, columns, first, ends if last is None else min(last, ends), settings))
    if last is None or last >= begin:
        parts.append(ticks_since(lake, begin, first, last, frames.wanted(symbols), schema))
    # There are no parts when the end lies before the begin.
    rows = pa.concat_tables([schema.empty_table(), *(part.cast(schema) for part in parts)])
    return rows.sort_by([(name, "ascending") for name in frames.order_of(HISTORY)])


def _closed(
    symbols: Sequence[str] | str | None,
    columns: Sequence[str],
    first: datetime | None,
    last: datetime | None,
    settings: Settings,
) -> pa.Table:
    """The ticks as Athena has them, whose times are to the millisecond; the bounds hold to the microsecond."""
    conditions, parameters = frames.of_symbols(symbols)
    more, values = frames.of_times(first, last, IMPRECISION)
    rows = frames.read(HISTORY, columns, ([*conditions, *more], [*parameters, *values]), settings)
    return within(rows, first, last, settings) if first or last else rows
