"""Tick objects → rows: framing, vendors' shapes, values, event ids, and which objects are refused."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.ticks import parser as parsing
from stock_pipeline.parse.ticks.framing import MAX_RAW, MAX_RECORD
from stock_pipeline.parse.ticks.parser import TickRows, identity_digest, parse_tick_objects
from stock_pipeline.schemas import Reason
from stock_pipeline_tests.support.tick_objects import parse_ticks

MiB = 1024 * 1024
TICK = {"event_id": "e1", "symbol": "AAPL", "price": 189.5, "size": 100, "produced_at": "2024-01-02 14:30:00.25"}
AT = datetime(2024, 1, 2, 14, 30, 0, 250_000, tzinfo=UTC)
KEY = "stock_stream/key"
PLAIN = ["event_id", "symbol", "price", "size", "produced_at"]


def line(**changes: Any) -> str:
    """A tick's line with some fields changed, those set to ... left out."""
    return json.dumps({k: v for k, v in {**TICK, **changes}.items() if v is not ...})


def parse(*lines: str | bytes, end: bytes = b"\n") -> TickRows:
    return parse_ticks(b"".join((t if isinstance(t, bytes) else t.encode()) + end for t in lines), KEY)


def text_of(*lines: str) -> bytes:
    return "".join(f"{text}\n" for text in lines).encode()


def rows(read: TickRows) -> list[dict[str, Any]]:
    return read.table.select(PLAIN).to_pylist()


def only_row(*lines: str | bytes) -> dict[str, Any]:
    read = parse(*lines)
    assert read.rejected.num_rows == 0, read.rejected.to_pylist()
    assert read.table.num_rows == 1
    return rows(read)[0]


def rejected(*lines: str | bytes) -> list[tuple[int, str]]:
    read = parse(line(event_id="good"), *lines)
    assert read.table["event_id"].to_pylist() == ["good"]
    return list(zip(read.rejected["line"].to_pylist(), read.rejected["reason"].to_pylist(), strict=True))


# Shapes


def test_a_tick_of_this_project() -> None:
    assert only_row(line()) == {"event_id": "e1", "symbol": "AAPL", "price": 189.5, "size": 100.0, "produced_at": AT}


ALPACA = {
    "T": "t", "i": 96921, "S": "AAPL", "x": "D", "p": 126.55, "s": 1,
    "t": "2024-01-02T14:30:00.250000789Z", "c": ["@", "I"], "z": "C",
}  # fmt: skip
MASSIVE = {
    "ev": "T", "sym": "MSFT", "x": 4, "i": "12345", "z": 3, "p": 114.125, "s": 100,
    "c": [0, 12], "t": 1704205800250, "q": 3681328, "trfi": 201,
}  # fmt: skip
COINBASE = {
    "type": "match", "trade_id": 10, "sequence": 50, "maker_order_id": "ac928c66", "time": "2024-01-02T14:30:00.250Z",
    "product_id": "BTC-USD", "size": "5.23512", "price": "400.23", "side": "sell",
}  # fmt: skip
FINNHUB = {"s": "AAPL", "p": 261.74, "v": 0.5, "t": 1704205800250, "c": ["1"]}


@pytest.mark.parametrize(
    ("message", "event_id", "symbol", "price", "size"),
    [
        (ALPACA, "alpaca:D:2024-01-02:96921:1704205800250000789", "AAPL", 126.55, 1.0),
        (MASSIVE, "massive:4:201:2024-01-02:12345:1704205800250000000", "MSFT", 114.125, 100.0),
        ({**MASSIVE, "trfi": None}, "massive:4::2024-01-02:12345:1704205800250000000", "MSFT", 114.125, 100.0),
        (COINBASE, "coinbase:BTC-USD:10", "BTC-USD", 400.23, 5.23512),
        ({**COINBASE, "type": "last_match"}, "coinbase:BTC-USD:10", "BTC-USD", 400.23, 5.23512),
    ],
)
def test_a_vendors_trade(message: dict[str, Any], event_id: str, symbol: str, price: float, size: float) -> None:
    row = only_row(json.dumps(message))
    assert row == {"event_id": event_id, "symbol": symbol, "price": price, "size": size, "produced_at": AT}
    assert only_row(json.dumps([message])) == row


def test_finnhub_trades_share_a_message_and_have_no_ids() -> None:
    lines = [json.dumps({"type": "trade", "data": [FINNHUB, {**FINNHUB, "s": "MSFT"}]}), line()]
    read, digest = parse(*lines), identity_digest(KEY, text_of(*lines))
    assert read.table["event_id"].to_pylist() == [f"{digest}-1", f"{digest}-1.1", "e1"]
    assert read.table["symbol"].to_pylist() == ["AAPL", "MSFT", "AAPL"]
    assert read.table["size"].to_pylist() == [0.5, 0.5, 100.0]
    assert read.lines.tolist() == [1, 1, 2]


def test_what_is_no_trade_among_finnhubs_trades_is_rejected() -> None:
    read = parse(json.dumps({"type": "trade", "data": [FINNHUB, 5, {**FINNHUB, "p": None}, FINNHUB]}))
    assert [i.split("-")[1] for i in read.table["event_id"].to_pylist()] == ["1", "1.3"]
    assert read.rejected["reason"].to_pylist() == ["malformed_json", "missing_price"]


@pytest.mark.parametrize(
    "message",
    [
        {"T": "q", "S": "AAPL", "bp": 1.0},
        {"T": "success", "msg": "authenticated"},
        {"ev": "Q", "sym": "AAPL"},
        {"ev": "status", "message": "connected"},
        {"type": "subscriptions", "channels": []},
        {"type": "heartbeat", "last_trade_id": 20, "product_id": "BTC-USD"},
        {"type": "ticker", "product_id": "BTC-USD", "price": "4388.01", "time": "2024-01-02T14:30:00Z"},
        {"type": "ping"},
        {"type": "trade", "data": None},
        {"type": "trade", "data": []},
        [],
    ],
)
def test_other_messages_are_skipped_and_counted(message: Any) -> None:
    read = parse(json.dumps(message), line())
    assert (read.table.num_rows, read.rejected.num_rows, read.skipped.tolist()) == (1, 0, [1])


def test_aliases_are_case_sensitive() -> None:
    assert rejected(json.dumps({"T": "t", "s": "AAPL", "P": 1, "t": "2024-01-02T14:30:00Z"})) == [(2, "missing_symbol")]


# Values


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": ...}, Reason.MISSING_SYMBOL),
        ({"symbol": None}, Reason.MISSING_SYMBOL),
        ({"symbol": "  "}, Reason.MISSING_SYMBOL),
        ({"symbol": 700}, Reason.BAD_SYMBOL),
        ({"symbol": ["AAPL"]}, Reason.BAD_SYMBOL),
        ({"price": ...}, Reason.MISSING_PRICE),
        ({"price": None}, Reason.MISSING_PRICE),
        ({"price": ""}, Reason.MISSING_PRICE),
        ({"price": True}, Reason.BAD_NUMBER),
        ({"price": [1]}, Reason.BAD_NUMBER),
        ({"price": {}}, Reason.BAD_NUMBER),
        ({"price": "12,5"}, Reason.BAD_NUMBER),
        ({"price": "1_000"}, Reason.BAD_NUMBER),
        ({"price": "١٢"}, Reason.BAD_NUMBER),
        ({"price": "0x10"}, Reason.BAD_NUMBER),
        ({"price": "."}, Reason.BAD_NUMBER),
        ({"price": "NaN"}, Reason.NOT_FINITE),
        ({"price": "-Infinity"}, Reason.NOT_FINITE),
        ({"price": "1e999"}, Reason.NOT_FINITE),
        ({"size": "many"}, Reason.BAD_NUMBER),
        ({"size": False}, Reason.BAD_NUMBER),
        ({"size": "inf"}, Reason.NOT_FINITE),
        ({"produced_at": ...}, Reason.MISSING_TIMESTAMP),
        ({"produced_at": None}, Reason.MISSING_TIMESTAMP),
        ({"produced_at": " "}, Reason.MISSING_TIMESTAMP),
        ({"produced_at": True}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "yesterday"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-02-30 10:00:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2023-02-29 10:00:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-13-01 10:00:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 24:00:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 23:59:60"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 10:00:00."}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 10:00:00.1234567890"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 10:00:00+24:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "01/02/2024 10:00:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": -1}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "-1.5"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "1704205800."}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "1704205800.1234567890"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "20240102 14:30:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "20240132-14:30:00"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 14:30:00 EST"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "2024-01-02 14:30:00,"}, Reason.BAD_TIMESTAMP),
        ({"produced_at": {"seconds": 1704205800, "nanoseconds": 1_000_000_000}}, Reason.BAD_TIMESTAMP),
        ({"produced_at": {"seconds": None}}, Reason.BAD_TIMESTAMP),
        ({"produced_at": {}}, Reason.BAD_TIMESTAMP),
        ({"produced_at": 10**25}, Reason.BAD_TIMESTAMP),
        ({"produced_at": 1e300}, Reason.BAD_TIMESTAMP),
        ({"produced_at": "9" * 400}, Reason.BAD_TIMESTAMP),
        ({"event_id": 1.5}, Reason.BAD_EVENT_ID),
        ({"event_id": True}, Reason.BAD_EVENT_ID),
        ({"event_id": {}}, Reason.BAD_EVENT_ID),
        ({"event_id": "a\nb"}, Reason.BAD_EVENT_ID),
        ({"event_id": "  "}, Reason.BAD_EVENT_ID),
        ({"symbol": None, "price": None, "produced_at": None}, Reason.MISSING_SYMBOL),
        ({"price": "x", "produced_at": "x", "event_id": 1.5}, Reason.BAD_NUMBER),
    ],
)
def test_what_cannot_be_read_is_rejected_with_its_reason(changes: dict[str, Any], reason: Reason) -> None:
    assert rejected(line(**changes)) == [(2, reason.value)]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        "5",
        '"text"',
        "not json",
        line()[:-5],
        line() + ",",
        line() + " x",
        line().replace("189.5", "NaN"),
        line().replace("189.5", "Infinity"),
        line().replace("189.5", "-Infinity"),
        line().replace("189.5", "01.5"),
        line().replace("189.5", "1."),
        line().replace("189.5", "+1"),
        line().replace("189.5", ".5"),
        line().replace('"AAPL"', "'AAPL'"),
        line().replace("AAPL", "\\ud800"),
        line().replace("AAPL", "A\tB"),
        line().encode().replace(b"AAPL", b"\xff\xfe"),
        line().encode().replace(b"AAPL", b"AA\0PL"),
        b"\0\0\0",
        "[" * 5000 + "]" * 5000,
        '{"a":' * 5000 + "1" + "}" * 5000,
    ],
)
def test_what_is_not_json_is_malformed(text: str | bytes) -> None:
    assert rejected(text) == [(2, "malformed_json")]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "1" * 400])
def test_a_number_beyond_all_numbers_is_not_finite(number: str) -> None:
    assert rejected(line().replace("189.5", number)) == [(2, "not_finite")]


@pytest.mark.parametrize(
    ("price", "value"),
    [
        ("189.5", 189.5),
        (" 189.50 ", 189.5),
        ("+1.", 1.0),
        (".5", 0.5),
        ("1E2", 100.0),
        ("007", 7.0),
        (2**63, float(2**63)),
        (10**30, 1e30),
        (1e-300, 1e-300),
        (0, 0.0),
        (-3, -3.0),
        (0.1 + 0.2, 0.1 + 0.2),
    ],
)
def test_numbers_may_be_texts_and_keep_every_bit(price: Any, value: float) -> None:
    assert only_row(line(price=price))["price"] == value


@pytest.mark.parametrize("size", [..., None, "", "  "])
def test_there_need_not_be_a_size(size: Any) -> None:
    assert only_row(line(size=size))["size"] is None


@pytest.mark.parametrize(
    "time",
    [
        "2024-01-02 14:30:00.25",
        "2024-01-02T14:30:00.250Z",
        "2024-01-02t14:30:00.25z",
        " 2024-01-02T14:30:00.250000999Z ",
        "2024-01-02T09:30:00.25-05:00",
        "2024-01-03T00:00:00.25+0930",
        "2024-01-02 14:30:00.25+00:00",
        "2024-01-02 14:30:00.25+00",
        "2024-01-02T09:30:00.25-05",
        "2024-01-02 14:30:00.25 UTC",
        "2024-01-02T14:30:00.25UTC",
        "2024-01-02T14:30:00,25Z",
        "2024-01-02 14:30:00,250",
        "20240102-14:30:00.25",
        "20240102-14:30:00.250000999",
        "1704205800.25",
        "1704205800.250000999",
        "1704205800250.0",
        {"seconds": 1704205800, "nanoseconds": 250_000_999},
        {"seconds": "1704205800", "nanos": 250_000_000},
        1704205800.25,
        1704205800250,
        "1704205800250",
        1704205800250000,
        1704205800250000999,
    ],
)
def test_times_with_and_without_zone_and_epochs_of_any_unit(time: Any) -> None:
    assert only_row(line(produced_at=time))["produced_at"] == AT


@pytest.mark.parametrize(
    ("time", "nanos"),
    [
        ("2024-01-02 14:30:00.25", None), ("2024-01-02T14:30:00.250000Z", None), ("2024-01-02T14:30:00.2500000Z", None),
        ("2024-01-02T14:30:00.2500001Z", 100), ("2024-01-02T14:30:00.250000789Z", 789),
        ("1704205800.250000789", 789), ("1704205800250.000789", 789), ("1704205800250000.789", 789),
        ("1704205800.250000", None), (1704205800.25, None), (1704205800250, None), (1704205800250000, None),
        (1704205800250000789, 789), ("1704205800250000000", None),
        ({"seconds": 1704205800, "nanoseconds": 250_000_789}, 789),
    ],
)  # fmt: skip
def test_nanoseconds_are_kept_where_a_time_has_them(time: Any, nanos: int | None) -> None:
    read = parse(line(produced_at=time))
    assert (read.table["produced_at"].to_pylist(), read.table["nanos"].to_pylist()) == ([AT], [nanos])


def test_of_a_repeated_key_the_last_counts() -> None:
    assert only_row(line()[:-1] + ', "price": 2.5}')["price"] == 2.5


def test_keys_and_values_may_be_escaped() -> None:
    assert only_row(line().replace('"price"', '"pr\\u0069ce"').replace("AAPL", "\\u0041APL")) == rows(parse(line()))[0]


# Event ids


@pytest.mark.parametrize(("given", "event_id"), [("x", "x"), (7, "7"), (-7, "-7"), ("Größe 1", "Größe 1")])
def test_the_producers_id_stays(given: Any, event_id: str) -> None:
    assert only_row(line(event_id=given))["event_id"] == event_id


@pytest.mark.parametrize("given", [..., None, ""])
def test_without_an_id_one_is_derived_from_the_objects_identity_and_the_position(given: Any) -> None:
    ticks = [line(event_id=given), "", f"[{line(event_id=given)},{line(event_id=given)}]", line(event_id=given)]
    data = "\n".join(ticks).encode()
    changed = data.replace(b"189.5", b"189.6", 1)
    one, other_key, other_content, again = (
        parse_ticks(content, key).table["event_id"].to_pylist()
        for content, key in ((data, "k"), (data, "l"), (changed, "k"), (data, "k"))
    )
    assert one == again == [identity_digest("k", data) + end for end in ("-1", "-3", "-3.1", "-4")]
    assert len({*one, *other_key, *other_content}) == 12


def test_a_position_counts_every_message_of_its_line() -> None:
    mixed = f'[{{"T":"q"}},{line(event_id=...)},5,{line(symbol=None)},{line(event_id=...)}]'
    read = parse(mixed)
    assert [i.split("-")[1] for i in read.table["event_id"].to_pylist()] == ["1.1", "1.4"]
    assert read.rejected["reason"].to_pylist() == ["malformed_json", "missing_symbol"]
    assert read.skipped.tolist() == [1]


# Framing


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\n  \t\r\n"])
def test_lines_end_as_they_like_and_blank_ones_are_nothing(end: bytes) -> None:
    read = parse(line(event_id="a"), line(event_id="b"), end=end)
    assert read.table["event_id"].to_pylist() == ["a", "b"]
    assert read.lines.tolist() == [1, 1 + end.count(b"\n")]


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf", gzip.compress(b"")])
def test_an_empty_object_has_no_ticks(data: bytes) -> None:
    read = parse_ticks(data, "s")
    assert (read.table.num_rows, read.rejected.num_rows, read.skipped.tolist()) == (0, 0, [0])


def test_a_byte_order_mark_and_a_missing_last_newline() -> None:
    data = b"\xef\xbb\xbf" + line(event_id="a").encode() + b"\n" + line(event_id="b").encode()
    assert parse_ticks(data, "s").table["event_id"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("block", [*range(1, 130, 7), 10_000])
def test_each_line_may_begin_with_a_byte_order_mark_wherever_blocks_are_cut(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(parsing, "BLOCK", block)
    data = b"".join(b"\xef\xbb\xbf" + line(event_id=n).encode() + b"\n" for n in "abcd")
    read = parse_ticks(data, KEY)
    assert read.table["event_id"].to_pylist() == ["a", "b", "c", "d"]
    assert (read.lines.tolist(), read.rejected.num_rows) == ([1, 2, 3, 4], 0)


@pytest.mark.parametrize("seam", ["", " ", "\r", "\t "])
def test_records_joined_without_a_newline_are_cut_apart(seam: str) -> None:
    joined = seam.join(
        [line(event_id="a}{b}{c} {d"), line(event_id="c} {"), '{"T":"q"}', line(event_id="é}{"), line(event_id="d")]
    )
    read = parse(joined, line(event_id="e"))
    assert read.table["event_id"].to_pylist() == ["a}{b}{c} {d", "c} {", "é}{", "d", "e"]
    assert read.lines.tolist() == [1, 1, 1, 1, 2]
    assert (read.rejected.num_rows, read.skipped.tolist()) == (0, [1])


def test_a_broken_record_among_joined_ones_costs_only_itself() -> None:
    read = parse(line(event_id="a") + '{"price":}' + line(event_id="b") + line(price=None) + line(event_id="c")[:-3])
    assert read.table["event_id"].to_pylist() == ["a", "b"]
    assert [(r["line"], r["place"], r["reason"], r["raw"]) for r in read.rejected.to_pylist()] == [
        (1, 1, "malformed_json", '{"price":}'),
        (1, 3, "missing_price", line(price=None)),
        (1, 4, "malformed_json", line(event_id="c")[:-3]),
    ]


def test_joined_records_may_make_a_line_longer_than_a_record_may_be() -> None:
    many = 12_000
    read = parse("".join(line(event_id=n + 1) for n in range(many)))
    assert read.table["event_id"].to_pylist() == [str(n + 1) for n in range(many)]


def test_many_broken_records_in_one_line_take_no_time() -> None:
    read = parse(line(), "{x}" * 50_000)
    assert (read.table.num_rows, read.rejected.num_rows) == (1, 50_000)


@pytest.mark.parametrize("size", [MAX_RECORD + 1, 100 * MiB])
def test_a_line_too_long_for_a_record_is_rejected(size: int) -> None:
    endless = line()[:-2] + "9" * size + '"}'
    read = parse(line(event_id="a"), endless, line(event_id="b"))
    assert read.table["event_id"].to_pylist() == ["a", "b"]
    assert read.lines.tolist() == [1, 3]
    (row,) = read.rejected.to_pylist()
    assert (row["line"], row["reason"]) == (2, "line_too_long")
    assert row["raw"].startswith('{"event_id"')
    assert len(row["raw"]) < MAX_RAW + 50


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_over_lines_is_taken_as_one_record_a_line(indent: int | None) -> None:
    messages = [json.loads(line(event_id=n)) for n in ("a", "b")]
    text = json.dumps(messages, indent=indent) if indent else "[\n" + ",\n".join(map(json.dumps, messages)) + "\n]\n"
    read = parse(text)
    assert read.table["event_id"].to_pylist() == ["a", "b"]
    assert read.lines.tolist() == [1, 2]
    assert [json.loads(t) for t in read.raw(0, [2, 1])] == messages[::-1]


def test_objects_over_lines_are_taken_as_one_record_a_line() -> None:
    pretty = "\n".join(json.dumps(json.loads(line(event_id=n)), indent=2) for n in ("a}{ b", "b", "c"))
    assert parse(pretty).table["event_id"].to_pylist() == ["a}{ b", "b", "c"]


def test_a_long_array_in_one_line_is_taken_as_one_record_a_line() -> None:
    read = parse(json.dumps([json.loads(line(event_id=n + 1)) for n in range(12_000)]))
    assert read.lines.tolist() == list(range(1, 12_001))


def test_a_first_line_that_was_cut_off_spoils_no_other() -> None:
    read = parse("{", line(event_id="a"), line(event_id="b"))
    assert read.table["event_id"].to_pylist() == ["a", "b"]
    assert read.rejected["line"].to_pylist() == [1]


def test_gzip_is_told_by_its_first_bytes() -> None:
    data = (line() + "\n").encode()
    assert parse_ticks(gzip.compress(data) + gzip.compress(data), "s").lines.tolist() == [1, 2]


# Refusals


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"symbol,price\nAAPL,189.5\n", "no line of it begins like a JSON object"),
        (b"<!DOCTYPE html><html><script>\n{ a }\n</script></html>", "not one record could be read"),
        (b"PAR1\x15\x04\x15", "Parquet"),
        (b"\x00\x01\x02\x03" * 100, "no line of it begins like a JSON object"),
        (line().encode("utf-16"), "UTF-8"),
        (b"[\n" + line().encode() + b",\n", "not one record could be read"),
        (json.dumps(TICK, indent=2).encode()[:-2], "not one record could be read"),
        (gzip.compress(b"x" * 2000)[:-20], "cut off"),
        (gzip.compress(b"\n" * 3 * MiB), "larger than 2 MiB"),
        (b"\n" * 3 * MiB, "larger than 2 MiB"),
    ],
)
def test_what_is_no_object_of_ticks_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileRefused, match=message):
        parse_ticks(data, "s", max_bytes=2 * MiB)


def test_a_line_longer_than_offsets_can_tell_refuses_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "BLOCK", 10)
    monkeypatch.setattr(parsing, "_LONGEST_LINE", 200)
    with pytest.raises(FileRefused, match="a line of more than 200 bytes"):
        parse(line(), line(event_id="x" * 200), line())


def test_an_object_of_nothing_but_broken_records_is_not_refused() -> None:
    read = parse(line()[:-4])
    assert read.rejected["reason"].to_pylist() == ["malformed_json"]


def test_an_object_mostly_of_broken_records_is_refused_before_they_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parsing, "MAX_REJECTED", 1000)
    with pytest.raises(FileRefused, match="more than 1000 broken records"):
        parse(*["{"] * 1001, line())


# Several objects


def test_objects_are_read_together_as_each_alone() -> None:
    texts = [
        "\n".join([line(event_id=...), "{", '{"type":"ping"}', line(symbol=None), line(event_id="x")]),
        "",
        "a,b\n1,2\n",
        f"{line(event_id=...)}{line(event_id=...)}\n" * 700,
        line(event_id=...),
    ]
    objects = [(text.encode(), f"b/{n}@1") for n, text in enumerate(texts)]
    together = parse_tick_objects(objects)
    assert list(together.refused) == [2]
    for n, (data, source) in enumerate(objects):
        if n == 2:
            assert n not in together.objects
            continue
        alone = parse_ticks(data, source)
        mine = together.table.filter(together.objects == n)
        assert mine.to_pylist() == alone.table.to_pylist()
        assert together.lines[together.objects == n].tolist() == alone.lines.tolist()
        assert together.rejected.filter(together.rejected_objects == n).to_pylist() == alone.rejected.to_pylist()
        assert together.skipped[n] == alone.skipped[0]
        assert together.raw(n, alone.lines.tolist()) == alone.raw(0, alone.lines.tolist())


@pytest.mark.parametrize("block", [1, 1000, 200_000])
def test_a_large_object_is_read_in_blocks_as_in_one_piece(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(parsing, "BLOCK", block)
    count = 5_000
    lines = [line(event_id=..., price=n + 1) if n % 5 else "{" for n in range(count)]
    read = parse(*lines)
    assert read.lines.tolist() == [n + 1 for n in range(count) if n % 5]
    assert read.table["price"].to_pylist() == read.lines.tolist()
    assert read.rejected["line"].to_pylist() == list(range(1, count, 5))
    assert read.table["event_id"].to_pylist() == [f"{identity_digest(KEY, text_of(*lines))}-{n}" for n in read.lines]
    assert read.raw(0, [count, 1]) == [lines[-1], lines[0]]
