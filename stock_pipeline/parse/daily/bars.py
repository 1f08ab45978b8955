"""Whether the rows are daily bars: what the dates of each symbol say about the file's period.

It looks at the keys (symbol and date) of all rows. `clean` uses the same keys to find rows that contest each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stock_pipeline.arrow import Bools, Codes, Ints
from stock_pipeline.errors import FileRefused, quoted

_FEWEST_BARS = 6
_LONG_GAP = 5
"""Bars that are mostly this many days apart, or more, are not daily bars."""

_DENSE_SLACK = 16  # a table of all symbols and days may be this many times longer than the rows


class Bars:
    """The rows of a file by symbol and date.

    `forms` are the canonical symbols of the texts that `symbols` (codes, block by block) point at, None where a text is
    not a symbol. `days` (from 1970) are those of the texts that `dates` point at, where they are `known`. `repeated`
    are the rows, counted over all blocks, whose symbol and date come more than once.
    """

    def __init__(
        self, symbols: Sequence[Codes], forms: Sequence[str | None], dates: Sequence[Codes], days: Codes, known: Bools
    ) -> None:
        self.names = sorted({form for form in forms if form is not None})
        place = {name: i for i, name in enumerate(self.names)}
        ascending = np.sort(days[known]).astype(np.int64)  # np.unique would import numpy.ma
        self._days = ascending[np.diff(ascending, prepend=-(2**40)) != 0]
        span = len(self.names) * len(self._days)
        # A row without a symbol or a date gets the key `span`, which is behind all others.
        kind = np.int32 if span < 2**30 else np.int64
        base = np.array([place[form] * len(self._days) if form is not None else span for form in forms], kind)
        nth = np.where(known, np.searchsorted(self._days, days), span).astype(kind)
        self._keys: npt.NDArray[Any] = np.empty(sum(map(len, symbols)), kind)
        at = 0
        for symbol, date in zip(symbols, dates, strict=True):
            np.add(base[symbol], nth[date], out=self._keys[at : at + len(symbol)])
            at += len(symbol)
        np.minimum(self._keys, span, out=self._keys)
        self._counts: Ints | None = None
        if span <= _DENSE_SLACK * max(len(self._keys), 1024):
            self._counts = np.bincount(self._keys, minlength=span + 1)[:span]
            several = np.flatnonzero(self._counts > 1)
        else:
            self._distinct, counts = np.unique(self._keys[self._keys < span], return_counts=True)
            several = self._distinct[counts > 1]
        self.repeated = self._rows_of(several)

    def _rows_of(self, keys: Ints) -> Ints:
        """The rows that have one of these keys (ascending)."""
        if not len(keys):
            return np.zeros(0, np.int64)
        if self._counts is None:
            return np.flatnonzero(np.isin(self._keys, keys))
        wanted = np.zeros(len(self._counts) + 1, bool)
        wanted[keys] = True  # rows without a key use the last place
        return np.flatnonzero(wanted[self._keys])

    def refuse_intraday(self, moments: Ints, texts: Sequence[str], codes: Codes) -> Ints:
        """Refuse several bars a day, told apart by their times (`moments`, any number for each of the rows).

        If this is so on a single day only, or on at most a tenth of the days, the file is not intraday: a vendor's live
        row looks like this. Returns the rows of such days. `texts` at `codes` are the dates as they came.
        """
        rows = self.repeated
        order = rows[np.lexsort((moments[rows], self._keys[rows]))]
        keys, moments = self._keys[order], moments[order]
        several = np.flatnonzero((keys[1:] == keys[:-1]) & (moments[1:] != moments[:-1]))
        days = np.unique(keys[several] % max(len(self._days), 1))
        if len(days) > 1 and len(days) * 10 > len(self._days):
            row = order[several[0]]
            which = f"{quoted(self.names[int(keys[several[0]]) // len(self._days)])} on {quoted(texts[codes[row]])}"
            raise FileRefused(
                f"several bars a day (such as {which}, told apart by the time): these are intraday prices; "
                "daily prices have one row a symbol and day"
            )
        return self._rows_of(np.unique(keys[several]))

    def refuse_long_periods(self) -> None:
        """Refuse weekly and monthly bars: symbols of which four fifths of the gaps are five days or longer.

        A share that is seldom traded has gaps too. In a file with daily bars of other shares it counts as weekly or
        monthly only if all its gaps have one length.
        """
        sparse = []
        for symbol, days in self._few_and_far():
            gaps = np.diff(days)
            if 5 * int((gaps >= _LONG_GAP).sum()) >= 4 * len(gaps):
                sparse.append((symbol, gaps))
        if not sparse:
            return
        daily = self._long_series() > len(sparse)
        for symbol, gaps in sparse:
            typical = float(np.median(gaps))
            even = 5 * int((np.abs(gaps - typical) <= max(2.0, typical / 6)).sum()) >= 4 * len(gaps)
            if even or not daily:
                period = "weekly" if typical < 15 else "monthly" if typical < 45 else "longer than monthly"
                raise FileRefused(
                    f"the bars of {quoted(self.names[symbol])} are {typical:g} days apart for the most part, so their "
                    f"period looks {period}; daily prices have one row a session: export daily bars"
                )

    def _few_and_far(self) -> list[tuple[int, Ints]]:
        """The symbols with six bars or more whose bars are so far apart on the whole that they may not be daily."""
        if self._counts is None:
            keys = self._distinct
            symbols, starts = np.unique(keys // len(self._days), return_index=True)
            series = np.split(self._days[keys % len(self._days)], starts[1:])
            found = zip(symbols.tolist(), series, strict=True)
            return [
                (s, days) for s, days in found if len(days) >= _FEWEST_BARS and _is_far(len(days), days[-1] - days[0])
            ]
        if not len(self._counts):
            return []
        there = self._table()
        bars = there.sum(axis=1)
        first, last = there.argmax(axis=1), len(self._days) - 1 - there[:, ::-1].argmax(axis=1)
        far = _is_far(bars, self._days[last] - self._days[first]) & (bars >= _FEWEST_BARS)
        return [(int(s), self._days[there[s]]) for s in np.flatnonzero(far)]

    def _long_series(self) -> int:
        """How many symbols have six bars or more."""
        if self._counts is None:
            _, bars = np.unique(self._distinct // len(self._days), return_counts=True)
        else:
            bars = self._table().sum(axis=1) if len(self._counts) else np.zeros(0, np.int64)
        return int((bars >= _FEWEST_BARS).sum())

    def _table(self) -> Bools:
        assert self._counts is not None
        return (self._counts > 0).reshape(len(self.names), len(self._days))


def _is_far(bars: Ints | int, span: Ints | int) -> Bools:
    """Whether four fifths of the gaps can be long, given that the gaps add up to `span` days."""
    return np.asarray(5 * span >= (4 * _LONG_GAP + 1) * (np.asarray(bars) - 1))
