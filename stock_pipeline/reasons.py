"""Why an input row is not in its table, or is there without a value: a closed list of codes, and what each means."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["REASONS", "Reason"]


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
    FILE_GONE = "file_gone"


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
    Reason.REPLACED: "these stored values were replaced by a restatement, before price_revisions kept such values",
    Reason.REMOVED: "these stored rows were removed, because their source was never true",
    Reason.FILE_REFUSED: "the whole file was refused",
    Reason.FILE_GONE: "the file was deleted for good before it could be read",
}
