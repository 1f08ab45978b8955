"""The known messages of tick vendors that hold no trade: quotes, books, bars, subscriptions, heartbeats,
acknowledgements.

There is a closed list for each vendor. Messages on it are skipped and counted. A message that is on no list, and has no
form of vendors.py, is rejected as `unknown_message`. An empty list of trades is skipped too.

Signs are written as in shapes.py and joined with `&`. Signs without a text are weak evidence, so a message must have
exactly those keys, unless `...` allows others.
"""

from __future__ import annotations

from stock_pipeline.parse.ticks.shapes import Other, signs

_LISTS: dict[str, tuple[str, ...]] = {
    "this project": (
        "produced_at & type=quote|quotes|book|orderbook|depth|bar|candle|heartbeat|ping|pong|subscribe|subscribed|"
        "unsubscribe|unsubscribed|subscription|subscriptions|status|info|ack|error",
        "produced_at & event=quote|quotes|book|orderbook|depth|bar|candle|heartbeat|ping|pong|subscribe|subscribed|"
        "unsubscribe|unsubscribed|subscription|subscriptions|status|info|ack|error",
        "symbol & type=quote|quotes|book|orderbook|depth|bar|candle|status",
    ),
    "Alpaca": ("T=q|b|d|u|o|s|l|i|n|success|error|subscription",),
    "Massive": ("ev=status|Q|A|AM|AS|LULD|NOI|FMV|V|C|CA|CAS|XQ|XA|XAS|XL2|LV",),
    "Finnhub": ("type=ping|pong|news|press-release|error|subscribe|unsubscribe",),
    "Tiingo": (
        "messageType=I|H|E|D|U", "messageType=A & service=iex & data.0=Q|B", "messageType=A & service=fx",
        "messageType=A & service=crypto_data & data.0=Q",
    ),
    "EODHD": ("status_code & message", "s & a & b & dc & dd & ppms & t", "s & ap & as & bp & bs & t"),
    "Twelve Data": ("event=subscribe-status|unsubscribe-status|reset-status|heartbeat",),
    "Tradier": ("type=quote|summary & symbol", "type=timesale & cancel=true", "type=timesale & correction=true"),
    "Databento": (
        "hd & action=A|C|M|R|F|N", "hd.rtype=17|18|19|20|21|22|23|24|32|33|34|35|36|192|193|194|195|196",
    ),
    "Kite": ("type=order|error|message & data",),
    "Binance": (
        "e=kline|continuous_kline|24hrTicker|24hrMiniTicker|1hTicker|4hTicker|1dTicker|depthUpdate|avgPrice|bookTicker|"
        "markPriceUpdate|forceOrder|compositeIndex|contractInfo|assetIndex|serverShutdown|outboundAccountPosition|"
        "balanceUpdate|executionReport|listStatus",
        "stream & data.e=kline|continuous_kline|24hrTicker|24hrMiniTicker|1hTicker|4hTicker|1dTicker|depthUpdate|"
        "avgPrice|bookTicker|markPriceUpdate|forceOrder|compositeIndex|contractInfo|assetIndex|serverShutdown",
        "u & s & b & B & a & A", "stream & data.u & data.b & data.a", "lastUpdateId & bids & asks",
        "stream & data.lastUpdateId", "result & id", "error.code & id", "code & msg & id", "code & msg",
        "stream=!*|*@miniTicker|*@ticker|*@arr",
    ),
    "Bybit": (
        "topic=orderbook.*|tickers.*|kline.*|liquidation.*|allLiquidation.*|kline_lt.*|tickers_lt.*|lt.*|insurance.*|"
        "adlAlert.*|priceLimit.*",
        "op=subscribe|unsubscribe|ping|pong|auth",
    ),
    "OKX": (
        "event=subscribe|unsubscribe|error|login|notice|channel-conn-count|channel-conn-count-error",
        "arg.channel=tickers|books|books5|bbo-tbt|books-l2-tbt|books50-l2-tbt|candle*|mark-price|mark-price-candle*|"
        "index-candle*|index-tickers|open-interest|funding-rate|price-limit|instruments|status|opt-summary|"
        "estimated-price|liquidation-orders|adl-warning|economic-calendar",
    ),
    "Kraken v1": ("event=heartbeat|systemStatus|subscriptionStatus|pong|ping", "2=ticker|spread|ohlc-*|book-*",
                  "3=book-*"),
    "Kraken v2": ("channel=heartbeat|status|book|ticker|ohlc|instrument|level3|executions|balances",
                  "method=subscribe|unsubscribe|ping|pong"),
    "Kraken futures": (
        "feed=ticker|ticker_lite|book|book_snapshot|heartbeat",
        "event=subscribed|unsubscribed|info|alert|error|challenge",
    ),
    "Coinbase Exchange": (
        "type=subscriptions|heartbeat|ticker|ticker_batch|snapshot|l2update|received|open|done|change|activate|status|"
        "auction|error|rfq_match|balance",
    ),
    "Coinbase Advanced": (
        "channel=subscriptions|heartbeats|ticker|ticker_batch|l2_data|candles|status|user|futures_balance_summary",
    ),
    "Bitstamp": (
        "event=bts:*", "event=order_created|order_changed|order_deleted|data|self_trade",
    ),
    "Gemini": (
        "type=l2_updates|heartbeat|candles_*|trade_break|subscription_ack|auction_open|auction_indicative|auction_result",
        "type=update & events", "id & status",
    ),
    "KuCoin": (
        "type=welcome|ack|pong|ping|error|notice|command",
        "topic=/market/ticker:*|/market/snapshot:*|/market/level2:*|/market/candles:*|/spotMarket/*|/indicator/*|/margin/*|"
        "/contractMarket/ticker*|/contractMarket/level2*|/contract/*|/contractMarket/limitCandle*|"
        "/contractMarket/snapshot*",
    ),
    "Huobi (HTX)": (
        "ping", "op=ping|pong|sub|unsub|auth|close", "subbed & status=ok", "unsubbed & status=ok",
        "status=error & err-code",
        "ch=market.*.kline.*|market.*.depth.*|market.*.bbo|market.*.ticker|market.*.detail|market.*.mbp.*|market.overview*|"
        "market.*.etp*|market.*.basis*|market.*.high_freq*",
    ),
    "Bitfinex": ("1=hb|cs", "event=info|subscribed|unsubscribed|auth|error|conf|pong"),
    "Deribit": (
        "method=heartbeat", "jsonrpc=2.0 & result", "jsonrpc=2.0 & error",
        "params.channel=book.*|ticker.*|incremental_ticker.*|quote.*|deribit_price_*|deribit_volatility_*|markprice.*|"
        "estimated_expiration_price.*|perpetual.*|platform_state*|chart.trades.*|instrument.*|rfq.*|announcements",
    ),
    "BitMEX": (
        "info & version & docs & ...", "success=true & subscribe", "success=true & unsubscribe",
        "status & error & meta & request",
        "table=quote|quoteBin*|orderBookL2*|orderBook10|instrument|tradeBin*|funding|liquidation|settlement|insurance|"
        "announcement|chat|connected|publicNotifications",
        "table=trade & action=update|delete",
    ),
    "dYdX": (
        "type=connected|unsubscribed|pong|error",
        "channel=v4_orderbook|v4_markets|v4_candles|v4_subaccounts|v4_parent_subaccounts|v4_block_height|v3_orderbook|"
        "v3_markets|v3_accounts",
    ),
    "Upbit": ("type=ticker|orderbook|candle.*|myOrder|myAsset & code", "ty=ticker|orderbook|candle.*|myOrder|myAsset",
              "status=UP", "error.name & error.message"),
    "tardis": (
        "type=book_change|book_snapshot|quote|derivative_ticker|trade_bar|disconnect|option_summary|liquidation|"
        "book_ticker & exchange",
    ),
    "cryptofeed": ("exchange & symbol & bid & ask & timestamp & receipt_timestamp",
                   "exchange & symbol & book & timestamp & ...", "exchange & symbol & rate & next_funding_time & ..."),
}  # fmt: skip


def _other(vendor: str, text: str) -> Other:
    wanted = text.removesuffix(" & ...")
    found = signs(*wanted.split(" & "))
    return Other(vendor, text, found, whole=wanted == text and not any(sign.texts for sign in found))


OTHERS = tuple(_other(vendor, text) for vendor, texts in _LISTS.items() for text in texts)
"""In the order of the list. If two fit, it does not matter which is named: both are skipped."""
