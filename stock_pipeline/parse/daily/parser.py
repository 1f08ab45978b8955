"""Daily prices: the CSV of any vendor → columns by field name, every row of the file accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Codes, Ints, as_numpy, unified
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.bars import Bars
from stock_pipeline.parse.daily.columns import NUMBERS, PRICES
from stock_pipeline.parse.daily.csv_dialect import Head, one_kind_of_line_break, read_head, without_formulas
from stock_pipeline.parse.daily.date_order import settle_order
from stock_pipeline.parse.daily.dates import Dates, read_stamps
from stock_pipeline.parse.daily.decimal_mark import Mark, Marks, decide, joined
from stock_pipeline.parse.daily.header import Layout
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.parse.daily.instants import Column, settle_instants
from stock_pipeline.parse.daily.instruments import Coded, Instruments, read_instruments
from stock_pipeline.parse.daily.lines import Lines
from stock_pipeline.parse.daily.numbers import Numbers, read_numbers
from stock_pipeline.parse.daily.records import RaggedRows, Source
from stock_pipeline.parse.daily.sections import Part, Section, all_evidence, read_sections
from stock_pipeline.parse.daily.undeclared import declared
from stock_pipeline.parse.files import MAX_BYTES, read_text

_DAILY = frozenset(("d", "daily", "1d", "day", "1day"))


@dataclass(frozen=True)
class DailyRows:
    """The rows of one file of daily prices, read but not cleaned, in the blocks in which they were parsed.

    Row i of block b has the symbol text `symbols.texts[symbols.codes[b][i]]`, whose canonical form is at the same place
    of `forms` (None: it is not a symbol), the date `dates` at `date_texts.codes[b][i]` and, for each field that the
    file has, the values i of `numbers[b]`. `records[b]` has the number of each row among the records of `lines`;
    `ragged` has the same for records that are not rows. `names` maps fields to the file's own headers.

    `repeated` are the records whose symbol and date come more than once, `times` those of days that have rows of
    several times, and a number for each time. `skipped` counts lines that are not meant as rows: those before the
    header, and headers in the middle. `unread` are the names of columns that nobody reads, `telling_apart` those of
    columns that can distinguish listings, and `decided` says by which evidence a reading was chosen.
    """

    symbols: Coded
    forms: list[str | None]
    date_texts: Coded
    dates: Dates
    numbers: list[dict[str, Numbers]]
    records: list[Ints]
    ragged: RaggedRows
    names: dict[str, str]
    lines: Lines
    repeated: Ints
    times: tuple[Ints, Ints] | None = None
    skipped: int = 0
    unread: tuple[str, ...] = ()
    telling_apart: tuple[str, ...] = ()
    decided: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.records))


@dataclass(frozen=True)
class _File:
    """A file while it is read: where it came from, what is known about it, and its sections."""

    names: tuple[str, str]
    symbol: str | None
    hints: Hints
    head: Head
    lines: Lines
    sections: list[Section]

    @property
    def layout(self) -> Layout:
        return self.head.layout


def parse_daily_prices(
    data: bytes,
    key: str,
    *,
    symbol: str | None = None,
    hints: Hints = Hints(),  # noqa: B008 - it is immutable
    max_bytes: int = MAX_BYTES,
) -> DailyRows:
    """Read a raw object of daily prices, in any supported layout.

    `key` names the object; without a symbol column the symbol is `symbol`, or that of a `symbol=AAPL/` folder in the
    key, or that of the file's name. `hints`, and those that folders of the key give, decide what the file leaves open.
    `max_bytes` caps the unpacked text.

    Raises FileRefused, with what was found and what would be accepted, in these cases: the object is not a table of
    daily prices, something in it could be read in two ways, a hint contradicts it (the modules of this package say
    more), its bars have another period (`PER` other than D), more than a million rows have another width than the
    header, or a record has more than 4 MiB.
    """
    hints = hints.joined(Hints.of_key(key))
    raw = read_text(data, max_bytes)
    text = one_kind_of_line_break(raw.data)
    try:
        head = read_head(text)
    except FileRefused as refused:
        if raw.encoding == "utf-8":
            raise
        raise FileRefused(
            f"{refused}. The file is not UTF-8 and was read as {raw.encoding}; if its headers are in another script, "
            "save it as UTF-8"
        ) from refused
    parsed, quoting = without_formulas(text, head.start, head.separator)
    lines = Lines(text, head.start, head.lines + 1, quoting.multiline)
    source = Source(parsed, lines, quoting, head.separator, head.layout.width, head.start, formulas=parsed is not text)
    # If a comma may be the decimal mark, all cells are looked at before any is cast: 1.234 could be a thousand.
    cast = hints.decimal != "comma" and (source.separator == "," or text.find(b",", head.start) < 0)
    sections = read_sections(source, head.layout, cast=cast)
    read = _File((key, raw.member or ""), symbol, hints, head, lines, sections)
    return _assembled(read, cast=cast)


def _assembled(read: _File, *, cast: bool) -> DailyRows:
    taken = [declared(section, read.hints) for section in read.sections]
    marks = _marks(read, [part for found in taken for part in found.parts], cast=cast)
    if cast and (marks.prices, marks.volumes) != (Mark.POINT, Mark.POINT):
        again = read_sections(_source(read), read.layout, cast=False)
        taken = [declared(section, read.hints) for section in again]
    parts = [part for found in taken for part in found.parts]
    unit, unit_evidence = _unit(read)
    coded = {f: _coded([part.coded[f] for part in parts]) for f in read.layout.columns if f not in NUMBERS}
    _refuse_other_periods(coded.get("period"), read.layout)
    stamps = read_stamps(coded["date"].texts)
    order = settle_order(stamps, coded["date"].texts, read.hints)
    whose = read_instruments(coded, read.layout, read.names, read.symbol, [len(part.rows) for part in parts])
    column = Column(coded["date"].texts, coded["date"].codes)
    stamps, column, zone = settle_instants(stamps, column, whose.column.texts, whose.column.codes, read.hints)
    dates = stamps.dates
    if read.layout.date_unnamed and column.texts and dates.known.sum() * 2 <= (~dates.missing).sum():
        raise FileRefused(f"{read.layout.name('date')} does not hold dates; call the column of dates date")
    bars = Bars(whose.column.codes, whose.forms, column.codes, dates.days, dates.known)
    records = [part.rows for part in parts]
    times = _several_times(bars, column, dates, coded.get("time"), records)
    bars.refuse_long_periods()
    decided = {"dates": order, "timezone": zone, "decimal": marks.evidence, "unit": unit_evidence}
    decided |= {"undeclared column": next((found.evidence for found in taken if found.evidence), None)}
    return DailyRows(
        symbols=whose.column,
        forms=whose.forms,
        date_texts=Coded(column.codes, column.texts),
        dates=dates,
        numbers=[_numbers(part, marks, unit) for part in parts],
        records=records,
        ragged=_joined_ragged([part.ragged for part in parts]),
        names={f: read.layout.name(f) for f in read.layout.columns},
        lines=read.lines,
        repeated=_joined(records)[bars.repeated],
        times=times,
        skipped=len(read.head.preamble) + sum(section.headers for section in read.sections),
        unread=_unread(read, whose, [name for found in taken for name in found.unread]),
        telling_apart=read.layout.telling_apart,
        decided={what: evidence for what, evidence in decided.items() if evidence},
    )


def _source(read: _File) -> Source:
    return replace(read.sections[0].source, stop=None)


def _marks(read: _File, parts: Sequence[Part], *, cast: bool) -> Marks:
    """The decimal marks of the file. If the odd cells do not decide, the cast cells are looked at again."""
    prices, volumes = joined(part.prices for part in parts), joined(part.volumes for part in parts)
    comma = prices.comma or prices.open_comma
    if cast and not read.hints.decimal and not prices.point and (comma or read.head.separator != ","):
        more, more_volumes = all_evidence(read.sections)
        prices, volumes = prices | more, volumes | more_volumes
    return decide(read.head.separator, prices, volumes, read.hints)


def _numbers(part: Part, marks: Marks, unit: int) -> dict[str, Numbers]:
    return {
        f: read_numbers(cells, marks.prices)
        if f in PRICES
        else read_numbers(cells, marks.volumes, price=False, unit=unit)
        for f, cells in part.cells.items()
    }


def _unit(read: _File) -> tuple[int, str | None]:
    """How many shares one unit of the volume is, and where that is known from."""
    own, told = read.layout.unit, read.hints.unit
    if own and told and own != told:
        raise FileRefused(
            f"the hint says unit {told}, but this layout counts its volume in {own} shares; leave the hint out"
        )
    return told or own or 1, "hint" if told else "layout" if own else None


def _unread(read: _File, whose: Instruments, others: Sequence[str]) -> tuple[str, ...]:
    names = [name for section in read.sections for name in section.layout.unread]
    return tuple(dict.fromkeys([*names, *(name.strip() for name in whose.unused), *others]))


def _joined(parts: Sequence[Ints] | Sequence[Codes]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _joined_ragged(parts: Sequence[RaggedRows]) -> RaggedRows:
    return RaggedRows(
        _joined([part.records for part in parts]),
        _joined([part.cells for part in parts]),
        _joined([part.width for part in parts]),
    )


def _coded(chunks: list[pa.DictionaryArray]) -> Coded:
    if not chunks:
        return Coded([], [])
    chunks = unified(pa.chunked_array(chunks)).chunks
    return Coded([as_numpy(c.indices, np.int32) for c in chunks], chunks[0].dictionary.to_pylist())


def _refuse_other_periods(period: Coded | None, layout: Layout) -> None:
    others = [t for t in period.texts if t.strip().lower() not in _DAILY] if period else []
    if others:
        raise FileRefused(
            f"column {quoted(layout.name('period'))} holds {quoted(others[0])}: only daily bars (D) are taken into "
            "daily prices"
        )


def _several_times(
    bars: Bars, column: Column, dates: Dates, times: Coded | None, records: Sequence[Ints]
) -> tuple[Ints, Ints] | None:
    """The records of days with rows of several times, and a number for each time; refuses intraday bars."""
    if not len(bars.repeated) or (times is None and not dates.moments.any()):
        return None
    codes = np.concatenate([np.zeros(0, np.int32), *column.codes])
    moments = dates.moments[codes]
    if times is not None:
        moments = moments * (len(times.texts) + 1) + _joined(times.codes)
    rows = bars.refuse_intraday(moments, column.texts, codes)
    return _joined(records)[rows], moments[rows]
