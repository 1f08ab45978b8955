"""Made-up messages of every form in the table of tick vendors: templates, and values for them.

A template is a line with names of values in angle brackets. The part between « and » is one trade; a message may hold
several. `VALUES` has a plain text for each name, by the number of a trade.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

MESSAGES = {
    "this project": '{"event_id":"<word>","symbol":"<sym>","price":<num>,"size":<num2>,"produced_at":"<iso6>"}',
    "Alpaca": '{"T":"t","S":"<sym>","i":<n>,"x":"<x>","p":<num>,"s":<num2>,"t":"<iso9>","c":["@","I"],"z":"C"}',
    "Alpaca, coins and options": '{"T":"t","S":"<pair>","p":<num>,"s":<num2>,"t":"<iso9>","i":<n>,"tks":"B"}',
    "Massive": (
        '{"ev":"T","sym":"<sym>","i":"<n>","x":<k>,"p":<num>,"s":<k>,"ds":"<num2>","c":[14,41],"t":<ms>,"q":<n>,'
        '"trfi":<k>,"trft":<ms>,"z":3}'
    ),
    "Massive, no tape": '{"ev":"T","sym":"O:QXS251219C00650000","x":<k>,"p":<num>,"s":<k>,"c":[],"t":<ms>,"q":<n>}',
    "Massive, coins": '{"ev":"XT","pair":"<pair2>","p":<num>,"t":<ms>,"s":<num2>,"c":[2],"i":"<n>","x":<k>,"r":<ms>}',
    "Finnhub": '{"data":[«{"c":["1","8"],"p":<num>,"s":"<sym>","t":<ms>,"v":<num2>}»],"type":"trade"}',
    "Tiingo IEX": (
        '{"messageType":"A","service":"iex","data":["T","<iso9>",<ns>,"<low>",null,null,null,null,null,<num>,<k>,null,0,0,0,0]}'
    ),
    "Tiingo coins": (
        '{"messageType":"A","service":"crypto_data","data":["T","<low>","<iso6>+00:00","gdax",<num2>,<num>]}'
    ),
    "EODHD": '{"s":"<sym>","p":<num>,"c":<k>,"v":<k>,"dp":false,"ms":"open","t":<ms>}',
    "EODHD, coins": '{"s":"<pair2>","p":"<num>","q":"<num2>","dc":"-0.1","dd":"-1.5","t":<ms>}',
    "Twelve Data": (
        '{"event":"price","symbol":"<sym>","currency":"USD","exchange":"NASDAQ","type":"Common Stock","timestamp":<s>,'
        '"price":<num>,"day_volume":<n>}'
    ),
    "Tradier": (
        '{"type":"trade","symbol":"<sym>","exch":"<x>","price":"<num>","size":"<k>","cvol":"<n>","date":"<ms>","last":"<num>"}'
    ),
    "Tradier time and sale": (
        '{"type":"timesale","symbol":"<sym>","exch":"<x>","bid":"<num>","ask":"<num>","last":"<num>","size":"<k>",'
        '"date":"<ms>","seq":<n>,"flag":"","cancel":false,"correction":false,"session":"normal"}'
    ),
    "Databento": (
        '{"ts_recv":"<iso9>","hd":{"ts_event":"<iso9>","rtype":0,"publisher_id":2,"instrument_id":<k>},"action":"T",'
        '"side":"B","depth":0,"price":"<num>0","size":<k>,"flags":128,"ts_in_delta":<k>,"sequence":<n>,"symbol":"<sym>"}'
    ),
    "Yahoo": (
        '{"id":"<sym>","price":<num>,"time":"<ms>","currency":"USD","exchange":"NMS","quote_type":8,"market_hours":1,'
        '"change_percent":-0.25,"day_volume":"<n>","change":-1.5}'
    ),
    "Yahoo, other keys": '{"id":"<sym>","price":<num>,"time":"<ms>","exchange":"NMS","quoteType":8,"marketHours":1}',
    "Kite": (
        '{"instrument_token":<k>,"tradingsymbol":"<sym>","last_price":<num>,"last_traded_quantity":<k>,'
        '"last_trade_time":"<iso0>"}'
    ),
    "Binance trade": '{"e":"trade","E":<ms>,"s":"<sym>","t":<n>,"p":"<num>","q":"<num2>","T":<ms>,"m":true,"M":true}',
    "Binance aggregate trade": (
        '{"e":"aggTrade","E":<ms>,"s":"<sym>","a":<n>,"p":"<num>","q":"<num2>","f":<n>,"l":<n>,"T":<ms>,"m":true,"M":true}'
    ),
    "Binance trade, combined stream": (
        '{"stream":"<low>@trade","data":{"e":"trade","E":<ms>,"s":"<sym>","t":<n>,"p":"<num>","q":"<num2>","T":<ms>,"m":false}}'
    ),
    "Binance aggregate trade, combined stream": (
        '{"stream":"<low>@aggTrade","data":{"e":"aggTrade","E":<ms>,"s":"<sym>","a":<n>,"p":"<num>","q":"<num2>","f":<n>,'
        '"l":<n>,"T":<ms>,"m":false}}'
    ),
    "Bybit": (
        '{"topic":"publicTrade.<sym>","type":"snapshot","ts":<ms>,"data":[«{"T":<ms>,"s":"<sym>","S":"Buy","v":"<num2>",'
        '"p":"<num>","L":"PlusTick","i":"<uuid>","BT":false,"seq":<n>}»]}'
    ),
    "OKX": (
        '{"arg":{"channel":"trades","instId":"<pair2>"},"data":[«{"instId":"<pair2>","tradeId":"<n>","px":"<num>",'
        '"sz":"<num2>","side":"buy","ts":"<ms>","count":"3"}»]}'
    ),
    "Kraken v1": '[<k>,[«["<num>","<num2>","<s6>","s","l",""]»],"trade","<pair>"]',
    "Kraken v2": (
        '{"channel":"trade","type":"update","data":[«{"symbol":"<pair>","side":"sell","price":<num>,"qty":<num2>,'
        '"ord_type":"market","trade_id":<n>,"timestamp":"<iso6>Z"}»]}'
    ),
    "Kraken futures": (
        '{"feed":"trade","product_id":"<sym>","uid":"<uuid>","side":"sell","type":"fill","seq":<n>,"time":<ms>,"qty":<k>,'
        '"price":<num>}'
    ),
    "Kraken futures, snapshot": (
        '{"feed":"trade_snapshot","product_id":"PI","trades":[«{"feed":"trade","product_id":"<sym>","uid":"<uuid>",'
        '"side":"sell","type":"fill","seq":<n>,"time":<ms>,"qty":<k>,"price":<num>}»]}'
    ),
    "Coinbase Exchange": (
        '{"type":"match","trade_id":<n>,"maker_order_id":"<uuid>","taker_order_id":"<uuid>","side":"sell","size":"<num2>",'
        '"price":"<num>","product_id":"<pair2>","sequence":<n>,"time":"<iso6>Z"}'
    ),
    "Coinbase Advanced": (
        '{"channel":"market_trades","client_id":"","timestamp":"<iso6>Z","sequence_num":<n>,"events":[{"type":"update",'
        '"trades":[«{"trade_id":"<n>","product_id":"<pair2>","price":"<num>","size":"<num2>","side":"BUY",'
        '"time":"<iso6>Z"}»]}]}'
    ),
    "Bitstamp": (
        '{"data":{"id":<n>,"timestamp":"<s>","amount":<num2>,"amount_str":"<num2>","price":<num>,"price_str":"<num>",'
        '"type":0,"microtimestamp":"<us>","buy_order_id":<n>,"sell_order_id":<n>},"channel":"live_trades_<low>",'
        '"event":"trade"}'
    ),
    "Gemini": (
        '{"type":"trade","symbol":"<sym>","event_id":<n>,"timestamp":<ms>,"price":"<num>","quantity":"<num2>","side":"buy"}'
    ),
    "Gemini, with its book": (
        '{"type":"l2_updates","symbol":"<sym>","changes":[],"trades":[«{"type":"trade","symbol":"<sym>","event_id":<n>,'
        '"timestamp":<ms>,"price":"<num>","quantity":"<num2>","side":"buy"}»]}'
    ),
    "Gemini, fast": '{"E":<ns>,"s":"<low>","t":<n>,"p":"<num>","q":"<num2>","m":true}',
    "Gemini v1": (
        '{"type":"update","eventId":<n>,"timestamp":<s>,"timestampms":<ms>,"socket_sequence":<k>,"events":[«{"type":"trade",'
        '"symbol":"<sym>","tid":<n>,"price":"<num>","amount":"<num2>","makerSide":"bid"}»]}'
    ),
    "KuCoin": (
        '{"type":"message","topic":"/market/match:<pair2>","subject":"trade.l3match","data":{"symbol":"<pair2>",'
        '"side":"sell","price":"<num>","size":"<num2>","tradeId":"<hex>","takerOrderId":"a","makerOrderId":"b",'
        '"sequence":"<n>","type":"match","time":"<ns>"}}'
    ),
    "KuCoin futures": (
        '{"topic":"/contractMarket/execution:<sym>","type":"message","subject":"match","data":{"symbol":"<sym>",'
        '"sequence":<n>,"side":"sell","size":<k>,"price":"<num>","takerOrderId":"a","makerOrderId":"b","tradeId":"<hex>",'
        '"ts":<ns>}}'
    ),
    "Huobi (HTX)": (
        '{"ch":"market.<low>.trade.detail","ts":<ms>,"tick":{"id":<n>,"ts":<ms>,"data":[«{"id":<n>359183894799000001,'
        '"ts":<ms>,"tradeId":<n>,"amount":<num2>,"price":<num>,"direction":"buy"}»]}}'
    ),
    "Deribit": (
        '{"jsonrpc":"2.0","method":"subscription","params":{"channel":"trades.<sym>.raw","data":[«{"trade_seq":<n>,'
        '"trade_id":"<n>","timestamp":<ms>,"tick_direction":2,"price":<num>,"mark_price":<num>,"instrument_name":"<sym>",'
        '"index_price":<num>,"direction":"sell","amount":<num2>}»]}}'
    ),
    "BitMEX": (
        '{"table":"trade","action":"insert","data":[«{"timestamp":"<iso3>Z","symbol":"<sym>","side":"Buy","size":<k>,'
        '"price":<num>,"tickDirection":"ZeroPlusTick","trdMatchID":"<uuid>","grossValue":<n>,"homeNotional":<num2>,'
        '"foreignNotional":<k>,"trdType":"Regular"}»]}'
    ),
    "dYdX": (
        '{"type":"channel_data","connection_id":"c","message_id":<k>,"id":"<pair2>","channel":"v4_trades","version":"2.1.0",'
        '"contents":{"trades":[«{"id":"<hex>","size":"<num2>","price":"<num>","side":"BUY","createdAt":"<iso3>Z"}»]}}'
    ),
    "dYdX, batched": (
        '{"type":"channel_batch_data","connection_id":"c","message_id":<k>,"id":"<pair2>","channel":"v4_trades",'
        '"version":"2.1.0","contents":[{"trades":[«{"id":"<hex>","size":"<num2>","price":"<num>","side":"BUY",'
        '"createdAt":"<iso3>Z"}»]}]}'
    ),
    "Upbit": (
        '{"type":"trade","code":"<pair2>","timestamp":<ms>,"trade_date":"2024-06-03","trade_time":"15:00:00",'
        '"trade_timestamp":<ms>,"trade_price":<num>,"trade_volume":<num2>,"ask_bid":"BID","prev_closing_price":<num>,'
        '"change":"RISE","change_price":<num2>,"sequential_id":<n>,"stream_type":"REALTIME"}'
    ),
    "Upbit, short keys": (
        '{"ty":"trade","cd":"<pair2>","tms":<ms>,"ttms":<ms>,"tp":<num>,"tv":<num2>,"ab":"BID","sid":<n>,"st":"REALTIME"}'
    ),
    "tardis": (
        '{"type":"trade","symbol":"<sym>","exchange":"bitmex","id":"<uuid>","price":<num>,"amount":<num2>,"side":"sell",'
        '"timestamp":"<iso3>Z","localTimestamp":"<iso3>Z"}'
    ),
    "cryptofeed": (
        '{"exchange":"COINBASE","symbol":"<pair2>","side":"buy","amount":<num2>,"price":<num>,"id":"<n>","type":null,'
        '"timestamp":<s6>,"receipt_timestamp":<s6>}'
    ),
    "ccxt": (
        '{"info":{"a":"<n>","b":[1,2]},"id":"<n>","timestamp":<ms>,"datetime":"<iso3>Z","symbol":"<pair>","order":null,'
        '"type":null,"side":"buy","takerOrMaker":null,"price":<num>,"amount":<num2>,"cost":<num>,"fee":null,"fees":[]}'
    ),
}  # fmt: skip
"""A template for each form that can be read; Bitfinex cannot, as its messages name no symbol."""

_BEGIN = datetime(2024, 6, 3, 15, tzinfo=UTC)


def _moment(n: int) -> datetime:
    return _BEGIN + timedelta(microseconds=1_000 * n + n % 997)


def _epoch(n: int, unit: int) -> str:
    return str((_moment(n) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000 // unit)


VALUES: dict[str, Callable[[int], str]] = {
    "sym": lambda n: f"QX{'ABCDEFGH'[n % 8]}",
    "low": lambda n: f"qx{'abcdefgh'[n % 8]}usd",
    "pair": lambda n: f"QX{'ABCDEFGH'[n % 8]}/USD",
    "pair2": lambda n: f"QX{'ABCDEFGH'[n % 8]}-USD",
    "num": lambda n: f"{100 + n % 500}.{n % 90 + 10}",
    "num2": lambda n: f"0.{n % 9000 + 1000}1",
    "k": lambda n: str(n % 50 + 1),
    "n": lambda n: str(1_000_000 + n),
    "x": lambda n: "DPVQ"[n % 4],
    "word": lambda n: f"e{n}",
    "hex": lambda n: f"{n:020x}a1f0",
    "uuid": lambda n: f"{n:08x}-0e3a-4b61-9a5f-00a1b2c3d4e5",
    "iso0": lambda n: f"{_moment(n):%Y-%m-%d %H:%M:%S}",
    "iso3": lambda n: f"{_moment(n):%Y-%m-%dT%H:%M:%S.%f}"[:-3],
    "iso6": lambda n: f"{_moment(n):%Y-%m-%dT%H:%M:%S.%f}",
    "iso9": lambda n: f"{_moment(n):%Y-%m-%dT%H:%M:%S.%f}{n % 900 + 100}Z",
    "s": lambda n: _epoch(n, 10**9),
    "s6": lambda n: f"{_epoch(n, 10**9)}.{_moment(n):%f}",
    "ms": lambda n: _epoch(n, 10**6),
    "us": lambda n: _epoch(n, 10**3),
    "ns": lambda n: str(int(_epoch(n, 1)) + n % 1000),
}
"""The plain text of a value, by the number of its trade."""

_NAME = re.compile(r"<([a-z0-9]+)>")


def filled(text: str, value: Callable[[str], str]) -> str:
    """A template with a text for each name."""
    return _NAME.sub(lambda found: value(found[1]), text)


def message(form: str, first: int = 0, trades: int = 1, value: Callable[[str, int], str] | None = None) -> str:
    """A message of a form with some trades, numbered from `first`; `value` gives other texts than the plain ones."""
    value = value or (lambda name, n: VALUES[name](n))
    template = MESSAGES[form]
    begin, found, rest = template.partition("«")
    if not found:
        return filled(template, lambda name: value(name, first))
    item, _, end = rest.partition("»")
    items = (filled(item, lambda name, n=n: value(name, n)) for n in range(first, first + trades))  # type: ignore[misc]
    head, tail = (filled(part, lambda name: value(name, first)) for part in (begin, end))
    return f"{head}{','.join(items)}{tail}"


def holds_several(form: str) -> bool:
    """Whether a message of the form may hold several trades."""
    return "«" in MESSAGES[form]
