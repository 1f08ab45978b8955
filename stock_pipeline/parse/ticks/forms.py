"""All known forms of messages: which one a message has, and which ones are nearest to an unknown message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from stock_pipeline.parse.ticks.shapes import Other, Path, Shape, Sign, Text


class Forms:
    """All known forms, in the order in which they are tried. A lookup by a message's keys gives the possible ones."""

    def __init__(self, shapes: Sequence[Shape], others: Sequence[Other]) -> None:
        self.shapes, self.others = tuple(shapes), tuple(others)
        self._shapes_by_keys: dict[Any, tuple[Shape, ...]] = {}
        self._others_by_keys: dict[Any, tuple[Other, ...]] = {}
        self._alike_by_keys: dict[frozenset[str], list[tuple[Shape, int, list[Sign]]]] = {}

    def shape_of(self, message: Any) -> Shape | None:
        """The form of a message that holds trades, None for any other message."""
        possible = _possible(self.shapes, self._shapes_by_keys, message)
        return next((shape for shape in possible if shape.of(message)), None)

    def other_of(self, message: Any) -> Other | None:
        """The kind of a known message that is not meant to hold a trade; None when the message is unknown."""
        possible = _possible(self.others, self._others_by_keys, message)
        return next((other for other in possible if other.of(message)), None)

    def knows(self, message: Any) -> bool:
        """Whether a message has a known form, or is another known message."""
        return self.shape_of(message) is not None or self.other_of(message) is not None

    def asked(self, message: Any, shape: Shape) -> dict[Path, list[Text]]:
        """The paths where a text decides that a message with these keys has this form, and all such texts."""
        texts: dict[Path, list[Text]] = {}
        for form in _possible(self.shapes, self._shapes_by_keys, message):
            for sign in (*form.signs, *form.unless):
                if sign.texts:
                    texts.setdefault(sign.path, []).extend(sign.texts)
            if form is shape:
                break
        return texts

    def nearest(self, message: Any, most: int = 3) -> list[str]:
        """The names of the forms that have most in common with a message, with what the message lacks."""
        keys = frozenset(_keys(message, 4))
        near = []
        for shape, common, said in self._alike(keys):
            likeness = (common + sum(sign.holds(message) for sign in said)) / (len(shape.names) + len(said))
            if likeness:
                near.append((likeness, shape))
        near.sort(key=lambda pair: pair[0], reverse=True)
        return [f"{shape.name} ({_lacks(shape, keys)})" for _, shape in near[:most]]

    def _alike(self, keys: frozenset[str]) -> list[tuple[Shape, int, list[Sign]]]:
        """The forms that share a name with these keys, or ask for a place in an array: with the number of names that
        they share, and their signs that ask for a text.

        They are kept for each set of keys, as an object may hold millions of unknown messages.
        """
        if (found := self._alike_by_keys.get(keys)) is None:
            found = []
            for shape in self.shapes:
                said = [sign for sign in shape.signs if sign.texts]
                common = len(keys & shape.names)
                if common or any(type(sign.path[0]) is int for sign in said):
                    found.append((shape, common, said))
            _keep(self._alike_by_keys, keys, found)
        return found


_MOST_KEYS = 4096  # distinct sets of keys; after this many the lookup starts again


_Form = TypeVar("_Form", Shape, Other)


def _possible(forms: Sequence[_Form], known: dict[Any, tuple[_Form, ...]], message: Any) -> tuple[_Form, ...]:
    """The forms of which a message has all the first keys."""
    keys = tuple(message) if type(message) is dict else len(message)
    if (found := known.get(keys)) is None:
        has = set(message) if type(message) is dict else set(range(len(message)))
        found = tuple(form for form in forms if all(sign.path[0] in has for sign in form.signs))
        _keep(known, keys, found)
    return found


def _keep(known: dict[Any, Any], keys: Any, found: Any) -> None:
    """Keep what was found for a set of keys, within the bound of the lookup."""
    if len(known) >= _MOST_KEYS:
        known.clear()
    known[keys] = found


def _keys(value: Any, depth: int) -> Iterator[str]:
    if depth and type(value) is dict:
        for key, inner in value.items():
            yield key
            yield from _keys(inner, depth - 1)
    elif depth and type(value) is list:
        for inner in value[:4]:
            yield from _keys(inner, depth - 1)


def _lacks(shape: Shape, keys: frozenset[str]) -> str:
    missing = sorted(shape.names - keys)
    if missing:
        return f"lacks {', '.join(missing)}"
    return "has other texts under " + ", ".join(".".join(map(str, sign.path)) for sign in shape.signs if sign.texts)
