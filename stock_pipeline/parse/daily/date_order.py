"""The order of day, month and year in dates of three numbers, decided once for a whole column. There is no default.

A text that can be read in only one order decides (proof): one number is above 12 or 31, or the other order gives no
real day. Otherwise the spacing of the dates decides: one reading gives trading days in a row without weekends, and
every other reading gives weekends or dates weeks apart. Two dates are enough for this. The order of the rows does not
count. If neither decides, or the column has only one date, the file is refused unless the hint `dates` says the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stock_pipeline.arrow import Ints
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.dates import Numeric, Stamps, ordinal, year
from stock_pipeline.parse.daily.hints import DATE_ORDERS, DateOrder, Hints

_WORDS: dict[DateOrder, str] = {"dmy": "the day first", "mdy": "the month first", "ymd": "the year first"}
_REMEDY = "give --dates dmy, mdy or ymd (or put the file into a folder dates=dmy/), or write them as 2024-01-31"
_LONG_GAP = 5  # days; dates this far apart are not neighbours in a series of trading days

Readings = dict[DateOrder, dict[int, int]]
"""By order: the days of the texts that can be read in it, by their positions."""


def settle_order(stamps: Stamps, texts: Sequence[str], hints: Hints) -> str | None:
    """Decide the order of all dates of three numbers in a column, and say which days they are.

    Returns the evidence: `proof`, `spacing` or `hint`; None if every date is clear. Raises FileRefused if dates of two
    orders are mixed, if nothing decides, and if the hint contradicts the evidence.
    """
    readings = _readings(stamps.numeric)
    real = {at for days in readings.values() for at in days}
    if not real:
        return None
    allowed = [order for order in DATE_ORDERS if real <= readings[order].keys()]
    if not allowed:
        raise _mixed(readings, real, texts)
    open_ = {at for at in real if len({days[at] for days in readings.values() if at in days}) > 1}
    told = hints.dates
    if told and told not in allowed:
        against = next(at for at in sorted(real) if at not in readings[told])
        raise FileRefused(f"the hint says {_WORDS[told]} ({told}), but {quoted(texts[against])} cannot have this order")
    by_spacing = _by_spacing({order: readings[order] for order in DATE_ORDERS}, open_)
    if len(allowed) == 1:
        if by_spacing not in (None, allowed[0]) and not told:
            raise _contested(allowed[0], by_spacing, open_, readings, texts)
        order, evidence = allowed[0], "proof"
    elif not {at for at in open_ if len({readings[order][at] for order in allowed}) > 1}:
        order, evidence = allowed[0], None  # each date is the same day in every order, such as 2/2/2024
    else:
        spaced = _by_spacing({order: readings[order] for order in allowed}, open_)
        if told and spaced not in (None, told):
            raise _contradicted(told, spaced, open_, texts)
        decided, evidence = told or spaced, "hint" if told else "spacing"
        if decided is None:
            shown = texts[min(open_)]
            raise FileRefused(f"dates such as {quoted(shown)} can be read in two ways; {_REMEDY}")
        order = decided
    for at, day in readings[order].items():
        stamps.settle(at, day)
    return evidence


def _readings(numeric: Sequence[Numeric]) -> Readings:
    readings: Readings = {order: {} for order in DATE_ORDERS}
    for stamp in numeric:
        a, b, c = stamp.parts
        last = year(f"{c:0{stamp.last_digits}}")
        days = {"dmy": ordinal(last, b, a), "mdy": ordinal(last, a, b)}
        if stamp.last_digits == 2:
            days["ymd"] = ordinal(year(f"{a:02}"), b, c)
        for order in DATE_ORDERS:
            day = days.get(order)
            if day is not None and stamp.weekday in (None, (day + 3) % 7):
                readings[order][stamp.at] = day
    return readings


def _by_spacing(readings: Readings, open_: set[int]) -> DateOrder | None:
    """The only order in which the open dates can be a series of trading days, if there is one."""
    days = {order: _distinct(found[at] for at in open_ if at in found) for order, found in readings.items()}
    days = {order: found for order, found in days.items() if len(found) > 1}
    daily = [order for order, found in days.items() if _is_daily(found)]
    others = (found for order, found in days.items() if order not in daily)
    if len(daily) == 1 and all(_has_weekends(found) or _is_sparse(found) for found in others):
        return daily[0]
    return None


def _distinct(days: Iterable[int]) -> Ints:
    return np.array(sorted(set(days)), np.int64)


def _is_daily(days: Ints) -> bool:
    return not _has_weekends(days) and 5 * int((np.diff(days) < _LONG_GAP).sum()) >= 4 * (len(days) - 1)


def _has_weekends(days: Ints) -> bool:
    return bool(((days + 3) % 7 > 4).any())


def _is_sparse(days: Ints) -> bool:
    return 5 * int((np.diff(days) >= _LONG_GAP).sum()) >= 4 * (len(days) - 1)


def _mixed(readings: Readings, real: set[int], texts: Sequence[str]) -> FileRefused:
    def shown(order: DateOrder) -> str | None:
        """The first text that can be read only in this order."""
        alone = (at for at in sorted(real) if [o for o in DATE_ORDERS if at in readings[o]] == [order])
        return next((f"{_WORDS[order]} ({quoted(texts[at])})" for at in alone), None)

    examples = [text for order in ("mdy", "dmy", "ymd") if (text := shown(order))]
    if len(examples) < 2:
        examples = [quoted(texts[at]) for at in sorted(real)[:3]]
        return FileRefused(f"no order of day, month and year fits all dates ({', '.join(examples)}); {_REMEDY}")
    return FileRefused(f"dates with {' and with '.join(examples)} in one column; write them as 2024-01-31")


def _contested(
    proven: DateOrder, spaced: DateOrder | None, open_: set[int], readings: Readings, texts: Sequence[str]
) -> FileRefused:
    assert spaced
    proof = min(at for at in readings[proven] if at not in readings[spaced])
    return FileRefused(
        f"{quoted(texts[proof])} can only be read with {_WORDS[proven]}, but dates such as {quoted(texts[min(open_)])} "
        f"are days in a row only with {_WORDS[spaced]}; {_REMEDY}"
    )


def _contradicted(told: DateOrder, spaced: DateOrder | None, open_: set[int], texts: Sequence[str]) -> FileRefused:
    assert spaced
    return FileRefused(
        f"the hint says {_WORDS[told]} ({told}), but dates such as {quoted(texts[min(open_)])} are days "
        f"in a row, without weekends, only with {_WORDS[spaced]} ({spaced})"
    )
