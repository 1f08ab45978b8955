"""A source that was never true: its rows go out, a record of each stays, and the latest prices are those of what is
left."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.maintenance import remove, snapshot
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.maintenance.replay import replay_rejects
from stock_pipeline.query import duckdb_engine
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, TRADE_CORRECTIONS, Table
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.memory_store import MemoryStore

DAILY, TICKS = "daily_prices/uploads/", "stock_stream/uploads/"
TRUE, FALSE = "true", "false"


def tick(number: int, price: float, minute: int, **more: Any) -> str:
    message = {"T": "t", "S": "AAPL", "i": number, "x": "V", "p": price, "s": 1, "z": "C", "c": ["@"]}
    return json.dumps(message | {"t": f"2024-06-03T14:{minute:02}:00Z"} | more) + "\n"


class Desk:
    """A staging and a lake bucket, and somebody who takes sources out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")

        def sql(statement: str, parameters: Any = (), *, settings: Settings) -> pa.Table:
            return duckdb_engine.run(statement, parameters, self.lake, settings.database)

        monkeypatch.setattr(remove, "sql", sql)
        monkeypatch.setattr(snapshot, "sql", sql)

    def drop(self, key: str, text: str) -> str:
        self.staging.put(key, text.encode())
        ingest = ingest_daily_prices if key.startswith(DAILY) else ingest_ticks
        ingest([key], staging=self.staging, lake=self.lake)
        return key

    def find(self, key: str) -> remove.Found:
        return remove.find_source(key, self.lake, Settings())

    def remove(self, key: str) -> int:
        return remove.remove_source(self.find(key), self.staging, self.lake, Settings())

    def stored(self, table: Table, column: str) -> list[Any]:
        parts = [read_partition(self.lake, table, name) for name in partitions(self.lake, table)]
        return [value for part in parts if part is not None for value in part[column].to_pylist()]

    def on_record(self, table: Table, key: str) -> list[tuple[int, str, str]]:
        rows = read_rejects(self.lake, table, key).to_pylist()
        return sorted((row["line"], row["reason"], row["raw"]) for row in rows)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_rows_of_ticks_go_out_of_history_and_snapshot_and_stay_on_record(desk: Desk) -> None:
    desk.drop(TICKS + TRUE, tick(1, 10.0, 1) + tick(2, 11.0, 2))
    key = desk.drop(TICKS + FALSE, "{half\n" + tick(3, 999.0, 30) + tick(4, 998.0, 3, S="MSFT"))
    assert sorted(desk.stored(LATEST_PRICES, "price")) == [998.0, 999.0]
    assert desk.remove(f"s3://staging/{key}") == 2
    assert sorted(desk.stored(STREAM_PRICES_HISTORY, "price")) == [10.0, 11.0]
    assert desk.stored(LATEST_PRICES, "price") == [11.0]
    records = desk.on_record(STREAM_PRICES_HISTORY, key)
    assert [(line, reason) for line, reason, _ in records] == [(1, "malformed_json"), (2, "removed"), (3, "removed")]
    assert "999" in records[1][2]


def test_doing_it_again_removes_nothing_more(desk: Desk) -> None:
    key = desk.drop(TICKS + FALSE, tick(3, 999.0, 30))
    assert desk.remove(key) == 1
    before, puts = desk.on_record(STREAM_PRICES_HISTORY, key), len(desk.lake.puts)
    assert desk.remove(key) == 0
    assert (desk.on_record(STREAM_PRICES_HISTORY, key), len(desk.lake.puts)) == (before, puts)
    assert desk.find(key).removed_before == 1


def test_daily_prices_go_out_and_a_rebuild_leaves_them_out_until_somebody_ingests_them_again(desk: Desk) -> None:
    desk.drop(DAILY + "true.csv", "symbol,date,close\nMSFT,2024-01-02,1\n")
    key = desk.drop(DAILY + "false.csv", "symbol,date,close\nAAPL,2024-01-02,1\nAAPL,2023-01-03,2\n")
    assert desk.remove(key) == 2
    assert desk.stored(PRICE_BY_DATE, "symbol") == ["MSFT"]
    assert [(reason, raw[:15]) for _, reason, raw in desk.on_record(PRICE_BY_DATE, key)] == [
        ("removed", "AAPL,2023-01-03"),
        ("removed", "AAPL,2024-01-02"),
    ]
    rebuild_year(2024, staging=desk.staging, lake=desk.lake)
    assert desk.stored(PRICE_BY_DATE, "symbol") == ["MSFT"]
    assert replay_rejects(desk.staging, desk.lake, Settings()) == []
    ingest_daily_prices([key], staging=desk.staging, lake=desk.lake)
    rebuild_year(2024, staging=desk.staging, lake=desk.lake)
    assert sorted(desk.stored(PRICE_BY_DATE, "symbol")) == ["AAPL", "AAPL", "MSFT"]
    assert len(desk.on_record(PRICE_BY_DATE, key)) == 2  # what was taken out once stays on record


def test_a_cancel_that_was_never_true_gives_its_trade_back(desk: Desk) -> None:
    desk.drop(TICKS + TRUE, tick(1, 10.0, 1) + tick(2, 11.0, 2))
    cancel = {
        "T": "x",
        "S": "AAPL",
        "i": 2,
        "x": "V",
        "p": 11.0,
        "s": 1,
        "a": "C",
        "z": "C",
        "t": "2024-06-03T14:05:00Z",
    }
    key = desk.drop(TICKS + FALSE, json.dumps(cancel) + "\n")
    assert desk.stored(LATEST_PRICES, "price") == [10.0]
    assert desk.remove(key) == 1
    assert desk.stored(TRADE_CORRECTIONS, "event_id") == []
    assert desk.stored(LATEST_PRICES, "price") == [11.0]


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (
            TICKS + "nobody",
            r"no row of stream_prices_history comes from stock_stream.*its column `source`",
        ),
        (DAILY + "nobody.csv", "no row of price_by_date comes from"),
        ("AAPL.csv", "not the key of a raw object"),
    ],
)
def test_a_key_that_nothing_comes_from_is_refused(desk: Desk, key: str, why: str) -> None:
    desk.drop(TICKS + TRUE, tick(1, 10.0, 1))
    with pytest.raises(StockPipelineError, match=why):
        desk.find(key)


def test_what_is_taken_out_is_on_record_before_and_a_writer_in_between_loses_nothing(desk: Desk) -> None:
    desk.drop(TICKS + TRUE, tick(1, 10.0, 1))
    key = desk.drop(TICKS + FALSE, tick(3, 999.0, 2))
    found, writes = desk.find(key), []

    def meanwhile(written: str) -> None:
        if written.startswith(STREAM_PRICES_HISTORY.prefix) and not writes:
            writes.append(written)
            assert [reason for _, reason, _ in desk.on_record(STREAM_PRICES_HISTORY, key)] == ["removed"]
            desk.drop(TICKS + "meanwhile", tick(5, 12.0, 3))

    desk.lake.before_put = meanwhile
    assert remove.remove_source(found, desk.staging, desk.lake, Settings()) == 1
    assert writes
    assert sorted(desk.stored(STREAM_PRICES_HISTORY, "price")) == [10.0, 12.0]
    assert desk.stored(LATEST_PRICES, "price") == [12.0]


def test_stopped_in_the_middle_the_same_call_does_the_rest(desk: Desk) -> None:
    desk.drop(TICKS + TRUE, tick(1, 10.0, 1))
    key = desk.drop(TICKS + FALSE, tick(3, 999.0, 30))

    def die(written: str) -> None:
        if written.startswith(LATEST_PRICES.prefix):
            raise KeyboardInterrupt

    desk.lake.before_put = die
    with pytest.raises(KeyboardInterrupt):
        desk.remove(key)
    desk.lake.before_put = lambda key: None
    assert desk.remove(key) == 0
    assert desk.stored(LATEST_PRICES, "price") == [10.0]


def test_a_source_that_is_gone_from_staging_can_be_taken_out(desk: Desk) -> None:
    key = desk.drop(TICKS + FALSE, tick(3, 999.0, 30))
    del desk.staging.objects[key]
    assert desk.remove(key) == 1
    assert desk.stored(LATEST_PRICES, "price") == []
