"""A desk with a staging bucket and a lake in memory: files come in, tables come out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE, PRICE_REVISIONS, Table
from stock_pipeline_tests.support.memory_store import MemoryStore

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
UPLOADS = "daily_prices/uploads/"
HEADER = "symbol,date,open,high,low,close,volume"


class Desk:
    """A staging and a lake bucket with somebody who drops files and reads tables."""

    def __init__(self, *, versioned: bool = False) -> None:
        self.staging, self.lake = (MemoryStore(name, versioned=versioned) for name in ("staging", "lake"))

    def drop(self, name: str, *lines: str, header: str = HEADER) -> str:
        key = name if "/" in name else UPLOADS + name
        self.staging.put(key, "\n".join([header, *lines, ""]).encode())
        return key

    def ingest(self, *keys: str, **options: Any) -> list[Receipt]:
        return ingest_daily_prices(keys, staging=self.staging, lake=self.lake, **({"now": NOW} | options))

    def copied(self) -> Desk:
        """A copy of both buckets: all objects are written again, the last key first, versions in their order."""
        copy = Desk(versioned=True)
        for ours, theirs in ((self.staging, copy.staging), (self.lake, copy.lake)):
            for key in sorted(ours.kept, reverse=True):
                for stored in ours.kept[key]:
                    theirs.put(key, stored.data)
        return copy

    def rows(self, *columns: str, of: Table = PRICE_BY_DATE) -> list[tuple[Any, ...]]:
        found = []
        for partition in partitions(self.lake, of):
            rows = read_partition(self.lake, of, partition)
            assert rows is not None
            found += [tuple(r[c] for c in columns) for r in rows.to_pylist()]
        return found

    def revisions(self, *columns: str) -> list[tuple[Any, ...]]:
        return self.rows(*columns, of=PRICE_REVISIONS)

    def closes(self) -> dict[tuple[str, str], float]:
        return {(s, d.isoformat()): c for s, d, c in self.rows("symbol", "date", "close")}

    def rejects(self) -> list[tuple[str, int, str]]:
        found = read_rejects(self.lake, PRICE_BY_DATE).to_pylist()
        return sorted((r["source"].removeprefix(UPLOADS), r["line"], r["reason"]) for r in found)


@pytest.fixture
def desk() -> Desk:
    return Desk()
