"""The tables: columns, types, keys, partitions, rules and reason codes. Everything else derives from here.

The Parquet files, the Glue tables in the template, the column schemas in the Dagster UI, the merge and the docs all
follow these definitions, and tests check it. A new table or column starts here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import pyarrow as pa

__all__ = [
    "DATABASE",
    "LATEST_PRICES",
    "PRICE_BY_DATE",
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

TIMESTAMP = pa.timestamp("us", tz="UTC")
STRING = pa.string()
# Repeated strings stay dictionary-encoded in memory: a year of 5,000 symbols has 1.26 M rows and 5,000 strings.
SYMBOL = pa.dictionary(pa.int32(), pa.string())

PROVENANCE = ("source", "etl_loading_ts")
"""The columns that say where a row came from and when. All tables that have them use these names."""


class Reason(StrEnum):
    """Why an input row is not in its table. A closed list: reports, checks and replays rely on it."""

    RAGGED_ROW = "ragged_row"
    BAD_QUOTING = "bad_quoting"
    MISSING_SYMBOL = "missing_symbol"
    BAD_SYMBOL = "bad_symbol"
    MISSING_DATE = "missing_date"
    BAD_DATE = "bad_date"
    DATE_OUT_OF_RANGE = "date_out_of_range"
    MISSING_PRICE = "missing_price"
    BAD_NUMBER = "bad_number"
    NOT_FINITE = "not_finite"
    NON_POSITIVE_PRICE = "non_positive_price"
    NEGATIVE_VOLUME = "negative_volume"
    INCONSISTENT_OHLC = "inconsistent_ohlc"
    AMBIGUOUS = "ambiguous"
    MALFORMED_JSON = "malformed_json"
    LINE_TOO_LONG = "line_too_long"
    MISSING_TIMESTAMP = "missing_timestamp"
    BAD_TIMESTAMP = "bad_timestamp"
    FUTURE_TIMESTAMP = "future_timestamp"
    BAD_EVENT_ID = "bad_event_id"
    UNKNOWN_MESSAGE = "unknown_message"
    CONFLICT = "conflict"
    REPLACED = "replaced"
    REMOVED = "removed"
    FILE_REFUSED = "file_refused"


REASONS: dict[Reason, str] = {
    Reason.RAGGED_ROW: "the row has more or fewer columns than the header",
    Reason.BAD_QUOTING: "a quote is not closed, or there is text beside a quoted cell",
    Reason.MISSING_SYMBOL: "no symbol in the row",
    Reason.BAD_SYMBOL: (
        "the symbol is not 1 to 32 of A-Z a-z 0-9 . - ^ = & / : + _ * # $ ! @ beginning with a letter, a digit, ^ or $"
    ),
    Reason.MISSING_DATE: "no date in the row",
    Reason.BAD_DATE: "the date is not in the form of the column, or not a day of the calendar",
    Reason.DATE_OUT_OF_RANGE: "the date is before 1900-01-01 or after tomorrow",
    Reason.MISSING_PRICE: "no closing price (for a tick: no price)",
    Reason.BAD_NUMBER: "a price or volume is not a number",
    Reason.NOT_FINITE: "a price or volume is infinite or too large (for a tick: NaN, too)",
    Reason.NON_POSITIVE_PRICE: "a price is zero or negative",
    Reason.NEGATIVE_VOLUME: "the volume (for a tick: the size) is negative",
    Reason.INCONSISTENT_OHLC: "high is below open, low or close, or low is above open, high or close",
    Reason.AMBIGUOUS: "another line of the same file has other values for this symbol and date",
    Reason.MALFORMED_JSON: "the line is not a JSON object, or not valid UTF-8",
    Reason.LINE_TOO_LONG: "the line is longer than the limit for one record",
    Reason.MISSING_TIMESTAMP: "no time in the message",
    Reason.BAD_TIMESTAMP: "the time is not in a known form, or is before 1990",
    Reason.FUTURE_TIMESTAMP: "the time is further ahead than the allowed clock skew",
    Reason.BAD_EVENT_ID: "the event id is not a short string or a whole number",
    Reason.UNKNOWN_MESSAGE: "the message has an unknown form: it is neither a tick nor a message that is skipped",
    Reason.CONFLICT: "the table already holds other values for this key",
    Reason.REPLACED: "these stored values were replaced by a restatement",
    Reason.REMOVED: "these stored rows were removed, because their source was never true",
    Reason.FILE_REFUSED: "the whole file was refused",
}


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, whether it may be null, and what one value means (with its unit).

    A column that is not `compared` does not decide between duplicate and conflict; it says where a row came from, or
    what we made of it. `since` is the version of its table's schema that added the column, or gave it its present type.
    A column that is added later must be nullable, and a later type must hold all values of the earlier one, because
    stored objects are not rewritten. `price` says that a bar with a value of zero or below is rejected.
    """

    name: str
    type: pa.DataType
    description: str
    nullable: bool = False
    compared: bool = True
    since: int = 1
    price: bool = False

    @property
    def athena_type(self) -> str:
        """The column's type in Glue and Athena (Hive names)."""
        if pa.types.is_dictionary(self.type) or pa.types.is_string(self.type):
            return "string"
        if pa.types.is_timestamp(self.type):
            return "timestamp"
        return {
            pa.date32(): "date",
            pa.float64(): "double",
            pa.int64(): "bigint",
            pa.int32(): "int",
            pa.bool_(): "boolean",
        }[self.type]


@dataclass(frozen=True)
class View:
    """Columns that hold their writer's view at one moment, such as an adjusted close. The column `written_at` has the
    moment. See `lake.views`.
    """

    columns: tuple[str, ...]
    written_at: str


@dataclass(frozen=True)
class Table:
    """One table of the lake.

    `key` names the columns that identify a row. `keep` says which of several rows with one key stays: "first" is the
    one stored first, "greatest" is the greatest by the columns of `order`. There null is least, but in a boolean column
    it counts as true. A table that is computed from another one has "replace" (`lake.derived`). `values` are compared
    to tell a duplicate from a conflict; the provenance columns (`source`, `etl_loading_ts`) and others that are not
    `compared` never are. Rows inside an object are sorted by `sort`, and the object of a partition is called
    `<prefix><partition><suffix>`. `bounds` are pairs of columns: where a row has both, the first is never below the
    second. `views` are columns that are not compared, but renewed. `scaled` are the prices that a split scales
    together; the last of them is used to recognize the split. `time` is the column with the time of the event that a
    row describes.
    """

    name: str
    prefix: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    sort: tuple[str, ...]
    partition: tuple[str, ...] = ()
    suffix: str = ".parquet"
    keep: str = "first"
    order: tuple[str, ...] = ()
    dictionary: tuple[str, ...] = ("symbol", "source")
    bounds: tuple[tuple[str, str], ...] = ()
    views: tuple[View, ...] = ()
    scaled: tuple[str, ...] = ()
    time: str = "etl_loading_ts"

    @cached_property
    def schema(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])

    @cached_property
    def version(self) -> int:
        """The version of the schema: the number of its latest change."""
        return max(c.since for c in self.columns)

    def column(self, name: str) -> Column:
        """The column of that name; raises KeyError when there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {c.name: c for c in self.columns}

    @cached_property
    def provenance(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.columns if c.name in PROVENANCE and c.name not in self.key)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """The values of a row that are not its key, without the views."""
        views = {name for view in self.views for name in (*view.columns, view.written_at)}
        others = {*self.key, *self.provenance, *views}
        return tuple(c.name for c in self.columns if c.compared and c.name not in others)

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The columns that a source gives. The other columns say where the row came from and when."""
        others = {*self.provenance, *(view.written_at for view in self.views)}
        return tuple(c.name for c in self.columns if c.name not in others)


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
    dictionary=("symbol", "source", "exchange", "conditions"),
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
    keep="greatest",
    order=("sets_last", "produced_at", *(column.name for column in _VENUES_ORDER), "event_id"),
    dictionary=("symbol", "exchange"),
)

REJECTED_RECORDS = Table(
    name="rejected_records",
    prefix="rejected_records/",
    description="One row is one input row that is not in its table, or is stored without a value, with the reason.",
    columns=(
        Column("target_table", SYMBOL, "table that the row was meant for"),
        Column("source", SYMBOL, "key of the staging object that the row came from"),
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
        Column("symbol", SYMBOL, "of a conflict or what it replaced: the symbol", nullable=True, since=2),
        Column("date", pa.date32(), "of a conflict or what it replaced: the day of the row", nullable=True, since=2),
        Column("stored", pa.bool_(), "whether the row is in its table, without the value", nullable=True, since=2),
        _LOADED,
    ),
    key=("source", "line", "place"),
    sort=("line", "place"),
    partition=("table",),
    dictionary=("target_table", "source", "reason", "symbol"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (PRICE_BY_DATE, STREAM_PRICES_HISTORY, TRADE_CORRECTIONS, LATEST_PRICES, REJECTED_RECORDS)
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
