"""The storage costs in docs/operations.md are those of the template's lifecycle and the prices that the page names."""

from __future__ import annotations

import re

import pytest

from stock_pipeline.deploy.template import load_template
from stock_pipeline_tests.docs.reference import REFERENCE

PAGE = (REFERENCE.parent / "operations.md").read_text()

PARAMETERS = load_template()["Parameters"]
STANDARD, INFREQUENT, INSTANT = 0.023, 0.0125, 0.004  # US dollars a GB and month, us-east-1
RAW, PACKED, COLUMNS = 93, 93 / 5, 25  # bytes of a tick: raw, raw with gzip, in Parquet
OBJECTS = 1_440  # a day: one in 60 seconds
SMALLEST = 128 * 1024  # bytes: S3 moves no smaller object to another class
GB = 2**30


def after_a_year(ticks: int, tick: float) -> tuple[float, float]:
    """What is kept after a year of ticks, in US dollars a month: raw objects and tables."""
    first, second = (PARAMETERS[f"RawTicks{name}Days"]["Default"] for name in ("Infrequent", "Glacier"))
    a_day = ticks * tick / GB
    moved = ticks * tick / OBJECTS >= SMALLEST
    prices = (STANDARD, INFREQUENT, INSTANT) if moved else (STANDARD,) * 3
    days = (first, second - first, 365 - second)
    raw = sum(a_day * n * price for n, price in zip(days, prices, strict=True))
    tables = ticks * COLUMNS * (365 + 3 * 7) / GB * STANDARD  # old versions of a week, about three times its size
    return raw, tables


@pytest.mark.parametrize("ticks", [10**n for n in range(5, 10)])
def test_storage_after_a_year(ticks: int) -> None:
    raw, tables = after_a_year(ticks, RAW)
    packed, _ = after_a_year(ticks, PACKED)
    never = ticks * RAW * 365 / GB * STANDARD
    row = " | ".join(f"{value:.2f}" for value in (never, raw, packed, tables, packed + tables))
    assert f"| {ticks:,} | {row} |" in PAGE


def test_the_lifecycle_is_that_of_the_page() -> None:
    for name in ("Infrequent", "Glacier"):
        assert re.search(rf"`RawTicks{name}Days` \({PARAMETERS[f'RawTicks{name}Days']['Default']}\)", PAGE)
