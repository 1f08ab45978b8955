"""Lines of one file that contest a key: the same symbol and date, with other values.

No such line is preferred for being first or last, or for its time of day (a vendor's live row has one). All are
rejected as ambiguous, and each names the other's line. A later file with the right bar is accepted. Blanks contest
nothing: lines that differ only in blanks are one bar, with all values that any of them has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Floats, Ints, as_arrow, as_numpy, booleans, taken
from stock_pipeline.parse.daily.columns import NUMBERS


@dataclass(frozen=True)
class Contest:
    """The good rows of a file that stay, and the lines that are rejected.

    `table` are the rows that stay (`stays`), blanks filled from lines of the same bar. `place` says where each of the
    old rows is among them, -1 if it is rejected. `lines` are those of the rejected, with the `details` of each.
    """

    table: pa.Table
    stays: Bools
    place: Ints
    lines: Ints
    details: list[str]


def contests(
    good: pa.Table, lines: Ints, repeated: Ints, times: tuple[Ints, Ints] | None, telling_apart: Sequence[str]
) -> Contest | None:
    """Find the contested keys among good rows (in the order of their lines); None when no key comes twice.

    `repeated` are the lines, of good rows and others, whose keys come more than once. `times` are lines on days that
    have several times, and a number for the time of each. `telling_apart` are the names of columns that could tell two
    listings apart: the details name them.
    """
    if not len(repeated):
        return None
    wanted = np.sort(repeated)
    at = np.searchsorted(lines, wanted)
    at, wanted = at[at < len(lines)], wanted[at < len(lines)]
    few = at[lines[at] == wanted]
    rows = taken(good, few)
    order, starts = _groups(rows)
    if not len(starts):
        return None
    values = [*(_values(rows, name) for name in NUMBERS), _time_of(lines[few], times)]
    least, most = ([extreme.reduceat(column[order], starts) for column in values] for extreme in (np.fmin, np.fmax))
    contested = np.any([low < high for low, high in zip(least, most, strict=True)], axis=0)  # NaN, a blank, is not less
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(order))))
    out = contested[group]
    good = _filled(good, few, values, order[~out], group[~out], most)
    stays = np.ones(good.num_rows, bool)
    if not out.any():
        return Contest(good, stays, np.arange(good.num_rows), lines[:0], [])
    rejected = order[out]
    stays[few[rejected]] = False
    first = np.diff(group[out], prepend=-1) != 0
    numbered = np.cumsum(first) - 1
    others = _others(values, rejected, np.flatnonzero(first), numbered)
    details = _details(others, numbered, lines[few], telling_apart)
    place = np.where(stays, np.cumsum(stays) - 1, -1)
    return Contest(good.filter(booleans(stays)), stays, place, lines[few[rejected]], details)


def _groups(good: pa.Table) -> tuple[Ints, Ints]:
    """The rows whose key comes more than once, key by key in their order, and where each key begins among them."""
    chunks = good["symbol"].chunks
    symbols = np.concatenate([np.zeros(0, np.int32), *(as_numpy(chunk.indices, np.int32) for chunk in chunks)])
    days = np.concatenate([np.zeros(0, np.int32), *(as_numpy(chunk, np.int32) for chunk in good["date"].chunks)])
    if not len(days):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = int(days.min())
    keys = symbols.astype(np.int64) * (int(days.max()) - first + 1) + (days - first)
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    several = np.append(same, False) | np.insert(same, 0, False)
    order, ordered = order[several], ordered[several]
    return order, np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])


def _values(good: pa.Table, name: str) -> Floats:
    """A column as doubles, NaN where it is null."""
    column = good[name].cast(pa.float64()).combine_chunks()
    values = as_numpy(column, np.float64)
    if not column.null_count:
        return values
    valid = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
    there = valid[column.offset : column.offset + len(column)].astype(bool)
    return np.where(there, values, np.nan)


def _time_of(lines: Ints, times: tuple[Ints, Ints] | None) -> Floats:
    """A number for the time of each row on a day with several times; NaN on other days."""
    found = np.full(len(lines), np.nan)
    if times is not None and len(times[0]):
        order = np.argsort(times[0])
        at = np.minimum(np.searchsorted(times[0][order], lines), len(order) - 1)
        there = times[0][order][at] == lines
        found[there] = np.unique(times[1], return_inverse=True)[1][order][at][there]
    return found


def _filled(
    good: pa.Table, few: Ints, values: Sequence[Floats], rows: Ints, group: Ints, most: Sequence[Floats]
) -> pa.Table:
    """The good rows with the blanks of some (`few` at `rows`) filled by what another line of the same bar has."""
    for name, column, found in zip(NUMBERS, values, most, strict=False):
        blank = np.isnan(column[rows]) & ~np.isnan(found[group])
        if blank.any():
            whole = _values(good, name).copy()
            whole[few[rows[blank]]] = found[group[blank]]
            at = good.schema.get_field_index(name)
            filled = as_arrow(whole, pa.float64(), np.isnan(whole)).cast(good.schema.field(name).type)
            good = good.set_column(at, good.schema.field(name), filled)
    return good


@dataclass(frozen=True)
class _Others:
    """For each row of contested keys, another line of its key: in which field, and with which value.

    `fields` are numbers of `NUMBERS`, and one more for the time; `theirs` is a row.
    """

    fields: Ints
    mine: Floats
    theirs: Ints
    theirs_value: Floats


def _others(values: Sequence[Floats], order: Ints, starts: Ints, group: Ints) -> _Others:
    """Each row, compared in its first contested field with the row of its key that has the greatest or least value."""
    table = np.array([column[order] for column in values])
    least, most = (np.array([extreme.reduceat(row, starts) for row in table]) for extreme in (np.fmin, np.fmax))
    fields = (least < most).argmax(axis=0)[group]
    mine = table[fields, np.arange(len(order))]
    at = np.arange(len(order))
    top, bottom = (
        np.minimum.reduceat(np.where(mine == extreme[fields, group], at, len(order)), starts)[group]
        for extreme in (most, least)
    )
    theirs = np.where(mine == mine[top], bottom, top)
    return _Others(fields, mine, order[theirs], mine[theirs])


def _details(others: _Others, group: Ints, lines: Ints, telling_apart: Sequence[str]) -> list[str]:
    """In words: which line has the same key, and how it differs."""
    hint = f"; {' and '.join(telling_apart)} may tell them apart: give each its own symbol" if telling_apart else ""
    counts = np.bincount(group)[group]
    found = zip(others.fields, others.mine, others.theirs, others.theirs_value, counts, strict=True)
    return [
        f"line {lines[other]} has the same symbol and date, but {_difference(field, here, there)}"
        f"{f' ({count} lines in all)' if count > 2 else ''}{hint}"
        for field, here, other, there, count in found
    ]


def _difference(field: int, here: float, there: float) -> str:
    if field == len(NUMBERS):
        return "another time of the day"
    return f"{NUMBERS[field]} {there:.15g} in place of {'nothing' if np.isnan(here) else format(here, '.15g')}"
