"""The way back of rejected records: chosen, counted, and ingested again after a fix."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
import pytest

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import write_rejects
from stock_pipeline.maintenance.replay import counts, newest_records, rejected_records, replay_rejects
from stock_pipeline.parse.daily import header
from stock_pipeline.parse.ticks import trades
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, REJECTED, STREAM_PRICES_HISTORY, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore

DAILY, TICKS = "daily_prices/uploads/", "stock_stream/uploads/"
TICK = {"symbol": "AAPL", "price": 10, "produced_at": "2024-06-03 15:00:00"}


class Desk:
    """A staging and a lake bucket, and somebody who mends what the pipeline does not know yet."""

    def __init__(self) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")

    def drop(self, key: str, text: str) -> None:
        self.staging.put(key, text.encode())
        ingest = ingest_daily_prices if key.startswith(DAILY) else ingest_ticks
        ingest([key], staging=self.staging, lake=self.lake)

    def replay(self, **chosen: Any) -> dict[str, tuple[int, int, int]]:
        """Of each source: rows stored for the first time, duplicates, rows rejected again."""
        receipts = replay_rejects(self.staging, self.lake, Settings(), **chosen)
        return {r.source.rpartition("/")[2]: (r.inserted, r.duplicates, r.rejected_rows) for r in receipts}

    def stored(self, table: Table, column: str) -> list[Any]:
        parts = [read_partition(self.lake, table, name) for name in partitions(self.lake, table)]
        return [value for part in parts if part is not None for value in part[column].to_pylist()]

    def rejected(self) -> list[tuple[str, str, int]]:
        found = counts(rejected_records(self.lake)).to_pylist()
        return [(row["source"].rpartition("/")[2], row["reason"], row["rows"]) for row in found]


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.drop(DAILY + "vendor.csv", "symbol,trading day,settle\nAAPL,2024-01-02,10\nAAPL,2024-01-03,-1\n")
    desk.drop(DAILY + "bad.csv", "symbol,date,close\nMSFT,2024-01-02,1\nMSFT,2024-01-03,ten\nMSFT,2024-01-04,0\n")
    desk.drop(TICKS + "ticks.jsonl", json.dumps(TICK) + "\n" + json.dumps(TICK | {"price": "12 USD"}) + "\n{half\n")
    return desk


@pytest.fixture
def alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody teaches the pipeline a vendor's headers."""
    for field, name in (("date", "tradingday"), ("close", "settle")):
        monkeypatch.setitem(header.ALIASES, field, (*header.ALIASES[field], (name,)))


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody lets prices with their currency pass."""
    read = trades.read_number
    monkeypatch.setattr(
        trades,
        "read_number",
        lambda value, name: read(value.removesuffix(" USD") if isinstance(value, str) else value, name),
    )


BEFORE = [
    ("bad.csv", "bad_number", 1),
    ("bad.csv", "non_positive_price", 1),
    ("vendor.csv", "file_refused", 1),
    ("ticks.jsonl", "bad_number", 1),
    ("ticks.jsonl", "malformed_json", 1),
]


def test_before_the_fix_a_replay_changes_nothing(desk: Desk) -> None:
    assert sorted(desk.rejected()) == sorted(BEFORE)
    objects = dict(desk.lake.objects)
    assert desk.replay() == {"vendor.csv": (0, 0, 0), "bad.csv": (0, 1, 2), "ticks.jsonl": (0, 1, 2)}
    assert desk.lake.objects == objects


def test_a_known_alias_brings_the_refused_file_in_once(desk: Desk, alias: None) -> None:
    assert desk.replay()["vendor.csv"] == (1, 0, 1)
    assert ("AAPL", 10.0) in zip(desk.stored(PRICE_BY_DATE, "symbol"), desk.stored(PRICE_BY_DATE, "close"), strict=True)
    after = [("vendor.csv", "non_positive_price", 1) if row[0] == "vendor.csv" else row for row in BEFORE]
    assert sorted(desk.rejected()) == sorted(after)  # the source's record is replaced whole
    objects = dict(desk.lake.objects)
    assert desk.replay()["vendor.csv"] == (0, 1, 1)
    assert desk.lake.objects == objects


def test_a_mended_rule_brings_the_tick_into_both_tables_once(desk: Desk, rule: None) -> None:
    assert desk.stored(STREAM_PRICES_HISTORY, "price") == [10.0]
    assert desk.replay(tables=["stream_prices_history"]) == {"ticks.jsonl": (1, 1, 1)}
    assert desk.stored(STREAM_PRICES_HISTORY, "price") == [10.0, 12.0]
    latest = read_partition(desk.lake, LATEST_PRICES, "latest")
    assert latest is not None
    assert latest["price"].to_pylist() == [12.0]
    assert [row for row in desk.rejected() if row[0] == "ticks.jsonl"] == [("ticks.jsonl", "malformed_json", 1)]
    objects = dict(desk.lake.objects)
    assert desk.replay(tables=["stream_prices_history"]) == {"ticks.jsonl": (0, 2, 1)}
    assert desk.lake.objects == objects


def test_messages_behind_a_broken_one_keep_their_ids_when_it_is_mended(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Joined in one line, their ids come from their place in it: a mended one before them must not move them."""
    broken = '{"symbol":"A","price":1,"produced_at":"2024-06-03 15:00:00",}'
    desk.drop(TICKS + "joined.jsonl", broken + json.dumps(TICK | {"price": 7}) + json.dumps(TICK | {"price": 8}) + "\n")
    loads = orjson.loads
    monkeypatch.setattr(orjson, "loads", lambda text: loads(bytes(text).replace(b",}", b"}")))
    assert desk.replay(sources=["joined.jsonl"]) == {"joined.jsonl": (1, 2, 0)}
    assert sorted(desk.stored(STREAM_PRICES_HISTORY, "price")) == [1.0, 7.0, 8.0, 10.0]


def test_it_narrows_to_tables_sources_and_reasons(desk: Desk) -> None:
    assert set(desk.replay(reasons=["non_positive_price"])) == {"bad.csv"}
    assert set(desk.replay(reasons=["bad_number"])) == {"bad.csv", "ticks.jsonl"}
    assert set(desk.replay(sources=["s3://staging/daily_prices/uploads/bad.csv"])) == {"bad.csv"}
    assert set(desk.replay(tables=["price_by_date"], reasons=["malformed_json"])) == set()
    found = rejected_records(desk.lake, sources=["bad.csv"], reasons=["bad_number"]).to_pylist()
    assert [(row["line"], row["raw"]) for row in found] == [(3, "MSFT,2024-01-03,ten")]


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"tables": ["latest_prices"]}, "price_by_date, stream_prices_history"),
        ({"reasons": ["ugly"]}, "bad_date"),
        ({"sources": ["nope.csv"]}, "no rejected row comes from nope.csv"),
        ({"sources": ["ad.csv"]}, "no rejected row comes from ad.csv"),
    ],
)
def test_what_there_is_not_is_told(desk: Desk, chosen: dict[str, list[str]], says: str) -> None:
    with pytest.raises(StockPipelineError, match=says):
        desk.replay(**chosen)


def test_replaced_values_are_nothing_to_bring_back(desk: Desk) -> None:
    desk.drop(DAILY + "one.csv", "symbol,date,close\nV,2024-01-02,1\n")
    desk.staging.put(DAILY + "two.csv", b"symbol,date,close\nV,2024-01-02,2\n")
    ingest_daily_prices([DAILY + "two.csv"], staging=desk.staging, lake=desk.lake, replace=True)
    # Lakes of before there was price_revisions have such records.
    row = {"line": 2, "reason": "replaced", "detail": "close 1 stored, 2 given", "raw": "V,2024-01-02,,,,1,,"}
    info = desk.staging.get(DAILY + "two.csv").info
    write_rejects(desk.lake, PRICE_BY_DATE, info, pa.Table.from_pylist([row], REJECTED), datetime.now(UTC))
    assert "two.csv" not in desk.replay()
    assert desk.replay(reasons=["replaced"]) == {"two.csv": (0, 1, 0)}


def test_a_source_that_is_gone_is_told_and_stays_on_record(desk: Desk) -> None:
    del desk.staging.objects[DAILY + "bad.csv"]
    (receipt,) = replay_rejects(desk.staging, desk.lake, Settings(), sources=["bad.csv"])
    assert receipt.refused == "s3://staging/daily_prices/uploads/bad.csv does not exist"
    assert sorted(desk.rejected()) == sorted(BEFORE)


def test_sources_come_in_the_order_in_which_they_were_judged(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two refused files with different values for a day the one that came first is first again, by any name."""
    desk.drop(DAILY + "a.csv", "symbol,trading day,settle\nAAPL,2024-01-02,11\n")
    for field, name in (("date", "tradingday"), ("close", "settle")):
        monkeypatch.setitem(header.ALIASES, field, (*header.ALIASES[field], (name,)))
    progress: list[tuple[int, int]] = []
    replay_rejects(desk.staging, desk.lake, Settings(), on_progress=lambda done, total: progress.append((done, total)))
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert desk.stored(PRICE_BY_DATE, "close")[0] == 10.0
    assert ("a.csv", "conflict", 1) in desk.rejected()


class TestNewest:
    """A listing for a person: as many objects of records as are worth waiting for, and how many were not read."""

    @pytest.fixture
    def years(self, desk: Desk) -> Desk:
        for number in range(30):
            desk.drop(f"{DAILY}late{number}.csv", f"symbol,date,close\nAAPL,2024-01-{number % 28 + 1:02},-1\n")
        return desk

    @staticmethod
    def listed(desk: Desk, **how: Any) -> tuple[set[str], int, int]:
        """The sources whose records are shown, how many were left unread, and how many objects were read."""
        desk.lake.gets.clear()
        found = newest_records(desk.lake, desk.staging, **how)
        return {key.rpartition("/")[2] for key in found.rows["source"].to_pylist()}, found.unread, len(desk.lake.gets)

    def test_the_last_written_are_read_and_the_others_are_counted(self, years: Desk) -> None:
        assert self.listed(years, most=2) == ({"late28.csv", "late29.csv"}, 31, 2)
        everything, unread, _ = self.listed(years)
        assert (len(everything), unread) == (33, 0)
        assert self.listed(years, most=33)[1] == 0

    def test_only_what_was_written_since_a_time_is_asked_for(self, years: Desk) -> None:
        last = max(stored.info.modified for stored in years.lake.objects.values())
        assert self.listed(years, since=last) == ({"late29.csv"}, 0, 1)

    @pytest.mark.parametrize("name", ["bad.csv", "uploads/bad.csv", f"s3://staging/{DAILY}bad.csv"])
    def test_a_named_source_is_read_however_old_its_records_are(self, years: Desk, name: str) -> None:
        assert self.listed(years, sources=[name], most=2) == ({"bad.csv"}, 30, 3)

    def test_a_source_that_is_in_no_record_read_may_be_in_another(self, years: Desk) -> None:
        del years.staging.objects[f"{DAILY}bad.csv"]
        with pytest.raises(StockPipelineError, match=r"among the 2 records that were read; 31 older ones .*--all"):
            self.listed(years, sources=["bad.csv"], most=2)
        assert self.listed(years, sources=["bad.csv"]) == ({"bad.csv"}, 0, 33)
