"""Which trades may set the last price, by the codes that their vendor gives them and by when they were reported."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stock_pipeline_tests.support.tick_objects import clean_ticks, parse_ticks

AT = 1_717_426_800_000
"""2024-06-03 15:00 UTC in milliseconds."""

NOW = datetime(2024, 6, 3, 16, tzinfo=UTC)


def judged(*messages: dict[str, Any]) -> list[bool | None]:
    lines = "\n".join(json.dumps(message) for message in messages)
    cleaned = clean_ticks(parse_ticks(lines.encode(), "s"), NOW)
    assert cleaned.rejected.to_pylist() == []
    found: list[bool | None] = cleaned.good["sets_last"].to_pylist()
    return found


def alpaca(*codes: str, tape: str = "C", **more: Any) -> dict[str, Any]:
    trade = {"T": "t", "S": "QXN", "i": 1, "x": "V", "p": 81.1, "s": 100, "t": "2024-06-03T15:00:00Z", "z": tape}
    return trade | {"c": list(codes)} | more


def massive(*codes: int, **more: Any) -> dict[str, Any]:
    trade = {"ev": "T", "sym": "QXN", "i": "1", "x": 4, "p": 81.1, "s": 100, "t": AT, "z": 3}
    return trade | {"c": list(codes)} | more


def finnhub(*codes: str) -> dict[str, Any]:
    return {"type": "trade", "data": [{"s": "QXN", "p": 81.1, "v": 100, "t": AT, "c": list(codes)}]}


@pytest.mark.parametrize(
    ("message", "may"),
    [
        (alpaca("@"), True),
        (alpaca("@", "I"), False),  # an odd lot
        (alpaca("@", "F"), True),
        (massive(14), True),
        (massive(14, 37), False),  # an odd lot
        (massive(12), False),  # extended hours
        (finnhub("1", "12"), None),  # nobody says what its codes mean
        ({"symbol": "QXN", "price": 81.1, "produced_at": "2024-06-03T15:00:00Z"}, None),
    ],
)
def test_the_codes_of_a_vendor_decide_where_their_rules_are_known(message: dict[str, Any], may: bool | None) -> None:
    assert judged(message) == [may]


def test_each_row_is_judged_by_the_codes_of_its_own_vendor() -> None:
    """12 is extended hours at one vendor, and no code of the others."""
    assert judged(massive(12), finnhub("12"), alpaca("@"), alpaca("I"), massive(37)) == [
        False,
        None,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("seconds", "may"), [(0, True), (10, True), (11, False)])
def test_a_trade_that_a_reporting_facility_reports_late_sets_no_price(seconds: int, may: bool) -> None:
    report = {"trfi": 201, "trft": AT - seconds * 1000}
    assert judged(massive(14, **report)) == [may]
    assert judged(massive(14), massive(14, i="2", **report)) == [True, may]


def test_a_late_report_decides_without_any_code() -> None:
    trade = massive(trfi=201, trft=AT - 11_000)
    del trade["c"]
    assert judged(trade) == [False]
