"""Dates in every form that vendors write. Each text is read by itself; if it leaves something open, the column decides.

Forms with only one meaning are always accepted: year first (`2024-01-02`, `2024/01/02`, `20240102`), with the month's
name in one of the languages of `date_words` (`3-Jan-22`, `Jan 1 2000`, `02 ene 2024`), each with or without a time and
the name of the weekday, which must be the right one. A time without an offset is not an instant: the date in the text
counts. The same is true of midnight with an offset. Two-digit years follow POSIX: 69-99 are 19xx, 00-68 are 20xx.

Two kinds are decided by the whole column: numbers with the year last or with two digits (`date_order`), and instants,
which are epochs and texts with an offset (`instants`). Whole numbers that are not like `20240102` are epochs when most
of the column is. Their median magnitude says whether they are seconds, milli-, micro- or nanoseconds, so that a single
odd number changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median_high

import numpy as np

from stock_pipeline.arrow import Bools, Codes, Ints
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.date_words import month, weekday
from stock_pipeline.parse.symbols import cell_text

EPOCH = date(1970, 1, 1).toordinal()
DAY_US = 86_400_000_000

_MISSING = frozenset(("", "-", "--", "null", "none", "na", "n/a", "#n/a", "nat", "nan", "<na>"))

_TIME = (
    r"(?:(?:[T ] *|, *)(?P<h>[0-9]{1,2}):(?P<m>[0-9]{2})(?::(?P<s>[0-9]{2})(?P<f>\.[0-9]{1,9})?)?"
    r"(?: ?(?P<ap>[ap]\.?m\.?))?"
    r"(?: ?(?P<z>Z|(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?|UTC|GMT)(?: \([^()]{1,60}\))?)?)?"
)
_WORD = r"[^\W\d_]{3,14}"
_YEAR_FIRST = rf"(?P<y>[0-9]{{4}})([-/.])(?P<mo>[0-9]{{1,2}})\2(?P<d>[0-9]{{1,2}}){_TIME}"
_COMPACT = rf"(?P<y>[0-9]{{4}})(?P<mo>[0-9]{{2}})(?P<d>[0-9]{{2}})(?:\.0+)?{_TIME}"
_YEAR = r"(?P<y>[0-9]{4}|[0-9]{2})"
_DAY = r"(?P<d>[0-9]{1,2})(?:st|nd|rd|th|er|º)?"
_DAY_MONTH = rf"{_DAY}(?:\. | de |[- /.])?(?P<mo>{_WORD})(?: de |[- /.,]*){_YEAR}{_TIME}"
_MONTH_DAY = rf"(?P<mo>{_WORD})[- .]*{_DAY}(?:, *|[- ]){_YEAR}{_TIME}"
_YEAR_MONTH = rf"(?P<y>[0-9]{{4}})[- /.](?P<mo>{_WORD})[- /.](?P<d>[0-9]{{1,2}}){_TIME}"
_PLAIN = tuple(re.compile(form, re.IGNORECASE) for form in (_YEAR_FIRST, _COMPACT, _DAY_MONTH, _MONTH_DAY, _YEAR_MONTH))
_NUMERIC = re.compile(
    rf"(?P<a>[0-9]{{1,2}})(?P<sep>[-/.])(?P<b>[0-9]{{1,2}})(?P=sep)(?P<y>[0-9]{{4}}|[0-9]{{2}}){_TIME}", re.IGNORECASE
)
_INTEGER = re.compile(r"-?[0-9]{1,19}(\.0*)?")
_SERIAL = re.compile(r"[1-7][0-9]{4}(\.[0-9]+)?")
_SHIFT = re.compile(r"([+-])([0-9]{1,2}):?([0-9]{2})?$")
_BEFORE = re.compile(r"([^\W\d_]{2,12}\.?),? +(?=\S)")
_BEHIND = re.compile(r"(?<=\S),? +\(?([^\W\d_]{2,12}\.?)\)?$")

_SMALLEST_EPOCH = 10**8  # 1973 in seconds; smaller numbers are row numbers or a spreadsheet's serial dates
_LARGEST_EPOCH_US = date.max.toordinal() * DAY_US


@dataclass(frozen=True)
class Dates:
    """The distinct texts of a date column, and what they mean.

    `days` (int32, from 1970-01-01) is valid where `known`; `missing` are blank cells. `moments` (int64) is the time of
    day in microseconds, 0 where there is none.
    """

    days: Codes
    known: Bools
    missing: Bools
    moments: Ints


@dataclass(frozen=True)
class Numeric:
    """A date of three numbers: the text at a position, its parts in their order, and how many digits the last has."""

    at: int
    parts: tuple[int, int, int]
    last_digits: int
    weekday: int | None


@dataclass(frozen=True)
class Instant:
    """A point in time: the text at a position, microseconds since 1970 in UTC, and the offset that the text shows.

    `offset` is in minutes, None for an epoch.
    """

    at: int
    micros: int
    offset: int | None


@dataclass
class Stamps:
    """What the texts of a column say, each by itself. Positions are those of the distinct texts.

    `own_midnights` maps the offsets (minutes) that midnights show, other than UTC's, to the position of one of these.
    """

    days: Codes
    known: Bools
    missing: Bools
    moments: Ints
    numeric: list[Numeric]
    instants: list[Instant]
    own_midnights: dict[int, int]

    @property
    def dates(self) -> Dates:
        return Dates(self.days, self.known, self.missing, self.moments)

    def settle(self, at: int, day: int, moment: int | None = None) -> None:
        """Set the day of the text at a position."""
        self.days[at], self.known[at] = day, True
        if moment is not None:
            self.moments[at] = moment


def read_stamps(texts: Sequence[str]) -> Stamps:
    """Read the distinct texts of a date column, each by itself.

    Raises FileRefused for a column of a spreadsheet's serial dates.
    """
    n = len(texts)
    stamps = Stamps(np.zeros(n, np.int32), np.zeros(n, bool), np.zeros(n, bool), np.zeros(n, np.int64), [], [], {})
    integers: list[tuple[int, int]] = []
    serials = 0
    for at, text in enumerate(texts):
        text = cell_text(text)
        if text.lower() in _MISSING:
            stamps.missing[at] = True
        elif not _read(stamps, at, text):
            if _INTEGER.fullmatch(text):
                integers.append((at, int(text.split(".")[0])))
            serials += _SERIAL.fullmatch(text) is not None
    filled = n - int(stamps.missing.sum())
    if 2 * serials > filled:
        shown = next(text for text in texts if _SERIAL.fullmatch(cell_text(text)))
        raise FileRefused(
            f"dates such as {quoted(shown)} are a spreadsheet's serial numbers of days; format the column as dates "
            "(2024-01-31) there and export it again"
        )
    if 2 * len(integers) > filled:
        _read_epochs(stamps, integers)
    return stamps


def looks_like_date(text: str) -> bool:
    """Whether a single cell is a date in one of the forms. An epoch does not count: it could be any number."""
    stamps = read_stamps([text]) if not _SERIAL.fullmatch(cell_text(text)) else None
    return stamps is not None and bool(stamps.known[0] or stamps.numeric or (stamps.instants and not _is_integer(text)))


def _is_integer(text: str) -> bool:
    return _INTEGER.fullmatch(cell_text(text)) is not None


def _read(stamps: Stamps, at: int, text: str) -> bool:
    """Read a text that is a date in one of the forms. Returns whether it has such a form, even if the day is
    impossible.
    """
    name, rest = _without_weekday(text)
    for form in _PLAIN:
        if found := form.fullmatch(rest):
            named = found["mo"]
            number = int(named) if named[0].isdigit() else month(named) or 0
            day = ordinal(year(found["y"]), number, int(found["d"]))
            if day is None and form is _PLAIN[1] and _INTEGER.fullmatch(text):
                return False  # 20240230, or an epoch of eight digits
            if day is not None and name in (None, (day + 3) % 7):
                _note(stamps, at, day, found)
            return True
    if (found := _NUMERIC.fullmatch(rest)) and (moment := _moment(found)) is not None:
        parts = (int(found["a"]), int(found["b"]), int(found["y"]))
        if found["z"] is None or moment == 0:  # with an offset and a time, its day would be open for two reasons
            stamps.moments[at] = moment
            stamps.numeric.append(Numeric(at, parts, len(found["y"]), name))
        return True
    return False


def _without_weekday(text: str) -> tuple[int | None, str]:
    """A text without the name of a weekday before or behind it, and which weekday (0 for Monday)."""
    if (found := _BEFORE.match(text)) and (name := weekday(found[1])) is not None and _is_weekday(text, found.end()):
        return name, text[found.end() :]
    if (found := _BEHIND.search(text)) and (name := weekday(found[1])) is not None:
        return name, text[: found.start()]
    return None, text


def _is_weekday(text: str, end: int) -> bool:
    """Whether the word before `end` is not a month: `mar` is March in `mar 2, 2024` and Tuesday in `mar 2 ene 2024`."""
    return not text[end].isdigit() or not _PLAIN[3].fullmatch(text)


def _note(stamps: Stamps, at: int, day: int, found: re.Match[str]) -> None:
    """Note a day with its time: as an instant if it has an offset and is not midnight there, else as a date."""
    moment = _moment(found)
    if moment is None:
        return
    offset = _offset(found["z"])
    if offset is None or (offset and not moment):
        stamps.settle(at, day, moment)
        if offset:
            stamps.own_midnights[offset] = at
        return
    stamps.moments[at] = moment
    stamps.instants.append(Instant(at, day * DAY_US + moment - offset * 60_000_000, offset))


def _read_epochs(stamps: Stamps, integers: Sequence[tuple[int, int]]) -> None:
    typical = median_high(abs(value) for _, value in integers)
    if typical < _SMALLEST_EPOCH:
        return
    per_second = next((unit for unit in (1, 10**3, 10**6) if typical < 10**11 * unit), 10**9)
    for at, value in integers:
        micros = value * 1_000_000 // per_second
        if -(EPOCH - 1) * DAY_US < micros < _LARGEST_EPOCH_US - EPOCH * DAY_US:
            stamps.instants.append(Instant(at, micros, None))


def ordinal(year: int, month: int, day: int) -> int | None:
    """The number of a day from 1970-01-01; None if the calendar has no such day."""
    try:
        return date(year, month, day).toordinal() - EPOCH
    except ValueError:
        return None


def year(text: str) -> int:
    """A year of two digits (POSIX) or four."""
    number = int(text)
    return number if len(text) == 4 else number + (1900 if number >= 69 else 2000)


def _offset(text: str | None) -> int | None:
    """An offset from UTC in minutes; None where there is none."""
    if text is None:
        return None
    shown = _SHIFT.search(text)
    if shown is None:
        return 0
    minutes = int(shown[2]) * 60 + int(shown[3] or 0)
    return -minutes if shown[1] == "-" else minutes


def _moment(found: re.Match[str]) -> int | None:
    """The time of day in microseconds: 0 if there is none, None if it is not a valid time."""
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
