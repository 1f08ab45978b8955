"""An old version of a partition object put back, by the command or by hand: what came since comes back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.cli import restore as command
from stock_pipeline.errors import MergeContention, StockPipelineError
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.maintenance import restore as restoring
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.maintenance.remove import Found, remove_source
from stock_pipeline.maintenance.restore import RESTORABLE, partition_named, plan_restore, restore, versions_of
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.desk import NOW, UPLOADS, Desk

YEAR = "price_by_date/year=2024/prices.parquet"
FAR = NOW + timedelta(days=9000)


@pytest.fixture
def desk() -> Desk:
    return Desk(versioned=True)


def find(desk: Desk) -> list[str]:
    found = find_unseen(staging=desk.staging, lake=desk.lake, since=None, age=timedelta(), now=FAR)
    return [info.key.rpartition("/")[2] for info in found.objects]


def reconcile(desk: Desk) -> None:
    found = find_unseen(staging=desk.staging, lake=desk.lake, since=None, age=timedelta(), now=FAR)
    repair(found, staging=desk.staging, lake=desk.lake, settings=Settings(), now=FAR)


def later(number: int) -> dict[str, Any]:
    return {"now": NOW + timedelta(minutes=number)}


def three_files_and_a_restatement(desk: Desk) -> None:
    """The first file, a version of the year, and then the others."""
    desk.ingest(desk.drop("first.csv", "A,2024-01-02,,,,1,"))
    desk.ingest(desk.drop("within.csv", "B,2024-01-02,,,,2,", "X,2024-01-02,,,,x,"), **later(1))
    desk.ingest(desk.drop("both.csv", "C,2023-01-03,,,,3,", "C,2024-01-02,,,,3,"), **later(2))
    desk.ingest(desk.drop("restated.csv", "A,2024-01-02,,,,4,"), replace=True, **later(3))
    bare = desk.drop("bare.csv", "2024-01-02,5", header="date,close")
    desk.ingest(bare, symbol="E", **later(4))


def test_what_an_object_lacks_that_was_put_back_by_hand_is_found_and_comes_back(desk: Desk) -> None:
    three_files_and_a_restatement(desk)
    assert find(desk) == []
    before, records = desk.closes(), desk.rejects()
    desk.lake.put(YEAR, desk.lake.kept[YEAR][0].data)
    assert find(desk) == ["within.csv", "both.csv", "restated.csv", "bare.csv"]
    reconcile(desk)
    assert (desk.closes(), desk.rejects(), find(desk)) == (before, records, [])


def test_a_restatement_of_a_file_that_is_there_otherwise_is_found_too(desk: Desk) -> None:
    one, two = (
        desk.drop("a.csv", "A,2024-01-02,,,,10,", "B,2024-01-02,,,,1,"),
        desk.drop("b.csv", "A,2024-01-02,,,,11,"),
    )
    desk.ingest(one)
    desk.ingest(two, replace=True, **later(1))
    old = desk.lake.objects[YEAR].data
    desk.ingest(one, replace=True, **later(2))
    desk.lake.put(YEAR, old)
    assert find(desk) == ["a.csv"]
    reconcile(desk)
    assert desk.closes()["A", "2024-01-02"] == 10
    assert find(desk) == []


def test_the_command_puts_a_version_back_and_makes_the_ingests_again_in_their_order(desk: Desk) -> None:
    three_files_and_a_restatement(desk)
    before, records = desk.closes(), desk.rejects()
    first, *_ = versions_of(desk.lake, PRICE_BY_DATE, "year=2024")
    second = desk.lake.kept[YEAR][1].info
    for which in ({"version": first.version}, {"before": second.modified}):
        plan = plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, **which)  # type: ignore[arg-type]
        assert (plan.info.version, plan.rows, plan.missing, plan.unreadable) == (first.version, 1, [], 0)
        told = [(info.key.rpartition("/")[2], entry.replace, entry.options) for info, entry in plan.again]
        assert told == [
            ("within.csv", False, ()),
            ("both.csv", False, ()),
            ("restated.csv", True, ()),
            ("bare.csv", False, (("symbol", "E"),)),
        ]
        receipts = restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
        assert sum(receipt.inserted for receipt in receipts) == 4
        assert (desk.closes(), desk.rejects(), find(desk)) == (before, records, [])


def test_another_writer_between_the_plan_and_the_restore_stops_it(desk: Desk) -> None:
    three_files_and_a_restatement(desk)
    plan = plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version="v1")
    desk.ingest(desk.drop("z.csv", "Z,2024-01-02,,,,1,"), **later(9))
    before = desk.closes()
    with pytest.raises(MergeContention, match="Nothing was restored"):
        restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
    assert desk.closes() == before


def test_another_writer_while_the_versions_are_listed_stops_the_plan(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    three_files_and_a_restatement(desk)
    listed = list(desk.lake.versions(YEAR))
    desk.ingest(desk.drop("z.csv", "Z,2024-01-02,,,,1,"), **later(9))
    monkeypatch.setattr(desk.lake, "versions", lambda prefix: iter(listed))
    with pytest.raises(MergeContention, match="while its versions were listed"):
        plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version="v1")


def test_a_damaged_or_deleted_object_is_restored_and_what_cannot_be_known_is_said(desk: Desk) -> None:
    three_files_and_a_restatement(desk)
    before = desk.closes()
    desk.lake.put(YEAR, b"damaged")
    at = desk.lake.kept[YEAR][-2].info
    plan = plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version=at.version)
    assert (plan.again, plan.unreadable) == ([], 1)
    restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
    assert desk.closes() == before
    del desk.lake.objects[YEAR]
    plan = plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version=at.version)
    restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
    assert desk.closes() == before
    bad = next(stored.info for stored in desk.lake.kept[YEAR] if stored.data == b"damaged")
    with pytest.raises(StockPipelineError, match="cannot be read"):
        plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version=bad.version)


def test_what_is_gone_from_staging_and_what_was_removed_is_said(desk: Desk) -> None:
    three_files_and_a_restatement(desk)
    del desk.staging.kept[f"{UPLOADS}within.csv"], desk.staging.objects[f"{UPLOADS}within.csv"]
    found = Found(f"{UPLOADS}first.csv", PRICE_BY_DATE, {("price_by_date", "year=2024"): 1}, 0)
    remove_source(found, desk.staging, desk.lake, Settings(), now=NOW)
    plan = plan_restore(PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version="v1")
    assert [entry.source.rpartition("/")[2] for entry in plan.missing] == ["within.csv"]
    assert plan.removed == [f"{UPLOADS}first.csv"]


def test_a_version_that_is_not_there_or_is_the_present_one_is_refused(desk: Desk) -> None:
    def plan(partition: str, **which: Any) -> None:
        plan_restore(PRICE_BY_DATE, partition, staging=desk.staging, lake=desk.lake, **which)

    with pytest.raises(StockPipelineError, match="no partition year=1999"):
        plan("year=1999")
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))
    with pytest.raises(StockPipelineError, match="no version nothing of"):
        plan("year=2024", version="nothing")
    with pytest.raises(StockPipelineError, match="no version from before 1999-01-01"):
        plan("year=2024", before=datetime(1999, 1, 1, tzinfo=UTC))
    with pytest.raises(StockPipelineError, match="present one"):
        plan("year=2024", version=desk.lake.objects[YEAR].info.version)


def test_objects_without_a_log_are_compared_by_their_rows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier versions of the package wrote them."""
    with monkeypatch.context() as earlier:
        earlier.setattr("stock_pipeline.lake.ingest_log.IngestLog.in_footer", lambda self: {})
        desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))
        desk.ingest(desk.drop("b.csv", "B,2024-01-02,,,,1,"), **later(1))
    desk.ingest(desk.drop("c.csv", "C,2024-01-02,,,,1,"), **later(2))
    before = desk.closes()
    plan = plan_restore(
        PRICE_BY_DATE, "year=2024", staging=desk.staging, lake=desk.lake, version=desk.lake.kept[YEAR][0].info.version
    )
    assert [info.key.rpartition("/")[2] for info, _ in plan.again] == ["b.csv", "c.csv"]
    restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
    assert desk.closes() == before


def tick(second: int, **more: Any) -> str:
    at = datetime(2024, 6, 3, 14, 0, tzinfo=UTC) + timedelta(seconds=second)
    return json.dumps({"symbol": "A", "price": 10 + second, "produced_at": at.isoformat()} | more) + "\n"


def test_ticks_come_back_too_whether_by_the_command_or_by_hand(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def ingest(name: str, *seconds: int) -> None:
        key = f"stock_stream/2024/06/03/14/{name}"
        desk.staging.put(key, "".join(tick(second) for second in seconds).encode())
        ingest_ticks([key], staging=desk.staging, lake=desk.lake, now=NOW + timedelta(hours=9))

    def history() -> list[tuple[Any, ...]]:
        found = [
            read_partition(desk.lake, STREAM_PRICES_HISTORY, n) for n in partitions(desk.lake, STREAM_PRICES_HISTORY)
        ]
        return [(r["produced_at"], r["source"]) for rows in found if rows is not None for r in rows.to_pylist()]

    for number, seconds in enumerate(((1, 2), (3, 3601), (3602,), (4, 3603, 7201))):
        ingest(f"o{number}", *seconds)
    before = history()
    for name in ("year=2024/month=06/day=03/1400", "year=2024/month=06/day=03/1500"):
        key = f"price_by_date_stream/{name}.parquet"
        old = desk.lake.kept[key][0]
        desk.lake.put(key, old.data)
        assert len(history()) < len(before)
        reconcile(desk)
        assert (history(), find(desk)) == (before, [])
        plan = plan_restore(
            STREAM_PRICES_HISTORY, name, staging=desk.staging, lake=desk.lake, version=old.info.version
        )  # fmt: skip
        assert plan.again
        restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings())
        assert history() == before
    refreshed: list[object] = []
    monkeypatch.setattr(restoring, "refresh", lambda settings, lake: refreshed.append(lake))
    latest = desk.lake.kept["latest_stream_prices/latest.parquet"][0].info
    plan = plan_restore(LATEST_PRICES, "latest", staging=desk.staging, lake=desk.lake, version=latest.version)
    assert restore(plan, staging=desk.staging, lake=desk.lake, settings=Settings()) == []
    assert refreshed == [desk.lake]


files = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([2023, 2024]), st.sampled_from("ABC"), st.integers(1, 2)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=50, deadline=None)
@given(files, st.data())
def test_any_old_version_put_back_by_hand_is_made_good(history: list[Any], data: st.DataObject) -> None:
    desk = Desk(versioned=True)
    for number, (name, year, symbol, close) in enumerate(history):
        rows = f"{symbol},{year}-01-03,,,,{close},", f"Z{number},{2023 + number % 2}-01-04,,,,{close},"
        desk.ingest(desk.drop(f"{name}.csv", *rows), **later(number))
    before = {key for key, _ in desk.closes().items()}
    key = data.draw(st.sampled_from([key for key in sorted(desk.lake.kept) if key.startswith("price_by_date/")]))
    desk.lake.put(key, data.draw(st.sampled_from(desk.lake.kept[key])).data)
    reconcile(desk)
    assert set(desk.closes()) == before
    assert find(desk) == []


def test_partitions_may_be_named_as_people_write_them() -> None:
    assert partition_named(PRICE_BY_DATE, "2024") == partition_named(PRICE_BY_DATE, "year=2024") == "year=2024"
    assert partition_named(STREAM_PRICES_HISTORY, "2024-06-03T14:30") == "year=2024/month=06/day=03/1430"
    assert partition_named(LATEST_PRICES, "latest") == "latest"
    assert tuple(RESTORABLE) == command.TABLES
