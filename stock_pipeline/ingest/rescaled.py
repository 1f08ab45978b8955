"""Conflicts with one cause: a file whose prices differ from the stored ones by one constant factor.

After a split, a vendor's new file has all earlier prices in other units. Each such row is a conflict, and stays out. A
record for each of them would bury all other records, so there is one for each symbol. The rule:

- Five rows or more of one symbol in the file differ by one factor: all prices of each row, each row within 0.5 % of the
  factor. A factor within 1 % of 1 does not count: such prices are only a little off.
- If no row before the last of these agrees with a stored row from another file, they are before a date: the date of the
  symbol's next row in the file, or a later date if that row is not stored yet. If the factor is that of a split, it is
  called a split. The steps of the closes at that date show which of the two sides is adjusted: the side with the
  smaller step.
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
"""How far a row may be from the factor, relative to it."""

_LEAST = np.log1p(2 * EQUAL)  # a factor nearer to 1 does not count
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Compared:
    """Rows that were merged, and what they met.

    `owners` has the number of each row's source. `at` (ascending) are the positions of the rows that met other values,
    `met` the stored rows that they met. `agreed` says for each of `rows` whether another source had stored it with the
    same values.
    """

    rows: pa.Table
    owners: Codes
    agreed: Bools
    at: Ints
    met: pa.Table


@dataclass(frozen=True)
class Run:
    """Rows of one symbol of one source that differ from what is stored by one factor.

    `rows` are indices into the `at` of `Compared`, by date. `said` is the line that describes them.
    """

    rows: Ints
    said: str


def runs(compared: Compared, table: Table) -> list[Run]:
    """The rows that differ by a constant factor. Every other conflict stands for itself."""
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
    """The factor from the given prices to the stored ones (by the last of the columns), and whether it is the same for
    all prices that both have.
    """
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
    """The candidates of one series that share one factor."""
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
    if after is not None and not timeline.agreed[after]:  # this row is new here, so nothing is known about its own day
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

    Two numbers up to 10, or a 1 and a number up to 100. A hundredfold is not a split, but pence instead of pounds.
    """
    pairs = [(n, m) for n in range(1, 11) for m in range(1, 11)] + [(n, 1) for n in range(11, 100)]
    pairs += [(1, n) for n in range(11, 100)]
    near = [(n, m) for n, m in pairs if n != m and abs(factor * m / n - 1) <= EQUAL]
    return "{}:{}".format(*min(near, key=sum)) if near else None


def _doubles(column: pa.ChunkedArray) -> Floats:
    values: Floats = column.to_numpy()
    return values
