"""The definition of a form of message: how it is recognized, and where its fields are. The forms are in vendors.py.

A path is written with dots, `data.price`: keys of objects, and numbers for places in arrays. `a|b` is the first of two
that has a value. A path that begins with `/` starts at the message, any other path at the trade. In a message with one
trade both are the same.

A sign is a condition on a message: `key` is there (it may be null), or `key=text|text`. A `*` in such a text stands for
any text. A whole number or a truth value is compared in its JSON form. `a.*.b=text` holds when one of the elements of
`a` has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Key = str | int
Path = tuple[Key, ...]
EACH = "*"
MISSING = object()
"""Stands for a missing value. Null is not missing."""


def path_of(text: str) -> Path:
    """`data.0.price` as ("data", 0, "price")."""
    return tuple(int(part) if part.isdigit() else part for part in text.split(".")) if text else ()


def found_at(value: Any, path: Path, missing: Any = None) -> Any:
    """The value at a path; `missing` if there is none."""
    for key in path:
        if type(value) is dict:
            value = value.get(key, missing)
        elif type(value) is list and type(key) is int and key < len(value):
            value = value[key]
        else:
            return missing
    return value


def every_at(value: Any, path: Path) -> Iterator[Any]:
    """The values at a path that may go through every element of arrays; MISSING if there is none."""
    if EACH not in path:
        yield found_at(value, path, MISSING)
        return
    at = path.index(EACH)
    found = found_at(value, path[:at])
    for element in found if type(found) is list else ():
        yield from every_at(element, path[at + 1 :])


class Text:
    """A text that a sign asks for: `trade`, or with stars for any text, `market.*.trade.detail`."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.head, star, self.tail = text.partition("*")
        self.whole = not star

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("(.+)".join(map(re.escape, self.text.split("*"))), re.DOTALL)

    def fits(self, text: str) -> bool:
        """Whether a text is so."""
        return text == self.text if self.whole else self._pattern.fullmatch(text) is not None

    def inside(self, text: str) -> str | None:
        """The part of a text that the star stands for; None if the text does not match."""
        found = self._pattern.fullmatch(text)
        return found[1] if found else None


def as_text(value: Any) -> str | None:
    """A value as signs compare it: a text, or a whole number or a truth value in its JSON form."""
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    return str(value) if type(value) is int else None


@dataclass(frozen=True)
class Sign:
    """A condition on a message: there is a value at a path, and if the sign has texts, it is one of them."""

    path: Path
    texts: tuple[Text, ...] = ()
    text: str = ""
    """As it was written."""

    @classmethod
    def of(cls, text: str) -> Sign:
        path, _, texts = text.partition("=")
        return cls(path_of(path), tuple(map(Text, texts.split("|"))) if texts else (), text)

    def holds(self, message: Any) -> bool:
        """Whether the message fulfils it."""
        for value in every_at(message, self.path):
            if self.texts:
                text = as_text(value)
                if text is not None and any(wanted.fits(text) for wanted in self.texts):
                    return True
            elif value is not MISSING:
                return True
        return False


def signs(*texts: str) -> tuple[Sign, ...]:
    """Signs as they are written in vendors.py."""
    return tuple(map(Sign.of, texts))


@dataclass(frozen=True)
class Field:
    """Where a value is: in the message or in the trade, at the first of some paths that has a value."""

    name: str
    in_message: bool
    paths: tuple[Path, ...]

    @classmethod
    def of(cls, name: str) -> Field:
        text = name.removeprefix("/")
        return cls(text, name != text, tuple(path_of(part) for part in text.split("|")) if text else ())

    @cached_property
    def key(self) -> Key | None:
        """The key, if the field is one key of the trade. This is the common case, and must be fast."""
        return self.paths[0][0] if len(self.paths) == 1 == len(self.paths[0]) and not self.in_message else None

    def of_trade(self, trade: Any, message: Any) -> Any:
        """The field's value in a trade of a message."""
        if self.key is not None and type(trade) is dict:
            return trade.get(self.key)
        root = message if self.in_message else trade
        for path in self.paths:
            value = found_at(root, path)
            if value is not None and value != "":
                return value
        return None


@dataclass(frozen=True, eq=False)
class Shape:
    """One form of message that holds trades: its name, its signs, and where the fields are.

    Event ids begin with `vendor` and `scope` (the values within which the ids are unique). With an empty `vendor` an id
    stays as it is. With `session`, the exchange's date and the trade's own time belong to the id too. `trades` is the
    path of a list of trades, and `only` is the sign of the trades in it that count; without `trades` the message itself
    is the trade. `inside` is a template with the symbol at the star, in small letters. `alone` is false if the messages
    do not name their symbol; such a message is rejected once. `fixed` prices may be whole numbers of 1e-9. `codes`
    names the table of sale conditions for this form.
    """

    name: str
    signs: tuple[Sign, ...]
    symbol: str
    price: str
    size: str
    time: str
    id: str = ""
    vendor: str = ""
    scope: tuple[str, ...] = ()
    session: bool = False
    trades: str = ""
    only: str = ""
    inside: str = ""
    alone: bool = True
    fixed: bool = False
    sequence: str = ""
    exchange: str = ""
    conditions: str = ""
    tape: str = ""
    reported: str = ""
    codes: str = ""
    unless: tuple[Sign, ...] = ()
    lists: tuple[Path, ...] = field(init=False)
    """The path to the trades: a list, and in each of its elements the next list."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lists", tuple(map(path_of, self.trades.split(".*."))) if self.trades else ())

    def field_of(self, role: str) -> Field:
        """Where the field of a role (`price`, `sequence`, …) is."""
        return self._fields[role]

    @cached_property
    def _fields(self) -> dict[str, Field]:
        roles = ("symbol", "price", "size", "time", "id", "sequence", "exchange", "conditions", "tape", "reported")
        return {role: Field.of(getattr(self, role)) for role in roles}

    @cached_property
    def scopes(self) -> tuple[Field, ...]:
        return tuple(map(Field.of, self.scope))

    @cached_property
    def template(self) -> Text | None:
        return Text(self.inside) if self.inside else None

    @cached_property
    def only_sign(self) -> Sign | None:
        return Sign.of(self.only) if self.only else None

    @cached_property
    def names(self) -> frozenset[str]:
        """The keys of a message of this form, used to find the forms nearest to an unknown message."""
        paths = [sign.path for sign in self.signs] + list(self.lists)
        paths += [path for each in self._fields.values() for path in each.paths[:1]]
        return frozenset(key for path in paths for key in path if type(key) is str and key != EACH)

    def of(self, message: Any) -> bool:
        """Whether a message has this form."""
        return all(sign.holds(message) for sign in self.signs) and not any(s.holds(message) for s in self.unless)

    def trades_of(self, message: Any) -> list[Any] | None:
        """The trades of a message; None if there is something else instead of a list."""
        if not self.lists:
            return [message]
        found = [message]
        for path in self.lists:
            inner: list[Any] = []
            for element in found:
                value = found_at(element, path)
                if type(value) is list:
                    inner += value
                elif value is not None:
                    return None
            found = inner
        return [trade for trade in found if self.only_sign.holds(trade)] if self.only_sign else found


@dataclass(frozen=True)
class Other:
    """Known messages of a vendor without a trade. `what` is the written form of the signs.

    With `whole`, a message must have the first keys of the signs and no others.
    """

    vendor: str
    what: str
    signs: tuple[Sign, ...]
    whole: bool = False

    def of(self, message: Any) -> bool:
        """Whether a message is one of these."""
        if self.whole and len(message) != len({sign.path[0] for sign in self.signs}):
            return False
        return all(sign.holds(message) for sign in self.signs)
