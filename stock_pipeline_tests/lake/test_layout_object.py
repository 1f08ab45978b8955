"""The layout in the lake: two writers never disagree, whatever versions they have read and whatever is changed."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_pipeline.errors import LayoutError, MergeContention
from stock_pipeline.lake import partitions
from stock_pipeline.lake.layout import Layout, Section
from stock_pipeline.lake.layout_object import (
    LAYOUT_KEY,
    change_layout,
    declare_layout,
    layout_to_read,
    layout_to_write,
    stored_layout,
)
from stock_pipeline.lake.overlay_store import OverlayStore
from stock_pipeline.lake.recognized_layout import MINUTES, SHARDS
from stock_pipeline_tests.support.layouts import lay_out
from stock_pipeline_tests.support.memory_store import MemoryStore

DAY = date(2024, 6, 3)
NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)
NEXT = timedelta(1)


def process(lake: MemoryStore) -> OverlayStore:
    """The lake as one process has it: each remembers the layout for itself."""
    return OverlayStore(lake, MemoryStore(), ())


def test_the_first_writer_gives_an_empty_lake_its_layout_and_settles_its_day() -> None:
    lake = MemoryStore()
    layout = layout_to_write(lake, DAY)
    assert layout.sections == (Section(date.min, MINUTES, SHARDS),)
    assert stored_layout(lake)[0] == layout
    assert layout.settled_before == DAY + NEXT


def test_a_process_reads_the_layout_once_and_again_for_a_day_that_it_does_not_settle() -> None:
    lake = MemoryStore()
    for _ in range(3):
        layout_to_write(lake, DAY)
        layout_to_write(lake, DAY - NEXT)
        layout_to_read(lake, DAY)
    assert (lake.gets.count(LAYOUT_KEY), lake.puts) == (1, [LAYOUT_KEY])
    layout_to_write(lake, DAY + NEXT)
    assert (lake.gets.count(LAYOUT_KEY), lake.puts) == (2, [LAYOUT_KEY] * 2)


def test_a_second_process_finds_the_day_settled_and_writes_nothing() -> None:
    lake = MemoryStore()
    layout_to_write(process(lake), DAY)
    layout_to_write(process(lake), DAY)
    assert lake.puts == [LAYOUT_KEY]


def test_a_reader_writes_nothing() -> None:
    lake = MemoryStore()
    assert layout_to_read(lake, DAY).sections == Layout.of(MINUTES, SHARDS).sections
    assert not lake.puts
    layout_to_write(lake, DAY)
    assert layout_to_read(process(lake), DAY + 5 * NEXT).settled_before == DAY + NEXT
    assert lake.puts == [LAYOUT_KEY]


def test_a_change_lies_ahead() -> None:
    lake = MemoryStore()
    layout_to_write(lake, DAY)
    for past in (DAY - NEXT, DAY):
        with pytest.raises(LayoutError, match=r"has begun.*such as 2024-06-04"):
            change_layout(lake, Section(past, 5, 1), now=NOON)
    layout_to_write(lake, DAY + NEXT)  # ticks of the next day are here already, by a clock that is ahead
    with pytest.raises(LayoutError, match="let it change on 2024-06-05 or later"):
        change_layout(lake, Section(DAY + NEXT, 5, 1), now=NOON)
    assert change_layout(lake, Section(DAY + 2 * NEXT, 5, 4), now=NOON).section(DAY + 3 * NEXT).shards == 4
    assert change_layout(MemoryStore(), Section(date(9999, 1, 1), 5, 4)).section(date(9999, 1, 2)).minutes == 5


def test_the_same_change_again_writes_nothing() -> None:
    lake = MemoryStore()
    for _ in range(2):
        change_layout(lake, Section(DAY + NEXT, 5, 4), now=NOON)
    assert lake.puts == [LAYOUT_KEY]


def test_a_change_that_loses_the_race_against_the_first_tick_of_its_day_is_refused() -> None:
    lake = MemoryStore()
    writer = process(lake)
    layout_to_write(lake, DAY)

    def first_tick(_: str) -> None:
        lake.before_put = lambda _: None
        layout_to_write(writer, DAY + NEXT)

    lake.before_put = first_tick
    with pytest.raises(LayoutError, match="let it change on 2024-06-05 or later"):
        change_layout(lake, Section(DAY + NEXT, 5, 1), now=NOON)
    assert layout_to_read(process(lake), DAY + NEXT).section(DAY + NEXT).minutes == MINUTES


def test_a_writer_that_loses_the_race_against_a_change_places_by_it() -> None:
    lake = MemoryStore()
    writer, other = process(lake), process(lake)
    layout_to_write(writer, DAY)

    def change(_: str) -> None:
        lake.before_put = lambda _: None
        change_layout(other, Section(DAY + NEXT, 5, 4), now=NOON)

    lake.before_put = change
    assert layout_to_write(writer, DAY + NEXT).section(DAY + NEXT) == Section(DAY + NEXT, 5, 4)


def test_without_an_end_of_lost_races_it_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    lake, days = MemoryStore(), iter(range(1, 10_000))
    monkeypatch.setattr(partitions, "_LONGEST_WAIT", 0.0)
    lake.before_put = lambda _: lake.objects.update({
        LAYOUT_KEY: _other(lake, Layout.of(60).settled_through(DAY - NEXT * next(days)))
    })  # fmt: skip
    with pytest.raises(MergeContention):
        layout_to_write(lake, DAY)
    with pytest.raises(MergeContention):
        change_layout(lake, Section(DAY + NEXT, 5, 4), now=NOON)


def _other(_lake: MemoryStore, layout: Layout) -> object:
    elsewhere = MemoryStore()
    elsewhere.put(LAYOUT_KEY, layout.to_json())
    return elsewhere.objects[LAYOUT_KEY]


@given(st.integers(0, 2**32), st.integers(2, 5))
def test_two_processes_never_disagree_on_a_day_of_which_one_has_stored_a_tick(seed: int, processes: int) -> None:
    """Processes with clocks of their own write ticks and change the layout, each amid the steps of the others."""
    choose, lake = random.Random(seed), MemoryStore()
    all_ = [process(lake) for _ in range(processes)]
    placed: dict[date, Section] = {}

    def act(depth: int = 0) -> None:
        who, day = choose.choice(all_), DAY + NEXT * choose.randrange(6)
        interrupt = choose.random() < 0.4 and depth < 2
        lake.before_put = (lambda _: (setattr(lake, "before_put", lambda _: None), act(depth + 1))) if interrupt else (
            lambda _: None
        )  # fmt: skip
        if choose.random() < 0.3:
            clock = NOON + NEXT * choose.randrange(-4, 6)
            with suppress(LayoutError):
                change_layout(who, Section(day, choose.choice([1, 5, 60]), choose.choice([1, 4])), now=clock)
            return
        section = layout_to_write(who, day).section(day)
        assert placed.setdefault(day, section) == section
        reader = layout_to_read(choose.choice(all_), day)
        assert reader.section(day) == section

    for _ in range(12):
        act()
    final = layout_to_read(process(lake), DAY + 9 * NEXT)
    assert all(final.section(day) == section for day, section in placed.items())


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"sections": []}', b'{"sections": [{"from": "x"}]}', b"\xff",
             b'{"sections": [{"from": "0001-01-01", "minutes": 7, "shards": 1}], "settled_before": "0001-01-01"}'],
)  # fmt: skip
def test_a_damaged_layout_is_named_and_not_taken_for_none(data: bytes) -> None:
    lake = MemoryStore()
    lake.put(LAYOUT_KEY, data)
    for ask in (layout_to_write, layout_to_read):
        with pytest.raises(LayoutError, match=rf"{LAYOUT_KEY} is not a layout .*bring back its last good version"):
            ask(lake, DAY)
    assert lake.objects[LAYOUT_KEY].data == data


def test_the_first_layout_can_be_said_only_once() -> None:
    lake = MemoryStore()
    assert declare_layout(lake, Section(date.min, 5, 4)).section(DAY).shards == 4
    with pytest.raises(LayoutError, match="has a layout already; name the day from which it changes"):
        declare_layout(lake, Section(date.min, 60, 1))
    assert layout_to_write(lake, DAY).section(DAY) == Section(date.min, 5, 4)


@pytest.mark.parametrize("shards", [1, 4])
def test_a_layout_that_comes_with_its_ticks_while_somebody_looks_is_found(
    shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered that there is none; then another process wrote the layout, and ticks by it."""
    lake = MemoryStore()
    listing = MemoryStore.list

    def come(store: MemoryStore, prefix: str, **how: str) -> object:
        monkeypatch.setattr(MemoryStore, "list", listing)
        lay_out(lake, 15, shards)
        lake.put(
            "price_by_date_stream/year=2024/month=06/day=03/0900" + ("-03" if shards > 1 else "") + ".parquet", b""
        )
        return listing(store, prefix, **how)

    monkeypatch.setattr(MemoryStore, "list", come)
    assert layout_to_read(process(lake), DAY).section(DAY) == Section(date.min, 15, shards)
