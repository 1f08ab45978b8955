"""A text → its sections. A section is the rows below one header; a file may have further headers in its middle.

Files that were joined repeat their headers. The same header again is skipped. One in another order begins a section
whose rows are read in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Ints, as_numpy, booleans
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.columns import NUMBERS, PRICES, known_columns
from stock_pipeline.parse.daily.csv_dialect import split_cells
from stock_pipeline.parse.daily.decimal_mark import NOTHING, Evidence, joined
from stock_pipeline.parse.daily.header import Layout, is_data, recognize
from stock_pipeline.parse.daily.numbers import Cells, proofs, read_cells
from stock_pipeline.parse.daily.records import REPEATING, Block, RaggedRows, Source, Wide, parse_blocks

MAX_SECTIONS = 100
"""A file with more headers in different orders than this is refused: each costs a look at all later rows."""

_FIRST_LOOK = 100  # within this many rows of a block, a price mostly shows its decimal mark
_DIGIT = re.compile("[0-9]")
_NUMERIC_DATE = re.compile(r"[0-9][-0-9/.:+TZ ]*")  # as most dates are written, and no name of a column


@dataclass(frozen=True)
class Part:
    """The content of one block: its rows by their record numbers (from the file's first), columns of texts and cells.

    `prices` and `volumes` are what the cells that could not be cast prove about the decimal mark.
    """

    rows: Ints
    ragged: RaggedRows
    coded: dict[str, pa.DictionaryArray]
    cells: dict[str, Cells]
    wide: Wide | None = None
    prices: Evidence = NOTHING
    volumes: Evidence = NOTHING

    def without(self, records: Ints) -> Part:
        """The part without these records, among its rows and its ragged records."""
        keep = ~np.isin(self.rows, records)
        wide = self.wide and self.wide.without(records)
        ragged = self.ragged.without(records)
        if keep.all():
            return replace(self, ragged=ragged, wide=wide)
        coded = {f: c.filter(booleans(keep)).dictionary_decode().dictionary_encode() for f, c in self.coded.items()}
        cells = {f: _kept(c, keep) for f, c in self.cells.items()}
        return replace(self, rows=self.rows[keep], ragged=ragged, coded=coded, cells=cells, wide=wide)


@dataclass(frozen=True)
class Section:
    """The rows below one header. `headers` counts the rows in it that repeat the header, and its own in the middle."""

    source: Source
    layout: Layout
    parts: list[Part]
    headers: int


def read_sections(source: Source, layout: Layout, *, cast: bool) -> list[Section]:
    """Parse a text, section by section. `cast` says whether plain numbers may be read before the decimal mark is known.

    Raises FileRefused for a header in the middle that cannot be read, or that differs from the first in other columns
    than numbers; and for more than `MAX_SECTIONS` sections.
    """
    sections: list[Section] = []
    first, own = 0, 0
    while True:
        parts = read_parts(source, layout, first, cast=cast)
        headers = list(_headers(parts, layout, source))
        other = next(((record, found) for record, found in headers if found is not None), None)
        if other is None:
            again = np.array([record for record, _ in headers], np.int64)
            kept = [part.without(again) for part in parts] if len(again) else parts
            return [*sections, Section(source, layout, kept, own + len(again))]
        if len(sections) == MAX_SECTIONS:
            raise FileRefused(f"more than {MAX_SECTIONS} headers in different orders; split the file at them")
        record, found = other
        cut = replace(source, stop=source.lines.offset(record))
        again = np.array([at for at, _ in headers if at < record], np.int64)
        parts = [part.without(again) for part in read_parts(cut, layout, first, cast=cast)]
        sections.append(Section(cut, layout, parts, own + len(again)))
        source = replace(source, start=source.lines.offset(record + 1), width=found.width)
        layout, first, own = found, record + 1, 1


def read_parts(source: Source, layout: Layout, first: int, *, cast: bool) -> list[Part]:
    """Parse the blocks of a section whose first record is `first`."""
    types = {at: pa.string() if f in NUMBERS else REPEATING for f, at in layout.columns.items()}

    def convert(block: Block) -> tuple[int, Part]:
        columns = {f: block.columns[at] for f, at in layout.columns.items()}
        coded = {f: column for f, column in columns.items() if f not in NUMBERS}
        cells = {f: read_cells(column, cast=cast) for f, column in columns.items() if f in NUMBERS}
        prices = joined(_proofs(columns[f], cells[f], source.separator) for f in PRICES if f in cells)
        volumes = proofs(cells["volume"].texts, price=False) if "volume" in cells else NOTHING
        return block.count, Part(block.rows, block.ragged, coded, cells, block.wide, prices, volumes)

    placed, start = [], first
    for count, part in parse_blocks(source, types, convert):
        placed.append(_moved(part, start) if start else part)
        start += count
    return placed


def all_evidence(sections: Sequence[Section]) -> tuple[Evidence, Evidence]:
    """What all prices and all volumes of a file prove, including the cells that were cast."""

    def look(section: Section, fields: Sequence[str]) -> Evidence:
        columns = {f: at for f, at in section.layout.columns.items() if f in fields}

        def convert(block: Block) -> Evidence:
            return joined(proofs(block.columns[at], price=f in PRICES) for f, at in columns.items())

        types = dict.fromkeys(columns.values(), pa.string())
        date = {section.layout.columns["date"]: REPEATING}  # it shows which lines are blank
        return joined(parse_blocks(section.source, types | date, convert))

    return joined(look(s, PRICES) for s in sections), joined(look(s, ("volume",)) for s in sections)


def _proofs(column: pa.StringArray, cells: Cells, separator: str) -> Evidence:
    found = proofs(cells.texts, price=True) if len(cells.odd) else NOTHING
    if separator != "," and not found.point:
        found |= proofs(column.slice(0, _FIRST_LOOK), price=True)
    return found


def _moved(part: Part, start: int) -> Part:
    ragged = replace(part.ragged, records=part.ragged.records + start)
    wide = part.wide and Wide(part.wide.records + start, part.wide.columns)
    return replace(part, rows=part.rows + start, ragged=ragged, wide=wide)


def _kept(cells: Cells, keep: Bools) -> Cells:
    stays = keep[cells.odd]
    place = np.cumsum(keep) - 1
    return Cells(cells.values[keep], place[cells.odd[stays]], cells.texts.filter(booleans(stays)))


def _headers(parts: Sequence[Part], layout: Layout, source: Source) -> Iterator[tuple[int, Layout | None]]:
    """The records that are headers, ascending, each with its layout; None for the section's own layout."""
    suspects = np.sort(np.concatenate([np.zeros(0, np.int64), *(_suspects(part) for part in parts)]))
    if not len(suspects):
        return
    numbers = source.lines.numbers(suspects)
    for record, line, text in zip(suspects.tolist(), numbers.tolist(), source.lines.texts(numbers), strict=True):
        cells = split_cells(text, source.separator) or ()
        if len(cells) < 2 or known_columns(cells) < 2 or is_data(cells):
            continue
        found = recognize([cells])
        if found is None:
            raise FileRefused(
                f"line {line} looks like another header, but names no date and close ({quoted(text)}); the order of "
                "the rows below it is not known: split the file there"
            )
        if found.columns == layout.columns and found.width == layout.width:
            yield record, None
        elif set(found.columns) - set(NUMBERS) != set(layout.columns) - set(NUMBERS):
            raise FileRefused(
                f"line {line} is another header, with other columns ({quoted(text)}); split the file there"
            )
        else:
            yield record, found


def _suspects(part: Part) -> Ints:
    """The records that could be headers: rows without a digit where the date is, and ragged of several cells."""
    dates = part.coded["date"]
    wordy = np.array([_is_wordy(text) for text in dates.dictionary.to_pylist()], bool)
    rows = part.rows[wordy[as_numpy(dates.indices, np.int32)]] if wordy.any() else part.rows[:0]
    return np.concatenate([rows, part.ragged.records[part.ragged.cells > 1]])


def _is_wordy(text: str) -> bool:
    """Whether the text of a date could be the name of a column."""
    if _NUMERIC_DATE.fullmatch(text):
        return False
    return (not _DIGIT.search(text) and text.strip() != "") or known_columns([text]) > 0
