"""Writes stock_pipeline/trading_calendar/xnys.py, the trading calendar as data, from the library exchange_calendars.

python -m stock_pipeline_tests.trading_calendar.xnys      after an upgrade of the library
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from exchange_calendars.exchange_calendar_xnys import XNYSExchangeCalendar

from stock_pipeline.trading_calendar.sessions import FIRST_DAY, LAST_DAY

MODULE = Path(__file__).resolve().parents[2] / "stock_pipeline" / "trading_calendar" / "xnys.py"
NEW_YORK = ZoneInfo("America/New_York")

HEAD = '''"""The calendar of the New York Stock Exchange as data, so that its sessions are known without a library.

Written from exchange_calendars by `python -m stock_pipeline_tests.trading_calendar.xnys`; a test checks it. Each line
is a year with its days, MMDD. A session opens at 9:30 and closes at 16:00 in New York.
"""
'''


@cache
def of_the_library() -> dict[date, tuple[datetime, datetime]]:
    """Every session with its opening and closing time in UTC, as exchange_calendars has it."""
    xnys = XNYSExchangeCalendar(start=FIRST_DAY.isoformat(), end=LAST_DAY.isoformat())
    times = zip(xnys.sessions, xnys.opens, xnys.closes, strict=True)
    return {day.date(): (opened.to_pydatetime(), closed.to_pydatetime()) for day, opened, closed in times}


def render() -> str:
    """The whole module."""
    sessions = of_the_library()
    days = [FIRST_DAY + timedelta(n) for n in range((LAST_DAY - FIRST_DAY).days + 1)]
    closes = {day: closed.astimezone(NEW_YORK).time() for day, (_, closed) in sessions.items()}
    summer = {day: datetime.combine(day, time(12), NEW_YORK).utcoffset() == timedelta(hours=-4) for day in days}
    parts = {
        "CLOSED": ("weekdays without a session", [d for d in days if d.weekday() < 5 and d not in sessions]),
        "UNTIL_13": ("sessions that close at 13:00", [d for d, at in closes.items() if at == time(13)]),
        "UNTIL_14": ("sessions that close at 14:00", [d for d, at in closes.items() if at == time(14)]),
        "CLOCKS": (
            "days on which clocks go forward to summer time (UTC-4), and back to UTC-5",
            [d for d in days[1:] if summer[d] != summer[d - timedelta(1)]],
        ),
    }
    assert set(closes.values()) == {time(13), time(14), time(16)}
    return "\n".join([HEAD, *(_part(name, *part) for name, part in parts.items())])


def _part(name: str, meaning: str, days: Iterable[date]) -> str:
    years: dict[int, list[str]] = {}
    for day in days:
        years.setdefault(day.year, []).append(f"{day:%m%d}")
    lines = "\n".join(f"{year} {' '.join(of_year)}" for year, of_year in years.items())
    return f'{name} = """\n{lines}\n"""\n"""{meaning[0].upper()}{meaning[1:]}."""\n'


if __name__ == "__main__":
    MODULE.write_text(render())
