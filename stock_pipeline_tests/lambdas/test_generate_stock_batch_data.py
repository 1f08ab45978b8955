"""generate_stock_batch_data: what an event may ask for, what is written, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import ModuleType
from typing import Any

import pytest
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.errors import EventError, SettingsError, SimulationError
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.simulate.daily import raw_key, simulate_daily_prices, to_csv
from stock_pipeline_tests.support.lambdas import STAGING

WEDNESDAY_MORNING = datetime(2024, 7, 3, 9, 0, tzinfo=UTC)  # before the open; Thursday is a holiday


@pytest.fixture
def handler(cold_start: Callable[[str], ModuleType]) -> ModuleType:
    return cold_start("generate_stock_batch_data")


def keys(s3: Any) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=STAGING).get("Contents", [])]


def test_a_date(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    answer = handler.lambda_handler({"date": "2024-05-01"}, context)
    assert {name: answer[name] for name in ("sessions", "rows", "written")} == {"sessions": 1, "rows": 16, "written": 1}
    assert keys(s3) == [raw_key(date(2024, 5, 1), DEFAULT_SYMBOLS, 7)] == [raw["key"] for raw in answer["objects"]]
    body = s3.get_object(Bucket=STAGING, Key=keys(s3)[0])["Body"].read()
    assert body == to_csv(simulate_daily_prices(DEFAULT_SYMBOLS, date(2024, 5, 1), date(2024, 5, 1), seed=7))
    json.dumps(answer)  # Lambda must be able to send it


def test_called_again_it_writes_nothing(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    handler.lambda_handler({"date": "2024-05-01"}, context)
    before = s3.head_object(Bucket=STAGING, Key=keys(s3)[0])["LastModified"]
    assert handler.lambda_handler({"date": "2024-05-01"}, context)["written"] == 0
    assert s3.head_object(Bucket=STAGING, Key=keys(s3)[0])["LastModified"] == before


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, ["2024-07-02"]),
        ({"date": "2024-07-01"}, ["2024-07-01"]),
        ({"start": "2024-06-28", "end": "2024-07-01"}, ["2024-06-28", "2024-07-01"]),
        ({"start": "2024-07-01"}, ["2024-07-01", "2024-07-02"]),
        ({"start": "2024-06-29", "end": "2024-07-01"}, ["2024-07-01"]),
    ],
)
def test_sessions(event: dict[str, Any], expected: list[str], handler: ModuleType) -> None:
    assert [day.isoformat() for day in handler.sessions_of(event, WEDNESDAY_MORNING)] == expected


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"date": "2024-07-01", "end": "2024-07-02"}, "either date, or start and end"),
        ({"date": "2024-07-01", "start": "2024-07-01"}, "either date, or start and end"),
        ({"end": "2024-07-02"}, "no start"),
        ({"start": "2024-07-02", "end": "2024-07-01"}, "before it starts"),
        ({"date": "2024-07-03"}, "not closed yet; the last closed session is 2024-07-02"),
        ({"date": "2024-06-29"}, "no trading session"),
        ({"date": "01/07/2024"}, "date is '01/07/2024'; it takes a day such as 2024-01-31"),
        ({"date": 20240701}, "date is 20240701"),
        ({"date": None}, "date is None"),
        ({"start": "2024-02-30"}, "start is '2024-02-30'"),
    ],
)
def test_days_that_cannot_be_had(event: dict[str, Any], message: str, handler: ModuleType) -> None:
    with pytest.raises(EventError, match=message):
        handler.sessions_of(event, WEDNESDAY_MORNING)


def test_days_outside_the_calendar(handler: ModuleType) -> None:
    with pytest.raises(SimulationError, match="1990"):
        handler.sessions_of({"date": "1989-12-29"}, WEDNESDAY_MORNING)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["AAPL", "brk.b"], ("AAPL", "BRK.B")),
        ("AAPL, msft", ("AAPL", "MSFT")),
        (3, DEFAULT_SYMBOLS[:3]),
        ("3", DEFAULT_SYMBOLS[:3]),
    ],
)
def test_symbols(asked: object, expected: tuple[str, ...], handler: ModuleType) -> None:
    assert handler.symbols_of({"symbols": asked}) == expected


@pytest.mark.parametrize("asked", [[], ["AAPL", 1], "", " , ", 0, -1, True, 1.5, None, {"a": 1}])
def test_symbols_that_are_none(asked: object, handler: ModuleType) -> None:
    with pytest.raises((EventError, SettingsError, SimulationError), match=r"(?i)symbols"):
        handler.symbols_of({"symbols": asked})


@pytest.mark.parametrize("asked", [["../../x"], "A B", ["'; DROP TABLE"]])
def test_symbols_that_no_table_takes_write_nothing(
    asked: object, handler: ModuleType, s3: Any, context: LambdaContext
) -> None:
    with pytest.raises(SimulationError, match="is not a symbol"):
        handler.lambda_handler({"date": "2024-05-01", "symbols": asked}, context)
    assert keys(s3) == []


def test_an_unknown_field_is_refused_by_name(handler: ModuleType, context: LambdaContext) -> None:
    with pytest.raises(EventError, match="'dates'; it takes date, start, end, symbols"):
        handler.lambda_handler({"dates": ["2024-05-01"]}, context)


def test_without_an_event_it_is_the_last_closed_session(handler: ModuleType, s3: Any, context: LambdaContext) -> None:
    handler.lambda_handler(None, context)
    (day,) = handler.sessions_of({}, datetime.now(UTC))
    assert keys(s3) == [raw_key(day, DEFAULT_SYMBOLS, 7)]


def test_symbols_and_seed_of_the_settings(
    cold_start: Callable[[str], ModuleType], s3: Any, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCK_PIPELINE_SYMBOLS", "BRK.B,SAP")
    monkeypatch.setenv("STOCK_PIPELINE_SEED", "11")
    cold_start("generate_stock_batch_data").lambda_handler({"date": "2024-05-01"}, context)
    body = s3.get_object(Bucket=STAGING, Key=keys(s3)[0])["Body"].read()
    assert body == to_csv(simulate_daily_prices(["BRK.B", "SAP"], date(2024, 5, 1), date(2024, 5, 1), seed=11))


def test_a_missing_setting_stops_the_cold_start_and_is_named(
    cold_start: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STOCK_PIPELINE_STAGING_BUCKET")
    with pytest.raises(SettingsError, match="STOCK_PIPELINE_STAGING_BUCKET"):
        cold_start("generate_stock_batch_data")
