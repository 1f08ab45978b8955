"""Bytes in, cleaned rows out: helpers for the tests of parsing and cleaning."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from stock_pipeline.clean import Cleaned
from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.parser import parse_daily_prices

TODAY = date(2026, 3, 2)


def load(data: bytes | str, key: str = "daily_prices/uploads/AAPL.csv", **options: Any) -> Cleaned:
    """Parse and clean a file as of `TODAY`."""
    data = data.encode() if isinstance(data, str) else data
    return clean_daily_prices(parse_daily_prices(data, key, **options), TODAY)


def good(data: bytes | str, *args: Any, **options: Any) -> list[dict[str, Any]]:
    """The rows of a file in which nothing is rejected, without their nulls."""
    cleaned = load(data, *args, **options)
    assert cleaned.rejected.to_pylist() == []
    return bars(cleaned)


def bars(cleaned: Cleaned) -> list[dict[str, Any]]:
    """The good rows, without their nulls."""
    return [{k: v for k, v in row.items() if v is not None} for row in cleaned.good.to_pylist()]


def rejects(cleaned: Cleaned) -> list[tuple[int, str]]:
    """Line and reason of every rejected row."""
    return [(row["line"], row["reason"]) for row in cleaned.rejected.to_pylist()]


def refusal(data: bytes | str, *args: Any, **options: Any) -> str:
    """The message with which a file is refused."""
    with pytest.raises(FileRefused) as refused:
        load(data, *args, **options)
    return str(refused.value)
