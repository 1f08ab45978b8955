"""Conflicts that are one thing: a file whose prices differ from the stored ones by one constant factor.

A file that a vendor gives again after a split has all prices before it in other units. Row by row these are conflicts,
and they stay out; told one by one they would bury everything else on record. So they are told as what they are, a
symbol at a time. The rule:

- All prices of a row differ by one factor, and so do five rows or more of one symbol of the file, each within 0.5 %. A
  factor within 1 % of 1 is no factor, but prices that are a little off.
- Where no row before the last of these agrees with a stored one that another file gave, they lie before a date: that of
  the symbol's next row in the file, or a later one where that row is not stored yet. If the factor is that of a split,
  it is called one. Which of the two sides is the adjusted one is told by the step of its closes at that date: the
  adjusted one has the smaller.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pyarrow as pa

from stock_pipeline.arrow import Bools, Codes, Floats, Ints, as_numpy
from stock_pipeline.schemas import Table

FEWEST = 5
EQUAL = 0.005
"""So far from the factor, in relation to it, may a row be."""

_LEAST = np.log1p(2 * EQUAL)  # a factor nearer to 1 is none
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Compared:
    """Rows that were merged, and what they met.

    `owners` numbers the source of each of `rows`. `at` (ascending) are those that met other values, `met` the rows that
    they met. `agreed` says of all rows whether they were found stored as they are, given by another source.
    """

    rows: pa.Table
    owners: Codes
    agreed: Bools
    at: Ints
    met: pa.Table


@dataclass(frozen=True)
class Run:
    """Rows of one symbol of one source that differ from what is stored by one factor.

    `rows` are indices into the `at` of `Compared`, by date. `said` is the line that tells of them.
    """

    rows: Ints
    said: str


def runs(compared: Compared, table: Table) -> list[Run]:
    """The rows that differ by a constant factor; every other conflict is one of its own."""
    if not table.scaled or len(compared.at) < FEWEST:
        return []
    given = compared.rows.take(pa.array(compared.at))
    factors, uniform = _factors(given, compared.met, table.scaled)
    series, days = _series(compared, table)
    clusters = list(_clusters(series[compared.at], factors, uniform & (np.abs(np.log(factors)) > _LEAST)))
    if not clusters:
        return []
    agreed = compared.agreed.copy()
    agreed[compared.at[uniform & (np.abs(np.log(factors)) <= _LEAST)]] = True
    timeline = _Timeline(series, days, agreed)
    found = [cluster[np.argsort(days[compared.at[cluster]], kind="stable")] for cluster in clusters]
    return [Run(run, _said(compared, given, factors, run, timeline, table)) for run in found]


def _factors(given: pa.Table, met: pa.Table, prices: tuple[str, ...]) -> tuple[Floats, Bools]:
    """By which factor the prices that were met are those given (that of the last of the columns), and whether it is
    the same for all that both have."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.array([_doubles(met[name]) / _doubles(given[name]) for name in prices])
        ratios[~(np.isfinite(ratios) & (ratios > 0))] = np.nan
        low, high = np.fmin.reduce(ratios), np.fmax.reduce(ratios)
        uniform = (high <= low * (1 + 2 * EQUAL)) & ~np.isnan(ratios[-1])
    return np.where(uniform, ratios[-1], 1.0), uniform


def _series(compared: Compared, table: Table) -> tuple[Ints, Ints]:
    """A number for the source and symbol of each row, and its day."""
    name, day = table.key
    symbols = compared.rows[name].unify_dictionaries()
    codes = np.concatenate([np.zeros(0, np.int64), *(as_numpy(c.indices, np.int32) for c in symbols.chunks)])
    days = np.concatenate([np.zeros(0, np.int64), *(as_numpy(c, np.int32) for c in compared.rows[day].chunks)])
    return compared.owners.astype(np.int64) * (int(codes.max(initial=0)) + 1) + codes, days


def _clusters(series: Ints, factors: Floats, candidate: Bools) -> Iterator[Ints]:
    """The candidates of one series whose factors are one."""
    at = np.flatnonzero(candidate)
    logs = np.log(factors[at])
    order = np.lexsort((logs, series[at]))
    at, logs = at[order], logs[order]
    apart = (np.diff(series[at]) != 0) | (np.diff(logs) > np.log1p(EQUAL))
    for group in np.split(np.arange(len(at)), np.flatnonzero(apart) + 1):
        if len(group) < FEWEST:
            continue
        middle = logs[group[len(group) // 2]]
        if logs[group[-1]] - middle <= np.log1p(EQUAL) and middle - logs[group[0]] <= np.log1p(EQUAL):
            yield at[group]


@dataclass
class _Timeline:
    """The rows of each series by their days."""

    series: Ints
    days: Ints
    agreed: Bools
    _first: int = field(init=False)
    _span: int = field(init=False)

    def __post_init__(self) -> None:
        self._first, self._span = int(self.days.min()), int(self.days.max() - self.days.min()) + 2
        at = self.series * self._span + (self.days - self._first)
        self._order = np.argsort(at, kind="stable")
        self._at, self._agreed = at[self._order], np.sort(at[self.agreed])

    def following(self, row: int) -> int | None:
        """The next row of the series on a later day."""
        at = int(np.searchsorted(self._at, self._place(row), side="right"))
        found = int(self._order[at]) if at < len(self._at) else None
        return found if found is not None and self.series[found] == self.series[row] else None

    def agrees_before(self, row: int) -> bool:
        """Whether a row of the series, of that day or an earlier one, agrees with what another source gave."""
        start, end = int(self.series[row]) * self._span, self._place(row)
        return bool(np.searchsorted(self._agreed, start) < np.searchsorted(self._agreed, end, side="right"))

    def _place(self, row: int) -> int:
        return int(self.series[row]) * self._span + int(self.days[row]) - self._first


def _said(compared: Compared, given: pa.Table, factors: Floats, run: Ints, timeline: _Timeline, table: Table) -> str:
    name, day = table.key
    last = int(compared.at[run[-1]])
    factor, rows = float(np.median(factors[run])), f"{len(run):,} rows of {given[name][int(run[-1])]}"
    start, end = (given[day][int(row)] for row in (run[0], run[-1]))
    if timeline.agrees_before(last):
        return f"prices are {1 / factor:.4g} times the stored ones: {rows}, from {start} to {end}"
    after = timeline.following(last)
    when = f"after {end}" if after is None else f"on {compared.rows[day][after]}"
    if after is not None and not timeline.agreed[after]:  # it is new here, and tells nothing of its own day
        when += " or later"
    if after is not None:
        close = table.scaled[-1]
        here, stored = (t[close][int(run[-1])].as_py() for t in (given, compared.met))
        then = compared.rows[close][after].as_py()
        if abs(np.log(here / then)) > abs(np.log(stored / then)) and (split := split_of(1 / factor)):
            return f"looks not adjusted for a {split} split {when}, as the stored rows are: {rows}"
    if split := split_of(factor):
        return f"looks adjusted for a {split} split {when}: {rows}"
    before = f"up to {end}" if after is None else f"before {compared.rows[day][after]}"
    return f"prices are {1 / factor:.4g} times the stored ones {before}: {rows}"


def split_of(factor: float) -> str | None:
    """The split by which prices before it are divided by a factor: 2 → `2:1`, 0.1 → `1:10`, 1.5 → `3:2`; else None.

    Two numbers up to 10, or one number up to 100 beside a 1. A hundredfold is none: it is pence beside pounds.
    """
    pairs = [(n, m) for n in range(1, 11) for m in range(1, 11)] + [(n, 1) for n in range(11, 100)]
    pairs += [(1, n) for n in range(11, 100)]
    near = [(n, m) for n, m in pairs if n != m and abs(factor * m / n - 1) <= EQUAL]
    return "{}:{}".format(*min(near, key=sum)) if near else None


def _doubles(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.to_numpy()
    return values
