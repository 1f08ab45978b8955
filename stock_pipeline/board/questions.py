"""What the page asks for: a panel's question with its parameters, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from stock_pipeline.errors import QueryError
from stock_pipeline.query import Parameter, sql
from stock_pipeline.settings import Settings

_SIMULATED = {"prices": ("demo", "backfill --start 2024-01-01 --end 2024-06-28"), "ticks": ("stream",)}
_INGEST = {"prices": "ingest FILE.csv", "ticks": "ingest TICKS.jsonl"}


@dataclass(frozen=True)
class Question:
    """The AWS that is asked, the parameters of the page, and how a command for this AWS begins."""

    settings: Settings
    given: Mapping[str, str]
    command: str = "stock-pipeline"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def symbol(self) -> str:
        """The symbol, in capitals. Raises QueryError when none is given."""
        if not (symbol := self.given.get("symbol", "").strip().upper()):
            raise QueryError("choose a symbol")
        return symbol

    def day(self, name: str) -> date | None:
        """A day, or None when it is not given. Raises QueryError for a text that is no day."""
        text = self.given.get(name, "").strip()
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            raise QueryError(f"{text!r} is not a valid date; write it as 2024-01-31") from None

    @property
    def year(self) -> int | None:
        """A year, or None when it is not given. Raises QueryError for one that is not in the calendar of sessions."""
        text = self.given.get("year", "").strip()
        if text and not (text.isdecimal() and 1990 <= int(text) <= 2049):
            raise QueryError(f"{text!r} is not a year from 1990 to 2049, where the calendar of sessions ends")
        return int(text) if text else None

    def sql(self, statement: str, *parameters: Parameter) -> pa.Table:
        """The rows of a statement."""
        return sql(statement, parameters, settings=self.settings)

    def of_recent_years(self, select: str, group: str = "") -> pa.Table:
        """The rows of a SELECT over the bars of this year and the last, or over all bars if these years have none."""
        found = self.sql(f'{select} FROM price_by_date WHERE "year" >= ? {group}', self.now.year - 1)
        if found.num_rows and found.column(0)[0].as_py() is not None:
            return found
        return self.sql(f"{select} FROM price_by_date {group}")

    def fill(self, kind: str) -> dict[str, Any]:
        """The commands that bring in what a panel lacks: `prices` or `ticks`.

        Nobody is told to put simulated data into an account in AWS.
        """
        simulated = self.settings.sql_engine != "athena"
        commands = [*(_SIMULATED[kind] if simulated else ()), _INGEST[kind]]
        return {"commands": [f"{self.command} {each}" for each in commands]}


def fact(name: str, value: str, note: str = "") -> dict[str, str]:
    """A number that stands beside a figure, with its name and what more there is to say."""
    return {"name": name, "value": value, "note": note}
