"""The asset of former versions, and its check."""

from __future__ import annotations

import dagster as dg

from stock_pipeline.lake.partitions import read_partition, write_revisions
from stock_pipeline.lake.revisions import taken_out
from stock_pipeline.orchestration.batch.price_revisions import changes_finished
from stock_pipeline.quality.revisions import unfinished
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.desk import NOW, Desk


def test_a_change_that_was_interrupted_is_named_until_it_is_done() -> None:
    desk = Desk()
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,", "B,2024-01-02,,,,1,"))
    assert unfinished(desk.lake).wrong == 0
    rows = read_partition(desk.lake, PRICE_BY_DATE, "year=2024")
    assert rows is not None
    write_revisions(desk.lake, PRICE_BY_DATE, "year=2024", taken_out(rows.slice(1), NOW, PRICE_BY_DATE))
    found = unfinished(desk.lake)
    assert (found.wrong, found.counts) == (1, {"versions": 1})
    assert found.examples is not None
    assert found.examples["symbol"].to_pylist() == ["B"]
    assert "run what changes them again" in found.said
    desk.ingest(desk.drop("b.csv", "B,2024-01-02,,,,2,"), replace=True)
    assert unfinished(desk.lake).wrong == 0
    assert len(desk.revisions("symbol")) == 1


def test_the_check_shows_what_it_found() -> None:
    desk = Desk()
    desk.ingest(desk.drop("a.csv", "A,2024-01-02,,,,1,"))

    class Lake:
        lake = desk.lake

    assert changes_finished(Lake()).passed  # type: ignore[arg-type]
    rows = read_partition(desk.lake, PRICE_BY_DATE, "year=2024")
    assert rows is not None
    write_revisions(desk.lake, PRICE_BY_DATE, "year=2024", taken_out(rows, NOW, PRICE_BY_DATE))
    result = changes_finished(Lake())  # type: ignore[arg-type]
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "examples" in result.metadata
