"""A rebuild makes the ingests of a year again as they were: former versions, symbols, hints, restatements, their order.

The law: while nobody changes a raw object, a rule or a limit, a rebuild changes nothing, whatever was ingested.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import RowsWouldBeLost, StoreUnavailable
from stock_pipeline.lake.object_store import ObjectVersion
from stock_pipeline.maintenance.rebuild import compare_year, rebuild_year
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.maintenance.remove import Found, remove_source
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.desk import NOW, UPLOADS, Desk
from stock_pipeline_tests.support.memory_store import MemoryStore

YEARS = (2023, 2024)


@pytest.fixture
def desk() -> Desk:
    return Desk(versioned=True)


def contents(store: MemoryStore) -> dict[str, str]:
    return {key: stored.info.etag for key, stored in store.objects.items()}


def rebuild(desk: Desk, *years: int, **more: Any) -> None:
    for year in years:
        rebuild_year(year, staging=desk.staging, lake=desk.lake, **({"now": NOW + timedelta(days=1)} | more))


def later(number: int) -> dict[str, Any]:
    return {"now": NOW + timedelta(minutes=number)}


def test_a_name_that_is_used_again_loses_no_row(desk: Desk) -> None:
    for number, day in enumerate(("2024-01-02", "2024-01-03", "2024-01-04")):
        desk.ingest(desk.drop("latest.csv", f"A,{day},,,,{number + 1},"), **later(number))
    before = contents(desk.lake)
    rebuild(desk, 2024)
    assert len(desk.closes()) == 3
    assert contents(desk.lake) == before, "and nothing is written where nothing changes"


def test_a_second_rebuild_changes_nothing_where_a_version_is_gone_whose_rows_stayed() -> None:
    desk = Desk()
    desk.ingest(desk.drop("first.csv", "A,2024-01-02,,,,1,", "A,2024-01-03,,,,1,"))
    desk.ingest(desk.drop("second.csv", "A,2024-01-02,,,,2,", "A,2024-01-03,,,,1,"), **later(1))
    desk.drop("first.csv", "A,2024-01-02,,,,3,", "A,2024-01-03,,,,1,")  # nobody has the former version
    rebuild(desk, 2024)
    assert desk.closes() == {("A", "2024-01-02"): 2.0, ("A", "2024-01-03"): 1.0}
    before = contents(desk.lake)
    rebuild(desk, 2024)
    assert contents(desk.lake) == before


def test_symbols_and_hints_that_a_person_gave_are_used_again(desk: Desk) -> None:
    bare = desk.drop("download.csv", "2024-01-02,1", "2024-01-03,2", header="date,close")
    desk.ingest(bare, symbol="AAPL")
    ambiguous = desk.drop("B.csv", "02-03-2024,5", header="date,close")
    assert desk.ingest(ambiguous)[0].refused
    assert desk.ingest(ambiguous, hints=Hints(dates="dmy"), **later(1))[0].inserted == 1
    before = desk.rows("symbol", "date", "close", "source")
    rebuild(desk, 2024)
    assert desk.rows("symbol", "date", "close", "source") == before
    assert desk.ingest(ambiguous, **later(2))[0].duplicates == 1, "a late delivery without the hint uses it, too"
    assert ("B.csv", 0, "file_refused") not in desk.rejects()


def test_a_year_is_not_swapped_when_a_source_is_refused_that_was_not_before(desk: Desk) -> None:
    desk.ingest(desk.drop("a.csv", *(f"A,2024-01-{day:02},,,,1," for day in range(2, 30))))
    desk.ingest(desk.drop("cats.csv", "1,2", header="colour,size"), **later(1))
    before = contents(desk.lake)
    with pytest.raises(RowsWouldBeLost, match=r"holds 28 rows .* A 2024-01-02 from .*a\.csv, .*, …"):
        rebuild(desk, 2024, max_bytes=200)
    assert contents(desk.lake) == before
    desk.ingest(desk.drop("same.csv", *(f"A,2024-01-{day:02},,,,1," for day in range(2, 30))), **later(2))
    desk.drop("huge.csv", *("B,2024-01-02,,,,1," for _ in range(99)))
    with pytest.raises(RowsWouldBeLost, match=r"1 sources of year=2024 were refused: .*huge\.csv.*limit"):
        rebuild(desk, 2024, max_bytes=1500)
    rebuild(desk, 2024)


def test_rows_of_other_years_and_their_records_are_not_this_rebuilds(desk: Desk) -> None:
    both = [f"{s},{y}-01-03,,,,{v}," for s, v in (("A", 10), ("B", 20)) for y in YEARS]
    desk.ingest(desk.drop("five-years.csv", *both, "C,2024-01-03,,,,x,"))
    desk.ingest(desk.drop("restated.csv", *[row.replace("10,", "11,") for row in both]), replace=True, **later(1))
    desk.ingest(desk.drop("other.csv", *[row.replace("20,", "21,") for row in both]), **later(2))
    before, records = contents(desk.lake), desk.rejects()
    rebuild(desk, *YEARS, *YEARS)
    assert contents(desk.lake) == before
    assert desk.rejects() == records


def test_alternating_restatements_end_as_they_were_given_also_in_a_copy(desk: Desk) -> None:
    one, two = desk.drop("a.csv", "A,2024-01-02,,,,10,"), desk.drop("b.csv", "A,2024-01-02,,,,11,")
    desk.ingest(one)
    desk.ingest(two, replace=True, **later(1))
    desk.ingest(one, replace=True, **later(2))
    for place in (desk, desk.copied()):
        rebuild(place, 2024)
        assert place.closes() == {("A", "2024-01-02"): 10.0}


bars = st.tuples(st.sampled_from("AB"), st.sampled_from(["2023-01-03", "2024-01-02"]), st.integers(1, 3))
files = st.lists(bars, min_size=1, max_size=4, unique_by=lambda bar: bar[:2])
events = st.lists(st.tuples(st.sampled_from(["a.csv", "b.csv"]), files, st.booleans(), st.booleans()), max_size=6)


@settings(max_examples=60, deadline=None)
@given(events, st.booleans())
def test_a_rebuild_of_what_was_ingested_changes_nothing(history: list[Any], copied: bool) -> None:
    desk = Desk(versioned=True)
    for number, (name, rows, replace, again) in enumerate(history):
        key = desk.drop(name, *(f"{symbol},{day},,,,{close}," for symbol, day, close in rows))
        desk.ingest(key, replace=replace, **later(2 * number))
        if again:
            first = desk.staging.kept[key][0].info
            desk.ingest(first.named, replace=not replace, **later(2 * number + 1))  # type: ignore[arg-type]
    place = desk.copied() if copied else desk
    before, records = desk.rows(*PRICE_BY_DATE.schema.names), desk.rejects()
    rebuild(place, *YEARS)
    assert place.rows(*PRICE_BY_DATE.schema.names) == before
    assert place.rejects() == records


def test_a_file_that_nobody_had_ingested_comes_in_whole(desk: Desk) -> None:
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))
    desk.drop("lost.csv", "A,2024-01-02,,,,2,", "B,2024-01-02,,,,x,", "C,2024-01-02,,,,3,", "C,2023-01-03,,,,3,")
    found = compare_year(2024, staging=desk.staging, lake=desk.lake, now=NOW)
    assert (found.added.num_rows, found.changed.num_rows, found.differs) == (1, 0, True)
    assert len(desk.closes()) == 1, "a comparison writes nothing"
    rebuild(desk, 2024)
    assert desk.closes() == {("A", "2024-01-02"): 1, ("C", "2024-01-02"): 3, ("C", "2023-01-03"): 3}
    assert desk.rejects() == [("lost.csv", 2, "conflict"), ("lost.csv", 3, "bad_number")]


def test_a_file_that_comes_during_a_rebuild_is_ingested_after_it(desk: Desk) -> None:
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))
    desk.drop("b.csv", "B,2024-01-02,,,,1,")

    def another(key: str) -> None:
        if key.endswith("prices.parquet"):
            desk.lake.before_put = lambda key: None
            desk.drop("late.csv", "A,2024-01-02,,,,9,")

    desk.lake.before_put = another
    rebuild(desk, 2024)
    assert desk.rejects() == [("late.csv", 2, "conflict")]


def test_what_was_removed_stays_out_until_it_is_ingested_again(desk: Desk) -> None:
    key = desk.drop("a.csv", "A,2024-01-02,,,,1,")
    desk.ingest(key)
    desk.ingest(desk.drop("b.csv", "B,2024-01-02,,,,1,"))
    found = Found(key, PRICE_BY_DATE, {("price_by_date", "year=2024"): 1}, 0)
    assert remove_source(found, desk.staging, desk.lake, Settings(), now=NOW) == 1
    desk.ingest(desk.drop("a.csv", "C,2024-01-02,,,,1,"), **later(1))
    rebuild(desk, 2024)
    assert {symbol for symbol, _ in desk.closes()} == {"B", "C"}, "though the name is in use again"
    assert find(desk).objects == ()
    first = desk.staging.kept[key][0].info.named
    desk.ingest(first, **later(2))  # type: ignore[arg-type]
    rebuild(desk, 2024)
    assert {symbol for symbol, _ in desk.closes()} == {"A", "B", "C"}


def find(desk: Desk) -> Any:
    return find_unseen(
        staging=desk.staging, lake=desk.lake, since=None, age=timedelta(), now=NOW + timedelta(days=9000)
    )  # fmt: skip


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("killed_at", ["_rebuild/", "prices.parquet", "rejected_records/"])
@pytest.mark.parametrize("before", [True, False])
def test_a_rebuild_that_is_killed_is_finished_by_reconcile(desk: Desk, killed_at: str, before: bool) -> None:
    """A year that lacks its only value, as if a later version of the parser could read a file only now."""
    whole = Desk(versioned=True)
    for place in (desk, whole):
        place.ingest(place.drop("b.csv", "A,2024-01-02,,,,2,", "B,2024-01-02,,,,2,"))
        place.ingest(place.drop("a.csv", "A,2024-01-02,,,,1,"), **later(1))
        del place.lake.objects["price_by_date/year=2024/prices.parquet"]
        place.ingest(place.staging.kept[f"{UPLOADS}a.csv"][0].info.named, **later(2))  # type: ignore[arg-type]
    rebuild(whole, 2024)

    def kill(key: str) -> None:
        if killed_at in key:
            desk.lake.before_put = desk.lake.after_put = lambda key: None
            raise _Killed

    setattr(desk.lake, "before_put" if before else "after_put", kill)
    with contextlib.suppress(_Killed):
        rebuild(desk, 2024)
    unseen = find(desk)
    if not before or killed_at != "_rebuild/":
        assert unseen.rebuilds == (2024,)
    repair(unseen, staging=desk.staging, lake=desk.lake, settings=Settings(), now=NOW + timedelta(days=2))
    if not unseen.rebuilds:
        rebuild(desk, 2024)
    assert (desk.closes(), desk.rejects()) == (whole.closes(), whole.rejects())
    assert not find(desk)


def test_a_store_that_is_away_ends_the_rebuild_and_nothing_is_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))
    desk.drop("b.csv", "B,2024-01-02,,,,1,")
    before = contents(desk.lake)
    get: Callable[..., Any] = desk.staging.get

    def away(key: str, **more: Any) -> Any:
        if key.endswith("b.csv"):
            raise StoreUnavailable(key, "no answer")
        return get(key, **more)

    monkeypatch.setattr(desk.staging, "get", away)
    with pytest.raises(StoreUnavailable):
        rebuild(desk, 2024)
    assert contents(desk.lake) == before


def test_versions_of_one_key_in_one_ingest_are_all_stored(desk: Desk) -> None:
    for day in ("2024-01-02", "2024-01-03"):
        key = desk.drop("latest.csv", f"A,{day},,,,1,", "B,2024-01-02,,,,1,")
    versions = [stored.info.named for stored in desk.staging.kept[key]]
    random.Random(1).shuffle(versions)
    receipts = desk.ingest(*versions, ObjectVersion(key, "gone", "0" * 32))  # type: ignore[arg-type]
    assert [r.inserted for r in receipts] == [2, 1, 0]
    assert desk.rejects() == [("latest.csv", 0, "file_gone")]


def put_back_before_both(desk: Desk) -> None:
    """A copy by hand takes two rival rows out of the year, so that a rebuild stores the other one: it arrived first."""
    desk.drop("second.csv", "A,2024-01-02,x,,,12,")
    desk.drop("first.csv", "A,2024-01-02,x,,,11,")
    desk.ingest(desk.drop("other.csv", "B,2024-01-02,,,,1,"))
    old = desk.lake.get("price_by_date/year=2024/prices.parquet").data
    desk.ingest(f"{UPLOADS}first.csv", **later(1))
    desk.ingest(f"{UPLOADS}second.csv", **later(2))
    assert desk.rejects() == [("first.csv", 2, "bad_number"), ("second.csv", 2, "conflict")]
    desk.lake.put("price_by_date/year=2024/prices.parquet", old)


def test_a_row_that_gives_way_is_a_conflict_and_one_that_is_stored_says_what_was_left_out(desk: Desk) -> None:
    put_back_before_both(desk)
    rebuild(desk, 2024)
    assert desk.closes()["A", "2024-01-02"] == 12
    assert desk.rejects() == [("first.csv", 2, "conflict"), ("second.csv", 2, "bad_number")]


@pytest.mark.parametrize("name", ["first.csv", "second.csv"])
def test_a_file_that_is_restated_before_its_records_are_right_is_no_conflict(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put_back_before_both(desk)
    swapped, restated = list[str](), list[str]()
    put, get = desk.lake.put, desk.lake.get

    def noted(key: str, data: bytes, **conditions: Any) -> str:
        swapped.extend([key] if "prices.parquet" in key else [])
        return put(key, data, **conditions)

    def overtaken(key: str, **more: Any) -> Any:
        if "rejected_records/" in key and swapped and not restated:
            restated.append(key)
            desk.ingest(f"{UPLOADS}{name}", replace=True, **later(60 * 24 + 9))
        return get(key, **more)

    monkeypatch.setattr(desk.lake, "put", noted)
    monkeypatch.setattr(desk.lake, "get", overtaken)
    rebuild(desk, 2024)
    assert restated
    assert desk.rows("symbol", "source")[0] == ("A", f"{UPLOADS}{name}")
    assert (name, 2, "bad_number") in desk.rejects()
    assert (name, 2, "conflict") not in desk.rejects()
