"""The costs in docs/operations.md are those of the template's defaults and the prices that the page names."""

from __future__ import annotations

import re
from math import ceil

import pytest

from stock_pipeline.deploy.template import load_template
from stock_pipeline_tests.docs.reference import REFERENCE

PAGE, PERFORMANCE = ((REFERENCE.parent / f"{name}.md").read_text() for name in ("operations", "performance"))

TEMPLATE = load_template()
PARAMETERS, RESOURCES = TEMPLATE["Parameters"], TEMPLATE["Resources"]
STANDARD, INFREQUENT, INSTANT = 0.023, 0.0125, 0.004  # US dollars a GB and month, us-east-1
RAW, PACKED, COLUMNS = 93, 93 / 5, 25  # bytes of a tick: raw, raw with gzip, in Parquet
OBJECTS = 1_440  # a day: one in 60 seconds
SMALLEST = 128 * 1024  # bytes: S3 moves no smaller object to another class
GB = 2**30
DAY = 86_400  # seconds

# US dollars, us-east-1
SHARD_HOUR, KINESIS_UNIT, KINESIS_UNIT_BYTES = 0.015, 0.014e-6, 25 * 1024
FIREHOSE_GB, FIREHOSE_BYTES = 0.029, 5 * 1024  # each record is rounded up to so many
LAMBDA_GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
LAMBDA_CALL, SQS_REQUEST, PUT, GET = 0.20e-6, 0.40e-6, 0.005e-3, 0.0004e-3

SYMBOLS = len(PARAMETERS["Symbols"]["Default"].split(","))
A_SECOND = SYMBOLS * 4  # records that the producer sends at most
POLLS = 22_000  # a day: of Lambda, of an empty queue
CALL, A_TICK = 1.0, 5e-6  # seconds of a call, and of each tick in it: assumed


def memory(function: str) -> float:
    """In GB."""
    return float(RESOURCES[function]["Properties"]["MemorySize"]) / 1024


def of_a_day(ticks: int) -> list[float]:
    """What a day of ticks costs: Kinesis, Firehose, Lambda, S3's requests, SQS."""
    records = min(ticks, A_SECOND * DAY)
    size = ticks * RAW / records
    shards = ceil(ticks * RAW / DAY / 1e6)
    kinesis = shards * 24 * SHARD_HOUR + records * ceil(size / KINESIS_UNIT_BYTES) * KINESIS_UNIT
    firehose = records * ceil(size / FIREHOSE_BYTES) * FIREHOSE_BYTES / GB * FIREHOSE_GB
    seconds = OBJECTS * CALL + ticks * A_TICK
    price = LAMBDA_GB_SECOND[PARAMETERS["Architecture"]["Default"]]
    function = seconds * memory("ProcessStockStreamData") * price + OBJECTS * LAMBDA_CALL
    return [kinesis, firehose, function, OBJECTS * (3 * PUT + 4 * GET), (POLLS + 2 * OBJECTS) * SQS_REQUEST]


@pytest.mark.parametrize("ticks", [10**n for n in range(5, 10)])
def test_a_day_of_ticks(ticks: int) -> None:
    assert DAY / PARAMETERS["StreamBufferSeconds"]["Default"] == OBJECTS
    costs = of_a_day(ticks)
    added = ticks * (RAW + COLUMNS) / GB * STANDARD
    row = " | ".join(f"{cost:.3f}" for cost in costs) + f" | **{sum(costs):.2f}** | {added:.2g} |"
    assert f"| {row}" in PAGE
    if 10**6 <= ticks < 10**9:
        assert f"| {row}" in PERFORMANCE


def test_a_thousand_times_as_many_ticks_take_two_more_shards_for_their_peak() -> None:
    kinesis, *others = of_a_day(10**9)
    more = 2 * 24 * SHARD_HOUR
    row = " | ".join(f"{cost:.3f}" for cost in others)
    assert f"| {kinesis:.3f} + {more:.2f} | {row} | **{kinesis + more + sum(others):.2f}** |" in PERFORMANCE


def test_the_page_names_the_prices_and_the_sizes_that_it_counts_with() -> None:
    price = LAMBDA_GB_SECOND[PARAMETERS["Architecture"]["Default"]]
    assert f"at {memory('ProcessStockStreamData'):.0f} GB, ${price:.10f} a GB-second" in PAGE
    session = 420 * 60 * memory("WriteRecordsToStream") * price
    assert f"420 calls of 60 s a session at {memory('WriteRecordsToStream'):.0f} GB, ${session:.2f} a session" in PAGE
    healing = 24 * (10 * memory("ReconcileTables") * price + 30 * PUT)
    assert healing < 0.02


def test_the_page_counts_the_metrics_of_the_alarms() -> None:
    alarms = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = sum(sum("MetricStat" in one for one in alarm.get("Metrics", [])) or 1 for alarm in alarms)
    assert f"for each metric that an alarm looks at, {metrics} of them" in PAGE


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
