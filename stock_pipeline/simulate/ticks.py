"""Simulated ticks that agree with the simulated day: a whole day at once, live ones, and their JSON lines.

Ticks are a sample of the day's trades. Their prices are on the day's path (intraday.py) and within its bar. Their sizes
do not add up to its volume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stock_pipeline.errors import SimulationError
from stock_pipeline.schemas import TIMESTAMP
from stock_pipeline.simulate.daily import checked_symbols
from stock_pipeline.simulate.intraday import STEPS, DayPaths, day_paths
from stock_pipeline.simulate.market import Floats, Ints
from stock_pipeline.simulate.rng import digest, stream
from stock_pipeline.trading_calendar.sessions import last_opened_session, session_times

SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("price", pa.float64()),
        ("size", pa.int64()),
        ("produced_at", TIMESTAMP),
        ("event_id", pa.string()),
    ]
)
FEWEST_TICKS = 4
"""Open, high, low and close: a day's ticks cannot be fewer."""

_BATCH = timedelta(milliseconds=250)
_MICROSECOND = timedelta(microseconds=1)
_CENTS = pa.decimal128(15, 2)
# Trades crowd at the open and the close: the intensity 0.6 + 1.2 (2u - 1)² over the session's shares u in [0, 1] is
# three times as high there as in the middle. Times are drawn by inverting its integral, read off this table.
_SHARES = np.linspace(0, 1, 2001)
_TICKS_BY = 0.6 * _SHARES + 0.2 * ((2 * _SHARES - 1) ** 3 + 1)


def simulate_ticks(symbols: Sequence[str] | str, session: date, seed: int, ticks_per_symbol: int) -> pa.Table:
    """All ticks of a session, `ticks_per_symbol` for each symbol, sorted by produced_at.

    Columns symbol, price (dollars, on the cent), size (shares, from 1), produced_at (UTC, microseconds), event_id. Each
    symbol's first and last price are the open and close of its daily bar, its greatest and least the high and low.
    Strictly reproducible, and a symbol's ticks do not depend on the other symbols. Raises SimulationError for fewer
    than 4 ticks, for a day that is not a session and for a symbol that the tables would refuse.
    """
    if ticks_per_symbol < FEWEST_TICKS:
        raise SimulationError(f"{ticks_per_symbol} ticks cannot show open, high, low and close; take at least 4")
    names = checked_symbols([symbols] if isinstance(symbols, str) else symbols)
    opened, closed = session_times(session)
    paths = day_paths(names, session, seed)
    shares = np.empty((len(names), ticks_per_symbol))
    cents = np.empty((len(names), ticks_per_symbol), dtype=np.int64)
    sizes = np.empty((len(names), ticks_per_symbol), dtype=np.int64)
    prefixes = []
    for row, symbol in enumerate(names):
        # How many ticks there are is part of their name: another number gives other ticks, with other ids.
        name = (seed, "ticks", symbol, session, ticks_per_symbol)
        draws = stream(*name)
        shares[row], cents[row] = _day(paths, row, draws, ticks_per_symbol)
        sizes[row] = _sizes(draws, ticks_per_symbol)
        prefixes.append(_prefix(name))
    times = _micros(opened) + np.rint(shares * ((closed - opened) // _MICROSECOND)).astype(np.int64)
    order = np.argsort(times.ravel(), kind="stable")  # a symbol's ticks of one moment keep their order
    rows, numbers = np.divmod(order, ticks_per_symbol)
    ids = _event_ids(pa.array(prefixes).take(pa.array(rows)), numbers)
    return _table(names, rows, cents.ravel()[order], sizes.ravel()[order], times.ravel()[order], ids)


def live_ticks(
    symbols: Sequence[str],
    seed: int,
    rate: float,
    start: datetime,
    session: date | None = None,
    batch: timedelta = _BATCH,
) -> Iterator[pa.Table]:
    """Ticks from `start` on, without end: one table (as from `simulate_ticks`) for each `batch` of time.

    The n-th table holds the ticks from `start + n * batch` until the next one begins, `rate` a second over all symbols.
    It may be empty. This function neither looks at a clock nor waits: send a table once its time has passed.

    Prices follow the path of the session that opened last (or of the `session` given). While the exchange is closed,
    the path is walked back and forth at the speed of a session, starting from its close. So prices move at any hour,
    stay within the day's bar, and depend only on the time: a restarted producer goes on where another one ended.

    Raises SimulationError for a rate that is not positive, a `start` without a zone, a `batch` below a microsecond, and
    as `simulate_ticks`.
    """
    names = checked_symbols(symbols)
    if not 0 < rate < float("inf"):
        raise SimulationError(f"a rate of {rate} ticks a second is not possible; take a positive number")
    if batch < _MICROSECOND:
        raise SimulationError(f"a batch of {batch} holds no time; take at least a microsecond")
    # raise now, not at the first tick
    opened_last = last_opened_session(start)
    session_times(session or opened_last)
    return _live(names, seed, rate, start.astimezone(UTC), session, batch)


def _live(
    names: Sequence[str], seed: int, rate: float, start: datetime, session: date | None, batch: timedelta
) -> Iterator[pa.Table]:
    name = (seed, "live", start.isoformat(), rate, session, *names)
    draws, prefix = stream(*name), pa.scalar(_prefix(name))
    followed: date | None = None
    sent = 0
    for number in count():
        begin = start + number * batch
        if followed != (now := session or last_opened_session(begin)):
            followed, paths, (opened, closed) = now, day_paths(names, now, seed), session_times(now)
        due = int(rate * ((number + 1) * batch).total_seconds())
        times = _micros(begin) + np.sort(draws.integers(0, batch // _MICROSECOND, due - sent))
        rows = draws.integers(0, len(names), due - sent)
        share = (times - _micros(opened)) / ((closed - opened) // _MICROSECOND)
        cents = _quoted(paths, rows, 1 - np.abs(np.abs(share) % 2 - 1), draws)
        ids = _event_ids(prefix, np.arange(sent, due))
        yield _table(names, rows, cents, _sizes(draws, due - sent), times, ids)
        sent = due


def to_json_lines(table: pa.Table) -> list[bytes]:
    """Each tick of a table as a line of JSON with its newline, in the order of the table.

    Prices have two decimals, `produced_at` is `YYYY-MM-DD HH:MM:SS.ffffff` in UTC. Symbols and event ids are written as
    they are: those that this module makes need no escapes.
    """
    price = pc.cast(pc.cast(table["price"], _CENTS), pa.string())
    produced_at = pc.cast(pc.cast(table["produced_at"], pa.timestamp("us")), pa.string())
    lines = pc.binary_join_element_wise(
        '{"event_id":"',
        table["event_id"],
        '","symbol":"',
        table["symbol"],
        '","price":',
        price,
        ',"size":',
        pc.cast(table["size"], pa.string()),
        ',"produced_at":"',
        produced_at,
        '"}\n',
        "",
    )
    encoded: list[bytes] = lines.cast(pa.binary()).to_pylist()
    return encoded


def _day(paths: DayPaths, row: int, draws: np.random.Generator, number: int) -> tuple[Floats, Ints]:
    """Shares of the session, ascending, and prices in cents of one symbol's ticks, the knots of its path among them."""
    knots = paths.knots[row] / STEPS
    drawn = np.interp(draws.random(number - FEWEST_TICKS), _TICKS_BY, _SHARES)
    shares = np.concatenate([knots[:1], np.sort(np.concatenate([knots[1:3], drawn])), knots[3:]])
    rows = np.full(number, row)
    cents = _quoted(paths, rows, shares, draws)
    # At worst an extreme shares its moment with a drawn tick; the first of the two takes its price.
    exact = np.concatenate([[0], 1 + np.searchsorted(shares[1:-1], knots[1:3]), [number - 1]])
    cents[exact] = np.rint(paths.at(rows[:FEWEST_TICKS], knots)).astype(np.int64)
    return shares, cents


def _quoted(paths: DayPaths, rows: NDArray[np.intp], shares: Floats, draws: np.random.Generator) -> Ints:
    """Prices in cents on the paths, give or take the bounce between bid and ask (a basis point), within the bar."""
    path = paths.at(rows, shares)
    bounced = path + draws.standard_normal(len(path)) * path * 1e-4
    return np.clip(np.rint(bounced).astype(np.int64), paths.low[rows], paths.high[rows])


def _sizes(draws: np.random.Generator, number: int) -> Ints:
    return np.ceil(draws.lognormal(4.0, 1.0, number)).astype(np.int64)


def _prefix(name: tuple[object, ...]) -> str:
    return digest(*name).hex()[:16]


def _event_ids(prefix: pa.Array | pa.Scalar, numbers: NDArray[np.int64]) -> pa.Array:
    """Ids that sort, within a prefix, as the ticks were produced."""
    padded = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 10, "0")
    return pc.binary_join_element_wise(prefix, padded, "-")


def _table(
    names: Sequence[str], rows: NDArray[np.intp], cents: Ints, sizes: Ints, times: Ints, event_ids: pa.Array
) -> pa.Table:
    symbols = pa.array(list(names)).take(pa.array(rows))
    produced_at = pa.array(times).cast(TIMESTAMP)
    return pa.table([symbols, pa.array(cents / 100), pa.array(sizes), produced_at, event_ids], schema=SCHEMA)


def _micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // _MICROSECOND
