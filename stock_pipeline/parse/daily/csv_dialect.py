"""CSV in the forms that vendors write: separators, header rows, quoting; and cutting a text into blocks of whole
records.

The grammar is RFC 4180's: a cell that begins with a quote ends at the next single quote, which a separator, a line
break or the end must follow; inside, two quotes mean one quote, and separators and line breaks are text. A quote
anywhere else is malformed.

When the whole file follows this, line breaks inside quotes are part of their cell. Otherwise nobody can say which quote
was meant to close which, so every line is judged by itself: malformed lines are rejected, the others are rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from stock_pipeline.arrow import Bools, Ints
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.columns import known_columns
from stock_pipeline.parse.daily.header import Layout, is_data, recognize, refusal
from stock_pipeline.parse.files import Bytes
from stock_pipeline.settings import MIB

BLOCK = 4 * MIB
"""Bytes that are parsed at once, and so the longest accepted record."""

FORMULA = b"\x1f"
"""Marks in a text where a formula's equals sign was. No text contains it otherwise."""

MAX_PREAMBLE = 20
"""How many lines are searched for the header."""

SEPARATORS = (",", ";", "\t", "|")
_QUOTE, _NEWLINE = ord('"'), ord("\n")


@dataclass(frozen=True)
class Quoting:
    """How a file is quoted.

    `multiline`: some cells hold line breaks. `malformed`: one range of offsets a row; the lines in it are not rows.
    """

    multiline: bool = False
    malformed: Ints | None = None


@dataclass(frozen=True)
class Head:
    """The beginning of a file: its header, and the lines before it.

    `start` is the offset after the header's rows and `lines` the number of lines up to there. `preamble` numbers the
    lines before the header that are not blank.
    """

    separator: str
    layout: Layout
    start: int
    lines: int
    preamble: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Line:
    """A line at the beginning of a file, with its number and the offset after it."""

    text: str
    end: int
    number: int


def one_kind_of_line_break(text: Bytes) -> Bytes:
    """The text with lone carriage returns (old Macintosh files) turned into line feeds; CRLF stays."""
    if b"\r" not in text or text.count(b"\r") == text.count(b"\r\n"):
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_head(text: Bytes) -> Head:
    """The header of a file, and its separator.

    The header is the first of `MAX_PREAMBLE` lines that names a date and a closing price. The separator is the one that
    makes most of its cells names of known columns; if several do, comma is preferred. A line `sep=;`, which Excel
    writes for itself, decides and is skipped.

    Raises FileRefused for a text that is not a table (an empty one, JSON, HTML or XML, an unclosed quote in the
    header), for a table without a header of daily prices, and for rows of data before the header.
    """
    coming = _first_lines(text)
    lines = list(islice(coming, 1))
    forced = _forced_separator(lines[0].text) if lines else None
    if forced:
        lines = list(islice(coming, 1))
    if not lines:
        raise FileRefused("the file is empty; it must hold a header row, then one row a symbol and day")
    _refuse_markup(lines[0].text)
    separators = (forced,) if forced else SEPARATORS
    for at in range(MAX_PREAMBLE):
        lines += islice(coming, at + 3 - len(lines))
        if at == len(lines) or lines[at].number > MAX_PREAMBLE:
            break
        line = lines[at]
        inside = [separator for separator in separators if separator in line.text]
        for separator in sorted(inside, key=lambda s: -known_columns(split_cells(line.text, s) or ())):
            rows = [split_cells(later.text, separator) for later in lines[at : at + 3]]
            whole = rows[: rows.index(None)] if None in rows else rows
            if not whole or len(whole[0] or ()) < 2:
                continue
            if layout := recognize([row for row in whole if row]):
                _refuse_data_before(lines[:at], separator, layout)
                last = lines[at + layout.header_rows - 1]
                return Head(separator, layout, last.end, last.number, tuple(before.number for before in lines[:at]))
    raise _no_header(lines[0].text, forced)


def _no_header(line: str, forced: str | None) -> FileRefused:
    """Why the first line is not a header, when no other line is one."""
    separators = (forced,) if forced else [s for s in SEPARATORS if s in line]
    if not separators:
        return FileRefused(
            f"the first line ({quoted(line)}) has one column only; a header row with columns separated by comma, "
            "semicolon, tab or | is needed"
        )
    cells = split_cells(line, max(separators, key=lambda s: known_columns(split_cells(line, s) or ())))
    if cells is None:
        return FileRefused(f"a quote in the header is not closed, or is inside a cell: {quoted(line)}")
    return refusal(cells)


def _refuse_data_before(lines: Sequence[_Line], separator: str, layout: Layout) -> None:
    for line in lines:
        cells = split_cells(line.text, separator) or ()
        if len(cells) == layout.width and is_data(cells):
            raise FileRefused(
                f"line {line.number} looks like a row of data, but the header comes after it; put the header first"
            )


def _forced_separator(line: str) -> str | None:
    return line[4:] if line.lower().startswith("sep=") and line[4:] in SEPARATORS else None


def _first_lines(text: Bytes) -> Iterator[_Line]:
    """The first lines that are not blank, as many as are searched for a header."""
    at, number = 0, 0
    while at < len(text) and number < MAX_PREAMBLE + 2:
        end = text.find(b"\n", at, at + BLOCK)
        if end < 0 and len(text) - at > BLOCK:
            raise too_long(number + 1)
        end = end if end >= 0 else len(text)
        line = text[at:end].decode().rstrip("\r")
        at, number = end + 1, number + 1
        if line.strip():
            yield _Line(line, min(at, len(text)), number)


def _refuse_markup(header: str) -> None:
    start = header.lstrip().lower()
    if start.startswith(("{", "[")):
        raise FileRefused("this is JSON; daily prices are taken as CSV with a header row")
    if start.startswith(("<!", "<html", "<?xml", "<head", "<body", "<table")):
        raise FileRefused("this is HTML or XML (an error page of the vendor?); daily prices are taken as CSV")


def split_cells(line: str, separator: str) -> list[str] | None:
    """The cells of a line, None where its quoting is malformed."""
    try:
        rows = list(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error:
        return None
    return rows[0] if rows else None


def too_long(line: int) -> FileRefused:
    """The refusal of a file with a line longer than a block."""
    return FileRefused(
        f"line {line} is longer than {BLOCK // MIB} MiB, but no row of prices is; is a quote left open, or is the "
        "whole file one line?"
    )


def quoting(text: Bytes, start: int, separator: str) -> Quoting:
    """How the text is quoted from `start`, the beginning of a record."""
    if text.find(b'"', start) < 0:
        return Quoting()
    data = np.frombuffer(text, np.uint8)
    before, after = _neighbours(separator)
    multiline, inside = False, 0
    for begin in range(start, len(data), BLOCK):
        piece = data[begin : begin + BLOCK]
        quotes = np.flatnonzero(piece == _QUOTE)
        opening, closing = quotes[inside::2] + begin, quotes[1 - inside :: 2] + begin
        opening, closing = opening[opening > start], closing[closing < len(data) - 1]
        if not (before[data[opening - 1]].all() and after[data[closing + 1]].all()):
            return Quoting(malformed=_malformed(text, start, separator))
        if not multiline:
            breaks = np.searchsorted(quotes, np.flatnonzero(piece == _NEWLINE))
            multiline = bool(((breaks + inside) % 2).any())
        inside = (inside + len(quotes)) % 2
    return Quoting(malformed=_malformed(text, start, separator)) if inside else Quoting(multiline)


def _neighbours(separator: str) -> tuple[Bools, Bools]:
    """The bytes that may come before an opening quote and after a closing one, as tables by byte.

    A quote is one of them, for escaped pairs: the first of the two counts as closing, the second as opening.
    """
    before, after = np.zeros(256, bool), np.zeros(256, bool)
    before[[ord(separator), _NEWLINE, _QUOTE]] = True
    after[[ord(separator), _NEWLINE, _QUOTE, ord("\r")]] = True
    return before, after


def _malformed(text: Bytes, start: int, separator: str) -> Ints:
    """The ranges of offsets (begin, end) whose lines are not rows, ascending. Every line is judged by itself.

    If one line leaves a quote open and a later line could close it, the lines between may be text. They are in the
    range too.
    """
    data = np.frombuffer(text, np.uint8)
    before, after = _neighbours(separator)
    ranges: list[tuple[int, int]] = []
    opened = -1  # the offset of a line that left a quote open, until the next line with an odd number of quotes
    for begin, end in blocks(text, start, multiline=False):
        padded = np.concatenate([[_NEWLINE], data[begin:end], [_NEWLINE]])
        starts = line_starts(data[begin:end])
        quotes = np.flatnonzero(data[begin:end] == _QUOTE)
        opens, closes = before[padded[quotes]], after[padded[quotes + 2]]
        first = np.searchsorted(quotes, starts)  # the first quote of each line
        counts = np.diff(np.append(first, len(quotes)))
        line = np.repeat(np.arange(len(starts)), counts)
        wrong = np.where((np.arange(len(quotes)) - first[line]) % 2 == 0, ~opens, ~closes)
        odd = counts % 2 == 1
        for at in np.flatnonzero(odd | (np.bincount(line, wrong, len(starts)) > 0)).tolist():
            offset = begin + int(starts[at])
            spans = odd[at] and opened >= 0 and closes[first[at]]
            ranges.append((opened if spans else offset, offset + 1))
            if odd[at]:
                opened = offset if not spans and opens[first[at] + counts[at] - 1] else -1
    return np.array(sorted(ranges), np.int64).reshape(-1, 2)


def line_starts(data: npt.NDArray[np.uint8]) -> Ints:
    """The offsets at which the lines of a piece of text begin. A line break at its end does not begin a line."""
    return np.concatenate([[0], np.flatnonzero(data[:-1] == _NEWLINE) + 1])


def record_ends(data: npt.NDArray[np.uint8], multiline: bool) -> Ints:
    """The offsets after each record of a piece of text that begins with a record. The last record may be incomplete."""
    breaks = np.flatnonzero(data == _NEWLINE)
    if multiline:
        breaks = breaks[np.searchsorted(np.flatnonzero(data == _QUOTE), breaks) % 2 == 0]
    return breaks + 1


def blocks(text: Bytes, start: int, multiline: bool, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut a text from `start` to `stop` into pieces of whole records, each at most `BLOCK` long: begin and end offsets.

    Raises FileRefused for a record that is longer.
    """
    stop = len(text) if stop is None else stop
    while start < stop:
        end = start + BLOCK
        if end >= stop:
            end = stop
        elif multiline:
            ends = record_ends(np.frombuffer(text, np.uint8)[start:end], multiline)
            end = start + int(ends[-1]) if len(ends) else start
        else:
            end = text.rfind(b"\n", start, end) + 1
        if end <= start:
            raise too_long(text.count(b"\n", 0, start) + 1)
        yield start, end
        start = end


def without_formulas(text: Bytes, start: int, separator: str) -> tuple[Bytes, Quoting]:
    """The text with a spreadsheet's formulas (`="0050"`) as quoted cells that begin with `FORMULA`, and its quoting.

    No byte moves to another line or record. If the text is not quoted better afterwards, it stays as it is.
    """
    found = quoting(text, start, separator)
    if found.malformed is None or b'="' not in text or FORMULA in text:
        return text, found
    changed = text
    for before in (separator.encode(), b"\n"):
        changed = changed.replace(before + b'="', before + b'"' + FORMULA)
    again = quoting(changed, start, separator)
    if again.malformed is None or len(again.malformed) < len(found.malformed):
        return changed, again
    return text, found
