"""Rows of one cell more than the header has: which of their columns the header lacks.

If the last cell is blank in all of these rows, it is a trailing separator. Otherwise the undeclared column could be in
any place. A place fits if every row then has a symbol, a date and a consistent bar. The rows are accepted only if all
places that fit give the same symbols, dates and prices; if they differ in the volume, the volume is left out. Nothing
is shifted by a guess. In a file with commas between its columns, the extra cell may also be the second half of a price
with a decimal comma; if that fits too, the rows are rejected.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools, Floats, as_numpy, strings
from stock_pipeline.errors import FileRefused
from stock_pipeline.parse.daily.columns import NUMBERS, PRICES
from stock_pipeline.parse.daily.dates import read_stamps
from stock_pipeline.parse.daily.decimal_mark import NOTHING, Mark, decide, joined, matches
from stock_pipeline.parse.daily.header import Layout
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.parse.daily.numbers import proofs, read_cells, read_numbers
from stock_pipeline.parse.daily.records import RaggedRows, Wide
from stock_pipeline.parse.daily.sections import Part, Section
from stock_pipeline.parse.symbols import canonical, is_blank, is_upper_ticker
from stock_pipeline.schemas import PRICE_BY_DATE

_FIRST_LOOK = 500
"""How many rows are looked at first; they rule out most places."""

OHLC_TOLERANCE = 1e-9
"""How far, relative to the price, a high may be below another price: the rounding of doubles."""


@dataclass(frozen=True)
class Place:
    """The position of the undeclared column among the cells of a row.

    `volume`: the volume is the same in all readings. `blank`: the column is a trailing separator.
    """

    at: int
    volume: bool = True
    blank: bool = False

    def position(self, declared: int) -> int:
        """The position of a column of the header in these rows."""
        return declared if declared < self.at else declared + 1


@dataclass(frozen=True)
class _Reading:
    """The rows as read with the undeclared column in one place: texts and numbers by field."""

    texts: dict[str, pa.StringArray]
    prices: dict[str, Floats]
    volume: Floats | None

    def same_bars(self, other: _Reading) -> bool:
        """Whether symbols, dates and prices are the same."""
        prices = all(np.array_equal(v, other.prices[f], equal_nan=True) for f, v in self.prices.items())
        return prices and all(texts.equals(other.texts[f]) for f, texts in self.texts.items())

    def same_volume(self, other: _Reading) -> bool:
        mine, theirs = self.volume, other.volume
        return mine is None or theirs is None or np.array_equal(mine, theirs, equal_nan=True)


@dataclass(frozen=True)
class Declared:
    """A section's parts, including the rows with one cell more, as far as they can be read.

    `unread` are the names of columns that were left out of these rows, and `evidence` says how the place was found.
    """

    parts: list[Part]
    unread: tuple[str, ...] = ()
    evidence: str | None = None


def declared(section: Section, hints: Hints) -> Declared:
    """A section's parts, including rows with one cell more than the header if they can be read in one way only."""
    wide = [part.wide for part in section.parts if part.wide]
    if not wide:
        return Declared(section.parts)
    layout, count = section.layout, section.layout.width + 1
    columns = [pa.chunked_array([rows.columns[at] for rows in wide]).combine_chunks() for at in range(count)]
    place = place_of_undeclared(columns, layout, section.source.separator, hints)
    if place is None:
        return Declared(section.parts)
    parts = []
    for part in section.parts:
        if part.wide is None:
            parts.append(part)
            continue
        others = replace(part, ragged=part.ragged.without(part.wide.records), wide=None)
        cells = {f: part.wide.columns[place.position(at)] for f, at in layout.columns.items()}
        parts += [others, _as_part(part.wide, cells, place)]
    unread = () if place.volume else (layout.name("volume"),)
    return Declared(parts, unread, "trailing separator" if place.blank else "consistent bars")


def _as_part(wide: Wide, texts: dict[str, pa.StringArray], place: Place) -> Part:
    """Rows with one cell more, as a part of their own."""
    numbers = {f for f in NUMBERS if f in texts and (f != "volume" or place.volume)}
    cells = {f: read_cells(texts[f], cast=False) for f in numbers}
    none = np.zeros(0, np.int64)
    return Part(
        rows=wide.records,
        ragged=RaggedRows(none, none, none),
        coded={f: column.dictionary_encode() for f, column in texts.items() if f not in NUMBERS},
        cells=cells,
        prices=joined(proofs(texts[f], price=True) for f in PRICES if f in texts),
        volumes=proofs(texts["volume"], price=False) if "volume" in numbers else NOTHING,
    )


def place_of_undeclared(
    columns: Sequence[pa.StringArray], layout: Layout, separator: str, hints: Hints
) -> Place | None:
    """The place of the column that the header of these rows lacks; None if several readings fit, or none does.

    `columns` are all their cells, one column more than the layout has.
    """
    last = len(columns) - 1
    if not matches(columns[last], r"[^ \t]").any():
        return Place(last, blank=True)
    look = [column.slice(0, _FIRST_LOOK) for column in columns]
    places = [at for at in range(last + 1) if _read(look, layout, at, separator, hints)]
    found = {at: reading for at in places if (reading := _read(columns, layout, at, separator, hints))}
    places, readings = list(found), list(found.values())
    if not readings or not all(reading.same_bars(readings[0]) for reading in readings[1:]):
        return None
    if separator == "," and hints.decimal != "point" and _fits_with_commas(columns, layout):
        return None
    if "symbol" not in layout.columns and any(_are_tickers(columns[at]) for at in places):
        return None
    return Place(places[-1], all(reading.same_volume(readings[0]) for reading in readings[1:]))


def _read(columns: Sequence[pa.StringArray], layout: Layout, at: int, separator: str, hints: Hints) -> _Reading | None:
    """The rows with the undeclared column at a place; None if a row then lacks a date or a sound bar."""
    place = Place(at)
    cells = {field: columns[place.position(i)] for field, i in layout.columns.items()}
    texts: dict[str, pa.StringArray] = {f: cells[f] for f in ("symbol", "date") if f in cells}
    if not _readable(texts):
        return None
    prices = [field for field in PRICES if field in cells]
    volume = proofs(cells["volume"], price=False) if "volume" in cells else NOTHING
    try:
        marks = decide(separator, joined(proofs(cells[f], price=True) for f in prices), volume, hints)
    except FileRefused:
        return None
    numbers = {f: read_numbers(read_cells(cells[f], cast=False), marks.prices) for f in prices}
    if "volume" in cells:
        numbers["volume"] = read_numbers(read_cells(cells["volume"], cast=False), marks.volumes, price=False)
    if any(len(found.bad) for found in numbers.values()):
        return None
    values = {f: found.values for f, found in numbers.items()}
    amount = values.pop("volume", None)
    if np.isnan(values["close"]).any() or not _consistent(values).all():
        return None
    return _Reading(texts, values, amount)


def _readable(texts: dict[str, pa.StringArray]) -> bool:
    """Whether each row has a date and, if there is a symbol column, a symbol."""
    try:
        stamps = read_stamps(pc.unique(texts["date"]).to_pylist())
    except FileRefused:
        return False
    read = stamps.known.copy()
    read[[*(n.at for n in stamps.numeric), *(i.at for i in stamps.instants)]] = True
    symbols = pc.unique(texts["symbol"]).to_pylist() if "symbol" in texts else ()
    return bool(read.all()) and all(not is_blank(text) and canonical(text) for text in symbols)


def _consistent(prices: dict[str, Floats]) -> Bools:
    """Which rows are sound bars: prices above zero and finite, or blank, between the low and the high."""
    sound: Bools = np.ones(len(prices["close"]), bool)
    for values in prices.values():
        sound &= ~((values <= 0) | np.isinf(values))
    for higher, lower in ordered_prices(prices):
        sound &= ~is_below(prices[higher], prices[lower])
    return sound


def ordered_prices(fields: Container[str]) -> Iterator[tuple[str, str]]:
    """The pairs of prices of a bar where the first must be at least the second, for the fields that the file has."""
    for higher, lower in PRICE_BY_DATE.bounds:
        if higher in fields and lower in fields:
            yield higher, lower


def is_below(above: Floats, below: Floats) -> Bools:
    """Where a price breaks its bound by more than the rounding of doubles."""
    broken: Bools = above < below
    if broken.any():
        broken &= below - above > OHLC_TOLERANCE * np.abs(below)
    return broken


def _fits_with_commas(columns: Sequence[pa.StringArray], layout: Layout) -> bool:
    """Whether every row would also be a sound bar if two neighbouring cells were the halves of one price."""
    whole = [matches(column, "^[0-9]+$") for column in columns]
    fitting = np.zeros(len(columns[0]), bool)
    for field in (field for field in PRICES if field in layout.columns):
        at = layout.columns[field]
        place = Place(at + 1)  # the cell after it is the other half
        halves = whole[at] & whole[at + 1]
        if not halves.any():
            continue
        cells = {f: columns[place.position(i)] for f, i in layout.columns.items() if f in NUMBERS}
        cells[field] = strings(map("{}.{}".format, columns[at].to_pylist(), columns[at + 1].to_pylist()))
        dated = _dated(columns[place.position(layout.columns["date"])])
        values = {f: _values(cells[f]) for f in PRICES if f in cells}
        sound = _consistent(values) & ~np.isnan(values["close"])
        fitting |= halves & sound & dated
    return bool(fitting.all())


def _are_tickers(texts: pa.StringArray) -> bool:
    """Whether all cells look like symbols: an undeclared column of symbols may name the rows' instruments."""
    return all(is_upper_ticker(text) and text.upper() != text.lower() for text in pc.unique(texts).to_pylist())


def _dated(texts: pa.StringArray) -> Bools:
    encoded = texts.dictionary_encode()
    stamps = read_stamps(encoded.dictionary.to_pylist())
    read = stamps.known | np.isin(np.arange(len(stamps.known)), [n.at for n in stamps.numeric])
    flags: Bools = read[as_numpy(encoded.indices, np.int32)]
    return flags


def _values(texts: pa.StringArray) -> Floats:
    return read_numbers(read_cells(texts), Mark.POINT).values
