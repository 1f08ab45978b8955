"""Bars of longer spans and of ticks, and how a line of many ticks is thinned. By column, in numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.datetime64]

MOST = 800
"""About as many candles can be told apart on a page."""

_LENGTHS = (1, 5, 15, 60, 300, 900, 3600)
_MOST_OF_A_DAY = 400


@dataclass(frozen=True)
class Bars:
    """Bars in the order of their times. `at` is when each begins; NaN is a value that is not known."""

    at: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats

    def __len__(self) -> int:
        return len(self.at)

    @property
    def whole(self) -> bool:
        """Whether each bar has open, high and low."""
        return not (np.isnan(self.open).any() or np.isnan(self.high).any() or np.isnan(self.low).any())


def readable(bars: Bars) -> tuple[str, Bars]:
    """Bars of sessions as so many that can be told apart: of sessions, else of weeks, else of months; and which."""
    if len(bars) <= MOST:
        return "session", bars
    weeks = (bars.at.astype("datetime64[D]").astype(np.int64) + 3) // 7  # from Monday on
    by_week = _joined(bars, weeks)
    if len(by_week) <= MOST:
        return "week", by_week
    return "month", _joined(bars, bars.at.astype("datetime64[M]").astype(np.int64))


def of_ticks(times: Times, prices: Floats, sizes: Floats) -> tuple[int, Bars]:
    """Bars of a day's ticks, which are in the order of their times, and the length of a bar in seconds.

    It is the shortest usual length in which the ticks need no more than 400 bars. Without sizes the volume is NaN.
    """
    moments = times.astype("datetime64[us]").astype(np.int64)
    spanned = (moments[-1] - moments[0]) / 1e6
    length = next((each for each in _LENGTHS if spanned <= each * _MOST_OF_A_DAY), _LENGTHS[-1])
    codes = moments // (length * 1_000_000)
    bars = _joined(Bars(times, prices, prices, prices, prices, sizes), codes)
    begin = np.unique(codes) * (length * 1_000_000)
    return length, Bars(begin.astype("datetime64[us]"), bars.open, bars.high, bars.low, bars.close, bars.volume)


def thinned(prices: Floats, most: int) -> NDArray[np.int64]:
    """Which ticks draw the same line: of each of `most / 4` stretches the first, the lowest, the highest, the last."""
    count = len(prices)
    if count <= most:
        return np.arange(count)
    length = -(-count * 4 // most)
    starts = np.arange(0, count, length)
    padded = np.concatenate([prices, np.full(len(starts) * length - count, prices[-1])]).reshape(-1, length)
    ends = np.minimum(starts + length - 1, count - 1)
    lows, highs = (starts + padded.argmin(axis=1), starts + padded.argmax(axis=1))
    chosen: NDArray[np.int64] = np.unique(np.concatenate([starts, lows, highs, ends]).clip(max=count - 1))
    return chosen


def _joined(bars: Bars, codes: NDArray[Any]) -> Bars:
    """One bar for each run of equal codes. A bar without open, high or low counts with its close."""
    starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
    ends = np.r_[starts[1:], len(codes)] - 1
    opens, highs, lows = (
        np.where(np.isnan(each), bars.close, each) if not np.isnan(each).all() else each
        for each in (bars.open, bars.high, bars.low)
    )
    known = np.add.reduceat(~np.isnan(bars.volume), starts) > 0
    volume = np.where(known, np.add.reduceat(np.nan_to_num(bars.volume), starts), np.nan)
    return Bars(
        bars.at[starts], opens[starts], np.maximum.reduceat(highs, starts), np.minimum.reduceat(lows, starts),
        bars.close[ends], volume,
    )  # fmt: skip
