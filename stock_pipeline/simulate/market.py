"""The model of the daily bars, as numpy arrays. A symbol's bar of a day depends only on the seed, the symbol and the
day.

A log-price is a level plus a slow drift plus a weighted sum of three standard paths: the market's, its sector's and the
symbol's own. The shared paths make returns correlate. A standard path moves one unit a day with rare jumps. Its
year-end values (anchors) are a mean-reverting series that is drawn for all years at once; this also bounds every price
over six decades. Within a year it is a random walk bridged between two anchors, so years connect, and each year can be
computed alone.

Paths run over weekdays, not sessions, so a change in the calendar never moves the prices of another day. A holiday's
move is in the gap to the next open.

The day's return splits into the night's gap and the day's move as Brownian motion does (the law of a bridge at its
point `_NIGHT`). The day's extremes are drawn from the law of a Brownian bridge's maximum between open `a` and close
`b`, P(max > m) = exp(-2 (m - a)(m - b) / s²), inverted (Karatzas & Shreve, "Brownian Motion and Stochastic Calculus",
4.3.40).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from stock_pipeline.simulate.rng import stream
from stock_pipeline.trading_calendar.sessions import FIRST_DAY, LAST_DAY

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_YEARS = LAST_DAY.year - FIRST_DAY.year + 1
_WEEKDAYS = 262  # the most weekdays that a year has; most years have nearly as many
_REVERSION = 0.8  # how much of an anchor's distance from the level is left a year later
_SECTORS = 11
_MARKET_MOVE = 0.008  # daily standard deviations of log-returns
_SECTOR_MOVE = 0.006
_OWN_MOVE = (0.008, 0.02)  # lowest and highest of any symbol
_BETA = (0.6, 1.5)
_JUMPS = 4 / _WEEKDAYS  # chance of a jump in a standard path on a day
_JUMP_SIZE = 3.0  # its standard deviation, in ordinary days
_NIGHT = 0.2  # share of a day's variance that falls between close and open
_DRIFT = 0.04  # growth of log-prices a year
_DRIFT_FROM = np.datetime64("2010-01-01")
_BASE_PRICE = (30.0, 400.0)
_BASE_VOLUME = (2e5, 2e7)


@dataclass(frozen=True)
class Bars:
    """Bars of some symbols on the weekdays of a year; arrays of shape (symbols, days).

    Prices are whole cents, volumes shares of a full session.
    """

    days: NDArray[np.datetime64]
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Floats

    def columns(self, days: Sequence[date]) -> NDArray[np.intp]:
        """The positions of the given weekdays of the year on the second axis."""
        return np.searchsorted(self.days, np.array(days, dtype="datetime64[D]"))


def bars_of_year(symbols: Sequence[str], year: int, seed: int) -> Bars:
    """The bars of every weekday of a year between 1990 and 2049, holidays included.

    A row depends on its symbol, the year and the seed, never on the other symbols of the call.
    """
    days = _weekdays(year)
    lives = [_life((seed, "symbol", symbol), year) for symbol in symbols]
    traits = np.array([life.traits for life in lives])
    own_path, draws = _paths([(seed, "symbol", symbol) for symbol in symbols], lives, year, len(days))
    market_move = _MARKET_MOVE * _between(_BETA, traits[:, 0:1])
    own_move = _between(_OWN_MOVE, traits[:, 1:2])
    sector = (traits[:, 2] * _SECTORS).astype(np.int64)

    log_price = np.log(_BASE_PRICE[0]) + traits[:, 3:4] * np.log(_BASE_PRICE[1] / _BASE_PRICE[0]) + _drift(year, days)
    log_price = log_price + market_move * _factor_paths(seed, ["market"], year, len(days))
    log_price += _SECTOR_MOVE * _factor_paths(seed, [f"sector {n}" for n in range(_SECTORS)], year, len(days))[sector]
    log_price += own_move * own_path

    move = np.sqrt(market_move**2 + _SECTOR_MOVE**2 + own_move**2)
    previous, close = log_price[:, :-1], log_price[:, 1:]
    opened = previous + _NIGHT * (close - previous) + np.sqrt(_NIGHT * (1 - _NIGHT)) * move * draws.night
    middle, spread = (opened + close) / 2, (opened - close) ** 2
    reach = -2 * (1 - _NIGHT) * move**2
    log_volume = np.log(_BASE_VOLUME[0]) + traits[:, 4:5] * np.log(_BASE_VOLUME[1] / _BASE_VOLUME[0])
    log_volume = log_volume + 0.35 * np.abs(close - previous) / move + 0.25 * draws.volume
    return Bars(
        days,
        open=_cents(opened),
        high=_cents(middle + np.sqrt(spread + reach * np.log1p(-draws.high)) / 2),
        low=_cents(middle - np.sqrt(spread + reach * np.log1p(-draws.low)) / 2),
        close=_cents(close),
        volume=np.exp(log_volume),
    )


@dataclass(frozen=True)
class _Life:
    """What a standard path keeps between years: its values at the last two year-ends, and fixed traits in [0, 1)."""

    anchors: tuple[float, float]
    traits: Floats


@dataclass(frozen=True)
class _DayDraws:
    """Each day's further random draws, (paths, days): standard normal, and uniform in [0, 1)."""

    night: Floats
    volume: Floats
    high: Floats
    low: Floats


def _life(name: tuple[object, ...], year: int) -> _Life:
    draws = stream(*name)
    steps = draws.standard_normal(_YEARS + 1)
    traits = draws.random(5)
    # Start within the long-run spread of the series, so that the first years are like all others.
    value = before = float(steps[0]) / (1 - _REVERSION**2) ** 0.5
    for step in steps[1 : year - FIRST_DAY.year + 2].tolist():
        before, value = value, _REVERSION * value + step
    scale = _WEEKDAYS**0.5
    return _Life((before * scale, value * scale), traits)


def _paths(
    names: Sequence[tuple[object, ...]], lives: Sequence[_Life], year: int, days: int
) -> tuple[Floats, _DayDraws]:
    """Standard paths through a year, (paths, days + 1). The first column is the last close of the year before."""
    normal = np.empty((len(names), 4, _WEEKDAYS))
    uniform = np.empty((len(names), 3, _WEEKDAYS))
    for row, name in enumerate(names):
        draws = stream(*name, year)
        draws.standard_normal(out=normal[row])
        draws.random(out=uniform[row])
    normal, uniform = normal[:, :, :days], uniform[:, :, :days]
    jumps = np.where(uniform[:, 0] < _JUMPS, _JUMP_SIZE * normal[:, 1], 0.0)
    walk = np.zeros((len(names), days + 1))
    np.cumsum(normal[:, 0] + jumps, axis=1, out=walk[:, 1:])
    first, last = np.array([life.anchors for life in lives]).T[:, :, np.newaxis]
    walk += first + (last - first - walk[:, -1:]) * (np.arange(days + 1) / days)
    return walk, _DayDraws(normal[:, 2], normal[:, 3], uniform[:, 1], uniform[:, 2])


def _factor_paths(seed: int, factors: Sequence[str], year: int, days: int) -> Floats:
    names = [(seed, "factor", factor) for factor in factors]
    return _paths(names, [_life(name, year) for name in names], year, days)[0]


def _weekdays(year: int) -> NDArray[np.datetime64]:
    days = np.arange(np.datetime64(f"{year}-01-01"), np.datetime64(f"{year + 1}-01-01"))
    return days[np.is_busday(days)]


def _drift(year: int, days: NDArray[np.datetime64]) -> Floats:
    """The growth of log-prices by the last weekday of the year before and by each given day."""
    closes = np.concatenate([_weekdays(year - 1)[-1:], days])
    return _DRIFT / 365.25 * (closes - _DRIFT_FROM).astype(np.float64)


def _between(bounds: tuple[float, float], share: Floats) -> Floats:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _cents(log_price: Floats) -> Ints:
    # Rounding keeps order, so high and low stay consistent; no price is below a cent.
    return np.asarray(np.maximum(np.rint(np.exp(log_price) * 100), 1), dtype=np.int64)
