"""What must be true for any bytes: they are refused in our own words, or every line is accounted for by a row.

Lines are counted here in a simpler way than in the package, with the standard library only.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import signal
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from random import Random
from typing import Any
from unittest.mock import patch

from stock_pipeline.clean import Cleaned
from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import FileRefused
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.ticks import ingest_ticks
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.parse.files import unpack
from stock_pipeline.schemas import Reason
from stock_pipeline_tests.support.memory_store import MemoryStore
from stock_pipeline_tests.support.tick_objects import clean_ticks, parse_ticks

NOW = datetime(2024, 6, 3, 12, tzinfo=UTC)
SECONDS = 20.0  # of processor time, for a case of a few KB that may unpack to hundreds of MB

_SYMBOL = re.compile(r"[A-Za-z0-9^$][A-Za-z0-9.\-^=&/:+_*#$!@]{0,31}")
_HINTS = (
    *(Hints(),) * 4,
    Hints(timezone="Asia/Kolkata"),
    Hints(dates="dmy"),
    Hints(decimal="comma"),
    Hints(timezone="America/New_York", dates="mdy", decimal="point", unit=100),
)
_PACKED = (b"\x1f", b"P", b"\xff", b"\xfe", b"\0", b"\xef")
_WHOLE_INGEST = 25  # one case in so many goes through the tables as well


class Broken(Exception):
    """A law does not hold."""


class Hangs(Broken):
    """A case takes too long."""


def check(kind: str, data: bytes, number: int = 0) -> str:
    """Hold a case against the laws; returns `refused` or `read`. Raises Broken, or whatever the package raised."""
    with _in_time():
        try:
            hints = _HINTS[number % len(_HINTS)]
            cleaned = _read_daily(data, hints) if kind == "daily" else _read_ticks(data)
        except FileRefused as refusal:
            if not 10 < len(str(refusal)) < 2000:
                raise Broken(f"a refusal of {len(str(refusal))} characters") from refusal
            outcome = "refused"
        else:
            _hold(kind, data, cleaned)
            if kind == "daily":
                _same_in_small_blocks(data, cleaned, hints)
                _same_in_another_order(data, cleaned, hints, number)
            else:
                _same_by_layouts_and_wherever_cut(data, cleaned, number)
            outcome = "read"
        if number % _WHOLE_INGEST == 0:
            _ingested_twice(kind, data)
    return outcome


def _read_daily(data: bytes, hints: Hints) -> Cleaned:
    return clean_daily_prices(parse_daily_prices(data, "daily_prices/uploads/AAPL.csv", hints=hints), NOW.date())


def _read_ticks(data: bytes) -> Cleaned:
    return clean_ticks(parse_ticks(data, "stock_stream/key"), NOW)


def _taking_back(data: bytes) -> list[int]:
    """The lines of messages that take a trade back."""
    return list(parse_ticks(data, "stock_stream/key").corrections["line"].to_pylist())


def _hold(kind: str, data: bytes, cleaned: Cleaned) -> None:
    good, rejected = cleaned.good.to_pylist(), cleaned.rejected.to_pylist()
    for row in good:
        _sound(kind, row)
    reasons = {row["reason"] for row in rejected}
    if not reasons <= set(Reason):
        raise Broken(f"reasons {reasons} are not on the list")
    lines = _lines(kind, data)
    numbers = [*cleaned.lines.tolist(), *(row["line"] for row in rejected)]
    if kind == "ticks":
        numbers += _taking_back(data)
    if lines is None:
        return
    if any(not 1 <= number <= max(len(lines), 1) for number in numbers):
        raise Broken(f"a row of a line that there is not, among {len(lines)}: {sorted(numbers)}")
    if kind == "daily":
        _every_row(lines, cleaned, numbers, rejected)
        _every_value(lines, cleaned)
    else:
        _every_line(lines, numbers, cleaned.skipped)


def _sound(kind: str, row: dict[str, Any]) -> None:
    """A stored row keeps the rules of its table."""
    prices = ("price",) if kind == "ticks" else ("open", "high", "low", "close", "adj_close")
    values = [row[name] for name in prices if row[name] is not None]
    amount = row["size" if kind == "ticks" else "volume"]
    sound = (
        bool(_SYMBOL.fullmatch(row["symbol"]))
        and row["price" if kind == "ticks" else "close"] is not None
        and all(math.isfinite(value) and value > 0 for value in values)
        and (amount is None or (math.isfinite(amount) and amount >= 0))
        and (kind == "ticks" or date(1900, 1, 1) <= row["date"] <= date(2024, 6, 4))
        and (kind == "daily" or (0 < len(row["event_id"]) <= 128 and row["produced_at"].year >= 1990))
    )
    if not sound:
        raise Broken(f"stored, but against the rules: {row}")


def _lines(kind: str, data: bytes) -> list[str] | None:
    """The lines of a case, decoded; None where it is not plain how they are to be counted."""
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if len(archive.namelist()) > 1:
                    return None
                data = archive.read(archive.namelist()[0])
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, IndexError):
        return None
    if kind == "daily" and data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        text = data.decode("utf-32")
    elif kind == "daily" and data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("cp1252" if kind == "daily" else "latin-1")
    if kind == "daily":
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    elif text.lstrip("\ufeff \t\r\n")[:1] == "[" or re.search(r"^\s*[\[{]+\s*$", text.lstrip("\ufeff"), re.MULTILINE):
        return None  # a document: its records are counted, not its lines
    return text.lstrip("\ufeff").split("\n")


def _every_row(lines: list[str], cleaned: Cleaned, numbers: list[int], rejected: list[dict[str, Any]]) -> None:
    """Every line of a CSV file is a row, is skipped (before the header, a header again), is the header, or is blank."""
    rows = cleaned.rows
    filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    if filled and re.fullmatch(r"sep=[,;\t|]\s*", lines[filled[0] - 1], re.IGNORECASE):
        del filled[0]
    if not any('"' in line for line in lines):
        missing = set(filled) - set(numbers)
        tabs = {number for number, line in enumerate(lines, 1) if "\t" in line and not line.strip()}  # maybe cells
        header = len(filled) + len(tabs & set(numbers)) - rows
        if not 1 <= header <= 3 or len(missing) != header + cleaned.skipped or len(numbers) != len(set(numbers)):
            raise Broken(
                f"lines {sorted(missing)} are not accounted for; {rows} rows of {len(filled)} lines, "
                f"{cleaned.skipped} skipped"
            )
        if any(lines[row["line"] - 1] != row["raw"] for row in rejected):
            raise Broken("the record of a rejected row is not the row as it came")
    elif rows > len(lines):  # a blank line between two stray quotes may have been text
        raise Broken(f"{rows} rows of {len(lines)} lines")


def _every_value(lines: list[str], cleaned: Cleaned) -> None:
    """Every optional value that was left out of a stored row is counted, and its row on record."""
    notes = cleaned.notes.to_pylist()
    stored = set(cleaned.lines.tolist())
    if not {note["line"] for note in notes} <= stored or len({note["line"] for note in notes}) != len(notes):
        raise Broken(f"records of rows that are not stored, or two of one: {notes}")
    if sum(cleaned.nulled.values()) < len(notes) or bool(notes) != bool(cleaned.nulled):
        raise Broken(f"{dict(cleaned.nulled)} values are left out, with {len(notes)} records")
    if not set(cleaned.nulled) <= set(Reason) or not {note["reason"] for note in notes} <= set(cleaned.nulled):
        raise Broken(f"left out for reasons {dict(cleaned.nulled)}")
    if not any('"' in line for line in lines) and any(lines[note["line"] - 1] != note["raw"] for note in notes):
        raise Broken("the record of a stored row is not the row as it came")


def _same_in_another_order(data: bytes, cleaned: Cleaned, hints: Hints, number: int) -> None:
    """The order of the rows says nothing of what they mean."""
    lines = data.split(b"\n")
    filled = [line for line in lines[1:] if line.strip()]
    plain = lines[0].isascii() and not any(mark in data for mark in (b'"', b"\r", b"\x1f")) and data[:1] not in _PACKED
    if not plain or not lines[0].strip() or cleaned.skipped or cleaned.rows != len(filled) or not 1 < len(filled) < 100:
        return
    mixed = Random(number).sample(filled, len(filled))
    try:
        other = _read_daily(b"\n".join([lines[0], *mixed]), hints)
    except FileRefused as refusal:
        if "side by side" in str(refusal):
            return  # right behind the first row, one of these looks like a second row of the header
        raise
    if other.rows != cleaned.rows or other.skipped:
        return  # one of the rows looks like the second row of a header, behind the first
    if _without_lines(other) != _without_lines(cleaned):
        raise Broken(f"in another order the rows are others: {_without_lines(cleaned)} {_without_lines(other)}")


def _without_lines(cleaned: Cleaned) -> tuple[Any, ...]:
    stored = sorted(map(str, cleaned.good.to_pylist()))
    rejected = sorted((row["raw"], row["reason"]) for row in cleaned.rejected.to_pylist())
    return stored, rejected, dict(cleaned.nulled), cleaned.unread, dict(cleaned.decided)


def _every_line(lines: list[str], numbers: list[int], skipped: int) -> None:
    """Every line of JSON lines is a row, or holds something that is skipped, unless it is blank.

    A byte order mark alone is blank: it is all that a joined file without a line leaves.
    """
    blank = " \t\n\r\x0b\x0c"
    texts = [re.sub("^(\ufeff|\xef\xbb\xbf)", "", line.strip(blank)).strip(blank) for line in lines]
    filled = {number for number, text in enumerate(texts, 1) if text}
    missing = filled - set(numbers)
    if len(missing) > skipped:
        raise Broken(f"lines {sorted(missing)} are not accounted for, {skipped} messages were skipped")


def _same_in_small_blocks(data: bytes, cleaned: Cleaned, hints: Hints) -> None:
    """Where a file is cut into blocks shows in nothing; only a record longer than a block is refused."""
    with patch("stock_pipeline.parse.daily.csv_dialect.BLOCK", 256):
        try:
            other = _read_daily(data, hints)
        except FileRefused as refusal:
            if "is longer than" in str(refusal):
                return
            raise Broken(f"refused when cut into small blocks: {refusal}") from refusal
    for name in ("good", "rejected", "notes"):
        if _listed(getattr(other, name)) != _listed(getattr(cleaned, name)):
            raise Broken(f"cut into small blocks, {name} is another")
    if dict(other.decided) != dict(cleaned.decided) or other.unread != cleaned.unread:
        raise Broken("cut into small blocks, other things were decided")
    if other.lines.tolist() != cleaned.lines.tolist():
        raise Broken("cut into small blocks, the rows are of other lines")


def _same_by_layouts_and_wherever_cut(data: bytes, cleaned: Cleaned, number: int) -> None:
    """Ticks are the same by layouts and one by one, and wherever blocks are cut (into some thousands at the most)."""
    block = max(1 + number % 300, len(unpack(data).data) // 4000)
    with (
        patch("stock_pipeline.parse.ticks.columnar.WORTH", 1),
        patch("stock_pipeline.parse.ticks.columnar._SHARE", 1),
        patch("stock_pipeline.parse.ticks.parser.BLOCK", block),
    ):
        other = _read_ticks(data)
    for name in ("good", "rejected"):
        if sorted(map(repr, _listed(getattr(other, name)))) != sorted(map(repr, _listed(getattr(cleaned, name)))):
            raise Broken(f"by layouts and cut elsewhere, {name} is another")
    if (other.lines.tolist(), other.skipped) != (cleaned.lines.tolist(), cleaned.skipped):
        raise Broken("by layouts and cut elsewhere, the rows are of other lines")


def _listed(table: Any) -> list[dict[str, Any]]:
    return list(table.to_pylist())


def _ingested_twice(kind: str, data: bytes) -> None:
    """Through the tables: the receipt adds up, and the same again adds nothing."""
    staging, lake = MemoryStore("staging"), MemoryStore("lake")
    key, ingest = (
        ("stock_stream/x", ingest_ticks) if kind == "ticks" else ("daily_prices/AAPL.csv", ingest_daily_prices)
    )
    staging.put(key, data)
    (first,), (again,) = (
        ingest([key], staging=staging, lake=lake, now=now) for now in (NOW, NOW.replace(microsecond=1))
    )
    known = first.inserted + first.duplicates + first.updated
    if again.inserted or again.updated or again.duplicates != known or again.conflicts != first.conflicts:
        raise Broken(f"ingested again it is another: {first} {again}")


@contextmanager
def _in_time() -> Iterator[None]:
    """Raise Hangs when a case takes more processor time than any such case may."""

    def stop(*_: object) -> None:
        raise Hangs(f"it takes more than {SECONDS:g} s of processor time")

    before, started = signal.signal(signal.SIGVTALRM, stop), time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    if time.process_time() - started > 2 * SECONDS:  # in code that no signal interrupts
        raise Hangs(f"it took {time.process_time() - started:.1f} s of processor time")
