"""Every file of the corpus of bad input through the ingest: what is stored, and what is not and why, by its content."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline_tests.corpus import content, files, manifest
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)


class Desk:
    """A staging and a lake bucket, into which one file of the corpus is dropped."""

    def __init__(self, name: str, expected: dict[str, Any]) -> None:
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")
        self.ticks = name.startswith("ticks/")
        prefix = "stock_stream/2024/06/03/11/" if self.ticks else "daily_prices/uploads/"
        self.key = prefix + expected.get("key", name.rpartition("/")[2])
        self.table = STREAM_PRICES_HISTORY if self.ticks else PRICE_BY_DATE
        self.staging.put(self.key, content(name))

    def ingest(self, now: datetime = NOW) -> Receipt:
        ingest = ingest_ticks if self.ticks else ingest_daily_prices
        (receipt,) = ingest([self.key], staging=self.staging, lake=self.lake, now=now)
        return receipt

    def rows(self, table: Table) -> list[dict[str, Any]]:
        parts = (read_partition(self.lake, table, name) for name in partitions(self.lake, table))
        return [row for part in parts if part is not None for row in part.to_pylist()]

    def stored(self, width: int) -> list[list[Any]]:
        names = ("symbol", "price", "size", "produced_at") if self.ticks else ("symbol", "date", "close", "volume")
        return [[_plain(row[name]) for name in names[:width]] for row in self.rows(self.table)]

    def rejects(self) -> list[dict[str, Any]]:
        return list(read_rejects(self.lake, self.table, self.key).to_pylist())


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat()
    return value.isoformat() if isinstance(value, date) else value


def test_every_file_has_its_entry_and_every_entry_its_file() -> None:
    assert files() == sorted(manifest())
    assert len(files()) >= 150
    assert all(len(content(name)) < 8192 and manifest()[name]["why"] for name in files())


@pytest.mark.parametrize("name", sorted(manifest()))
def test_what_becomes_of(name: str) -> None:
    expected = manifest()[name]
    desk = Desk(name, expected)
    receipt = desk.ingest()
    if "refused" in expected:
        assert expected["refused"] in str(receipt.refused)
        assert receipt.rows == 0
        assert [(row["line"], row["reason"], row["detail"]) for row in desk.rejects()] == [
            (0, "file_refused", receipt.refused)
        ]
        assert desk.rows(desk.table) == []
        return
    assert receipt.refused is None
    stored = expected.get("stored", [])
    assert sorted(desk.stored(len(stored[0]) if stored else 0), key=repr) == sorted(stored, key=repr)
    lines = sorted((row["line"], row["reason"]) for row in desk.rejects())
    assert lines == sorted((line, reason) for line, reason in expected.get("lines", []))
    assert {
        "rows": receipt.rows,
        "inserted": receipt.inserted,
        "duplicates": receipt.duplicates,
        "updated": receipt.updated,
        "conflicts": receipt.conflicts,
        "skipped": receipt.skipped,
        "rejected": receipt.rejected,
    } == {
        "rows": expected["rows"],
        "inserted": len(stored),
        "duplicates": expected.get("duplicates", 0),
        "updated": expected.get("updated", 0),
        "conflicts": expected.get("conflicts", 0),
        "skipped": expected.get("skipped", 0),
        "rejected": expected.get("rejected", {}),
    }


@pytest.mark.parametrize("name", sorted(name for name, expected in manifest().items() if "refused" not in expected))
def test_delivered_again_nothing_changes(name: str) -> None:
    desk = Desk(name, manifest()[name])
    first = desk.ingest()
    objects = dict(desk.lake.objects)
    again = desk.ingest(NOW + timedelta(milliseconds=1))
    assert (again.inserted, again.updated) == (0, 0)
    assert again.duplicates == first.duplicates + first.inserted + first.updated
    assert (again.conflicts, again.rejected, again.skipped) == (first.conflicts, first.rejected, first.skipped)
    assert desk.lake.objects == objects
    if desk.ticks:
        latest = {row["symbol"]: row["event_id"] for row in desk.rows(LATEST_PRICES)}
        greatest: dict[str, Any] = {}
        for row in desk.rows(STREAM_PRICES_HISTORY):
            rank = [(row[name] is not None, row[name]) for name in LATEST_PRICES.order]
            greatest[row["symbol"]] = max((rank, row["event_id"]), greatest.get(row["symbol"], (rank, row["event_id"])))
        assert latest == {symbol: event_id for symbol, (_, event_id) in greatest.items()}
