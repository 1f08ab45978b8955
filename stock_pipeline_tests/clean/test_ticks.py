"""The rules of ticks, their order, and that every message is accounted for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stock_pipeline.clean import Cleaned
from stock_pipeline.clean.ticks import LONGEST_EVENT_ID, clean_tick_objects
from stock_pipeline.parse.ticks import columnar
from stock_pipeline.parse.ticks.parser import parse_tick_objects
from stock_pipeline.schemas import REJECTED, STREAM_PRICES_HISTORY, Reason
from stock_pipeline_tests.support.tick_objects import clean_ticks, parse_ticks

NOW = datetime(2024, 1, 2, 15, tzinfo=UTC)
TICK = {"event_id": "e1", "symbol": "AAPL", "price": 189.5, "size": 100, "produced_at": "2024-01-02 14:30:00.25"}


def line(**changes: Any) -> str:
    return json.dumps({**TICK, **changes})


def clean(*lines: str, now: datetime = NOW, **rules: Any) -> Cleaned:
    return clean_ticks(parse_ticks("\n".join(lines).encode(), "s"), now, **rules)


def reasons(*lines: str, **rules: Any) -> list[str]:
    found: list[str] = clean(*lines, **rules).rejected["reason"].to_pylist()
    return found


def test_good_rows_have_the_columns_of_the_history() -> None:
    cleaned = clean(line(), line(size=None))
    stored = [f for f in STREAM_PRICES_HISTORY.schema if f.name not in {"source", "etl_loading_ts"}]
    assert cleaned.good.select([f.name for f in stored]).schema == pa.schema(stored)
    produced_at = datetime(2024, 1, 2, 14, 30, 0, 250_000, tzinfo=UTC)
    row = {"event_id": "e1", "symbol": "AAPL", "price": 189.5, "size": 100.0, "produced_at": produced_at}
    assert cleaned.good.select(list(row)).to_pylist() == [row, {**row, "size": None}]
    assert cleaned.good["place"].to_pylist() == [None, None]  # each is alone in its line
    assert cleaned.lines.tolist() == [1, 2]
    assert cleaned.rejected.schema == REJECTED
    assert cleaned.raw([2, 1]) == [line(size=None), line()]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "A PL"}, Reason.BAD_SYMBOL),
        ({"symbol": "../etc"}, Reason.BAD_SYMBOL),
        ({"symbol": "A" * 33}, Reason.BAD_SYMBOL),
        ({"symbol": "';DROP"}, Reason.BAD_SYMBOL),
        ({"symbol": "Größe"}, Reason.BAD_SYMBOL),
        ({"price": 0}, Reason.NON_POSITIVE_PRICE),
        ({"price": -0.0}, Reason.NON_POSITIVE_PRICE),
        ({"price": "-3"}, Reason.NON_POSITIVE_PRICE),
        ({"size": -1}, Reason.NEGATIVE_VOLUME),
        ({"produced_at": "1989-12-31 23:59:59.999999"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": 20240102}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 15:05:00.000001"}, Reason.FUTURE_TIMESTAMP),
        ({"produced_at": "9999-12-30 00:00:00"}, Reason.FUTURE_TIMESTAMP),
        ({"event_id": "x" * (LONGEST_EVENT_ID + 1)}, Reason.BAD_EVENT_ID),
        ({"symbol": "?", "price": 0, "size": -1, "produced_at": "2030-01-01 00:00:00"}, Reason.BAD_SYMBOL),
        ({"price": 0, "size": -1, "produced_at": "2030-01-01 00:00:00"}, Reason.NON_POSITIVE_PRICE),
        ({"size": -1, "produced_at": "2030-01-01 00:00:00"}, Reason.NEGATIVE_VOLUME),
        ({"price": "x", "symbol": "?"}, Reason.BAD_NUMBER),
    ],
)
def test_what_breaks_a_rule_is_rejected_with_the_first_reason(changes: dict[str, Any], reason: Reason) -> None:
    cleaned = clean(line(), line(**changes), line())
    assert cleaned.lines.tolist() == [1, 3]
    (row,) = cleaned.rejected.to_pylist()
    assert (row["line"], row["reason"], row["raw"]) == (2, reason.value, line(**changes))
    assert row["detail"]


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 1e-9},
        {"size": 0},
        {"size": -0.0},
        {"size": 0.00001},
        {"produced_at": "1990-01-01 00:00:00"},
        {"produced_at": "2024-01-02 15:05:00"},
        {"event_id": "x" * LONGEST_EVENT_ID},
    ],
)
def test_what_is_just_within_a_rule_is_stored(changes: dict[str, Any]) -> None:
    assert clean(line(**changes)).good.num_rows == 1


def test_the_allowed_clock_skew_is_the_callers() -> None:
    ahead = line(produced_at="2024-01-02 15:00:01")
    assert reasons(ahead, max_skew=timedelta(0)) == ["future_timestamp"]
    assert reasons(ahead, max_skew=timedelta(seconds=1)) == []
    assert reasons(line(), now=datetime(2024, 1, 2, 9, 30, tzinfo=UTC)) == ["future_timestamp"]


@pytest.mark.parametrize(
    ("symbol", "canonical"),
    [
        ("aapl", "AAPL"),
        (" AAPL ", "AAPL"),
        ("BRK-B", "BRK.B"),
        ("BRK/B", "BRK.B"),
        ("BTC-USD", "BTC-USD"),
        ("NA", "NA"),
    ],
)
def test_symbols_get_their_canonical_form(symbol: str, canonical: str) -> None:
    good = clean(line(symbol=symbol), line(symbol=canonical)).good
    assert good["symbol"].to_pylist() == [canonical, canonical]
    assert good["symbol"].chunk(0).dictionary.to_pylist() == [canonical]


def test_an_object_without_ticks_is_clean() -> None:
    cleaned = clean("")
    assert (cleaned.good.num_rows, cleaned.rejected.num_rows, cleaned.skipped, cleaned.rows) == (0, 0, 0, 0)
    assert cleaned.good.schema.field("symbol").type == STREAM_PRICES_HISTORY.schema.field("symbol").type


def test_rows_are_in_the_order_of_the_input_whichever_way_they_were_read() -> None:
    """Every third line is written in another way, every fifth in a way that no layout has, some break a rule."""
    lines = []
    for n in range(6000):
        text = line(event_id=f"e{n}", price=n % 11, symbol=f"S{n % 7}")
        if n % 3 == 0:
            text = json.dumps(dict(reversed(json.loads(text).items())))
        lines.append(text.replace('"size": 100', '"size": 1e2') if n % 5 == 0 else text)
    cleaned = clean(*lines)
    expected = [n for n in range(6000) if n % 11]
    assert cleaned.good["event_id"].to_pylist() == [f"e{n}" for n in expected]
    assert cleaned.good["price"].to_pylist() == [n % 11 for n in expected]
    assert cleaned.good["symbol"].to_pylist() == [f"S{n % 7}" for n in expected]
    assert cleaned.lines.tolist() == [n + 1 for n in expected]
    assert cleaned.rejected["line"].to_pylist() == [n + 1 for n in range(0, 6000, 11)]


# One message of a line: its text, and what becomes of it
GOOD = st.sampled_from([(line(), "good"), (line(symbol="brk-b", event_id=None), "good"), (line(size=None), "good")])
BAD = st.sampled_from(
    [
        (line(price=0), "non_positive_price"),
        (line(symbol="?"), "bad_symbol"),
        (line(price=None), "missing_price"),
        (line(produced_at="2040-01-01T00:00:00Z"), "future_timestamp"),
        (line()[:-2], "malformed_json"),
        ("{nothing}", "malformed_json"),
    ]
)
SKIPPED = st.sampled_from([('{"T":"q"}', "skipped"), ('{"type":"ping"}', "skipped"), ("[]", "skipped")])
LINES = st.lists(GOOD | GOOD | BAD | SKIPPED | st.just(("", "blank")), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=5), st.sampled_from([1, 10**9]))
def test_every_message_of_every_object_is_good_rejected_or_skipped(
    objects: list[list[tuple[str, str]]], worth: int
) -> None:
    data = [("\n".join(text for text, _ in lines).encode(), f"b/{n}@1") for n, lines in enumerate(objects)]
    with patch.object(columnar, "WORTH", worth), patch.object(columnar, "_SHARE", 1):
        together = clean_tick_objects(parse_tick_objects(data), NOW)
    assert together.refused == {}
    for n, lines in enumerate(objects):
        cleaned = together.of(n)
        fates = [(number, fate) for number, (_, fate) in enumerate(lines, 1) if fate != "blank"]
        assert cleaned.lines.tolist() == [number for number, fate in fates if fate == "good"]
        assert cleaned.good.num_rows == len(cleaned.lines)
        found = zip(cleaned.rejected["line"].to_pylist(), cleaned.rejected["reason"].to_pylist(), strict=True)
        assert list(found) == [f for f in fates if f[1] not in ("good", "skipped")]
        assert cleaned.rejected["raw"].to_pylist() == [lines[i - 1][0] for i in cleaned.rejected["line"].to_pylist()]
        assert cleaned.skipped == sum(fate == "skipped" for _, fate in fates)
        assert cleaned.rows == len(fates)
        assert cleaned.raw(cleaned.lines.tolist()) == [lines[i - 1][0] for i in cleaned.lines.tolist()]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ \n\rabc01.-eE', max_size=200).map(str.encode))
def test_no_bytes_break_the_reading_of_an_object(data: bytes) -> None:
    together = clean_tick_objects(parse_tick_objects([(data, "a"), ((line() + "\n").encode() + data, "b")]), NOW)
    after_a_good_line = together.of(1)
    assert after_a_good_line.lines[0] == 1
    assert after_a_good_line.rejected["raw"].null_count == 0
    assert 0 in together.refused or together.of(0).rows > 0 or not data.removeprefix(b"\xef\xbb\xbf").strip()
