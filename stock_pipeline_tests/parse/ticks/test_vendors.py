"""Every form of the table of tick vendors: its fields, within what its ids are unique, and its messages without
trades."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from stock_pipeline.parse.ticks.others import OTHERS
from stock_pipeline.parse.ticks.parser import TickRows
from stock_pipeline.parse.ticks.trades import form_of
from stock_pipeline.parse.ticks.vendors import FORMS
from stock_pipeline_tests.support.tick_objects import parse_ticks
from stock_pipeline_tests.support.vendor_messages import MESSAGES, VALUES, holds_several, message

N = 77
AT = datetime(2024, 6, 3, 15, 0, 0, 77_077, tzinfo=UTC)
"""The time of the trade number N, as far as the form tells it."""

IDS = {
    "this project": "e77",
    "Alpaca": "alpaca:P:2024-06-03:1000077:1717426800077077177",
    "Alpaca, coins and options": "alpaca::2024-06-03:1000077:1717426800077077177",
    "Massive": "massive:28:28:2024-06-03:1000077:1717426800077000000",
    "Massive, coins": "massive:28:2024-06-03:1000077:1717426800077000000",
    "Binance trade": "binance:trade:1000077",
    "Binance aggregate trade": "binance:aggTrade:1000077",
    "Binance trade, combined stream": "binance:trade:1000077",
    "Binance aggregate trade, combined stream": "binance:aggTrade:1000077",
    "Bybit": "bybit:0000004d-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "OKX": "okx:1000077",
    "Kraken v2": "kraken:1000077",
    "Kraken futures": "kraken-futures:0000004d-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "Kraken futures, snapshot": "kraken-futures:0000004d-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "Coinbase Exchange": "coinbase:QXF-USD:1000077",
    "Coinbase Advanced": "coinbase:QXF-USD:1000077",
    "Bitstamp": "bitstamp:1000077",
    "Gemini": "gemini:1000077",
    "Gemini, with its book": "gemini:1000077",
    "Gemini, fast": "gemini-fast:1000077",
    "Gemini v1": "gemini:1000077",
    "KuCoin": "kucoin:0000000000000000004da1f0",
    "KuCoin futures": "kucoin-futures:0000000000000000004da1f0",
    "Huobi (HTX)": "huobi:1000077",
    "Deribit": "deribit:1000077",
    "BitMEX": "bitmex:0000004d-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "dYdX": "dydx:0000000000000000004da1f0",
    "dYdX, batched": "dydx:0000000000000000004da1f0",
    "Upbit": "upbit:1000077",
    "Upbit, short keys": "upbit:1000077",
    "tardis": "tardis:bitmex:0000004d-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "cryptofeed": "cryptofeed:COINBASE:1000077",
    "ccxt": "ccxt:1000077",
}
"""The event id of the trade number N; forms that are missing send no id."""

SEQUENCED = {
    "Massive", "Massive, no tape", "Tradier time and sale", "Databento", "Bybit", "Kraken futures",
    "Kraken futures, snapshot", "Coinbase Exchange", "KuCoin", "KuCoin futures", "Deribit",
}  # fmt: skip
WITHOUT_SIZE = {"Twelve Data", "Yahoo", "Yahoo, other keys"}
NANOS = {
    "Alpaca": 177, "Alpaca, coins and options": 177, "Tiingo IEX": 77, "Databento": 177, "Gemini, fast": 77,
    "KuCoin": 77, "KuCoin futures": 77,
}  # fmt: skip


def parse(*messages: Any) -> TickRows:
    lines = (text if isinstance(text, str) else json.dumps(text) for text in messages)
    return parse_ticks("".join(f"{line}\n" for line in lines).encode(), "stock_stream/a")


@pytest.mark.parametrize("form", sorted(MESSAGES))
def test_a_vendors_trade(form: str) -> None:
    read = parse(message(form, N))
    (row,) = read.table.to_pylist()
    assert (read.rejected.num_rows, read.skipped.tolist()) == (0, [0])
    assert row["symbol"] in {"QXF", "QXFUSD", "QXF/USD", "QXF-USD", "O:QXS251219C00650000"}
    assert row["price"] == float(VALUES["num"](N))
    sizes = {None} if form in WITHOUT_SIZE else {float(VALUES[name](N)) for name in ("k", "num2")}
    assert row["size"] in sizes
    micros = (row["produced_at"] - AT.replace(microsecond=0)).total_seconds() * 1e6
    assert micros in (0, 77_000, 77_077)
    assert row["nanos"] == NANOS.get(form)
    assert (row["sequence"] == 1_000_077) == (form in SEQUENCED)
    if form in IDS:
        assert row["event_id"] == IDS[form]
    else:
        assert row["event_id"].endswith("-1")
        assert row["trade_number"] is None


@pytest.mark.parametrize("form", sorted(MESSAGES))
def test_a_form_is_told_from_all_others(form: str) -> None:
    decoded = json.loads(message(form, N))
    shape = form_of(decoded)
    assert shape is not None
    assert shape.name == form


@pytest.mark.parametrize("form", sorted(form for form in MESSAGES if holds_several(form)))
def test_several_trades_of_a_message_keep_their_places(form: str) -> None:
    read = parse(message(form, N, trades=11), message(form, N + 100, trades=2))
    assert read.lines.tolist() == [1] * 11 + [2] * 2
    assert read.table["place"].to_pylist() == [*range(11), 0, 1]
    assert len(set(read.table["event_id"].to_pylist())) == 13


@pytest.mark.parametrize("form", sorted(IDS))
@pytest.mark.parametrize("none", ["0", "00000000-0000-0000-0000-000000000000"])
def test_an_id_of_zeros_is_none(form: str, none: str) -> None:
    own_id = next(part for part in IDS[form].split(":")[::-1] if not part.startswith("17174268"))
    quoted = f'"{none}"'
    text = re.sub(rf'"{own_id}"|\b{own_id}\b', quoted, message(form, N))
    (row,) = parse(text).table.to_pylist()
    assert re.fullmatch("[0-9a-f]{24}-1", row["event_id"])
    assert row["trade_number"] is None


@pytest.mark.parametrize(
    ("text", "reason", "word"),
    [
        ('[17470,"te",[401597,1717426800000,0.005,72.3]]', "missing_symbol", "Bitfinex"),
        (
            '{"type":"update","eventId":1,"timestampms":1717426800000,"events":[{"type":"trade","tid":1,"price":"1",'
            '"amount":"1"},{"type":"trade","tid":2,"price":"1","amount":"1"},{"type":"change","side":"bid"}]}',
            "missing_symbol", "Gemini v1",
        ),
        ('{"instrument_token":408065,"last_price":1573.7,"last_traded_quantity":1}', "missing_symbol", "Kite"),
        ('{"sequence":1,"symbol":"QXC","trades":[[1717426800000000000,"Buy",67000,10]],"type":"incremental"}',
         "unknown_message", "nearest"),
        ('{"symbol":"QXA","price":1.5,"timestamp":1717426800000}', "unknown_message", "nearest"),
        ('{"type":"pricing","message":"CgRRWEFQFQAAQkMYgJbq6ftjKgNOTVM="}', "unknown_message", "nearest"),
        ('{"type":"something new","x":1}', "unknown_message", "no known form"),
        ('{"Records":[{"kinesis":{"data":"eyJ9"}}]}', "unknown_message", "no known form"),
        ('{"data":{"a":1},"type":"trade"}', "unknown_message", "Finnhub"),
        ('[1,2,3]', "unknown_message", "no known form"),
        ('[17470,[[1,2,3],[4,5,6]]]', "unknown_message", "no known form"),
        ("{}", "unknown_message", "no known form"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_alone_or_is_not_known_is_rejected_once(text: str, reason: str, word: str) -> None:
    read = parse(message("this project"), text)
    assert read.table.num_rows == 1
    (rejected,) = read.rejected.to_pylist()
    assert (rejected["line"], rejected["place"], rejected["reason"]) == (2, 0, reason)
    assert word in rejected["detail"]
    assert read.skipped.tolist() == [0]


SKIPPED: dict[str, list[str]] = {
    "this project": [
        '{"type":"quote","symbol":"QXA","price":94.1,"produced_at":"2024-06-03T15:00:00Z"}',
        '{"event":"heartbeat","produced_at":"2024-06-03T15:00:00Z"}',
    ],
    "Alpaca": [
        '{"T":"q","S":"QXA","bp":1,"ap":2,"t":"2024-06-03T15:00:00Z"}',
        '{"T":"success","msg":"connected"}',
        '{"T":"b","S":"QXA","o":1,"h":1,"l":1,"c":1,"v":1,"t":"2024-06-03T15:00:00Z"}',
        '{"T":"subscription","trades":["QXA"],"quotes":[]}',
    ],
    "Massive": [
        '{"ev":"status","status":"connected","message":"Connected"}',
        '{"ev":"AM","sym":"QXA","o":1}',
        '{"ev":"Q","sym":"QXA","bp":1,"ap":2,"t":1717426800000}',
    ],
    "Finnhub": [
        '{"type":"ping"}',
        '{"data":[],"type":"trade"}',
        '{"type":"error","msg":"Invalid API key"}',
    ],
    "Tiingo": [
        '{"messageType":"H","response":{"code":200,"message":"HeartBeat"}}',
        '{"messageType":"A","service":"iex","data":["Q","2024-06-03T11:00:00-04:00",1,"qxa",1,1.5,1.6,'
        '1.7,1,null,null,0,0,0,null,null]}',
    ],
    "EODHD": [
        '{"status_code":200,"message":"Authorized"}',
        '{"s":"EURUSD","a":1.1,"b":1.0,"dc":"0.1","dd":"0.1","ppms":false,"t":1717426800000}',
    ],
    "Twelve Data": [
        '{"event":"subscribe-status","status":"ok","success":[],"fails":null}',
        '{"event":"heartbeat","status":"ok"}',
    ],
    "Tradier": [
        '{"type":"quote","symbol":"QXS","bid":1,"bidsz":1,"ask":2,"asksz":1}',
        '{"type":"summary","symbol":"QXS","open":"1"}',
    ],
    "Binance": [
        '{"result":null,"id":1}',
        '{"e":"kline","E":1717426800000,"s":"QXCUSDT","k":{"t":1,"T":2}}',
        '{"u":400900217,"s":"QXCUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}',
        '{"stream":"qxcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"QXCUSDT","b":[],"a":[]}}',
    ],
    "Bybit": [
        '{"success":true,"ret_msg":"","conn_id":"c","req_id":"1","op":"subscribe"}',
        '{"topic":"orderbook.50.QXCUSDT","type":"delta","ts":1717426800000,"data":{"s":"QXCUSDT","b":[],"a":[]}}',
    ],
    "OKX": [
        '{"event":"subscribe","arg":{"channel":"trades","instId":"QXC-USDT"},"connId":"a"}',
        '{"arg":{"channel":"candle1D","instId":"QXC-USDT"},"data":[["1717426800000","1","1","1","1"]]}',
    ],
    "Kraken v1": [
        '{"event":"heartbeat"}',
        '[0,{"as":[["1","1","1717426800.1"]]},"book-10","QXC/USD"]',
        '[0,{"c":["5525.4","0.0"]},"ticker","QXC/USD"]',
    ],
    "Kraken v2": [
        '{"channel":"heartbeat"}',
        '{"method":"subscribe","result":{"channel":"trade"},"success":true}',
        '{"channel":"ticker","type":"update","data":[{"symbol":"QXC/USD","bid":1}]}',
    ],
    "Kraken futures": [
        '{"event":"subscribed","feed":"trade","product_ids":["PI_QXCUSD"]}',
        '{"feed":"heartbeat","time":1717426800000}',
    ],
    "Coinbase Exchange": [
        '{"type":"subscriptions","channels":[]}',
        '{"type":"heartbeat","sequence":90,"product_id":"QXC-USD"}',
        '{"type":"ticker","product_id":"QXC-USD","price":"4388.01","time":"2024-06-03T15:00:00Z"}',
    ],
    "Coinbase Advanced": [
        '{"channel":"heartbeats","client_id":"","timestamp":"2024-06-03T15:00:00Z","events":[]}',
        '{"channel":"market_trades","client_id":"","events":[]}',
    ],
    "Bitstamp": [
        '{"event":"bts:subscription_succeeded","channel":"live_trades_qxcusd","data":{}}',
    ],
    "Gemini": [
        '{"type":"l2_updates","symbol":"QXCUSD","changes":[["buy","9122.04","0.00121425"]]}',
        '{"type":"update","eventId":1,"events":[{"type":"change","side":"bid","price":"1"}]}',
    ],
    "KuCoin": [
        '{"id":"1","type":"welcome"}',
        '{"id":"1","type":"ack"}',
        '{"type":"message","topic":"/market/ticker:QXC-USDT","subject":"trade.ticker",'
        '"data":{"price":"1","size":"1"}}',
    ],
    "Huobi (HTX)": [
        '{"ping":1717426800000}',
        '{"id":"1","status":"ok","subbed":"market.qxcusdt.trade.detail","ts":1717426800000}',
        '{"ch":"market.qxcusdt.kline.1min","ts":1717426800000,"tick":{"id":1,"open":1}}',
    ],
    "Bitfinex": [
        '[17470,"hb"]',
        '{"event":"info","version":2}',
        '{"event":"subscribed","channel":"trades","chanId":17470,"symbol":"tQXCUSD"}',
    ],
    "Deribit": [
        '{"jsonrpc":"2.0","id":1,"result":["trades.QXC-PERPETUAL.raw"]}',
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"book.QXC-PERPETUAL.100ms","data":{"bids":[]}}}',
    ],
    "BitMEX": [
        '{"success":true,"subscribe":"trade:QXCUSD","request":{}}',
        '{"table":"quote","action":"insert","data":[{"symbol":"QXCUSD"}]}',
        '{"info":"Welcome","version":"1","timestamp":"2024-06-03T15:00:00Z","docs":"d","limit":{}}',
    ],
    "dYdX": [
        '{"type":"connected","connection_id":"c","message_id":0}',
        '{"type":"channel_data","id":"QXC-USD","channel":"v4_orderbook","contents":{"asks":[]}}',
    ],
    "Upbit": [
        '{"status":"UP"}',
        '{"type":"ticker","code":"KRW-QXC","trade_price":1}',
        '{"type":"orderbook","code":"KRW-QXC"}',
    ],
    "tardis": [
        '{"type":"book_change","symbol":"QXTUSD","exchange":"bitmex","isSnapshot":false,"bids":[],"asks":[]}',
    ],
    "cryptofeed": [
        '{"exchange":"COINBASE","symbol":"QXC-USD","bid":1,"ask":2,"timestamp":1717426800.5,'
        '"receipt_timestamp":1717426800.6}',
    ],
    "Databento": [
        '{"hd":{"ts_event":"1","rtype":23,"publisher_id":0,"instrument_id":0},"msg":"Heartbeat"}',
    ],
    "Kite": [
        '{"type":"order","data":{"order_id":"1"}}',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("vendor", "text"), [(vendor, text) for vendor, texts in SKIPPED.items() for text in texts])
def test_known_messages_without_a_trade_are_skipped_and_counted(vendor: str, text: str) -> None:
    read = parse(message("this project"), text)
    assert (read.table.num_rows, read.rejected.to_pylist(), read.skipped.tolist()) == (1, [], [1])


def test_every_vendor_of_the_lists_has_a_message_here() -> None:
    assert {other.vendor for other in OTHERS} == set(SKIPPED)


def test_no_trade_is_on_a_list_of_other_messages() -> None:
    for form in MESSAGES:
        decoded = json.loads(message(form, N))
        shape = form_of(decoded)
        assert shape is not None
        assert shape is next(each for each in FORMS.shapes if each.of(decoded))


def test_a_number_begins_anew_each_session_and_each_moment_is_part_of_an_id() -> None:
    winter = ["2024-01-04T00:30:00.1Z", "2024-01-04T15:00:00.1Z"]  # one UTC day, two sessions
    summer = ["2024-06-04T03:59:59Z", "2024-06-04T04:00:00Z"]
    read = parse(
        *({"T": "t", "S": "QXW", "i": 57, "x": "P", "p": 20, "s": 1, "t": t, "z": "C"} for t in winter + summer)
    )
    days = [event_id.split(":")[2] for event_id in read.table["event_id"].to_pylist()]
    assert days == ["2024-01-03", "2024-01-04", "2024-06-03", "2024-06-04"]


@pytest.mark.parametrize(
    ("changes", "size"),
    [({"ds": "0.25"}, 0.25), ({"ds": None}, 3.0), ({"ds": ""}, 3.0), ({}, 3.0), ({"ds": 1.5}, 1.5)],
)
def test_the_true_size_of_massive_is_ds(changes: dict[str, Any], size: float) -> None:
    trade = {"ev": "T", "sym": "QXA", "i": "1", "x": 4, "p": 94.03, "s": 3, "t": 1717426800000, "z": 3, **changes}
    assert parse(trade).table["size"].to_pylist() == [size]


@pytest.mark.parametrize(
    ("price", "value"),
    [('"94.030000000"', 94.03), ('"94030000000"', 94.03), ("94030000000", 94.03), ('"-37630000000"', -37.63)],
)
def test_prices_of_databento_are_decimals_or_billionths(price: str, value: float) -> None:
    line = message("Databento").replace('"100.100"', price)
    assert price in line
    assert parse(line).table["price"].to_pylist() == [value]


def test_the_undefined_price_of_databento_is_none() -> None:
    line = message("Databento").replace('"100.100"', '"9223372036854775807"')
    assert parse(line).rejected["reason"].to_pylist() == ["missing_price"]


def test_what_takes_a_trade_back_is_no_tick() -> None:
    cancel = '{"T":"x","S":"QXN","i":101,"x":"D","p":81.1,"s":25000,"a":"C","z":"A","t":"2024-06-04T01:00:30Z"}'
    correction = (
        '{"T":"c","S":"QXI","x":"M","oi":200,"op":541.3,"os":2500,"oc":[" "],"ci":201,"cp":451.3,"cs":2400,'
        '"cc":["@","I"],"z":"B","t":"2024-06-03T15:00:25Z"}'
    )
    read = parse(f"[{cancel},{correction}]")
    assert (read.table.num_rows, read.rejected.num_rows, read.skipped.tolist()) == (0, 0, [0])
    cancelled, corrected = read.corrections.to_pylist()
    assert [cancelled["event_id"], corrected["event_id"]] == [
        "alpaca:D:2024-06-03:101:cancel", "alpaca:M:2024-06-03:201:correct",
    ]  # fmt: skip
    assert (cancelled["place"], cancelled["session"].isoformat(), cancelled["new_price"]) == (0, "2024-06-03", None)
    assert (corrected["place"], corrected["trade_number"], corrected["price"], corrected["size"]) == (
        1,
        200,
        541.3,
        2500,
    )
    assert (corrected["new_number"], corrected["new_price"], corrected["new_size"]) == (201, 451.3, 2400)
    assert (corrected["conditions"], corrected["tape"]) == ("@,I", "B")


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"S": None}, "missing_symbol"), ({"p": None}, "missing_price"), ({"p": "x"}, "bad_number"),
     ({"t": None}, "missing_timestamp"), ({"t": "now"}, "bad_timestamp"), ({"i": None}, "bad_event_id"),
     ({"i": "a"}, "bad_event_id")],
)  # fmt: skip
def test_what_takes_back_no_trade_that_can_be_found_is_rejected(change: dict[str, Any], reason: str) -> None:
    cancel = {"T": "x", "S": "QXN", "i": 101, "x": "D", "p": 81.1, "s": 25000, "z": "A", "t": "2024-06-03T15:00:30Z"}
    read = parse({**cancel, **change})
    assert (read.rejected["reason"].to_pylist(), read.corrections.num_rows) == ([reason], 0)
