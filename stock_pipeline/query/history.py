"""A span of days of `stream_prices_history`: its condition in SQL, its partitions, its raw objects. No Dagster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow as pa

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.query import Parameter, sql
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS

_DAY = timedelta(days=1)
_ROUNDED = timedelta(milliseconds=1)
_DATE = ("year", "month", "day")
_BOTH = ", ".join((*_DATE, *(f"earlier_{name}" for name in _DATE)))
_BEFORE = ", ".join(
    f"lag({name}) OVER (PARTITION BY symbol, event_id ORDER BY produced_at, source) AS earlier_{name}"
    for name in ("produced_at", "source", *_DATE)
)
_REPEATED = f"""
WITH ticks AS (SELECT symbol, event_id, produced_at, source, year, month, day {{history}}),
repeated AS (SELECT symbol, event_id FROM ticks GROUP BY symbol, event_id HAVING count(*) > 1),
pairs AS (SELECT *, {_BEFORE} FROM ticks JOIN repeated USING (symbol, event_id)),
days AS (
  SELECT *, count(*) OVER (PARTITION BY {_BOTH}) AS found,
    row_number() OVER (PARTITION BY {_BOTH} ORDER BY symbol, event_id, produced_at) AS place
  FROM pairs WHERE earlier_produced_at IS NOT NULL)
SELECT * FROM days WHERE place <= ? ORDER BY produced_at, symbol, event_id
"""  # noqa: S608


@dataclass(frozen=True)
class Span:
    """The UTC days from `first` to `last`, both included."""

    first: date
    last: date

    @classmethod
    def of(cls, days: Iterable[date]) -> Span:
        """The span from the earliest to the latest of some days."""
        ordered = sorted(days)
        return cls(ordered[0], ordered[-1])

    def condition(self) -> tuple[str, list[Parameter]]:
        """A condition on `stream_prices_history` and its parameters.

        It says the same thing twice: Athena prunes by the partition columns, DuckDB by the times. Athena rounds times
        to the millisecond, so the times are given a millisecond more on each side; group by the partition columns to
        get exact days.
        """
        begin = datetime.combine(self.first, time(), UTC) - _ROUNDED
        end = datetime.combine(self.last + _DAY, time(), UTC) + _ROUNDED
        parts = ["produced_at >= ?", "produced_at < ?", "year BETWEEN ? AND ?"]
        parameters: list[Parameter] = [begin, end, self.first.year, self.last.year]
        if self.first.year == self.last.year:
            parts.append("month BETWEEN ? AND ?")
            parameters += [self.first.month, self.last.month]
            if self.first.month == self.last.month:
                parts.append("day BETWEEN ? AND ?")
                parameters += [self.first.day, self.last.day]
        return " AND ".join(parts), parameters


def counted(span: Span, settings: Settings) -> dict[date, dict[str, int]]:
    """For each day with ticks: `rows`, and those of them that were stored before their own time (`ahead`)."""
    condition, parameters = span.condition()
    found = sql(
        'SELECT year, month, day, count(*) AS "rows", '  # noqa: S608
        "count(CASE WHEN produced_at > etl_loading_ts THEN 1 END) AS ahead "
        f"FROM stream_prices_history WHERE {condition} GROUP BY year, month, day",
        parameters,
        settings=settings,
    )
    return {
        date(row["year"], row["month"], row["day"]): {name: row[name] for name in ("rows", "ahead")}
        for row in found.to_pylist()
    }


def repeated_ids(span: Span, settings: Settings, examples: int) -> pa.Table:
    """Pairs of ticks with the same symbol and event id, on the same day or on neighbouring days.

    One row is a tick and the one before it with this id: `symbol`, `event_id`, then `produced_at`, `source` and `date`
    (UTC) of the tick, the same of the one before as `earlier_produced_at` and so on, and `found`, the number of pairs
    of these two dates. Of any two dates at most `examples` pairs are named.
    """
    condition, parameters = span.condition()
    statement = _REPEATED.format(history=f"FROM stream_prices_history WHERE {condition}")
    found = sql(statement, [*parameters, examples], settings=settings)
    for kind in ("", "earlier_"):
        parts = [found[kind + name].to_pylist() for name in _DATE]
        found = found.append_column(
            f"{kind}date", pa.array([date(*day) for day in zip(*parts, strict=True)], pa.date32())
        )
    pairs = zip(found["earlier_date"].to_pylist(), found["date"].to_pylist(), strict=True)
    return found.filter(pa.array([later - earlier <= _DAY for earlier, later in pairs], pa.bool_()))


def price_ranges(span: Span, settings: Settings) -> dict[date, pa.Table]:
    """For each day with ticks, the lowest and the highest price of each symbol (`symbol`, `low`, `high`)."""
    condition, parameters = span.condition()
    found = sql(
        "SELECT year, month, day, symbol, min(price) AS low, max(price) AS high "  # noqa: S608
        f"FROM stream_prices_history WHERE {condition} GROUP BY year, month, day, symbol",
        parameters,
        settings=settings,
    )
    days = [date(*day) for day in zip(*(found[name].to_pylist() for name in ("year", "month", "day")), strict=True)]
    ranges = found.select(["symbol", "low", "high"])
    return {day: ranges.filter(pa.array([other == day for other in days], pa.bool_())) for day in set(days)}


def arrival_day(source: str, loaded: datetime) -> date:
    """The day on which a raw object came. Firehose's keys name it; for other objects the loading time tells it."""
    if source.startswith(RAW_TICKS):
        with suppress(ValueError):
            return datetime.strptime(source.removeprefix(RAW_TICKS)[:10], "%Y/%m/%d").replace(tzinfo=UTC).date()
    return loaded.date()


def raw_keys(days: Iterable[date], later_days: int, staging: ObjectStore) -> list[str]:
    """The raw objects that may hold ticks of some days, in the order of their arrival.

    Firehose names objects by the hour of their arrival. The ticks of a day come on that day. Late ticks come on a later
    day; `later_days` says how many days are searched. Ticks of a producer whose clock is ahead come in the hour before
    midnight.
    """
    prefixes: set[str] = set()
    for day in days:
        prefixes.add(f"{RAW_TICKS}{day - _DAY:%Y/%m/%d}/23/")
        prefixes.update(f"{RAW_TICKS}{day + n * _DAY:%Y/%m/%d}/" for n in range(later_days + 1))
    return list(dict.fromkeys(_listed(sorted(prefixes), staging)))


def _listed(prefixes: Iterable[str], staging: ObjectStore) -> Iterator[str]:
    for prefix in prefixes:
        yield from (info.key for info in staging.list(prefix) if not info.key.endswith("/"))
