"""Dates: every form that vendors write, decided over a whole column and never by its first value.

Forms whose meaning is plain are taken wherever they stand: year first (`2024-01-02`, `2024/01/02`, `20240102`), with
the month's name (`3-Jan-22`, `Jan 1 2000`, `1 January 2000`), each with or without a time. An ISO time with an offset
counts as the local date that it shows, before any conversion to UTC. Two-digit years follow POSIX: 69-99 are 19xx,
00-68 are 20xx.

Numbers with the year last are decided by the column: day first when a value fits only so (`13/1/2024`), month first
when one fits only so; both kinds refuse the file. When every value fits both, `1/2/2024` is read as in the US (month
first), `1.2.2024` day first, as every country that writes dots does; `1-2-2024` is refused, both ways being common.

Whole numbers that are not `20240102` are epochs when most of the column is: seconds, milli-, micro- or nanoseconds by
their median magnitude, so that a stray number changes nothing. Vendors of daily bars stamp them in one of two ways, so:
when the values are midnights in UTC the date is the UTC date, otherwise it is the date in New York, whose midnight,
opening or close they mark. Up to a tenth of the values may be of the other kind, and are bad dates; more refuse the
file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from statistics import median_high
from zoneinfo import ZoneInfo

import numpy as np

from stock_pipeline.arrow import Bools, Codes, Ints
from stock_pipeline.errors import FileRefused, quoted

EXCHANGE_ZONE = "America/New_York"

_MISSING = frozenset(("", "-", "--", "null", "none", "na", "n/a", "#n/a", "nat", "nan"))
_MONTHS = {name: i + 1 for i, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split())}
_MONTH_NAMES = "january february march april may june july august september october november december".split()

_TIME = (
    r"(?:(?:[T ] *|, *)(?P<h>\d{1,2}):(?P<m>\d{2})(?::(?P<s>\d{2})(?P<f>\.\d{1,9})?)?"
    r"(?: ?(?P<ap>[ap]\.?m\.?))?(?: ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?)?"
)
_FLAGS = re.ASCII | re.IGNORECASE
_YEAR_FIRST = re.compile(rf"(?P<y>\d{{4}})([-/.])(?P<mo>\d{{1,2}})\2(?P<d>\d{{1,2}}){_TIME}", _FLAGS)
_COMPACT = re.compile(rf"(?P<y>\d{{4}})(?P<mo>\d{{2}})(?P<d>\d{{2}}){_TIME}", _FLAGS)
_DAY_MONTH_NAME = re.compile(
    rf"(?P<d>\d{{1,2}})[- /.]?(?P<mo>[a-z]{{3,9}})[- /.,]*(?P<y>\d{{4}}|\d{{2}}){_TIME}", _FLAGS
)
_MONTH_NAME_DAY = re.compile(
    rf"(?P<mo>[a-z]{{3,9}})[- .]*(?P<d>\d{{1,2}})(?:, *|[- ])(?P<y>\d{{4}}|\d{{2}}){_TIME}", _FLAGS
)
_YEAR_LAST = re.compile(rf"(?P<a>\d{{1,2}})(?P<sep>[-/.])(?P<b>\d{{1,2}})(?P=sep)(?P<y>\d{{4}}|\d{{2}}){_TIME}", _FLAGS)
_INTEGER = re.compile(r"-?\d{1,19}(\.0*)?", re.ASCII)

_EPOCH = date(1970, 1, 1).toordinal()
_DAY_US = 86_400_000_000
_NO_DATE_US = date.max.toordinal() * _DAY_US  # beyond any calendar, whichever way it is read
_SMALLEST_EPOCH = 10**8  # 1973 in seconds; a column of smaller numbers is row numbers or a spreadsheet's serial dates


@dataclass(frozen=True)
class Dates:
    """Distinct texts of a date column, read.

    `days` (int32, from 1970-01-01) holds where `known`; `missing` are blank cells. `moments` (int64) is the time of day
    in microseconds, 0 where there is none.
    """

    days: Codes
    known: Bools
    missing: Bools
    moments: Ints


@dataclass
class _Column:
    """What is gathered over a column before its form can be decided; positions are those of the distinct texts."""

    days: Codes
    known: Bools
    moments: Ints
    year_last: list[tuple[int, int, int, int, str]]  # position, first, second, year, separator
    integers: list[tuple[int, int]]


def read_dates(texts: Sequence[str]) -> Dates:
    """Read the distinct texts of a date column.

    Raises FileRefused when the column's form cannot be decided without guessing: day first and month first mixed, or
    epochs that are midnights in UTC mixed with others.
    """
    n = len(texts)
    column = _Column(np.zeros(n, np.int32), np.zeros(n, bool), np.zeros(n, np.int64), [], [])
    missing = np.zeros(n, bool)
    for at, text in enumerate(texts):
        text = text.strip(" \t")
        if text.lower() in _MISSING:
            missing[at] = True
        else:
            _read_plain(column, at, text)
    _settle_year_last(column, texts)
    if 2 * len(column.integers) > n - missing.sum():
        _settle_epochs(column)
    return Dates(column.days, column.known, missing, column.moments)


def looks_like_date(text: str) -> bool:
    """Whether a single cell is a date in one of the forms (an epoch is not: it could be any number)."""
    column = _Column(np.zeros(1, np.int32), np.zeros(1, bool), np.zeros(1, np.int64), [], [])
    _read_plain(column, 0, text.strip(" \t"))
    return bool(column.known[0]) or bool(column.year_last)


def _read_plain(column: _Column, at: int, text: str) -> None:
    """Read a text whose form is plain; note one that only the column can decide."""
    for form in (_YEAR_FIRST, _COMPACT, _DAY_MONTH_NAME, _MONTH_NAME_DAY):
        if found := form.fullmatch(text):
            month = found["mo"]
            number = int(month) if month.isdigit() else _month(month.lower())
            day = _ordinal(_year(found["y"]), number, int(found["d"]))
            moment = _moment(found)
            if day is not None and moment is not None:
                column.days[at], column.known[at], column.moments[at] = day, True, moment
            elif form is _COMPACT and _INTEGER.fullmatch(text):
                column.integers.append((at, int(text)))
            return
    if found := _YEAR_LAST.fullmatch(text):
        moment = _moment(found)
        if moment is not None and not (found["sep"] == "-" and len(found["y"]) == 2):  # 24-01-02 is in any order
            column.moments[at] = moment
            column.year_last.append((at, int(found["a"]), int(found["b"]), _year(found["y"]), found["sep"]))
    elif _INTEGER.fullmatch(text):
        column.integers.append((at, int(text.split(".")[0])))


def _settle_year_last(column: _Column, texts: Sequence[str]) -> None:
    only: dict[str, str] = {}  # order → the first text that fits only so
    readings = []
    for at, a, b, year, separator in column.year_last:
        month_first, day_first = _ordinal(year, a, b), _ordinal(year, b, a)
        readings.append((at, month_first, day_first))
        if (month_first is None) != (day_first is None):
            only.setdefault("month" if day_first is None else "day", texts[at])
        elif month_first != day_first:
            only.setdefault(f"both{separator}", texts[at])
    if "month" in only and "day" in only:
        raise FileRefused(
            f"dates with the month first ({quoted(only['month'])}) and with the day first ({quoted(only['day'])}) in "
            "one column; write them as 2024-01-31"
        )
    decided = "month" in only or "day" in only
    if not decided and "both-" in only:
        raise FileRefused(f"dates such as {quoted(only['both-'])} can be read in two ways; write them as 2024-01-31")
    if not decided and "both." in only and "both/" in only:
        raise FileRefused(
            f"dates written both as {quoted(only['both.'])} and as {quoted(only['both/'])}; write them as 2024-01-31"
        )
    day_wins = "day" in only or (not decided and "both." in only)
    for at, month_first, day_first in readings:
        day = day_first if day_wins else month_first
        if day is not None:
            column.days[at], column.known[at] = day, True


def _settle_epochs(column: _Column) -> None:
    values = [value for _, value in column.integers]
    typical = median_high(map(abs, values))
    if typical < _SMALLEST_EPOCH:
        return
    per_second = next((unit for unit in (1, 10**3, 10**6) if typical < 10**11 * unit), 10**9)
    micros = [value * 1_000_000 // per_second for value in values]
    sound = [m for m in micros if abs(m) < _NO_DATE_US]
    midnights = sum(m % _DAY_US == 0 for m in sound)
    if min(midnights, len(sound) - midnights) * 10 > len(sound):
        raise FileRefused(
            f"{midnights} of {len(sound)} epoch values are midnights in UTC and the others are not, so their time "
            "zone is unclear; write the dates as 2024-01-31"
        )
    in_utc = midnights * 2 > len(sound)
    for (at, _), micro in zip(column.integers, micros, strict=True):
        if in_utc == (micro % _DAY_US == 0) and (local := _local(micro, in_utc)):
            column.days[at], column.known[at] = local.date().toordinal() - _EPOCH, True
            column.moments[at] = (local - local.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(
                microseconds=1
            )


def _local(micros: int, in_utc: bool) -> datetime | None:
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
        return moment if in_utc else moment.astimezone(_exchange_zone()).replace(tzinfo=UTC)
    except OverflowError:
        return None


@cache
def _exchange_zone() -> ZoneInfo:
    return ZoneInfo(EXCHANGE_ZONE)


def _ordinal(year: int, month: int, day: int) -> int | None:
    try:
        return date(year, month, day).toordinal() - _EPOCH
    except ValueError:
        return None


def _year(text: str) -> int:
    year = int(text)
    return year if len(text) == 4 else year + (1900 if year >= 69 else 2000)


def _month(name: str) -> int:
    """A month by its name or its first three letters (`sept` too); 0, which no date takes, for another word."""
    number = _MONTHS.get(name[:3], 0)
    return number if number and (len(name) == 3 or name in (_MONTH_NAMES[number - 1], "sept")) else 0


def _moment(found: re.Match[str]) -> int | None:
    """The time of day in microseconds, 0 where there is none, None where it is no time."""
    if found["h"] is None:
        return 0
    hour, minute, second = int(found["h"]), int(found["m"]), int(found["s"] or 0)
    if found["ap"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["ap"].lower().startswith("p") else 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    fraction = int(((found["f"] or ".")[1:] + "000000")[:6])
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
