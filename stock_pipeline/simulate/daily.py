"""Simulated daily prices as tables, as CSV and as raw objects in staging: one object a session, all symbols in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from hashlib import md5
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from stock_pipeline.errors import SimulationError
from stock_pipeline.parse.symbols import GRAMMAR, canonical
from stock_pipeline.progress import Progress
from stock_pipeline.settings import DEFAULT_SYMBOLS
from stock_pipeline.simulate.market import bars_of_year
from stock_pipeline.simulate.rng import digest
from stock_pipeline.staging.keys import session_prefix
from stock_pipeline.trading_calendar import sessions as calendar

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore

SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("date", pa.date32()),
        ("open", pa.float64()),
        ("high", pa.float64()),
        ("low", pa.float64()),
        ("close", pa.float64()),
        ("volume", pa.int64()),
    ]
)

_CENTS = pa.decimal128(15, 2)
_WRITERS = 8  # more writers than cores: a put waits for the store, not for the processor
# Made-up tickers have four letters and no vowels, so that none is a word by accident.
_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
_TICKERS = len(_LETTERS) ** 4
_STRIDE = 61_803  # no common factor with the number of tickers: such steps visit each ticker once, far apart


def default_symbols(setting: Sequence[str] | int) -> tuple[str, ...]:
    """The symbols to simulate: the given ones, or N distinct ones for a number N.

    A number gives the project's sixteen symbols first and made-up tickers after them, always in the same order: 100
    symbols are the first 100 of 1,000. Raises SimulationError for a number below 1 or above 160,000.
    """
    if not isinstance(setting, int):
        return tuple(setting)
    if not 1 <= setting <= _TICKERS:
        raise SimulationError(f"{setting} symbols cannot be made up; take 1 to {_TICKERS:,}")
    made_up = (_ticker(n * _STRIDE % _TICKERS) for n in range(1, setting + 1))
    return (DEFAULT_SYMBOLS + tuple(t for t in made_up if t not in DEFAULT_SYMBOLS))[:setting]


def _ticker(number: int) -> str:
    letters = []
    for _ in range(4):
        number, letter = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[letter])
    return "".join(letters)


def simulate_daily_prices(symbols: Sequence[str], start: date, end: date, seed: int) -> pa.Table:
    """The simulated OHLCV bars of some symbols in all sessions from `start` to `end`, both included.

    Columns symbol, date, open, high, low, close (dollars, on the cent), volume (shares); sorted by date, then symbol.
    With the same seed, a symbol and session have the same bar in every call. Symbols given twice count once. Raises
    SimulationError for a day outside the calendar (1990 to 2049) and for a symbol that price_by_date would not take.
    """
    names = checked_symbols(symbols)
    tables = (_table(names, year, in_year, seed) for year, in_year in _years(calendar.sessions(start, end)))
    return pa.concat_tables([SCHEMA.empty_table(), *tables]).combine_chunks()


def to_csv(table: pa.Table) -> bytes:
    """Daily prices as CSV with a header: no quotes, LF, prices with two decimals."""
    text = table.select(SCHEMA.names)
    for at, field in enumerate(SCHEMA):
        if pa.types.is_floating(field.type):
            text = text.set_column(at, field.name, pc.cast(text[field.name], _CENTS))
    sink = BytesIO()
    sink.write(",".join(SCHEMA.names).encode() + b"\n")
    csv.write_csv(text, sink, csv.WriteOptions(include_header=False, quoting_style="none"))
    return sink.getvalue()


@dataclass(frozen=True)
class RawObject:
    """A raw object of one session. `written` is false when the object existed already with the same content."""

    key: str
    session: date
    rows: int
    bytes: int
    written: bool


def raw_key(session: date, symbols: Sequence[str], seed: int) -> str:
    """The staging key of a session's raw object: `daily_prices/date=2024-01-02/prices-1f0c9a3e.csv`.

    Other symbols, or another seed, give another object in the session's folder. No call overwrites the object of
    another call, so every row in the table keeps its raw object.
    """
    market = digest(seed, *sorted(set(symbols))).hex()[:8]
    return f"{session_prefix(session.isoformat())}/prices-{market}.csv"


def write_raw_daily_prices(
    staging: ObjectStore,
    sessions: Sequence[date],
    symbols: Sequence[str],
    seed: int,
    on_progress: Progress | None = None,
) -> list[RawObject]:
    """Simulate sessions and write one CSV object for each; returns them in the order of their days.

    An object that exists already with the same content stays as it is, so that a second run makes no new arrivals.
    Holds one year in memory at a time. `on_progress` gets the number of objects done and the number of all objects.
    Raises SimulationError for a day that is not a session, and what the store raises.
    """
    days = sorted(set(sessions))
    if closed := [day for day in days if not calendar.is_session(day)]:
        raise SimulationError(f"{closed[0]} is not a trading session of XNYS; name sessions only")
    names = checked_symbols(symbols)
    there = _listed(staging, days)

    def write(day: date, table: pa.Table) -> RawObject:
        data = to_csv(table)
        key = raw_key(day, names, seed)
        same = key in there and _holds(staging, there[key], data)
        if not same:
            staging.put(key, data)
        return RawObject(key, day, table.num_rows, len(data), not same)

    done: list[RawObject] = []
    with ThreadPoolExecutor(_WRITERS) as pool:
        for year, in_year in _years(days):
            table = _table(names, year, in_year, seed)
            slices = (table.slice(n * len(names), len(names)) for n in range(len(in_year)))
            for raw in pool.map(write, in_year, slices):
                done.append(raw)
                if on_progress:
                    on_progress(len(done), len(days))
    return done


def _listed(staging: ObjectStore, days: Sequence[date]) -> dict[str, ObjectInfo]:
    """The existing raw objects from the first to the last of the days, by key, from one listing."""
    there: dict[str, ObjectInfo] = {}
    if days:
        for info in staging.list(session_prefix(""), start_after=session_prefix(days[0].isoformat())):
            if info.key > f"{session_prefix(days[-1].isoformat())}~":
                break
            there[info.key] = info
    return there


def _holds(staging: ObjectStore, info: ObjectInfo, data: bytes) -> bool:
    # An ETag is the content's MD5, unless the bucket encrypts with a KMS key. Then the content itself is compared.
    if info.etag == md5(data, usedforsecurity=False).hexdigest():
        return True
    return info.size == len(data) and staging.get(info.key).data == data


def checked_symbols(symbols: Sequence[str]) -> list[str]:
    """The distinct symbols, sorted. Raises SimulationError for an empty list and for a symbol that the tables would
    refuse.
    """
    names = sorted(set(symbols))
    if wrong := [name for name in names if canonical(name) != name]:
        raise SimulationError(f"{wrong[0]!r} is not a symbol as it is stored: {GRAMMAR}")
    if not names:
        raise SimulationError("there is no symbol to simulate; name at least one")
    return names


def _years(days: Sequence[date]) -> Iterator[tuple[int, list[date]]]:
    for year, in_year in groupby(days, key=lambda day: day.year):
        yield year, list(in_year)


def _table(names: Sequence[str], year: int, days: Sequence[date], seed: int) -> pa.Table:
    """The bars of sessions of one year: all (sorted) symbols of the first session, then of the second, and so on."""
    bars = bars_of_year(names, year, seed)
    at = bars.columns(days)
    lengths = np.array([calendar.session_length(day) for day in days])

    def prices(cents: np.ndarray) -> pa.Array:
        return pa.array(cents[:, at].T.ravel() / 100)

    volume = np.maximum(np.rint(bars.volume[:, at] * lengths), 1).astype(np.int64)
    columns = [
        pa.array(list(names)).take(pa.array(np.tile(np.arange(len(names)), len(days)))),
        pa.array(np.repeat(np.array(days, dtype="datetime64[D]"), len(names))),
        prices(bars.open),
        prices(bars.high),
        prices(bars.low),
        prices(bars.close),
        pa.array(volume.T.ravel()),
    ]
    return pa.table(columns, schema=SCHEMA)
