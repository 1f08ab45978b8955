"""A lake whose layout of history is as a test wants it."""

from __future__ import annotations

from datetime import date

from stock_pipeline.lake.layout import Layout, Section
from stock_pipeline.lake.layout_object import LAYOUT_KEY, layout_to_read
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline_tests.support.memory_store import MemoryStore

SETTLED = date(9999, 12, 30)


def lay_out(lake: ObjectStore, minutes: int = 5, shards: int = 1, *more: Section, settled: date = SETTLED) -> Layout:
    """Write the layout, and let this process know it. A store that counts its calls does not count these.

    `more` are later sections. All days are settled unless the test says otherwise, so nothing writes it again.
    """
    layout = Layout((*Layout.of(minutes, shards).sections, *more), settled)
    lake.put(LAYOUT_KEY, layout.to_json())
    found = layout_to_read(lake, date.max)
    if isinstance(lake, MemoryStore):
        lake.puts.remove(LAYOUT_KEY)
        lake.gets.remove(LAYOUT_KEY)
    return found
