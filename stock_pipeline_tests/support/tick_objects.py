"""Single objects of ticks, parsed and judged, for tests that need no group of them."""

from __future__ import annotations

from datetime import datetime, timedelta

from stock_pipeline.clean import Cleaned
from stock_pipeline.clean.ticks import MAX_SKEW, clean_tick_objects
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.files import MAX_BYTES
from stock_pipeline.parse.ticks.parser import TickRows, parse_tick_objects


def parse_ticks(data: bytes, source: str, *, max_bytes: int = MAX_BYTES) -> TickRows:
    """The ticks of one object. Raises FileRefused when it is refused whole."""
    rows = parse_tick_objects([(data, source)], max_bytes=max_bytes)
    if rows.refused:
        raise FileRefused(rows.refused[0])
    return rows


def clean_ticks(rows: TickRows, now: datetime, *, max_skew: timedelta = MAX_SKEW) -> Cleaned:
    """The ticks of one object, judged at the time `now`."""
    return clean_tick_objects(rows, now, max_skew=max_skew).of(0)
