"""Instants → dates of sessions. An epoch, or a time with an offset, has no date until the exchange's zone is known.

- If all instants are at 00:00 UTC, they are those dates. Up to a tenth of a column may be of another kind; these are
  not dates.
- A few times with an offset are the dates that they show, if all others are midnights of that offset: a vendor's live
  rows.
- Otherwise the zone decides: that of the hint `timezone`, else of the symbol's suffix, else New York's, if all instants
  are at 00:00, 09:30 or 16:00 there. Without a zone the file is refused.
- If a zone puts sessions on a weekend, and a reading a day later or earlier would not, the dates would be a day off.
  Then the file is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from stock_pipeline.arrow import Bools, Codes
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.dates import DAY_US, EPOCH, Instant, Stamps
from stock_pipeline.parse.daily.exchange_zones import SUNDAY_SESSIONS, zone_of
from stock_pipeline.parse.daily.hints import Hints

EXCHANGE_ZONE = "America/New_York"

_NEAR_MIDNIGHT = frozenset(hours * 3_600_000_000 for hours in (1, 2, 22, 23))
_MARKS = frozenset(minutes * 60_000_000 for minutes in (0, 9 * 60 + 30, 16 * 60))
_REMEDY = (
    "give --timezone with the exchange's zone (such as Asia/Kolkata), or put the file into a folder "
    "timezone=Asia-Kolkata/"
)


@dataclass(frozen=True)
class Group:
    """The instants of the rows whose symbols have one zone (None: no suffix names it)."""

    zone: str | None
    instants: list[Instant]


@dataclass(frozen=True)
class Column:
    """A date column that may have to be read in several zones: its texts, and their codes, block by block."""

    texts: list[str]
    codes: list[Codes]


def settle_instants(
    stamps: Stamps, column: Column, symbols: Sequence[str], symbol_codes: Sequence[Codes], hints: Hints
) -> tuple[Stamps, Column, str | None]:
    """Find the sessions of the instants of a date column.

    `symbols` are the distinct texts of the symbol column and `symbol_codes` its codes, block by block as those of
    `column`. If symbols of several zones share a text, the returned column has it once for each zone.

    The third value is the evidence: `midnights`, `hint`, `suffix` or `session times`; None without instants. Raises
    FileRefused, naming the hint, if nothing says the zone, and if the weekdays show that the zone is wrong.
    """
    _refuse_other_midnights(stamps, column.texts, hints)
    if not stamps.instants:
        return stamps, column, None
    elsewhere = [i for i in stamps.instants if i.micros % DAY_US]
    if not elsewhere:
        _settle(stamps, stamps.instants, None)
        return stamps, column, "midnights"
    live = _live(stamps, elsewhere)
    if live:
        for instant in live:
            stamps.settle(instant.at, (instant.micros + (instant.offset or 0) * 60_000_000) // DAY_US)
        _settle(stamps, [i for i in stamps.instants if i.micros % DAY_US == 0], None)
        return stamps, column, "midnights"
    zones = [hints.timezone] * len(symbols) if hints.timezone else [zone_of(symbol) for symbol in symbols]
    distinct = sorted(set(zones), key=str)
    if len(distinct) > 1:
        stamps, column = _spread(stamps, column, [distinct.index(zone) for zone in zones], symbol_codes, len(distinct))
    count = len(column.texts) // max(len(distinct), 1)
    used = _used(column)
    evidence = set()
    for number, zone in enumerate(distinct):
        mine = [i for i in stamps.instants if i.at // max(count, 1) == number and used[i.at]]
        if mine:
            evidence.add(_settle_group(stamps, Group(zone, mine), column.texts, hints))
    return stamps, column, " and ".join(sorted(evidence)) or None


def _refuse_other_midnights(stamps: Stamps, texts: Sequence[str], hints: Hints) -> None:
    """Refuse a hint for a zone whose midnights are not the midnights in the file."""
    for offset, at in stamps.own_midnights.items() if hints.zone else ():
        day = datetime.fromordinal(int(stamps.days[at]) + EPOCH)
        if hints.zone and hints.zone.utcoffset(day) != timedelta(minutes=offset):
            raise FileRefused(
                f"the hint says timezone {hints.timezone}, but {quoted(texts[at])} is not midnight there; leave "
                "the hint out, and such dates are read as they stand"
            )


def _live(stamps: Stamps, elsewhere: list[Instant]) -> list[Instant]:
    """The instants that are not at 00:00 UTC, if all of them are a vendor's live rows: few, and with offsets of the
    file's midnights.
    """
    midnights: set[int | None] = {i.offset for i in stamps.instants if i.micros % DAY_US == 0 and i.offset is not None}
    midnights |= stamps.own_midnights.keys()
    others = len(stamps.instants) - len(elsewhere) + int(stamps.known.sum())
    if len(elsewhere) > max(1, others // 10):
        return []
    return elsewhere if all(_is_live(instant, midnights) for instant in elsewhere) else []


def _is_live(instant: Instant, midnights: set[int | None]) -> bool:
    """Whether an instant has the offset of these midnights, or that of the other half of the year, and is not midnight
    itself.

    A time exactly one or two hours from midnight is midnight in summer, written with the offset of winter.
    """
    if instant.offset is None or all(m is None or abs(instant.offset - m) > 60 for m in midnights):
        return False
    return (instant.micros + instant.offset * 60_000_000) % DAY_US not in _NEAR_MIDNIGHT


def _spread(
    stamps: Stamps, column: Column, zone_of_symbol: list[int], symbol_codes: Sequence[Codes], zones: int
) -> tuple[Stamps, Column]:
    """The column with each text once for each zone. Every row points at the text for its symbol's zone."""
    n = len(column.texts)
    numbers = np.array(zone_of_symbol, np.int32) * n
    codes = [dates + numbers[symbols] for dates, symbols in zip(column.codes, symbol_codes, strict=True)]
    instants = [Instant(i.at + n * z, i.micros, i.offset) for z in range(zones) for i in stamps.instants]
    spread = Stamps(
        days=np.tile(stamps.days, zones),
        known=np.tile(stamps.known, zones),
        missing=np.tile(stamps.missing, zones),
        moments=np.tile(stamps.moments, zones),
        numeric=[],
        instants=instants,
        own_midnights={},
    )
    return spread, Column(column.texts * zones, codes)


def _used(column: Column) -> Bools:
    used = np.zeros(len(column.texts), bool)
    for codes in column.codes:
        used[codes] = True
    return used


def _settle_group(stamps: Stamps, group: Group, texts: Sequence[str], hints: Hints) -> str:
    """Settle the instants of one zone; returns the evidence."""
    elsewhere = [i for i in group.instants if i.micros % DAY_US]
    if not elsewhere:
        _settle(stamps, group.instants, None)
        return "midnights"
    if group.zone is None:
        if len(elsewhere) * 10 <= len(
            group.instants
        ):  # a few odd numbers: they are not read, and the others are not doubted
            _settle(stamps, [i for i in group.instants if i.micros % DAY_US == 0], None)
            return "midnights"
        new_york = _zone(EXCHANGE_ZONE)
        strange = next((i for i in group.instants if _local(i.micros, new_york)[1] not in _MARKS), None)
        if strange:
            raise FileRefused(
                f"times such as {quoted(texts[strange.at])} are instants, and nothing says in which timezone the "
                f"exchange is; {_REMEDY}"
            )
    zone = group.zone or EXCHANGE_ZONE
    for instant in group.instants:
        day = instant.micros // DAY_US
        if instant.micros % DAY_US == 0 and _local(instant.micros, _zone(zone))[0] != day:
            raise FileRefused(
                f"{quoted(texts[instant.at])} is midnight in UTC, and {quoted(texts[elsewhere[0].at])} is not; in the "
                f"timezone {zone} the first is the evening before, so which dates these are is not clear; write dates"
            )
    _settle(stamps, group.instants, _zone(zone))
    evidence = "hint" if hints.timezone else "suffix" if group.zone else "session times"
    _refuse_a_day_off(stamps, group.instants, zone, evidence, texts)
    return evidence


def _settle(stamps: Stamps, instants: Sequence[Instant], zone: ZoneInfo | None) -> None:
    for instant in instants:
        day, moment = _local(instant.micros, zone)
        if day is not None:
            stamps.settle(instant.at, day, moment)


def _refuse_a_day_off(
    stamps: Stamps, instants: Sequence[Instant], zone: str, evidence: str, texts: Sequence[str]
) -> None:
    if zone in SUNDAY_SESSIONS:
        return
    days = np.array([stamps.days[i.at] for i in instants if stamps.known[i.at]], np.int64)
    weekend = np.flatnonzero((days + 3) % 7 > 4)
    if not len(weekend):
        return
    for shift, words in ((1, "later"), (-1, "earlier")):
        if not ((days + 3 + shift) % 7 > 4).any():
            shown = [i for i in instants if stamps.known[i.at]][int(weekend[0])]
            raise FileRefused(
                f"in the timezone {zone} ({'by the hint' if evidence == 'hint' else f'by its {evidence}'}) "
                f"{quoted(texts[shown.at])} is on a weekend; a day {words} no date is on one, so the dates would be a "
                f"day off; {_REMEDY}"
            )


def _local(micros: int, zone: ZoneInfo | None) -> tuple[int | None, int]:
    """The date and the time of day (microseconds) of an instant in a zone, or in UTC."""
    if zone is None:
        return micros // DAY_US, micros % DAY_US
    try:
        moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).astimezone(zone)
    except OverflowError:
        return None, -1
    seconds = (moment.hour * 60 + moment.minute) * 60 + moment.second
    return moment.date().toordinal() - EPOCH, seconds * 1_000_000 + moment.microsecond


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
