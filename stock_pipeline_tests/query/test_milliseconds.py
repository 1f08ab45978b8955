"""Athena reads times to the millisecond. The law: `read_ticks` gives the same rows through Athena and through DuckDB.

Athena is one on loopback, over the same history with rounded times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import HistoryMisplaced
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import by_bucket
from stock_pipeline.query import read_ticks
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.athena import FakeAthena, down, half_up
from stock_pipeline_tests.support.layouts import lay_out

pytestmark = pytest.mark.filterwarnings("ignore::stock_pipeline.errors.NothingFound")

Tick = tuple[str, datetime]
MIDNIGHT = datetime(2024, 6, 4, tzinfo=UTC)
BUCKET = MIDNIGHT.replace(hour=15)
SYMBOLS = ("AAPL", "MSFT")
MILLISECOND = timedelta(milliseconds=1)
ROUNDINGS: dict[str, Callable[[datetime], datetime]] = {"half up": half_up, "down": down}


def store(ticks: Sequence[Tick], minutes: int) -> None:
    """Put ticks into history and nothing else."""
    lake, s3 = S3Store("lake"), boto3.client("s3")
    for info in list(lake.list("")):
        s3.delete_object(Bucket="lake", Key=info.key)
    rows = [
        {
            "event_id": f"e{n}",
            "symbol": symbol,
            "price": 1.0 + n,
            "produced_at": at,
            "source": "s",
            "etl_loading_ts": at,
        }
        for n, (symbol, at) in enumerate(ticks)
    ]
    table = pa.Table.from_pylist(rows, HISTORY.schema)
    lay_out(lake, minutes)
    if not rows:
        return
    codes, names = by_bucket(table, minutes)
    for code, name in enumerate(names):
        mine = table.filter(pa.array([other == code for other in codes], pa.bool_()))
        lake.put(partition_key(HISTORY, name), encode(mine, HISTORY))


def both(
    loopback: FakeAthena, ticks: Sequence[Tick], rounding: str, *asked: Any, minutes: int = 5, **named: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows through Athena and through DuckDB, those of DuckDB with their times as Athena gives them."""
    store(ticks, minutes)
    loopback.rounded = ROUNDINGS[rounding]
    found = [
        read_ticks(
            *asked, settings=Settings(lake_bucket="lake", sql_engine=engine),
            arrow=True, **named,
        ).to_pylist()
        for engine in ("athena", "duckdb")
    ]  # fmt: skip
    for row in found[1]:
        if "produced_at" in row:
            row["produced_at"] = ROUNDINGS[rounding](row["produced_at"])
    return found[0], found[1]


near = st.builds(
    lambda base, micros: base + timedelta(microseconds=micros),
    st.sampled_from([MIDNIGHT, BUCKET, BUCKET + timedelta(seconds=17)]),
    st.integers(-2_500, 2_500),
)
bounds = st.none() | near | st.sampled_from([MIDNIGHT.date(), MIDNIGHT.date() - timedelta(1)])


@given(
    st.lists(st.tuples(st.sampled_from(SYMBOLS), near), max_size=40),
    bounds,
    bounds,
    st.sampled_from([None, "AAPL"]),
    st.sampled_from(sorted(ROUNDINGS)),
    st.sampled_from([1, 5]),
)
@hypothesis_settings(max_examples=25, deadline=None)
def test_the_same_call_gives_the_same_rows_on_both_engines(
    loopback: FakeAthena,
    ticks: list[Tick],
    start: date | None,
    end: date | None,
    symbols: str | None,
    rounding: str,
    minutes: int,
) -> None:
    here, there = both(loopback, ticks, rounding, symbols, start, end, minutes=minutes)
    assert sorted(here, key=by_id) == sorted(there, key=by_id)
    order = [(row["symbol"], row["produced_at"]) for row in here]
    assert order == sorted(order)


def by_id(row: dict[str, Any]) -> str:
    return str(row["event_id"])


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("micros", [-999, -1, 0, 500])
def test_a_bound_within_a_millisecond_holds_to_the_microsecond(
    loopback: FakeAthena, rounding: str, micros: int
) -> None:
    bound = BUCKET + timedelta(microseconds=micros)
    ticks = [("AAPL", bound + timedelta(microseconds=shift)) for shift in (-1001, -1000, -1, 0, 1, 1000, 1001)]
    for asked, ids in (((bound, None), "3456"), ((None, bound), "0123"), ((bound, bound), "3")):
        here, there = both(loopback, ticks, rounding, None, *asked, ["event_id"])
        assert [row["event_id"] for row in here] == [f"e{n}" for n in ids] == [row["event_id"] for row in there]


@pytest.mark.parametrize("day", [MIDNIGHT.date() - timedelta(1), MIDNIGHT.date()])
def test_a_tick_just_before_midnight_is_of_the_day_that_it_was_made_on(loopback: FakeAthena, day: date) -> None:
    ticks = [("AAPL", MIDNIGHT - timedelta(microseconds=1)), ("AAPL", MIDNIGHT)]
    here, there = both(loopback, ticks, "half up", None, day, day, ["event_id"])
    assert here == there == [{"event_id": f"e{int(day == MIDNIGHT.date())}"}]


def test_the_ends_of_the_calendar_are_bounds_like_others(loopback: FakeAthena) -> None:
    here, there = both(loopback, [("AAPL", BUCKET)], "down", None, date.min, date.max)
    assert here == there
    assert len(here) == 1


def test_only_a_row_at_a_bound_is_looked_up(loopback: FakeAthena, monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    get = S3Store.get
    ticks = [("AAPL", BUCKET + n * MILLISECOND) for n in range(100)]
    settings = Settings(lake_bucket="lake", sql_engine="athena")
    store(ticks, 5)
    loopback.rounded = down

    def counted(self: S3Store, key: str, **named: Any) -> Any:
        if threading.current_thread() is threading.main_thread():  # the service reads the same bucket on threads
            got.append(key)
        return get(self, key, **named)

    monkeypatch.setattr(S3Store, "get", counted)
    assert len(read_ticks(start=BUCKET - timedelta(seconds=1), end=BUCKET + timedelta(1), settings=settings)) == 100
    assert [key for key in got if "/year=" in key] == []
    assert len(read_ticks(start=BUCKET + 50 * MILLISECOND, settings=settings)) == 50
    assert [key for key in got if "/year=" in key] == ["price_by_date_stream/year=2024/month=06/day=04/1500.parquet"]


def test_ticks_that_are_not_where_the_layout_has_them_are_told(loopback: FakeAthena) -> None:
    at = BUCKET + timedelta(minutes=35)
    store([("AAPL", at)], 60)
    lay_out(S3Store("lake"), 5)
    with pytest.raises(HistoryMisplaced, match="`stock-pipeline doctor` names"):
        read_ticks(start=at, settings=Settings(lake_bucket="lake", sql_engine="athena"))
