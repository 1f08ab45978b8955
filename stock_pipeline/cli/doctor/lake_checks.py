"""The checks of `doctor` on the lake itself: layout, years, foreign and damaged objects, future prices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.console import counted
from stock_pipeline.cli.doctor.diagnosis import Diagnosis
from stock_pipeline.deploy.years import PARAMETER as YEARS
from stock_pipeline.deploy.years import around
from stock_pipeline.errors import DamagedObject, LayoutError
from stock_pipeline.lake.layout_object import layout_to_read
from stock_pipeline.maintenance.snapshot import ahead_of, stored_snapshot
from stock_pipeline.quality.lake_objects import examine_objects
from stock_pipeline.query.projected import Years, years_of
from stock_pipeline.schemas import STREAM_PRICES_HISTORY
from stock_pipeline.settings import Settings

_RECENT = timedelta(days=7)
_MOST = 500
_NAMED = 20
_FOLDERS, _MOST_FOLDERS = 12 * 31, 2_000  # of a year, and of a query


def layout(settings: Settings) -> Iterator[Diagnosis]:
    """How history is laid out today, or why nobody can tell."""
    today = datetime.now(UTC).date()
    try:
        section = layout_to_read(S3Store(settings.require("lake_bucket")), today).section(today)
    except LayoutError as error:
        yield Diagnosis("layout of history", "broken", str(error), "stock-pipeline layout --help")
        return
    what = f"an object of history holds {section.minutes} minutes, in {counted(section.shards, 'shard')}"
    yield Diagnosis("layout of history", "ok", what)


def years(settings: Settings) -> Iterator[Diagnosis]:
    """Whether Athena looks for the years of ticks that there are, and for few others."""
    name, today = STREAM_PRICES_HISTORY.name, datetime.now(UTC).date()
    known = years_of(settings.database, name) if settings.sql_engine == "athena" else None
    if known is None:
        return
    folders = (known.last - known.first + 1) * _FOLDERS
    what, remedy = f"Athena looks for ticks of {known.first} to {known.last}", f"{YEARS}={_years(known, today)}"
    if known.outside:
        others = ", ".join(map(str, known.outside))
        yield Diagnosis("years of ticks", "broken", f"{what}; the lake also has {others}", f"deploy with {remedy}")
    elif today.year >= known.last:
        yield Diagnosis("years of ticks", "note", f"{what}, and no later", f"deploy with {remedy}")
    elif folders >= _MOST_FOLDERS:
        why = f"{what}: a query without a condition on the year lists {folders:,} folders"
        yield Diagnosis("years of ticks", "note", why, f"deploy with {remedy}")
    else:
        yield Diagnosis("years of ticks", "ok", what)


def _years(known: Years, today: date) -> str:
    """The years that are looked for with the others of the lake; those of a new stack if there are no others."""
    if known.outside:
        return f"{min(known.first, *known.outside)},{max(known.last, *known.outside)}"
    return around(today)


def objects(settings: Settings) -> Iterator[Diagnosis]:
    """Objects in the tables' folders that are not the tables', and objects that cannot be read."""
    lake = S3Store(settings.require("lake_bucket"))
    found = examine_objects(lake, datetime.now(UTC) - _RECENT, _MOST)
    for key, why in list(found.foreign.items())[:_NAMED]:
        yield Diagnosis("foreign object", "broken", key, why)
    for key, why in list(found.unreadable.items())[:_NAMED]:
        what, _, remedy = why.partition(". Bring back its last good version: ")
        yield Diagnosis("damaged object", "broken", what if remedy else key, remedy or why)
    left = max(len(found.foreign) - _NAMED, 0) + max(len(found.unreadable) - _NAMED, 0)
    if left:
        yield Diagnosis("objects of the lake", "broken", f"{left:,} more", "mend these first, then run doctor again")
    elif not (found.foreign or found.unreadable):
        read = f"{counted(found.read, 'object')} of the last {_RECENT.days} days can be read"
        yield Diagnosis("objects of the lake", "ok", f"none is foreign or empty; {read}")


def clock(settings: Settings) -> Iterator[Diagnosis]:
    """Latest prices that are later than now: a clock was ahead when they were stored."""
    now = datetime.now(UTC)
    try:
        shown = stored_snapshot(S3Store(settings.require("lake_bucket")))
    except DamagedObject:  # told by the check of objects
        return
    ahead = ahead_of(shown, now, timedelta(seconds=settings.max_clock_skew_seconds))
    if ahead.num_rows:
        first = ahead.slice(0, 1).to_pylist()[0]
        yield Diagnosis(
            "clocks",
            "broken",
            f"{counted(ahead.num_rows, 'symbol')} in latest_prices are later than now, such as {first['symbol']} of "
            f"{first['produced_at']:%Y-%m-%d %H:%M} UTC: a clock was ahead",
            "set the clock right; then take out their source: SELECT DISTINCT source FROM stream_prices_history WHERE "
            "produced_at > now(), and stock-pipeline remove --source KEY",
        )
