"""Athena reads times to the millisecond. The law: `read_ticks` gives the same rows through Athena and through DuckDB.

Athena is stood in for by DuckDB over the same history with rounded times, behind the engine's own function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from moto import mock_aws

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import HistoryMisplaced
from stock_pipeline.lake.parquet import encode
from stock_pipeline.lake.partitions import partition_key
from stock_pipeline.lake.transforms import by_bucket
from stock_pipeline.query import athena_engine, read_ticks
from stock_pipeline.schemas import STREAM_PRICES_HISTORY as HISTORY
from stock_pipeline.settings import Settings
from stock_pipeline_tests.support.layouts import lay_out

Tick = tuple[str, datetime]
MIDNIGHT = datetime(2024, 6, 4, tzinfo=UTC)
BUCKET = MIDNIGHT.replace(hour=15)
SYMBOLS = ("AAPL", "MSFT")
MILLISECOND = timedelta(milliseconds=1)
ROUNDINGS: dict[str, Callable[[datetime], datetime]] = {
    "half up": lambda at: cut_off(at + timedelta(microseconds=500)),
    "down": lambda at: cut_off(at),
}


def cut_off(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@pytest.fixture(scope="module", autouse=True)
def s3() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        boto3.client("s3").create_bucket(Bucket="lake")
        yield


def store(ticks: Sequence[Tick], minutes: int) -> pa.Table:
    """Put ticks into history and nothing else; returns the rows that were put."""
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
        return table
    codes, names = by_bucket(table, minutes)
    for code, name in enumerate(names):
        mine = table.filter(pa.array([other == code for other in codes], pa.bool_()))
        lake.put(partition_key(HISTORY, name), encode(mine, HISTORY))
    return table


def athena(history: pa.Table, rounded: Callable[[datetime], datetime]) -> Callable[..., pa.Table]:
    """What takes the place of `athena_engine.run`: rounded times beside the partitions of the exact ones."""
    times = history["produced_at"].to_pylist()
    seen = history.set_column(
        history.schema.get_field_index("produced_at"),
        "produced_at",
        pa.array([rounded(at) for at in times], pa.timestamp("us", "UTC")),
    )
    for part in ("year", "month", "day"):
        seen = seen.append_column(part, pa.array([getattr(at, part) for at in times], pa.int32()))

    def run(statement: str, parameters: Sequence[Any], **_: str) -> pa.Table:
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register(HISTORY.name, seen)
            return connection.sql(statement, params=list(parameters) or None).to_arrow_table()

    return run


def both(
    ticks: Sequence[Tick], rounding: str, *asked: Any, minutes: int = 5, **named: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows through Athena and through DuckDB, those of DuckDB with their times as Athena gives them."""
    history = store(ticks, minutes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(athena_engine, "run", athena(history, ROUNDINGS[rounding]))
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
    ticks: list[Tick], start: date | None, end: date | None, symbols: str | None, rounding: str, minutes: int
) -> None:
    here, there = both(ticks, rounding, symbols, start, end, minutes=minutes)
    assert sorted(here, key=by_id) == sorted(there, key=by_id)
    order = [(row["symbol"], row["produced_at"]) for row in here]
    assert order == sorted(order)


def by_id(row: dict[str, Any]) -> str:
    return str(row["event_id"])


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("micros", [-999, -500, -1, 0, 1, 499, 500, 999])
def test_a_bound_within_a_millisecond_holds_to_the_microsecond(rounding: str, micros: int) -> None:
    bound = BUCKET + timedelta(microseconds=micros)
    ticks = [("AAPL", bound + timedelta(microseconds=shift)) for shift in (-1001, -1000, -1, 0, 1, 1000, 1001)]
    for asked, ids in (((bound, None), "3456"), ((None, bound), "0123"), ((bound, bound), "3")):
        here, there = both(ticks, rounding, None, *asked, ["event_id"])
        assert [row["event_id"] for row in here] == [f"e{n}" for n in ids] == [row["event_id"] for row in there]


@pytest.mark.parametrize("day", [MIDNIGHT.date() - timedelta(1), MIDNIGHT.date()])
def test_a_tick_just_before_midnight_is_of_the_day_that_it_was_made_on(day: date) -> None:
    ticks = [("AAPL", MIDNIGHT - timedelta(microseconds=1)), ("AAPL", MIDNIGHT)]
    here, there = both(ticks, "half up", None, day, day, ["event_id"])
    assert here == there == [{"event_id": f"e{int(day == MIDNIGHT.date())}"}]


def test_the_ends_of_the_calendar_are_bounds_like_others() -> None:
    here, there = both([("AAPL", BUCKET)], "down", None, date.min, date.max)
    assert here == there
    assert len(here) == 1


def test_only_a_row_at_a_bound_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[str] = []
    get = S3Store.get
    ticks = [("AAPL", BUCKET + n * MILLISECOND) for n in range(100)]
    settings = Settings(lake_bucket="lake", sql_engine="athena")
    history = store(ticks, 5)
    monkeypatch.setattr(athena_engine, "run", athena(history, cut_off))

    def counted(self: S3Store, key: str) -> Any:
        got.append(key)
        return get(self, key)

    monkeypatch.setattr(S3Store, "get", counted)
    assert len(read_ticks(start=BUCKET - timedelta(seconds=1), end=BUCKET + timedelta(1), settings=settings)) == 100
    assert got == []
    assert len(read_ticks(start=BUCKET + 50 * MILLISECOND, settings=settings)) == 50
    assert [key for key in got if "/year=" in key] == ["price_by_date_stream/year=2024/month=06/day=04/1500.parquet"]


def test_ticks_that_are_not_where_the_layout_has_them_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    at = BUCKET + timedelta(minutes=35)
    monkeypatch.setattr(athena_engine, "run", athena(store([("AAPL", at)], 60), cut_off))
    lay_out(S3Store("lake"), 5)
    with pytest.raises(HistoryMisplaced, match="`stock-pipeline doctor` names"):
        read_ticks(start=at, settings=Settings(lake_bucket="lake", sql_engine="athena"))
