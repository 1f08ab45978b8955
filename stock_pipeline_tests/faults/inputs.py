"""Objects of daily prices and of ticks in which the fate of every record is known. The oracle uses them.

Records are made from their meaning, and written as text here. The parsers under test are never used to find out what to
expect. Names and values come from small sets, so that records meet: the same key twice in an object, in two objects,
with the same values and with others.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from stock_pipeline.lake.object_store import ObjectInfo

OPEN = datetime(2024, 6, 3, 14, 58)  # noqa: DTZ001 - the text of a tick has no offset, and means UTC
HEADER = "symbol,date,open,high,low,close,volume"
NARROW = "symbol,date,close"
SYMBOLS = ("AAPL", "BRK.B", "NA")
SESSIONS = (date(2023, 12, 29), date(2024, 1, 2), date(2024, 1, 3))
AWKWARD = ("plain", "a b", "50%25 off", "ü+ö", "x&y=z")
"""Names that a notification encodes, and that some consumer decodes twice or not at all."""


@dataclass(frozen=True)
class Record:
    """One record of an object. `reason` is that of its rejection; a record without key or reason is no row on purpose.

    `key` identifies the row in its table (None: only its place does), `values` are what is stored of it. `left_out` is
    why an optional value is left out of a row that is stored, and `rivals` are the lines that contest an ambiguous one.
    """

    line: int
    text: str
    key: tuple[Any, ...] | None = None
    values: tuple[Any, ...] | None = None
    reason: str | None = None
    cancels: tuple[str, str] | None = None  # the symbol and the reference of the trade that this takes back, and no row
    left_out: str | None = None
    rivals: tuple[int, ...] = ()

    @property
    def good(self) -> bool:
        return self.values is not None

    @property
    def skipped(self) -> bool:
        return self.values is None and self.reason is None and self.cancels is None


@dataclass(frozen=True)
class Source:
    """A version of an object: its records, or None when the whole object is to be refused."""

    key: str
    data: bytes
    records: tuple[Record, ...] | None

    @property
    def good(self) -> list[Record]:
        return [record for record in self.records or () if record.good]

    @property
    def rejected(self) -> set[tuple[int, str]]:
        """The lines that are rejected for what they are, with their reasons; line 0 is the object itself."""
        if self.records is None:
            return {(0, "file_refused")}
        return {(record.line, record.reason) for record in self.records if record.reason}

    @property
    def incomplete(self) -> set[tuple[int, str]]:
        """The lines of rows without one of their values, with the reason why that is left out."""
        return {(record.line, record.left_out) for record in self.records or () if record.left_out}

    @property
    def without_id(self) -> int:
        """How many of its rows only their place tells from others."""
        return sum(record.key is None for record in self.good)

    @property
    def firsts(self) -> list[Record]:
        """The good records that are the first of their key."""
        first: dict[object, Record] = {}
        for record in self.good:
            first.setdefault(record.key or record.line, record)
        return list(first.values())


def daily_source(choose: random.Random, key: str, rows: int) -> Source:
    """A file of daily prices; values are (open, high, low, close, adj_close, volume)."""
    if choose.random() < 0.06:
        return Source(key, b"colour,size\nred,1\n", None)
    narrow = choose.random() < 0.3
    records = [(_narrow_record if narrow else _daily_record)(choose, line) for line in range(2, rows + 2)]
    text = "\n".join([NARROW if narrow else HEADER, *(r.text for r in records), ""])
    return Source(key, text.encode(), tuple(as_bars(records)))


def restatement(choose: random.Random, key: str, of: Source) -> Source:
    """A file that gives other closes for the bars of another file, and some bars more: a restatement of it."""
    records = []
    for line, told in enumerate(of.firsts[:3], 2):
        symbol, day = told.key or ()
        close = choose.choice([close for close in (1.5, 2.5, 3.5) if close != (told.values or ())[3]])
        text = f"{symbol},{day},,,,{close},"
        records.append(Record(line, text, (symbol, day), (None, None, None, close, None, None)))
    records += [_daily_record(choose, len(records) + n) for n in range(2, 2 + choose.randint(1, 3))]
    text = "\n".join([HEADER, *(record.text for record in records), ""])
    return Source(key, text.encode(), tuple(as_bars(records)))


def as_bars(records: list[Record]) -> list[Record]:
    """The lines of one file as the bars that they are, where several have the same symbol and date.

    Two values of one field, and none of the lines is to be believed. Else each is the bar, with all that any has.
    """
    of: dict[object, list[Record]] = {}
    for record in records:
        if record.values is not None:
            of.setdefault(record.key, []).append(record)
    return [_as_bar(record, of[record.key]) if record.values is not None else record for record in records]


def _as_bar(record: Record, lines: list[Record]) -> Record:
    told = [
        {value for value in given if value is not None} for given in zip(*(r.values or () for r in lines), strict=True)
    ]
    if any(len(values) > 1 for values in told):
        rivals = tuple(r.line for r in lines if r.line != record.line)
        return Record(record.line, record.text, reason="ambiguous", rivals=rivals)
    return replace(record, values=tuple(next(iter(values), None) for values in told))


def _daily_record(choose: random.Random, line: int) -> Record:
    symbol, day = choose.choice(SYMBOLS), choose.choice(SESSIONS)
    close, volume = choose.choice((1.5, 1.5, 2.5)), choose.choice((100, None, None))
    opened = choose.choice((1.25, None, None))
    text = f"{symbol},{day},{opened or ''},,,{close},{volume or ''}"
    bad = {
        "bad_number": f"{symbol},{day},,,,x{line},",
        "non_positive_price": f"{symbol},{day},,,,-{line},",
        "missing_date": f"{symbol},,,,,{close},{line}",
        "missing_symbol": f",{day},,,,{close},{line}",
        "ragged_row": f"{symbol},{day},,{line}",
    }
    without = {  # a bar is not lost for an optional value
        "negative_volume": f"{symbol},{day},,,,{close},-{line}",
        "not_finite": f"{symbol},{day},,,,{close},{2**53}",
        "bad_number": f"{symbol},{day},x{line},,,{close},",
        "non_positive_price": f"{symbol},{day},,0,,{close},",
    }
    kind = choose.random()
    if kind < 0.2:
        reason = choose.choice(sorted(bad))
        return Record(line, bad[reason], reason=reason)
    if kind < 0.35:
        why = choose.choice(sorted(without))
        return Record(line, without[why], (symbol, day), (None, None, None, close, None, None), left_out=why)
    return Record(line, text, (symbol, day), (opened, None, None, close, None, volume))


def _narrow_record(choose: random.Random, line: int) -> Record:
    """A line of a file that has nothing but closes: a restatement from it keeps the other values."""
    symbol, day, close = choose.choice(SYMBOLS), choose.choice(SESSIONS), choose.choice((1.5, 2.5, 3.5))
    return Record(line, f"{symbol},{day},{close}", (symbol, day), (None, None, None, close, None, None))


def tick_source(choose: random.Random, key: str, rows: int, serial: int) -> Source:
    """An object of ticks; values are (symbol, price, size, produced_at). `serial` makes ticks without an id unique."""
    if choose.random() < 0.05:
        return Source(key, b"symbol,price\nAAPL,1\n", None)
    records = [_tick_record(choose, line, serial) for line in range(1, rows)]
    records.append(_good_tick(choose, rows))  # an object without any JSON object would be refused whole
    if choose.random() < 0.3:
        records.append(_at_another_price(records[-1], rows + 1))
    records += [_tick_of_its_day(choose, len(records) + n, serial) for n in range(1, choose.choice((1, 2, 3)))]
    return Source(key, "".join(record.text + "\n" for record in records).encode(), tuple(records))


def twin(source: Source, key: str) -> Source:
    """The same content under another key: its ticks without an id are others, and the rest are the same."""
    return Source(key, source.data, source.records)


def with_other_prices(source: Source) -> Source:
    """The object as it comes again with other prices of its ticks without an id: these are other ticks."""
    records = []
    for record in source.records or ():
        if record.good and record.key is None and record.values:
            symbol, price, size, at = record.values
            values = symbol, price + 5000, size, at
            record = replace(record, text=message(None, *values), values=values)
        records.append(record)
    data = "".join(record.text + "\n" for record in records).encode()
    return Source(source.key, data if records else source.data, source.records and tuple(records))


def _tick_record(choose: random.Random, line: int, serial: int) -> Record:
    kind = choose.random()
    if choose.random() < 0.4:
        return _alpaca_record(choose, line)
    if choose.random() < 0.25:
        return _numbered_tick(choose, line)
    if kind < 0.06:
        return Record(line, "{broken", reason="malformed_json")
    if kind < 0.12:
        return Record(line, message("bad", "AAPL", -float(line), None, OPEN), reason="non_positive_price")
    if kind < 0.18:
        ahead = OPEN + timedelta(days=400)
        return Record(line, message(f"ahead{line}", "AAPL", 1.0, None, ahead), reason="future_timestamp")
    if kind < 0.22:
        return Record(line, '{"T":"q","S":"AAPL","bp":1,"t":"2024-06-03T13:30:00Z"}')
    if kind < 0.5:
        number = choose.randrange(9)
        symbol, price = SYMBOLS[number % 3], 1000.0 + serial * 100 + line
        return Record(
            line, message(None, symbol, price, 1.0, _moment(number)), None, (symbol, price, 1.0, _moment(number))
        )
    return _good_tick(choose, line)


def _good_tick(choose: random.Random, line: int) -> Record:
    number = choose.randrange(9)
    symbol, at = SYMBOLS[number % 3], _moment(number)
    price = 10.0 + number + (0.25 if choose.random() < 0.35 else 0.0)
    # A producer may leave a value out, and another one give it; of some numbers one gives another value.
    size = None if number % 4 == 0 or choose.random() < 0.25 else 2.0
    event = f"e{number:02}"
    if choose.random() < 0.2:  # another symbol's trade of the same number is another trade
        symbol, price = SYMBOLS[(number + 1) % 3], price + 100
    return Record(line, message(event, symbol, price, size, at), (symbol, event), (symbol, price, size, at))


def _at_another_price(record: Record, line: int) -> Record:
    """The same trade told a second time, with a price that it did not have: the first stays."""
    symbol, price, size, at = record.values or ()
    values = symbol, price + 0.125, size, at
    return Record(line, message(record.key and record.key[1], *values), record.key, values)


def _numbered_tick(choose: random.Random, line: int) -> Record:
    """Ticks of one moment: the order of their numbers is not that of their texts."""
    number, at = choose.choice((8, 9, 10, 11)), OPEN + timedelta(seconds=600)
    values = ("NA", 200.0 + number, 1.0, at)
    return Record(line, message(str(number), *values), ("NA", str(number)), values)


def _tick_of_its_day(choose: random.Random, line: int, serial: int) -> Record:
    """A later object has ticks of a later day as well, some at its first instant, of symbols of their own."""
    number, day = choose.randrange(4), OPEN + timedelta(days=serial % 10)
    at = day if number % 2 else day.replace(hour=0, minute=0)
    key, values = (f"D{number % 2}", f"d{serial % 10}-{number}"), (f"D{number % 2}", 300.0 + number, 1.0, at)
    return Record(line, message(key[1], *values), key, values)


TRADED = datetime(2024, 6, 3, 23, 58, 0, 1)  # noqa: DTZ001 - as OPEN; minutes before UTC's midnight, amid a session
TAKEN_BACK = TRADED + timedelta(minutes=9)


def _alpaca_record(choose: random.Random, line: int) -> Record:
    """A trade, or what takes one back: of even numbers cancels, of odd ones corrections, which can be cancelled too."""
    number = choose.randrange(6)
    symbol, price, at = SYMBOLS[number % 2], 50.0 + number, TRADED + timedelta(seconds=30 * (number % 4))
    kind = choose.choice(("trade", "trade", "back", "back" if number % 2 == 0 else "corrected and cancelled"))
    told: dict[str, Any] = {"S": symbol, "x": "V", "z": "C"}
    if kind == "trade":
        told |= {"T": "t", "i": number + 1, "p": price, "s": 100, "t": _alpaca_time(at), "c": ["@"]}
        event = f"alpaca:V:2024-06-03:{number + 1}:{_nanoseconds(at)}"
        return Record(line, json.dumps(told), (symbol, event), (symbol, price, 100.0, at))
    later = TAKEN_BACK + timedelta(seconds=number)
    if kind == "back" and number % 2:
        told |= {"T": "c", "oi": number + 1, "op": price, "os": 100, "oc": ["@"], "t": _alpaca_time(later)}
        told |= {"ci": number + 21, "cp": price + 20, "cs": 100, "cc": ["@"]}
        event = f"alpaca:V:2024-06-03:{number + 21}:correct"
        return Record(line, json.dumps(told), (symbol, event), (symbol, price + 20, 100.0, later))
    named, of = (number + 1, price) if kind == "back" else (number + 21, price + 20)
    told |= {"T": "x", "i": named, "p": of, "s": 100, "a": "C", "t": _alpaca_time(later + timedelta(seconds=60))}
    return Record(line, json.dumps(told), cancels=(symbol, f"V:2024-06-03:{named}:{of!r}:100.0"))


def _alpaca_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}000Z"


def _nanoseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000  # noqa: DTZ001 - both are UTC


def _moment(number: int) -> datetime:
    """Later events are not always those with greater ids, and some share a moment: their place then decides."""
    return OPEN + timedelta(seconds=(number * 5 % 12) // 2 * 60)


def message(event: str | None, symbol: str, price: float, size: float | None, at: datetime) -> str:
    """A tick as its producer writes it."""
    message: dict[str, Any] = {"event_id": event, "symbol": symbol, "price": price, "size": size}
    message["produced_at"] = f"{at:%Y-%m-%d %H:%M:%S.%f}"
    return json.dumps({name: value for name, value in message.items() if value is not None})


def notification(bucket: str, found: ObjectInfo) -> dict[str, Any]:
    """What S3 says of a new version of an object, its key encoded as S3 does it."""
    which = {"key": quote_plus(found.key, safe="/"), "versionId": found.version, "eTag": found.etag}
    where = {"bucket": {"name": bucket}, "object": which}
    return {"Records": [{"eventName": "ObjectCreated:Put", "s3": where}]}
