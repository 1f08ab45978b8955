"""The years of ticks that Athena looks for: the template's parameter `TickYears`.

CloudFormation knows no date, so years in the template would be over one day. A deployment of a new stack chooses them.
A stack keeps the years that it has, because its lake may have ticks of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from stock_pipeline.progress import Say

PARAMETER = "TickYears"
_EACH_SIDE = 2  # years; with five in all, a query without a condition on the year lists 1,860 folders


def around(today: date) -> str:
    """The value of `TickYears` for a stack that is new on a day: that year, the two before it and the two after it."""
    return f"{today.year - _EACH_SIDE},{today.year + _EACH_SIDE}"


def chosen(given: Mapping[str, str], exists: bool, today: date, report: Say) -> dict[str, str]:
    """The parameters to add to a deployment: the years, for a new stack that nobody has given any; else {}.

    `given` are the parameters that were given now or are kept. `report` is told when the last of these years has come.
    """
    years = given.get(PARAMETER, "")
    if not years:
        return {} if exists else {PARAMETER: around(today)}
    if today.year >= int(years.rpartition(",")[2] or 0):
        report(
            f"Athena looks for ticks of the years {years.replace(',', ' to ')} and no later ones; deploy with "
            f"PARAMS={PARAMETER}={around(today)} unless the lake has ticks of earlier years"
        )
    return {}
