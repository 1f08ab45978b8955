"""The law of the layout: on each day every tick has exactly one place, whoever places it, and in whatever company."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from zlib import crc32

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import LayoutError
from stock_pipeline.lake.layout import DAY_MINUTES, Layout, Section
from stock_pipeline.schemas import SYMBOL, TIMESTAMP

LENGTHS = [n for n in range(1, DAY_MINUTES + 1) if DAY_MINUTES % n == 0]
FIRST = date(2024, 2, 27)
Tick = tuple[str, datetime]

sections = st.builds(
    Section, st.dates(FIRST, FIRST + timedelta(8)), st.sampled_from(LENGTHS), st.sampled_from([1, 1, 2, 7, 100])
)
layouts = st.builds(
    lambda first, more: Layout((Section(date.min, first.minutes, first.shards), *sorted(more, key=lambda s: s.first))),
    sections,
    st.lists(sections, max_size=3, unique_by=lambda section: section.first),
)
ticks = st.tuples(
    st.sampled_from(["AAPL", "BRK.B", "ÄÖ", "/ES", "BTC-USD"]),
    st.datetimes(datetime(2024, 2, 26), datetime(2024, 3, 8), timezones=st.just(UTC)),  # noqa: DTZ001 - in UTC
)


def table(some: list[Tick], *, pieces: int = 1) -> pa.Table:
    """Ticks as rows of history, in several chunks."""
    size = max(1, -(-len(some) // pieces))
    parts = [some[at : at + size] for at in range(0, len(some), size)] or [[]]
    return pa.concat_tables(
        pa.table({
            "symbol": pa.array([symbol for symbol, _ in part], pa.string()).dictionary_encode().cast(SYMBOL),
            "produced_at": pa.array([at for _, at in part], TIMESTAMP),
        })
        for part in parts
    )  # fmt: skip


def place_of(symbol: str, at: datetime, layout: Layout) -> str:
    """The rule in plain Python, for one tick."""
    section = max((s for s in layout.sections if s.first <= at.date()), key=lambda s: s.first)
    start = (60 * at.hour + at.minute) // section.minutes * section.minutes
    shard = "" if section.shards == 1 else f"-{crc32(symbol.encode()) % section.shards:02d}"
    return f"year={at:%Y}/month={at:%m}/day={at:%d}/{start // 60:02d}{start % 60:02d}{shard}"


@given(layouts, st.lists(ticks, max_size=30), st.integers(1, 4))
def test_every_tick_has_the_place_that_the_rule_gives_it_alone(layout: Layout, some: list[Tick], pieces: int) -> None:
    codes, names = layout.place(table(some, pieces=pieces))
    assert [names[code] for code in codes] == [place_of(*tick, layout) for tick in some]
    assert names == sorted(set(names))
    assert {names[code] for code in codes} == set(names)
    assert all(layout.fits(name) for name in names)


@given(layouts, st.lists(ticks, min_size=1, max_size=8))
def test_readers_by_key_look_where_writers_put(layout: Layout, some: list[Tick]) -> None:
    _, names = layout.place(table(some))
    assert layout.names_of(some) == names
    assert set(names) <= set(layout.names_at(at for _, at in some))
    for symbol, at in some:
        assert len([name for name in layout.names_at([at]) if name == place_of(symbol, at, layout)]) == 1


@settings(max_examples=15)
@given(layouts, st.dates(FIRST, FIRST + timedelta(8)))
def test_the_places_of_a_day_cover_it_and_do_not_overlap(layout: Layout, day: date) -> None:
    whole, section = datetime.combine(day, datetime.min.time(), UTC), layout.section(day)
    every = layout.names_at(whole + timedelta(minutes=n) for n in range(0, DAY_MINUTES, section.minutes))
    assert len(every) == DAY_MINUTES // section.minutes * section.shards
    assert every == sorted(every)
    assert all(layout.fits(name) for name in every)


@given(layouts, layouts, st.lists(ticks, max_size=20))
def test_a_change_moves_no_tick_of_a_settled_day(layout: Layout, other: Layout, some: list[Tick]) -> None:
    settled = layout.settled_through(FIRST + timedelta(3))
    changed = settled
    for section in other.sections:
        if not settled.settles(section.first):
            changed = changed.changed(section)
    before = [tick for tick in some if settled.settles(tick[1].date())]
    assert [place_of(*tick, changed) for tick in before] == [place_of(*tick, settled) for tick in before]
    assert changed.settled_before == settled.settled_before


def test_a_change_of_a_settled_day_is_refused_and_a_later_one_replaces_what_was_planned() -> None:
    layout = Layout.of(60).settled_through(date(2024, 6, 3))
    with pytest.raises(LayoutError, match="let it change on 2024-06-04 or later"):
        layout.changed(Section(date(2024, 6, 3), 5, 1))
    planned = layout.changed(Section(date(2024, 7, 1), 5, 1)).changed(Section(date(2024, 8, 1), 1, 1))
    again = planned.changed(Section(date(2024, 7, 1), 15, 4))
    assert again.sections == (Section(date.min, 60, 1), Section(date(2024, 7, 1), 15, 4))


def test_the_end_of_the_calendar_can_be_settled() -> None:
    assert Layout.of(60).settled_through(date.max).settled_before == date.max


@given(layouts, st.dates())
def test_a_layout_is_read_as_it_was_written(layout: Layout, day: date) -> None:
    settled = layout.settled_through(day)
    assert Layout.from_json(settled.to_json()) == settled


@pytest.mark.parametrize(("minutes", "shards"), [(0, 1), (7, 1), (2880, 1), (-5, 1), (5, 0), (5, 101)])
def test_a_section_that_cannot_be_is_refused(minutes: int, shards: int) -> None:
    with pytest.raises(LayoutError, match=r"divide a day|shards are not possible"):
        Section(date.min, minutes, shards)


@pytest.mark.parametrize("firsts", [[], ["2024-01-01"], ["0001-01-01", "2024-01-02", "2024-01-01"], ["0001-01-01"] * 2])
def test_sections_must_cover_the_calendar_in_order(firsts: list[str]) -> None:
    sections = [{"from": first, "minutes": 5, "shards": 1} for first in firsts]
    with pytest.raises(LayoutError, match="in the order of their days"):
        Layout.from_json(json.dumps({"sections": sections, "settled_before": "0001-01-01"}).encode())


def test_which_names_fit() -> None:
    layout = Layout((Section(date.min, 60, 1), Section(date(2024, 6, 4), 30, 4)))
    fitting: dict[str, list[str]] = defaultdict(list)
    for day in ("03", "04"):
        for name in ("1400", "1430", "1415", "2400", "0060", "1400-00", "1430-03", "1430-04", "1400 (1)", "x", "14"):
            if layout.fits(f"year=2024/month=06/day={day}/{name}"):
                fitting[day].append(name)
    assert fitting == {"03": ["1400"], "04": ["1400-00", "1430-03"]}
    assert not layout.fits("year=2024/month=02/day=31/1400")
    assert not layout.fits("year=2024/month=06/day=03")


def test_ticks_before_the_epoch_have_a_place_too() -> None:
    at = datetime(1969, 12, 31, 23, 59, tzinfo=UTC)
    assert Layout.of(60).names_of([("AAPL", at)]) == ["year=1969/month=12/day=31/2300"]
    assert Layout.of(60).names_of([]) == []
