"""A lake without a layout object: the layout is what its objects show, or it is refused. It is never a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import LayoutError
from stock_pipeline.lake import recognized_layout
from stock_pipeline.lake.layout import DAY_MINUTES, Layout, Section
from stock_pipeline.lake.layout_object import declare_layout, layout_to_read, layout_to_write
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key, partitions, read_partition
from stock_pipeline.lake.recognized_layout import recognized
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline_tests.support.memory_store import MemoryStore

NINE = datetime(2024, 6, 3, 9, tzinfo=UTC)
LENGTHS = [n for n in range(1, DAY_MINUTES + 1) if DAY_MINUTES % n == 0]


def lake_of(minutes: Sequence[float], layout: Layout) -> MemoryStore:
    """Ticks so many minutes after nine, as a version stored them that had a setting for the length."""
    lake = MemoryStore()
    moments = [NINE + timedelta(minutes=minute) for minute in minutes]
    rows = [{"event_id": f"e{n}", "symbol": "AAPL", "price": 1.0, "produced_at": at, "source": "s",
             "etl_loading_ts": at} for n, at in enumerate(moments)]  # fmt: skip
    table = pa.Table.from_pylist(rows, HISTORY.schema)
    codes, names = layout.place(table)
    for number, name in enumerate(names):
        mine = table.filter(pa.array([code == number for code in codes], pa.bool_()))
        lake.put(partition_key(HISTORY, name), encode(mine, HISTORY))
    return lake


@given(st.sampled_from(LENGTHS), st.lists(st.integers(0, 3 * DAY_MINUTES), min_size=1, max_size=20))
def test_every_stored_tick_is_where_the_recognized_layout_has_it(minutes: int, ticks: list[int]) -> None:
    lake = lake_of(ticks, Layout.of(minutes))
    found = recognized(lake)
    for name in partitions(lake, HISTORY):
        rows = read_partition(lake, HISTORY, name)
        assert rows is not None
        assert found.place(rows)[1] == [name]
    assert found.settled_before > max((NINE + timedelta(minutes=tick)).date() for tick in ticks)


@pytest.mark.parametrize(
    ("minutes", "ticks", "length"),
    [
        (5, [0, 1, 5, 9, 11], 5),
        (60, [0, 37, 70], 60),
        (60, [0], 5),  # both fit; it was the default
        (1, range(0, 20), 1),
        (15, [14, 16, 31], 15),
        (1440, [0, 700, 2000], 1440),
        (5, range(0, 5000, 5), 5),  # more objects than are read
        (60, range(0, 9000, 60), 60),
        (240, range(0, 60_000, 239), 240),
    ],
)
def test_which_length_is_recognized(minutes: int, ticks: Sequence[int], length: int) -> None:
    assert recognized(lake_of(ticks, Layout.of(minutes))).sections == (Section(date.min, length, 1),)


def test_a_lake_without_ticks_has_the_default() -> None:
    lake = MemoryStore()
    lake.put("price_by_date_stream/_progress/x.json", b"{}")
    lake.put("price_by_date_stream/year=2024/month=02/day=31/0907.parquet", b"of no calendar's day")
    assert recognized(lake) == Layout.of(recognized_layout.MINUTES, recognized_layout.SHARDS)


def test_lengths_that_contradict_each_other_are_refused_until_a_person_says_one() -> None:
    lake = lake_of([0, 37], Layout.of(60))
    for key, stored in lake_of([61, 62, 63], Layout.of(1)).objects.items():
        lake.put(key, stored.data)
    with pytest.raises(LayoutError, match="begin at multiples of 1 minutes, and hold ticks 37 minutes later"):
        layout_to_write(lake, NINE.date())
    with pytest.raises(LayoutError, match="stock-pipeline layout --minutes 5"):
        layout_to_read(lake, NINE.date())
    declare_layout(lake, Section(date.min, 5, 1))
    assert layout_to_write(lake, NINE.date()).section(NINE.date()).minutes == 5


def test_shards_are_not_guessed() -> None:
    with pytest.raises(LayoutError, match=r"its objects have shards, so there was a layout\. Bring it back"):
        recognized(lake_of([0, 1], Layout.of(60, 4)))


def test_an_object_with_ticks_of_another_time_is_named() -> None:
    lake = lake_of([0], Layout.of(60))
    lake.put(partition_key(HISTORY, "year=2024/month=06/day=04/0900"), next(iter(lake.objects.values())).data)
    with pytest.raises(LayoutError, match=r"day=04/0900\.parquet holds ticks of 2024-06-03 09:00"):
        recognized(lake)


def test_objects_without_ticks_and_damaged_ones_tell_by_their_names() -> None:
    lake = lake_of([0, 5], Layout.of(5))
    lake.put(partition_key(HISTORY, "year=2024/month=06/day=03/0910"), b"damaged")
    lake.put(partition_key(HISTORY, "year=2024/month=06/day=03/0915"), encode(HISTORY.schema.empty_table(), HISTORY))
    lake.put(partition_key(HISTORY, "year=2024/month=06/day=03/0920"), b"")
    assert recognized(lake).sections[0].minutes == 5


def test_an_object_that_goes_meanwhile_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_of([0], Layout.of(5))
    monkeypatch.setattr(recognized_layout, "read_partition", lambda *_: None)
    assert recognized(lake).sections[0].minutes == 5


def test_a_length_cannot_be_said_against_what_is_stored() -> None:
    lake = lake_of([0, 5, 6], Layout.of(5))
    with pytest.raises(LayoutError, match="in objects of 5 minutes; name the day from which that changes"):
        declare_layout(lake, Section(date.min, 60, 1))
    assert declare_layout(lake, Section(date.min, 5, 1)).settled_before == date(2024, 6, 4)
