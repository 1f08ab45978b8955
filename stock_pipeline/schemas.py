"""The tables: columns, types, keys, partitions, rules and reason codes. Everything else derives from here.

The Parquet files, the Glue tables in the template, the column schemas in the Dagster UI, the merge and the docs all
follow these definitions, and tests check it. A new table or column starts here.
"""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from stock_pipeline.reasons import REASONS, Reason
from stock_pipeline.table import PROVENANCE, STRING, SYMBOL, TIMESTAMP, Column, Table, View

__all__ = [
    "DATABASE",
    "LATEST_PRICES",
    "PRICE_BY_DATE",
    "PRICE_REVISIONS",
    "PROVENANCE",
    "REASONS",
    "RECORDED",
    "REJECTED",
    "REJECTED_RECORDS",
    "STREAM_PRICES_HISTORY",
    "STRING",
    "SYMBOL",
    "TABLES",
    "TIMESTAMP",
    "TRADE_CORRECTIONS",
    "Column",
    "Reason",
    "Table",
    "View",
]

DATABASE = "stock_market"
"""The Glue database that the tables belong to."""


def _symbol(description: str = "ticker, upper case, class shares with a dot (BRK.B)") -> Column:
    return Column("symbol", SYMBOL, description)


_SOURCE = Column("source", SYMBOL, "key of the staging object that the row came from")
_LOADED = Column("etl_loading_ts", TIMESTAMP, "when this pipeline stored the row (UTC)")

_VENUES_ORDER = (
    Column("nanos", pa.int32(), "nanoseconds beyond the microsecond of produced_at, 0 to 999", nullable=True, since=2),
    Column("sequence", pa.int64(), "the venue's sequence number", nullable=True, since=2),
    Column("trade_number", pa.int64(), "the venue's number of the trade, where it is one", nullable=True, since=2),
    Column("line", pa.int32(), "line in the object that the tick first came in, from 1", True, compared=False, since=2),
    Column("place", pa.int32(), "place in that line, from 0; null for the first", True, compared=False, since=2),
)
"""The columns that order the ticks of one microsecond, the most decisive first. Null counts as least."""

_EXCHANGE = Column("exchange", SYMBOL, "code of the venue, as the vendor writes it", nullable=True, since=2)
_SETS_LAST = Column(
    "sets_last",
    pa.bool_(),
    "whether its sale conditions let it set the last price; null: unknown",
    nullable=True,
    compared=False,
    since=2,
)
_CORRECTS = Column(
    "corrects", STRING, "for a corrected trade, which trade it corrects: reference", nullable=True, since=2
)

PRICE_BY_DATE = Table(
    name="price_by_date",
    prefix="price_by_date/",
    description="One row is one symbol's OHLCV bar of one trading session.",
    columns=(
        _symbol(),
        Column("date", pa.date32(), "trading session, the exchange's local date"),
        Column("open", pa.float64(), "first price of the session", nullable=True, price=True),
        Column("high", pa.float64(), "highest price of the session", nullable=True, price=True),
        Column("low", pa.float64(), "lowest price of the session", nullable=True, price=True),
        Column("close", pa.float64(), "last price of the session", price=True),
        Column(
            "adj_close",
            pa.float64(),
            "close adjusted for splits and dividends by the vendor",
            nullable=True,
            price=True,
        ),
        Column("volume", pa.float64(), "shares traded in the session, fractions too", nullable=True, since=2),
        Column(
            "adj_known_at", TIMESTAMP, "when the file with this adj_close was written (UTC)", nullable=True, since=3
        ),
        _SOURCE,
        _LOADED,
    ),
    key=("symbol", "date"),
    sort=("symbol", "date"),
    partition=("year",),
    suffix="/prices.parquet",
    bounds=(("high", "open"), ("high", "low"), ("high", "close"), ("open", "low"), ("close", "low")),
    views=(View(("adj_close",), written_at="adj_known_at"),),
    scaled=("open", "high", "low", "close"),
    time="date",
    revisions="price_revisions",
    to_query="Give a condition on `year`, so that a query reads only the objects of those years.",
)

PRICE_REVISIONS = Table(
    name=PRICE_BY_DATE.revisions,
    prefix="price_revisions/",
    description="One row is a former version of a row of price_by_date, as it was before it changed or was taken out.",
    columns=(
        # Version 1 of this table has the columns of version 3 of price_by_date.
        *(replace(column, since=max(1, column.since - 2)) for column in PRICE_BY_DATE.columns),
        Column("known_from", TIMESTAMP, "when price_by_date got this version (UTC): its etl_loading_ts"),
        Column("known_to", TIMESTAMP, "when the next version took its place, or the row was taken out (UTC)"),
        Column(
            "replaced_by",
            SYMBOL,
            "key of the staging object that changed the row; null: the row was taken out",
            nullable=True,
        ),
        Column("change", SYMBOL, "what became of this version: replaced, updated, removed or rebuilt"),
    ),
    key=("symbol", "date", "known_from", "source"),
    sort=("symbol", "date", "known_from"),
    partition=("year",),
    suffix="/revisions.parquet",
    keep="greatest",
    order=("known_to",),
    dictionary=("symbol", "source", "replaced_by", "change"),
    time="date",
    to_query="`stock-pipeline sql --as-of` shows price_by_date as it was at a time.",
)

STREAM_PRICES_HISTORY = Table(
    name="stream_prices_history",
    prefix="price_by_date_stream/",
    description="One row is one tick: one trade of one symbol.",
    columns=(
        Column("event_id", STRING, "identity of the tick: the producer's or vendor's, else its place in its object"),
        _symbol(),
        Column("price", pa.float64(), "price of the trade"),
        Column("size", pa.float64(), "amount traded: shares, or a fraction of a coin", nullable=True),
        Column("produced_at", TIMESTAMP, "when the trade happened, as its producer says (UTC)"),
        *_VENUES_ORDER,
        _EXCHANGE,
        Column(
            "conditions", SYMBOL, "codes of its sale conditions, unchanged, joined by commas", nullable=True, since=2
        ),
        _SETS_LAST,
        _CORRECTS,
        _SOURCE,
        _LOADED,
    ),
    key=("symbol", "event_id"),
    time="produced_at",
    sort=("symbol", "produced_at"),
    partition=("year", "month", "day"),
    leaf=r"([01]\d|2[0-3])[0-5]\d(-\d\d)?",
    dictionary=("symbol", "source", "exchange", "conditions"),
    to_query="Give conditions on `year`, `month` and `day`, so that a query reads only those days.",
)

TRADE_CORRECTIONS = Table(
    name="trade_corrections",
    prefix="trade_corrections/",
    description="One row is one trade that was cancelled or corrected, with what it was corrected to.",
    columns=(
        _symbol(),
        Column("reference", STRING, "the trade as its venue knows it: exchange:session:number:price:size"),
        Column("exchange", SYMBOL, "code of the venue, as the vendor writes it"),
        Column("session", pa.date32(), "trading session of the trade, the exchange's local date"),
        Column("trade_number", pa.int64(), "the venue's number of the trade"),
        Column("event_id", STRING, "identity of the cancel, or of the corrected trade in stream_prices_history"),
        Column("produced_at", TIMESTAMP, "when the trade was cancelled or corrected (UTC)"),
        Column("price", pa.float64(), "corrected price; null: the trade was cancelled", nullable=True),
        Column("size", pa.float64(), "corrected amount", nullable=True),
        Column("replacement", STRING, "the corrected trade as its venue knows it, as in reference", nullable=True),
        _SETS_LAST,
        _SOURCE,
        _LOADED,
    ),
    key=("symbol", "reference"),
    time="produced_at",
    sort=("symbol", "reference"),
    partition=("year", "month", "day"),
    suffix="/corrections.parquet",
    keep="greatest",
    order=("produced_at", "event_id"),
    dictionary=("symbol", "exchange", "source"),
    to_query="One object has the corrections of one session.",
)

LATEST_PRICES = Table(
    name="latest_prices",
    prefix="latest_stream_prices/",
    description="One row is one symbol's latest trade that may set a price and was not taken back.",
    columns=(
        _symbol(),
        Column("price", pa.float64(), "price of the latest trade"),
        Column("size", pa.float64(), "amount traded in it", nullable=True),
        Column("produced_at", TIMESTAMP, "when that trade happened (UTC)"),
        Column("event_id", STRING, "identity of that tick in stream_prices_history"),
        *_VENUES_ORDER,
        _EXCHANGE,
        _SETS_LAST,
        _CORRECTS,
        _LOADED,
    ),
    key=("symbol",),
    sort=("symbol",),
    leaf="latest",
    keep="greatest",
    order=("sets_last", "produced_at", *(column.name for column in _VENUES_ORDER), "event_id"),
    dictionary=("symbol", "exchange"),
    to_query="It is one object.",
)

REJECTED_RECORDS = Table(
    name="rejected_records",
    prefix="rejected_records/",
    description="One row is one input row that is not in its table, or is stored without a value, with the reason.",
    columns=(
        Column("target_table", SYMBOL, "table that the row was meant for"),
        Column("source", SYMBOL, "key of the staging object that the row came from"),
        Column("etag", SYMBOL, "ETag of that object, as it was when the row came", nullable=True, since=3),
        Column("line", pa.int64(), "line of the row in the object, from 1; 0 for the whole file"),
        Column(
            "place",
            pa.int32(),
            "number of the record in its line, from 0; null where a line is a row",
            nullable=True,
            since=2,
        ),
        Column("reason", SYMBOL, "code from the closed list of reasons"),
        Column("detail", STRING, "what exactly was wrong, in words", nullable=True),
        Column("raw", STRING, "the row as it came", nullable=True),
        Column("symbol", SYMBOL, "of a conflict: the symbol", nullable=True, since=2),
        Column("date", pa.date32(), "of a conflict: the day of the row", nullable=True, since=2),
        Column("stored", pa.bool_(), "whether the row is in its table, without the value", nullable=True, since=2),
        _LOADED,
    ),
    key=("source", "etag", "line", "place"),
    sort=("line", "place"),
    partition=("table",),
    leaf="[0-9a-f]{32}",
    dictionary=("target_table", "source", "etag", "reason", "symbol"),
    to_query="`reason` is one of a fixed list, and `raw` is the row as it came.",
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        PRICE_BY_DATE,
        PRICE_REVISIONS,
        STREAM_PRICES_HISTORY,
        TRADE_CORRECTIONS,
        LATEST_PRICES,
        REJECTED_RECORDS,
    )
}


REJECTED = pa.schema(
    [
        pa.field("line", pa.int64(), nullable=False),
        pa.field("place", pa.int32()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string()),
        pa.field("raw", pa.string()),
    ]
)
"""Rejected rows of one source object: where, why (a code of `schemas.Reason`), what exactly, and the row as it came.

`place` is the number of a record in its line, from 0. It is null where a line is a row, as in a CSV file.
"""

RECORDED = pa.schema([*REJECTED, ("symbol", pa.string()), ("date", pa.date32()), ("stored", pa.bool_())])
"""The records of one source object: see the columns of `rejected_records`. Null in `stored` means false."""
