"""The price path of each symbol through a session: one path a day, the same for every number of ticks drawn from it.

The day's bar comes first (market.py) and the path agrees with it. A random walk from open to close is drawn over the
minutes of the session; the minutes of its highest and lowest point become those of the day's high and low. Between
these four knots the walk is bridged: its own line between the knots is taken off, and the line between the bar's prices
takes its place. Where the path still leaves the day's range, it is reflected at the edge, like Brownian motion at a
barrier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from stock_pipeline.simulate.market import Floats, Ints, bars_of_year
from stock_pipeline.simulate.rng import stream

STEPS = 390  # minutes of a full session; on half days a step is shorter
# The range of a random walk of one session is about 1.6 times its standard deviation (Feller, 1951: sqrt(8/pi)).
_MOVE_OF_RANGE = (np.pi / 8) ** 0.5


@dataclass(frozen=True)
class DayPaths:
    """Paths of some symbols through one session, in cents.

    `prices` has the shape (symbols, STEPS + 1); `low` and `high` are the bar's; `knots` (symbols, 4) holds the steps of
    open, the first extreme, the second and close, where a path has exactly the bar's prices.
    """

    prices: Floats
    low: Ints
    high: Ints
    knots: NDArray[np.intp]

    def at(self, symbol: NDArray[np.intp], share: Floats) -> Floats:
        """Prices in cents, not rounded, at shares 0 to 1 of the session; one row a symbol."""
        where = share * STEPS
        step = np.minimum(where.astype(np.intp), STEPS - 1)
        before, after = self.prices[symbol, step], self.prices[symbol, step + 1]
        return np.asarray(before + (after - before) * (where - step))


def day_paths(symbols: Sequence[str], session: date, seed: int) -> DayPaths:
    """The paths of a session. A path depends only on its symbol, the session and the seed."""
    bars = bars_of_year(symbols, session.year, seed)
    at = bars.columns([session])[0]
    opened, high, low, close = (side[:, at] for side in (bars.open, bars.high, bars.low, bars.close))
    prices = np.empty((len(symbols), STEPS + 1))
    knots = np.empty((len(symbols), 4), dtype=np.intp)
    for row, symbol in enumerate(symbols):
        steps = stream(seed, "path", symbol, session).standard_normal(STEPS)
        prices[row], knots[row] = _path(steps, opened[row], high[row], low[row], close[row])
    return DayPaths(prices, low, high, knots)


def _path(steps: Floats, opened: int, high: int, low: int, close: int) -> tuple[Floats, list[int]]:
    walk = np.concatenate([[0.0], np.cumsum(steps)]) * ((high - low) * _MOVE_OF_RANGE / STEPS**0.5)
    minutes = np.arange(STEPS + 1)
    bridge = walk + (close - opened - walk[-1]) * minutes / STEPS
    highest, lowest = int(np.argmax(bridge[1:-1])) + 1, int(np.argmin(bridge[1:-1])) + 1
    if highest == lowest:  # a day without any range
        return np.full(STEPS + 1, float(opened)), [0, 1, 2, STEPS]
    knots = sorted({0, highest, lowest, STEPS})
    values = [opened, high, low, close] if highest < lowest else [opened, low, high, close]
    path = bridge - np.interp(minutes, knots, bridge[knots]) + np.interp(minutes, knots, values)
    path = _reflected(path, low, high)
    path[knots] = values
    return path, knots


def _reflected(path: Floats, low: int, high: int) -> Floats:
    """The path, folded back at the edges of [low, high] until it is within."""
    span = high - low
    return np.asarray(low + span - np.abs((path - low) % (2 * span) - span))
