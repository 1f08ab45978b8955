"""A third of all events is lost in the deployed stack; after reconciling its tables are those of a whole one."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest

from stock_pipeline.lake.memory_store import MemoryStore
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.maintenance.reconcile import find_unseen, repair
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline.simulate.daily import write_raw_daily_prices
from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines
from stock_pipeline.trading_calendar.sessions import sessions
from stock_pipeline_tests.support.local_aws import NewStack, Stack, eventually, nobody_told

pytestmark = pytest.mark.e2e

SYMBOLS = ["AAPL", "BRK.B", "MSFT"]
Rows = list[str]


def raw_objects() -> dict[str, bytes]:
    """Sessions of daily prices, one file with bad rows, and portions of a session's ticks, some of them twice."""
    scratch = MemoryStore()
    write_raw_daily_prices(scratch, sessions(date(2023, 12, 27), date(2024, 1, 8)), SYMBOLS, 7)
    found = {key: stored.data for key, stored in scratch.objects.items()}
    found["daily_prices/uploads/bad.csv"] = b"symbol,date,close\nAAPL,2024-02-01,-1\nAAPL,2024-02-02,10\n"
    found["daily_prices/uploads/cats.csv"] = b"name,colour\nTom,grey\n"
    lines = to_json_lines(simulate_ticks(SYMBOLS, date(2024, 6, 3), 7, 100))
    today = datetime.now(UTC)
    for n in range(6):
        body = b"".join([*lines[n * 50 : (n + 1) * 50], *lines[:3], b"{broken\n"])
        found[f"stock_stream/{today:%Y/%m/%d/%H}/{n:02}"] = body
    return found


def tables(stack: Stack) -> dict[str, Rows]:
    """Everything in the lake but when it was stored, which of two objects with the same tick brought it, and where in
    that object the tick is.
    """
    where = ["source", "line", "place"]
    found: dict[str, Rows] = {}
    for table, passing in ((PRICE_BY_DATE, []), (STREAM_PRICES_HISTORY, where), (LATEST_PRICES, [])):
        names = ["latest"] if table is LATEST_PRICES else partitions(stack.lake, table)
        parts = [read_partition(stack.lake, table, name) for name in names]
        rows = [part.drop_columns([*passing, "etl_loading_ts"]) for part in parts if part is not None]
        found[table.name] = sorted(str(row) for part in rows for row in part.to_pylist())
    for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY):
        rejected = read_rejects(stack.lake, table).drop_columns(["etl_loading_ts"])
        found[f"rejected of {table.name}"] = sorted(str(row) for row in rejected.to_pylist())
    return found


def test_after_reconciling_nothing_is_missing(new_stack: NewStack) -> None:
    objects = raw_objects()
    whole, holed = new_stack("lambda"), new_stack("lambda")
    chance = random.Random(11)
    lost = {key for key in objects if chance.random() < 0.3}
    assert {key.partition("/")[0] for key in lost} == {"daily_prices", "stock_stream"}
    with nobody_told(holed):
        for key in sorted(lost):
            holed.staging.put(key, objects[key])
    for key, data in objects.items():
        whole.staging.put(key, data)
        if key not in lost:
            holed.staging.put(key, data)

    def unseen(stack: Stack) -> set[str]:
        found = find_unseen(staging=stack.staging, lake=stack.lake, age=-timedelta(minutes=5))
        return {info.key for info in found.objects}

    assert eventually(lambda: unseen(whole) == set(), within=60), whole.log()
    eventually(lambda: unseen(holed) == lost, within=60)
    assert unseen(holed) == lost, holed.log()
    assert tables(holed) != tables(whole)
    found = find_unseen(staging=holed.staging, lake=holed.lake, age=-timedelta(minutes=5))
    repaired = repair(found, staging=holed.staging, lake=holed.lake, settings=holed.settings)
    assert repaired.failed == {}
    assert tables(holed) == tables(whole)
    assert len(tables(whole)["stream_prices_history"]) == 300
    assert unseen(holed) == set()
