"""From raw objects to table, rejected records and receipts, through the public functions of `ingest`."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.ingest import daily as ingest
from stock_pipeline.lake.partitions import read_logged
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline_tests.support.desk import NOW, UPLOADS, Desk


def test_a_file_ends_in_the_partitions_of_its_years_with_its_provenance(desk: Desk) -> None:
    key = desk.drop("a.csv", "AAPL,2023-12-29,1,3,1,2,100", "AAPL,2024-01-02,2,2,2,2,", "MSFT,2024-01-02,,,,5,7")
    (receipt,) = desk.ingest(key)
    assert (receipt.rows, receipt.inserted, receipt.partitions) == (3, 3, {"year=2023": 1, "year=2024": 2})
    assert (receipt.source, receipt.table) == (key, "price_by_date")
    assert receipt.etag == desk.staging.objects[key].info.etag
    assert desk.rows("symbol", "date", "open", "close", "volume", "source", "etl_loading_ts") == [
        ("AAPL", date(2023, 12, 29), 1.0, 2.0, 100, key, NOW),
        ("AAPL", date(2024, 1, 2), 2.0, 2.0, None, key, NOW),
        ("MSFT", date(2024, 1, 2), None, 5.0, 7, key, NOW),
    ]


def test_the_same_file_again_adds_nothing_and_writes_nothing(desk: Desk) -> None:
    key = desk.drop("a.csv", "AAPL,2024-01-02,1,3,1,2,100", "AAPL,2024-01-02,1,3,1,2,100", "BAD,2024-01-02,1,1,1,-1,1")
    first, again = (desk.ingest(key, now=NOW + timedelta(hours=h))[0] for h in range(2))
    assert (first.inserted, first.duplicates, first.rejected) == (1, 1, {"non_positive_price": 1})
    assert (again.inserted, again.duplicates, again.rejected) == (0, 2, {"non_positive_price": 1})
    assert len(desk.lake.puts) == 2  # the year and the rejected records, once
    assert desk.rows("etl_loading_ts") == [(NOW,)]


def test_the_first_value_stays_and_the_other_is_on_record(desk: Desk) -> None:
    one = desk.drop("one.csv", "AAPL,2024-01-02,1,3,1,2,100")
    two = desk.drop("two.csv", "AAPL,2024-01-02,1,3,1,2.5,100", "MSFT,2024-01-02,,,,5,7")
    desk.ingest(one)
    (receipt,) = desk.ingest(two)
    assert (receipt.inserted, receipt.conflicts) == (1, 1)
    assert desk.closes()["AAPL", "2024-01-02"] == 2.0
    (record,) = read_rejects(desk.lake, PRICE_BY_DATE).to_pylist()
    assert (record["line"], record["reason"], record["raw"]) == (2, "conflict", "AAPL,2024-01-02,1,3,1,2.5,100")
    assert record["detail"] == f"close 2 stored, 2.5 given; stored from {one}"


def test_of_files_in_one_call_the_one_named_first_wins(desk: Desk) -> None:
    one, two = desk.drop("z.csv", "A,2024-01-02,,,,1,"), desk.drop("a.csv", "A,2024-01-02,,,,2,", "B,2023-01-03,,,,2,")
    receipts = desk.ingest(one, two)
    assert [(r.source, r.inserted, r.conflicts) for r in receipts] == [(one, 1, 0), (two, 1, 1)]
    assert desk.closes() == {("A", "2024-01-02"): 1.0, ("B", "2023-01-03"): 2.0}
    assert desk.rejects() == [("a.csv", 2, "conflict")]


def test_a_restatement_replaces_and_keeps_what_it_replaced(desk: Desk) -> None:
    one = desk.drop("one.csv", "AAPL,2024-01-02,1,3,1,2,100", "MSFT,2024-01-02,,,,5,7")
    two = desk.drop("two.csv", "AAPL,2024-01-02,1,3,1,2.5,100", "MSFT,2024-01-02,,,,5,7", "V,2024-01-02,,,,9,")
    desk.ingest(one)
    (receipt,) = desk.ingest(two, replace=True)
    assert (receipt.inserted, receipt.replaced, receipt.duplicates, receipt.conflicts) == (2, 1, 1, 0)
    assert desk.closes()["AAPL", "2024-01-02"] == 2.5
    revised = ("symbol", "open", "close", "volume", "source", "replaced_by", "change")
    assert desk.revisions(*revised) == [("AAPL", 1.0, 2.0, 100.0, one, two, "replaced")]
    desk.ingest(two, replace=True)
    desk.ingest(two)
    assert len(desk.revisions("symbol")) == 1
    assert desk.rejects() == []


def test_replaced_values_are_on_record_before_they_are_gone(desk: Desk) -> None:
    """The worker dies right before the partition is written: nothing is replaced, nothing is lost."""
    one, two = desk.drop("one.csv", "A,2024-01-02,,,,1,"), desk.drop("two.csv", "A,2024-01-02,,,,2,")
    desk.ingest(one)

    def die(key: str) -> None:
        if key.startswith("price_by_date"):
            raise KeyboardInterrupt

    desk.lake.before_put = die
    with pytest.raises(KeyboardInterrupt):
        desk.ingest(two, replace=True)
    assert desk.closes() == {("A", "2024-01-02"): 1.0}
    assert desk.revisions("close", "replaced_by") == [(1.0, two)]
    desk.lake.before_put = lambda key: None
    desk.ingest(two, replace=True, now=NOW + timedelta(minutes=1))
    assert desk.revisions("close", "replaced_by", "known_to") == [(1.0, two, NOW + timedelta(minutes=1))]


@pytest.mark.parametrize("others", [(), ("A,2024-01-03,,,,7,",)])
def test_a_restatement_that_overtakes_the_trigger_leaves_no_false_record(desk: Desk, others: tuple[str, ...]) -> None:
    """Somebody uploads a file and restates from it, and its arrival is ingested, too. That read the old value, and puts
    its conflict on record when the new one is stored."""
    desk.ingest(desk.drop("one.csv", "A,2024-01-02,,,,10,", "A,2024-01-03,,,,8,"))
    two = desk.drop("two.csv", "A,2024-01-02,,,,11,", *others)

    def restate(key: str) -> None:
        if key.startswith("rejected_records"):
            desk.lake.before_put = lambda key: None
            first = desk.drop("two.csv", "A,2024-01-02,,,,11,") if others else two
            desk.ingest(first, replace=True)

    desk.lake.before_put = restate
    (receipt,) = desk.ingest(two)
    assert desk.closes()["A", "2024-01-02"] == 11.0
    assert (receipt.duplicates, receipt.conflicts) == (1, len(others))
    assert desk.rejects() == [("two.csv", 3, "conflict")] * len(others)


def test_a_row_that_completes_after_a_restatement_came_between_is_in_the_log(desk: Desk) -> None:
    """It met another value at first. Without the entry a rebuild would not know the source of what it gave."""
    desk.ingest(desk.drop("one.csv", "A,2024-01-02,,,,10,"))
    two, fuller = desk.drop("two.csv", "A,2024-01-02,,,,11,"), desk.drop("fuller.csv", "A,2024-01-02,9,,,11,100")

    def restate(key: str) -> None:
        if key.startswith("rejected_records"):
            desk.lake.before_put = lambda key: None
            desk.ingest(two, replace=True, now=NOW + timedelta(minutes=1))

    desk.lake.before_put = restate
    (receipt,) = desk.ingest(fuller, now=NOW + timedelta(minutes=2))
    assert (receipt.updated, receipt.conflicts) == (1, 0)
    log = read_logged(desk.lake, PRICE_BY_DATE, "year=2024")[2]
    assert [entry.source for entry in log.entries] == [UPLOADS + "one.csv", two, fuller]
    before = desk.rows("open", "close", "volume", "source")
    rebuild_year(2024, staging=desk.staging, lake=desk.lake)
    assert desk.rows("open", "close", "volume", "source") == before == [(9.0, 11.0, 100.0, fuller)]


def test_restatements_follow_each_other(desk: Desk) -> None:
    keys = [desk.drop(f"{i}.csv", f"A,2024-01-02,,,,{i},") for i in (1, 2, 3)]
    receipts = desk.ingest(*keys, replace=True)
    assert [r.replaced for r in receipts] == [0, 1, 1]
    assert desk.closes() == {("A", "2024-01-02"): 3.0}
    assert desk.revisions("close", "replaced_by") == [(1.0, keys[1]), (2.0, keys[2])]
    times = desk.revisions("known_from", "known_to")
    assert times[0][1] == times[1][0], "the one ends when the next begins, although all have one loading time"


def test_a_refused_file_is_told_and_recorded_and_the_others_go_on(desk: Desk) -> None:
    bad = desk.drop("bad.csv", "1,2", header="colour,size")
    good = desk.drop("good.csv", "A,2024-01-02,,,,1,")
    refused, receipt = desk.ingest(bad, good)
    assert refused.refused is not None
    assert "date" in refused.refused
    assert (refused.rows, refused.partitions) == (0, {})
    assert receipt.inserted == 1
    assert desk.rejects() == [("bad.csv", 0, "file_refused")]
    desk.drop("bad.csv", "A,2024-01-03,,,,1,")
    assert desk.ingest(bad)[0].inserted == 1
    assert desk.rejects() == [("bad.csv", 0, "file_refused")], "it is a version of the source, as the next one is"


def test_a_file_that_is_gone_is_told_and_leaves_no_record(desk: Desk) -> None:
    (receipt,) = desk.ingest(UPLOADS + "gone.csv")
    assert "does not exist" in str(receipt.refused)
    assert desk.lake.objects == {}


def test_a_file_over_the_limit_is_refused(desk: Desk) -> None:
    key = desk.drop("a.csv", *["A,2024-01-02,,,,1,"] * 100)
    (receipt,) = desk.ingest(key, max_bytes=1000)
    assert receipt.refused


def test_a_symbol_may_be_given_for_a_file_that_names_none(desk: Desk) -> None:
    key = desk.drop("download (1).csv", "2024-01-02,5", header="date,close")
    assert desk.ingest(key)[0].refused
    assert desk.ingest(key, symbol="AAPL")[0].inserted == 1
    assert desk.closes() == {("AAPL", "2024-01-02"): 5.0}
    assert desk.rejects() == []


def test_a_daily_file_touches_no_year_but_its_own(desk: Desk) -> None:
    for year in range(2004, 2024):
        desk.ingest(desk.drop(f"{year}.csv", f"A,{year}-03-03,,,,1,"))
    desk.lake.gets.clear()
    desk.ingest(desk.drop("new.csv", "A,2024-01-02,,,,1,"))
    assert [k for k in desk.lake.gets if k.startswith("price")] == ["price_by_date/year=2024/prices.parquet"]


def test_many_files_make_one_write_a_year(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [desk.drop(f"{i}.csv", f"A,2024-01-{i:02},,,,1,") for i in range(2, 22)]
    progress: list[tuple[int, int]] = []
    desk.ingest(*keys, on_progress=lambda done, total: progress.append((done, total)))
    assert desk.lake.puts == ["price_by_date/year=2024/prices.parquet"]
    assert progress == [(i, 20) for i in range(1, 21)]
    monkeypatch.setattr(ingest, "GROUP_ROWS", 5)
    desk.lake.puts.clear()
    desk.ingest(*(desk.drop(f"b{i}.csv", f"B,2024-01-{i:02},,,,1,") for i in range(2, 22)))
    assert len(desk.lake.puts) == 4
    assert len(desk.closes()) == 40


def test_a_store_that_is_down_ends_the_call_with_an_error(desk: Desk) -> None:
    key = desk.drop("a.csv", "A,2024-01-02,,,,1,")

    def down(key: str) -> None:
        raise StoreUnavailable(key, "S3 answered 503")

    desk.lake.before_put = down
    with pytest.raises(StoreUnavailable):
        desk.ingest(key)


# Laws, on files of random rows: valid ones, invalid ones, ones that other files contradict.
ROWS = st.tuples(
    st.sampled_from(["AAPL", "NA", "BRK.B", "", "a b c"]),
    st.sampled_from(["2023-12-29", "2024-01-02", "2024-02-30", ""]),
    st.sampled_from(["1", "2", "-1", "nan", "x", ""]),
)
FILES = st.lists(st.lists(ROWS, min_size=1, max_size=6), min_size=1, max_size=4)


def as_csv(rows: list[tuple[str, str, str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("symbol", "date", "close"), *rows])
    return text.getvalue().encode()


@given(FILES)
@settings(max_examples=60, deadline=None)
def test_every_row_is_explained_and_the_first_file_with_one_value_for_a_key_is_stored(
    files: list[list[tuple[str, str, str]]],
) -> None:
    desk = Desk()
    keys = []
    for at, rows in enumerate(files):
        keys.append(f"{UPLOADS}{at}.csv")
        desk.staging.put(keys[-1], as_csv(rows))
    receipts = desk.ingest(*keys)
    assert [r.rows for r in receipts] == [len(rows) for rows in files]

    expected: dict[tuple[str, str], float] = {}
    for rows in files:
        given: dict[tuple[str, str], set[float]] = {}
        for symbol, day, close in rows:
            if symbol in {"AAPL", "NA", "BRK.B"} and day in {"2023-12-29", "2024-01-02"} and close in {"1", "2"}:
                given.setdefault((symbol, day), set()).add(float(close))
        for key, closes in given.items():
            if len(closes) == 1:  # lines of one file that contest a key are not stored
                expected.setdefault(key, *closes)
    assert desk.closes() == expected
    assert sum(r.inserted for r in receipts) == len(expected)
    recorded = sum(r.conflicts + r.rejected_rows for r in receipts)
    assert read_rejects(desk.lake, PRICE_BY_DATE).num_rows == recorded


@given(FILES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_redelivery_in_any_order_changes_nothing(files: list[list[tuple[str, str, str]]], random: Any) -> None:
    desk = Desk()
    keys = []
    for at, rows in enumerate(files):
        keys.append(f"{UPLOADS}{at}.csv")
        desk.staging.put(keys[-1], as_csv(rows))
    desk.ingest(*keys)
    closes, rejects = desk.closes(), desk.rejects()
    again = keys * 2
    random.shuffle(again)
    for key in again:
        (receipt,) = desk.ingest(key)
        assert receipt.rows == len(files[keys.index(key)])
    assert (desk.closes(), desk.rejects()) == (closes, rejects)


ADJUSTED = st.lists(
    st.dictionaries(st.sampled_from(["2024-01-02", "2024-01-03"]), st.sampled_from(["1", "2", ""]), min_size=1),
    min_size=1,
    max_size=4,
)


@given(ADJUSTED, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_adjusted_closes_are_those_of_the_file_that_was_written_last(files: list[dict[str, str]], random: Any) -> None:
    """In any order of arrival, though the prices of some of the files stay out."""
    desk, expected = Desk(), dict[str, tuple[float, Any]]()
    keys = []
    for at, bars in enumerate(files):
        lines = [f"AAPL,{day},{10 + at % 2},{adjusted}" for day, adjusted in bars.items()]
        keys.append(desk.drop(f"{at}.csv", *lines, header="symbol,date,close,adj close"))
        written = desk.staging.objects[keys[-1]].info.modified
        expected |= {day: (float(adjusted), written) for day, adjusted in bars.items() if adjusted}
    random.shuffle(keys)
    receipts = [receipt for key in keys * 2 for receipt in desk.ingest(key)]
    found = {d.isoformat(): (adj, at) for d, adj, at in desk.rows("date", "adj_close", "adj_known_at") if adj}
    assert found == expected
    assert all(r.updated == 0 for r in receipts[len(keys) :]), "a second time nothing is new"
