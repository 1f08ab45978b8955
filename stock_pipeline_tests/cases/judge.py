"""A case on a lake in memory: its files through the ingest, and in words what is not as the case expects."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY, Table
from stock_pipeline.staging.keys import TICK_UPLOADS, UPLOADS
from stock_pipeline_tests.cases import Case
from stock_pipeline_tests.support.memory_store import MemoryStore

Row = dict[str, Any]

_FOLDERS = {"daily": UPLOADS, "ticks": TICK_UPLOADS}


def complaint(case: Case) -> str | None:
    """What does not hold, in one line; None when one of the case's alternatives holds whole."""
    desk = Desk(case)
    try:
        desk.ingest()
        found = [desk.differences(alternative) for alternative in case.said["expect"]]
    except Exception as error:  # a crash is what a case is there to find
        return f"{type(error).__name__}: {error}"
    if not all(found):
        return None
    return " | or: ".join("; ".join(differences) for differences in found)


class Desk:
    """A staging and a lake bucket in memory, into which the files of one case are dropped."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.staging, self.lake = MemoryStore("staging"), MemoryStore("lake")
        self.receipts: list[Receipt] = []

    def ingest(self) -> None:
        """Drop the files one after another and ingest each."""
        said = self.case.said
        now = _instant(said["now"]) if "now" in said else datetime.now(UTC)
        first = said.get("key", _FOLDERS[self.case.kind] + self.case.files[0].name)
        for file in self.case.files:
            key = first if file == self.case.files[0] else f"{first.rpartition('/')[0]}/{file.name}"
            self.staging.put(key, file.read_bytes())
            if self.case.kind == "ticks":
                self.receipts += ingest_ticks([key], staging=self.staging, lake=self.lake, now=now)
            else:
                self.receipts += ingest_daily_prices(
                    [key],
                    staging=self.staging,
                    lake=self.lake,
                    now=now,
                    symbol=said.get("symbol"),
                    hints=Hints(**said.get("hints", {})),
                )

    def differences(self, expected: dict[str, Any]) -> list[str]:
        """What is not as an alternative says, each in words."""
        table = STREAM_PRICES_HISTORY if self.case.kind == "ticks" else PRICE_BY_DATE
        rows = self._rows(table)
        found = self._refusals(expected.get("refused"))
        for name in ("stored", "history"):
            if name in expected:
                found += row_differences(name, expected[name], rows, only=expected.get("only", True))
        if "latest" in expected:
            found += row_differences("latest", expected["latest"], self._rows(LATEST_PRICES), only=True)
        found += [f"{_shown(row)} is stored" for row in expected.get("absent", []) if any(_fits(row, r) for r in rows)]
        return found + self._counts(expected)

    def _refusals(self, pattern: str | None) -> list[str]:
        refused = [r.refused for r in self.receipts if r.refused is not None]
        if pattern is None:
            return [f"refused: {message}" for message in refused]
        if any(re.search(pattern, message, re.IGNORECASE) for message in refused):
            return []
        return [f"refused, but /{pattern}/ does not match: {refused[0]}" if refused else "not refused"]

    def _counts(self, expected: dict[str, Any]) -> list[str]:
        rejected, nulled = Counter[str](), Counter[str]()
        for receipt in self.receipts:
            rejected.update(receipt.rejected)
            rejected["conflict"] += receipt.conflicts
            nulled.update(receipt.nulled)
        found = []
        for name, counts in (("rejected", rejected), ("nulled", nulled)):
            wanted = expected.get(name, {}).items()
            found += [f"{name} {why} {counts[why]}, not {count}" for why, count in wanted if counts[why] != count]
        skipped = sum(receipt.skipped for receipt in self.receipts)
        if skipped != expected.get("skipped", skipped):
            found.append(f"skipped {skipped}, not {expected['skipped']}")
        unread = {name.strip() for receipt in self.receipts for name in receipt.unread}
        if silent := [name for name in expected.get("unread", []) if name.strip() not in unread]:
            found.append(f"not named as unread: {', '.join(silent)}")
        return found

    def _rows(self, table: Table) -> list[Row]:
        parts = (read_partition(self.lake, table, name) for name in partitions(self.lake, table))
        return [row for part in parts if part is not None for row in part.to_pylist()]


def row_differences(what: str, expected: Sequence[Row], rows: Sequence[Row], *, only: bool) -> list[str]:
    """Expected rows that have no row of their own among the stored ones and, with `only`, the stored ones left."""
    taken: dict[int, int] = {}

    def place(at: int, seen: set[int]) -> bool:
        """Give an expected row a stored one, moving others where that makes room."""
        for there, row in enumerate(rows):
            if there not in seen and _fits(expected[at], row):
                seen.add(there)
                if there not in taken or place(taken[there], seen):
                    taken[there] = at
                    return True
        return False

    missing = [row for at, row in enumerate(expected) if not place(at, set())]
    left = [row for there, row in enumerate(rows) if there not in taken]
    found = []
    for row in missing:
        near = max(left, key=lambda other: _likeness(row, other), default={})
        there = f", but {_shown({name: near.get(name) for name in row})}" if _likeness(row, near) else ""
        found.append(f"{what} has no {_shown(row)}{there}")
    if only and len(left) > len(missing):
        named = expected[0] if expected else dict.fromkeys(list(rows[0])[:6])
        others = [_shown({name: row.get(name) for name in named}) for row in left[:3]]
        found.append(f"{what} has {len(rows)} rows, not {len(expected)}; among those left: {'; '.join(others)}")
    return found


def _fits(expected: Row, row: Row) -> bool:
    return all(name in row and _equal(value, row[name]) for name, value in expected.items())


def _likeness(expected: Row, row: Row) -> int:
    """How many of the fields are equal: to show the row that was meant."""
    return sum(name in row and _equal(value, row[name]) for name, value in expected.items())


def _equal(expected: Any, value: Any) -> bool:
    if expected is None or value is None:
        return expected is value
    if isinstance(value, datetime):
        return _instant(expected) == value
    if isinstance(value, date):
        return bool(expected == value.isoformat())
    if isinstance(value, float | int):
        return isinstance(expected, float | int) and math.isclose(expected, value, rel_tol=1e-9)
    return bool(expected == value)


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _shown(row: Row) -> str:
    return " ".join("null" if value is None else str(value) for value in row.values())
