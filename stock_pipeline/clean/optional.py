"""The rules for numbers, and the optional values that break them. Such a value does not cost the whole bar.

bad_number          it is not a number
not_finite          it is infinite, or a volume of 2**53 and more
non_positive_price  a price of zero or below
negative_volume
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stock_pipeline.arrow import Bools, Floats, Ints
from stock_pipeline.parse.daily.numbers import Numbers
from stock_pipeline.schemas import Reason

_LARGEST_EXACT = 2.0**53  # above this a double does not hold every whole number


@dataclass(frozen=True)
class Broken:
    """Rows of a field's column (ascending) that break a rule, and what is wrong with the value of one in words."""

    field: str
    reason: Reason
    rows: Ints
    words: Callable[[int], str]


@dataclass(frozen=True)
class Omission:
    """Values of one optional field that were left out for one reason: the rows, and the words for each."""

    reason: Reason
    rows: Ints
    details: Sequence[str]

    def moved(self, start: int) -> Omission:
        """The same, with all row numbers moved by an offset."""
        return replace(self, rows=self.rows + start) if start else self

    def placed(self, place: Ints) -> Omission:
        """The same, with each row at its new position; rows without one (-1) are dropped."""
        rows = place[self.rows]
        there = np.flatnonzero(rows >= 0)
        return replace(self, rows=rows[there], details=[self.details[i] for i in there.tolist()])


def broken_numbers(field: str, numbers: Numbers) -> Iterator[Broken]:
    """The values of a column that break a rule, by rule."""
    values = numbers.values
    if _all_sound(field, values):
        return
    yield Broken(field, Reason.BAD_NUMBER, numbers.bad, lambda row: f"{_bad_text(numbers, row)} is not a number")
    large = np.flatnonzero(_too_large(field, values))
    yield Broken(field, Reason.NOT_FINITE, large, lambda row: f"{values[row]:.15g} is infinite or too large")
    below, reason, words = (
        (values < 0, Reason.NEGATIVE_VOLUME, "below zero")
        if field == "volume"
        else (values <= 0, Reason.NON_POSITIVE_PRICE, "not above zero")
    )
    yield Broken(field, reason, np.flatnonzero(below), lambda row: f"{values[row]:.15g} is {words}")


def omitted(columns: dict[str, Numbers]) -> tuple[dict[str, Numbers], list[Omission]]:
    """The columns of a block without the optional values that break a rule; these become missing.

    The omissions are in the order of the reasons, then of the fields.
    """
    kept, omissions = dict(columns), list[Omission]()
    for field, numbers in columns.items():
        if field == "close":
            continue
        found = [broken for broken in broken_numbers(field, numbers) if len(broken.rows)]
        if not found:
            continue
        missing = np.zeros(len(numbers.values), bool) if numbers.missing is None else numbers.missing.copy()
        values = numbers.values.copy()
        for broken in found:
            fresh = broken.rows[~missing[broken.rows]]  # a volume that is too large may also be below zero
            missing[fresh], values[fresh] = True, np.nan
            omissions.append(
                Omission(broken.reason, fresh, [f"{field} ({broken.words(row)})" for row in fresh.tolist()])
            )
        kept[field] = Numbers(values, missing, numbers.bad[:0], [])
    order = list(Reason)
    return kept, sorted(omissions, key=lambda omission: order.index(omission.reason))


def _all_sound(field: str, values: Floats) -> bool:
    """Whether every row has a number that breaks no rule. This is the common case, and takes a third of the passes."""
    if field == "volume":
        return bool(((values >= 0) & (values < _LARGEST_EXACT)).all())
    return bool(((values > 0) & (values < np.inf)).all())


def _too_large(field: str, values: Floats) -> Bools:
    # The parser gives NaN for cells without a number, and infinity for infinite numbers.
    return np.abs(values) >= _LARGEST_EXACT if field == "volume" else np.isinf(values)


def _bad_text(numbers: Numbers, row: int) -> str:
    return short(numbers.bad_texts[int(np.searchsorted(numbers.bad, row))])


def short(text: str) -> str:
    """A cell as a record shows it: in quotes, and not longer than 80 characters."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
