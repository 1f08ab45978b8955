"""A year built again from its raw objects."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stock_pipeline.errors import RowsWouldBeLost
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline_tests.support.desk import NOW, UPLOADS, Desk


class TestRebuild:
    def test_a_year_is_what_its_raw_objects_say(self, desk: Desk) -> None:
        key = desk.drop("a.csv", "A,2024-01-02,,,,1,", "A,2023-01-03,,,,1,", "B,2024-01-02,,,,x,")
        desk.ingest(key)
        before = desk.closes()
        desk.drop("a.csv", "A,2024-01-02,,,,7,", "A,2023-01-03,,,,1,", "C,2024-01-02,,,,2,")
        (receipt,) = rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=NOW + timedelta(hours=1))
        assert (receipt.inserted, receipt.skipped) == (2, 1)
        assert desk.closes() == before | {("A", "2024-01-02"): 7.0, ("C", "2024-01-02"): 2.0}
        assert desk.rejects() == [("a.csv", 4, "bad_number")], "what the former version said stays on record"

    def test_restatements_stay_restated(self, desk: Desk) -> None:
        one, two = desk.drop("one.csv", "A,2024-01-02,,,,1,"), desk.drop("two.csv", "A,2024-01-02,,,,2,")
        desk.ingest(one)
        desk.ingest(two, replace=True)
        rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=NOW)
        assert desk.closes() == {("A", "2024-01-02"): 2.0}
        assert desk.revisions("close", "replaced_by", "change") == [(1.0, two, "replaced")]

    def test_a_row_that_says_the_same_stays_as_it_is_and_another_leaves_its_former_version(self, desk: Desk) -> None:
        key = desk.drop("a.csv", "A,2024-01-02,,,,1,", "B,2024-01-02,,,,1,")
        desk.ingest(key)
        desk.drop("a.csv", "A,2024-01-02,,,,1,", "B,2024-01-02,,,,2,", "D,2024-01-02,,,,1,")
        later = NOW + timedelta(hours=1)
        rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=later)
        assert desk.rows("symbol", "close", "etl_loading_ts") == [("A", 1.0, NOW), ("B", 2.0, later), ("D", 1.0, later)]
        assert desk.revisions("symbol", "close", "known_from", "known_to", "replaced_by", "change") == [
            ("B", 1.0, NOW, later, key, "rebuilt")
        ]
        rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=later + timedelta(hours=1))
        assert len(desk.revisions("symbol")) == 1

    def test_progress_is_told_by_the_ingest(self, desk: Desk) -> None:
        desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"), desk.drop("b.csv", "B,2024-01-02,,,,1,"))
        told: list[tuple[int, int]] = []
        rebuild_year(2024, staging=desk.staging, lake=desk.lake, on_progress=lambda *done: told.append(done))
        assert told[-1] == (2, 2)

    def test_a_row_that_no_version_gives_any_more_is_never_taken_away(self, desk: Desk) -> None:
        desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,", "C,2024-01-02,,,,1,"))
        desk.drop("a.csv", "A,2024-01-02,,,,2,")
        with pytest.raises(RowsWouldBeLost, match=r"holds 1 rows .* C 2024-01-02 from .*/a\.csv"):
            rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=NOW + timedelta(hours=1))
        assert desk.closes() == {("A", "2024-01-02"): 1.0, ("C", "2024-01-02"): 1.0}
        assert desk.revisions("symbol") == []

    def test_rows_that_arrive_meanwhile_are_in_it(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        desk.ingest(desk.drop("one.csv", "A,2024-01-02,,,,1,"))
        desk.drop("two.csv", "B,2024-01-02,,,,1,")

        def another(key: str) -> None:
            desk.lake.before_put = lambda key: None
            desk.ingest(desk.drop("three.csv", "C,2024-01-02,,,,1,"))

        desk.lake.before_put = another
        rebuild_year(2024, staging=desk.staging, lake=desk.lake, now=NOW)
        assert {symbol for symbol, _ in desk.closes()} == {"A", "B", "C"}

    def test_it_refuses_to_lose_rows_whose_raw_object_is_gone(self, desk: Desk) -> None:
        desk.ingest(desk.drop("one.csv", "A,2024-01-02,,,,1,"), desk.drop("two.csv", "B,2024-01-02,,,,1,"))
        del desk.staging.objects[UPLOADS + "two.csv"]
        with pytest.raises(RowsWouldBeLost, match=r"two\.csv"):
            rebuild_year(2024, staging=desk.staging, lake=desk.lake)
        assert len(desk.closes()) == 2

    def test_it_refuses_to_lose_values_that_only_a_gone_raw_object_knew(self, desk: Desk) -> None:
        one, two = desk.drop("one.csv", "A,2024-01-02,1,,,1,"), desk.drop("two.csv", "A,2024-01-02,,,,1,5")
        assert [r.updated for r in desk.ingest(one, two)] == [0, 1]
        lost = desk.staging.objects.pop(one)
        with pytest.raises(RowsWouldBeLost, match=r"values in 1 rows .*\(A 2024-01-02"):
            rebuild_year(2024, staging=desk.staging, lake=desk.lake)
        assert desk.rows("open", "volume") == [(1.0, 5.0)]
        desk.staging.objects[one] = lost
        rebuild_year(2024, staging=desk.staging, lake=desk.lake)
        assert desk.rows("open", "volume") == [(1.0, 5.0)]

    def test_a_year_without_raw_objects_stays_without(self, desk: Desk) -> None:
        assert rebuild_year(2024, staging=desk.staging, lake=desk.lake) == []
        assert desk.lake.objects == {}
