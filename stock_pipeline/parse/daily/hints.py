"""Hints: facts about a file from a person, or from the folders of its key, that the file itself may leave open.

    timezone   the exchange's zone, in which an instant is a session's date      timezone=Asia-Kolkata/
    dates      the order of day, month and year in numeric dates                  dates=dmy/
    decimal    the decimal mark of prices and volumes                             decimal=comma/
    unit       how many shares one unit of the volume column stands for           unit=100/

A hint decides when the file gives no evidence. It never overrules evidence: if the two disagree, the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any, Literal
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from stock_pipeline.errors import FileRefused, quoted

DateOrder = Literal["dmy", "mdy", "ymd"]
DecimalMark = Literal["point", "comma"]

DATE_ORDERS: tuple[DateOrder, ...] = ("dmy", "mdy", "ymd")
DECIMAL_MARKS: tuple[DecimalMark, ...] = ("point", "comma")
MAX_UNIT = 1_000_000_000

_MOST_HYPHENS = 4  # of a zone's name in a folder: America-Argentina-Buenos_Aires has two, America-Port-au-Prince three


@dataclass(frozen=True)
class Hints:
    """What is known about a file from outside. None means that nothing is said.

    Raises FileRefused, with what would be accepted, for a zone that is not in the IANA database (`Asia/Kolkata`), an
    order or mark of another name, or a unit that is not a whole number from 1 to `MAX_UNIT`.
    """

    timezone: str | None = None
    dates: DateOrder | None = None
    decimal: DecimalMark | None = None
    unit: int | None = None

    def __post_init__(self) -> None:
        if self.timezone is not None and _zone(self.timezone) is None:
            raise FileRefused(
                f"timezone {quoted(str(self.timezone))} is not a zone; give a name such as Asia/Kolkata or "
                "Europe/Berlin (in a folder timezone=Asia-Kolkata/)"
            )
        if self.dates is not None and self.dates not in DATE_ORDERS:
            raise FileRefused(f"dates {quoted(str(self.dates))} is not an order of dates; give one of dmy, mdy, ymd")
        if self.decimal is not None and self.decimal not in DECIMAL_MARKS:
            raise FileRefused(f"decimal {quoted(str(self.decimal))} is not a decimal mark; give point or comma")
        if self.unit is not None and (type(self.unit) is not int or not 1 <= self.unit <= MAX_UNIT):
            raise FileRefused(
                f"unit {quoted(str(self.unit))} is not a number of shares; give a whole number from 1 to {MAX_UNIT:,}"
            )

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of `timezone`."""
        return _zone(self.timezone) if self.timezone else None

    @classmethod
    def of_key(cls, key: str) -> Hints:
        """The hints in the folders of a staging key: `…/timezone=Asia-Kolkata/dates=dmy/decimal=comma/unit=100/x.csv`.

        The slash of a zone's name is written as a hyphen, or percent-encoded. Raises FileRefused for a folder with an
        invalid value, and for two folders that contradict each other.
        """
        found: dict[str, Any] = {}
        for folder in key.split("/")[:-1]:
            name, mark, text = folder.partition("=")
            name = name.lower()
            if not mark or name not in _NAMES:
                continue
            value = _of_folder(name, unquote(text))
            if found.setdefault(name, value) != value:
                raise FileRefused(f"two folders of the key say {name}: {found[name]} and {value}; leave one of them")
        return cls(**found)

    @property
    def folders(self) -> str:
        """These hints as folders of a key, in the form that `of_key` reads: `timezone=Asia-Kolkata/unit=100/`."""
        told = ((name, getattr(self, name)) for name in _NAMES)
        return "".join(f"{name}={_as_folder(name, value)}/" for name, value in told if value is not None)

    def joined(self, others: Hints) -> Hints:
        """These hints together with others.

        Raises FileRefused if the two disagree.
        """
        for name in _NAMES:
            mine, other = getattr(self, name), getattr(others, name)
            if mine is not None and other is not None and mine != other:
                raise FileRefused(
                    f"{name} {mine} was given, but a folder of the key says {name}={other}; leave one of them out"
                )
        said = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(others, **said)


_NAMES = tuple(field.name for field in fields(Hints))


def _of_folder(name: str, text: str) -> Any:
    if name == "timezone":
        return next((zone for zone in _spellings(text) if _zone(zone)), text)
    if name == "unit":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text
    return text.lower()


def _as_folder(name: str, value: str | int) -> str:
    text = str(value).replace("/", "-")
    return text if _of_folder(name, text) == value else quote(str(value), safe="")


def _spellings(folder: str) -> Iterator[str]:
    """The names that a folder's text could mean: each of its hyphens may be a slash."""
    parts = folder.split("-")
    if len(parts) > _MOST_HYPHENS + 1:
        yield folder
        return
    for marks in product("/-", repeat=len(parts) - 1):
        yield parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))


def _zone(name: str) -> ZoneInfo | None:
    # A name is a path below the folder of the database. Any other path is not a zone.
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError, TypeError):
        return None
