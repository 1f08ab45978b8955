"""The table of tick vendors: their forms of a trade, and their other messages. A new form starts here.

The facts are from the vendors' public documentation. A message with none of these forms is rejected as
`unknown_message`. docs/reference.md shows the table (section Ticks); the words used in it are explained in shapes.py.
"""

from __future__ import annotations

from stock_pipeline.parse.ticks.forms import Forms
from stock_pipeline.parse.ticks.others import OTHERS
from stock_pipeline.parse.ticks.shapes import Shape, signs

_NO_TRADE = (
    "quote|quotes|book|orderbook|depth|bar|candle|heartbeat|ping|pong|subscribe|subscribed|unsubscribe|unsubscribed|"
    "subscription|subscriptions|status|info|ack|error"
)

OWN = Shape(
    "this project", signs("produced_at"), "symbol", "price", "size", "produced_at", "event_id",
    unless=(*signs(f"type={_NO_TRADE}"), *signs(f"event={_NO_TRADE}")),
)  # fmt: skip

OWN_UNTIMED = Shape(
    "this project, without a time", signs("symbol", "price"), "symbol", "price", "size", "produced_at", "event_id",
    unless=OWN.unless,
)  # fmt: skip

_SHARES = (
    Shape(
        "Alpaca", signs("T=t", "z"), "S", "p", "s", "t", "i", "alpaca", scope=("x",), session=True,
        exchange="x", conditions="c", tape="z", codes="alpaca",
    ),
    Shape(  # no tape: coins and options, whose codes are not those of the tapes
        "Alpaca, coins and options", signs("T=t"), "S", "p", "s", "t", "i", "alpaca", scope=("x",), session=True,
        exchange="x", conditions="c",
    ),
    Shape(
        "Massive", signs("ev=T", "z"), "sym", "p", "ds|s", "t", "i", "massive", scope=("x", "trfi"), session=True,
        sequence="q", exchange="x", conditions="c", tape="z", reported="trft", codes="massive",
    ),
    Shape(
        "Massive, no tape", signs("ev=T"), "sym", "p", "ds|s", "t", "i", "massive", scope=("x", "trfi"), session=True,
        sequence="q", exchange="x", conditions="c", reported="trft",
    ),
    Shape(
        "Massive, coins", signs("ev=XT"), "pair", "p", "s", "t", "i", "massive", scope=("x",), session=True,
        exchange="x", conditions="c",
    ),
    Shape("Finnhub", signs("type=trade", "data"), "s", "p", "v", "t", trades="data", conditions="c", codes="finnhub"),
    Shape(
        "Tiingo IEX", signs("messageType=A", "service=iex", "data.0=T"),
        "data.3", "data.9", "data.10", "data.2|data.1", inside="*",
    ),
    Shape(
        "Tiingo coins", signs("messageType=A", "service=crypto_data", "data.0=T"),
        "data.1", "data.5", "data.4", "data.2", exchange="data.3", inside="*",
    ),
    Shape("EODHD", signs("s", "p", "v", "t", "ms"), "s", "p", "v", "t", conditions="c"),
    Shape("EODHD, coins", signs("s", "p", "q", "t", "dc"), "s", "p", "q", "t"),
    Shape("Twelve Data", signs("event=price", "symbol"), "symbol", "price", "", "timestamp"),
    Shape(
        "Tradier", signs("type=trade|tradex", "symbol", "date", "exch"), "symbol", "price", "size", "date",
        exchange="exch",
    ),
    Shape(
        "Tradier time and sale", signs("type=timesale", "symbol"), "symbol", "last", "size", "date",
        sequence="seq", exchange="exch", conditions="flag", unless=signs("cancel=true", "correction=true"),
    ),
    Shape(
        "Databento", signs("action=T", "hd.ts_event"), "symbol", "price", "size", "hd.ts_event",
        sequence="sequence", exchange="hd.publisher_id", fixed=True,
    ),
    Shape("Yahoo", signs("id", "price", "time", "quote_type"), "id", "price", "", "time", exchange="exchange"),
    Shape(
        "Yahoo, other keys", signs("id", "price", "time", "quoteType"), "id", "price", "", "time", exchange="exchange",
    ),
    Shape(
        "Kite", signs("instrument_token", "last_price"), "tradingsymbol|symbol", "last_price",
        "last_traded_quantity|last_quantity", "last_trade_time|exchange_timestamp|timestamp", alone=False,
    ),
)  # fmt: skip


def _binance(name: str, signed: tuple[str, ...], at: str, number: str, event: str) -> Shape:
    return Shape(
        name, signs(*signed, f"{at}e={event}"), f"{at}s", f"{at}p", f"{at}q", f"{at}T", f"{at}{number}",
        f"binance:{event}",
    )  # fmt: skip


_COINS = (
    _binance("Binance trade", (), "", "t", "trade"),
    _binance("Binance aggregate trade", (), "", "a", "aggTrade"),
    _binance("Binance trade, combined stream", ("stream",), "data.", "t", "trade"),
    _binance("Binance aggregate trade, combined stream", ("stream",), "data.", "a", "aggTrade"),
    Shape("Bybit", signs("topic=publicTrade.*"), "s", "p", "v", "T", "i", "bybit", trades="data", sequence="seq"),
    Shape(
        "OKX", signs("arg.channel=trades|trades-all|option-trades"), "instId", "px", "sz", "ts", "tradeId", "okx",
        trades="data", sequence="seqId",
    ),
    Shape("Kraken v1", signs("2=trade", "3"), "/3", "0", "1", "2", trades="1"),
    Shape(
        "Kraken v2", signs("channel=trade", "type=snapshot|update"), "symbol", "price", "qty", "timestamp",
        "trade_id", "kraken", trades="data",
    ),
    Shape("Kraken futures", signs("feed=trade", "product_id"), "product_id", "price", "qty", "time", "uid",
          "kraken-futures", sequence="seq"),
    Shape("Kraken futures, snapshot", signs("feed=trade_snapshot"), "product_id", "price", "qty", "time", "uid",
          "kraken-futures", trades="trades", sequence="seq"),
    Shape(
        "Coinbase Exchange", signs("type=match|last_match"), "product_id", "price", "size", "time", "trade_id",
        "coinbase", scope=("product_id",), sequence="sequence",
    ),
    Shape(
        "Coinbase Advanced", signs("channel=market_trades", "events"), "product_id", "price", "size", "time",
        "trade_id", "coinbase", scope=("product_id",), trades="events.*.trades",
    ),
    Shape(
        "Bitstamp", signs("event=trade", "channel=live_trades_*"), "channel", "data.price_str|data.price",
        "data.amount_str|data.amount", "data.microtimestamp|data.timestamp", "data.id", "bitstamp",
        inside="live_trades_*",
    ),
    Shape(
        "Gemini", signs("type=trade", "symbol", "quantity"), "symbol", "price", "quantity", "timestamp", "event_id|tid",
        "gemini",
    ),
    Shape(
        "Gemini, with its book", signs("type=l2_updates", "trades"), "symbol", "price", "quantity", "timestamp",
        "event_id|tid", "gemini", trades="trades",
    ),
    Shape("Gemini, fast", signs("E", "s", "t", "p", "q", "m"), "s", "p", "q", "E", "t", "gemini-fast", inside="*",
          unless=signs("e")),
    Shape(
        "Gemini v1", signs("type=update", "events.*.type=trade"), "symbol", "price", "amount",
        "/timestampms|/timestamp", "tid", "gemini", trades="events", only="type=trade", alone=False,
    ),
    Shape(
        "KuCoin", signs("topic=/market/match:*", "data"), "data.symbol", "data.price", "data.size", "data.time",
        "data.tradeId", "kucoin", sequence="data.sequence",
    ),
    Shape(
        "KuCoin futures", signs("topic=/contractMarket/execution:*", "data"), "data.symbol", "data.price", "data.size",
        "data.ts", "data.tradeId", "kucoin-futures", sequence="data.sequence",
    ),
    Shape(
        "Huobi (HTX)", signs("ch=market.*.trade.detail"), "/ch", "price", "amount", "ts", "tradeId", "huobi",
        trades="tick.data", inside="market.*.trade.detail",
    ),
    Shape("Bitfinex", signs("1=te|tu|fte|ftu", "2"), "", "2.3", "2.2", "2.1", "2.0", "bitfinex", alone=False),
    Shape(
        "Deribit", signs("method=subscription", "params.channel=trades.*"), "instrument_name", "price", "amount",
        "timestamp", "trade_id", "deribit", trades="params.data", sequence="trade_seq",
    ),
    Shape(
        "BitMEX", signs("table=trade", "action=partial|insert"), "symbol", "price", "size", "timestamp", "trdMatchID",
        "bitmex", trades="data",
    ),
    Shape(
        "dYdX", signs("channel=v4_trades|v3_trades", "type=channel_data|subscribed", "contents"), "/id", "price",
        "size", "createdAt", "id", "dydx", trades="contents.trades",
    ),
    Shape(
        "dYdX, batched", signs("channel=v4_trades|v3_trades", "type=channel_batch_data", "contents"), "/id", "price",
        "size", "createdAt", "id", "dydx", trades="contents.*.trades",
    ),
    Shape(
        "Upbit", signs("type=trade", "code", "trade_price"), "code", "trade_price", "trade_volume",
        "trade_timestamp|timestamp", "sequential_id", "upbit",
    ),
    Shape("Upbit, short keys", signs("ty=trade", "cd"), "cd", "tp", "tv", "ttms|tms", "sid", "upbit"),
    Shape(
        "tardis", signs("type=trade", "symbol", "amount", "localTimestamp"), "symbol", "price", "amount", "timestamp",
        "id", "tardis", scope=("exchange",), exchange="exchange",
    ),
    Shape(
        "cryptofeed", signs("exchange", "symbol", "amount", "price", "receipt_timestamp"), "symbol", "price", "amount",
        "timestamp", "id", "cryptofeed", scope=("exchange",), exchange="exchange",
    ),
    Shape("ccxt", signs("symbol", "price", "amount", "datetime"), "symbol", "price", "amount", "timestamp|datetime",
          "id", "ccxt"),
)  # fmt: skip

FORMS = Forms((OWN, *_SHARES, *_COINS, OWN_UNTIMED), OTHERS)
"""Everything that is known, in the order in which a message is compared with it."""
