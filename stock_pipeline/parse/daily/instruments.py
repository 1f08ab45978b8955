"""The instrument of each row, from columns, folders, hints and the file's name; never a guess."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stock_pipeline.arrow import Codes
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.header import Layout
from stock_pipeline.parse.symbols import (
    REMEDY,
    canonical,
    file_name_symbol,
    folder_symbol,
    given_symbol,
    is_blank,
    is_series,
    is_upper_ticker,
    of_series,
)

_NO_CONTRACT = frozenset(("", "-", "--", "null", "none", "nan", "nat", "n/a", "na", "0", "0.0", "0.00", "xx"))


@dataclass(frozen=True)
class Coded:
    """A column whose texts repeat, block by block: `texts[codes[b][i]]` is the cell of row i of block b, as it came."""

    codes: list[Codes]
    texts: list[str]


@dataclass(frozen=True)
class Instruments:
    """The instrument of each row: the text of its symbol's cell, and its canonical form (None: it is not a symbol).

    `forms` has one entry for each of `column.texts`. `unused` are columns that could have distinguished instruments,
    and were not used.
    """

    column: Coded
    forms: list[str | None]
    unused: tuple[str, ...] = ()


def read_instruments(
    coded: Mapping[str, Coded], layout: Layout, names: Sequence[str], given: str | None, sizes: Sequence[int]
) -> Instruments:
    """The instruments of a file: `coded` are its columns of texts, `names` its key and its name inside an archive.

    `given` is the symbol that a person gave, `sizes` the number of rows of each block. Raises FileRefused for rows that
    are contracts on an underlying, if nothing names the symbol, and if two sources of it contradict each other.
    """
    _refuse_contracts(coded, layout)
    told = _told(layout, names, given)
    column = coded.get("symbol")
    if column and layout.symbol_may_be_name and not any(map(is_upper_ticker, column.texts)) and column.texts:
        column = None  # names of companies, not tickers
    if column:
        _refuse_contradictions(column, layout, told, names)
    else:
        found = told or next(filter(None, map(file_name_symbol, names)), None)
        if found is None:
            raise _nameless(layout, names)
        column = Coded([np.zeros(size, np.int32) for size in sizes], [found])
    forms = [canonical(text) for text in column.texts]
    if "symbol" in coded and layout.symbol_may_be_name:  # if it holds tickers, other names are not symbols
        forms = [form if is_upper_ticker(text) else None for form, text in zip(forms, column.texts, strict=True)]
    series = coded.get("series")
    if series is None:
        return Instruments(column, forms)
    if not _is_nse_series(series, coded.get("source"), layout):
        return Instruments(column, forms, (layout.name("series"),))
    return _with_series(column, forms, series)


def _told(layout: Layout, names: Sequence[str], given: str | None) -> str | None:
    told = given_symbol(given) if given else folder_symbol(names[0])
    own = canonical(layout.symbol) if layout.symbol else None
    if told and own and told != own:
        raise FileRefused(
            f"{quoted(told)} was given as the symbol, but the header says {quoted(own)}; leave the symbol out and the "
            "header decides"
        )
    return told or own


def _refuse_contradictions(column: Coded, layout: Layout, told: str | None, names: Sequence[str]) -> None:
    where = f"column {quoted(layout.name('symbol'))} holds"
    other = next((t for t in column.texts if told and not is_blank(t) and canonical(t) not in (told, None)), None)
    if other is not None:
        raise FileRefused(
            f"{quoted(told or '')} was given as the symbol, but {where} {quoted(other)}; leave the symbol out and the "
            "column decides"
        )
    file = None if told else next(filter(None, map(file_name_symbol, names)), None)
    if not layout.symbol_may_be_name or not file:
        return
    forms = {form for text in column.texts if (form := canonical(text))}
    if len(forms) == 1 and file not in forms:
        raise FileRefused(
            f"{where} {quoted(forms.pop())}, but the file is named after {quoted(file)}: one of them is the symbol, "
            "and it is not clear which; rename the column to symbol, or to what else it is, or rename the file"
        )


def _nameless(layout: Layout, names: Sequence[str]) -> FileRefused:
    where = (
        f"column {quoted(layout.name('symbol'))} holds no tickers" if "symbol" in layout.columns else "no symbol column"
    )
    return FileRefused(
        f"{where}, and the name of the file, {quoted(names[0].rsplit('/', 1)[-1])}, is not a ticker either; {REMEDY}"
    )


def _refuse_contracts(coded: Mapping[str, Coded], layout: Layout) -> None:
    for field, column in coded.items():
        if field.startswith("contract "):
            value = next((text for text in column.texts if text.strip().lower() not in _NO_CONTRACT), None)
            if value is not None:
                raise FileRefused(
                    f"column {quoted(layout.name(field))} holds {quoted(value)}: these are contracts (futures or "
                    "options), of which one symbol and day has many; daily prices have one row a symbol and day"
                )


def _is_nse_series(series: Coded, source: Coded | None, layout: Layout) -> bool:
    """Whether a column of series is NSE's. Refuses a column where only some rows are."""
    exchanges = {text.strip().upper() for text in source.texts if text.strip()} if source else set()
    filled = [text for text in series.texts if text.strip()]
    known = [text for text in filled if is_series(text)]
    if (known and len(known) < len(filled)) or ("NSE" in exchanges and len(exchanges) > 1):
        other = next((text for text in filled if not is_series(text)), ", ".join(sorted(exchanges)))
        raise FileRefused(
            f"column {quoted(layout.name('series'))} holds NSE's series in some rows, and {quoted(other)} beside them; "
            "write one file for each"
        )
    return bool(known or not filled) and exchanges <= {"NSE"}


def _with_series(column: Coded, forms: Sequence[str | None], series: Coded) -> Instruments:
    """The instruments of symbols and NSE's series, one for each pair that occurs."""
    count = max(len(series.texts), 1)
    used = np.zeros(len(column.texts) * count, bool)
    pairs = []
    for symbols, of in zip(column.codes, series.codes, strict=True):
        pairs.append(symbols.astype(np.int64) * count + of)
        used[pairs[-1]] = True
    place = (np.cumsum(used) - 1).astype(np.int32)
    there = [divmod(pair, count) for pair in np.flatnonzero(used).tolist()]
    codes = [place[pair] for pair in pairs]
    instruments = [of_series(forms[symbol], series.texts[of]) for symbol, of in there]
    return Instruments(Coded(codes, [column.texts[symbol] for symbol, _ in there]), instruments)
