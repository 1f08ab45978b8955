"""The decimal mark of a file's prices, decided once for all of them by what their texts prove.

A number proves its mark when it can be read in one way only. `1,0931` and `0,125` have a decimal comma, because no
group of thousands looks like that. `1,234.50`, `1,234,567` and the Indian `12,34,567` have a decimal point. `1,234`
proves nothing.

In a file whose columns are separated by commas the point is the decimal mark, unless commas in quotes prove another. In
other files both marks are equally likely. The file is refused if its prices prove both marks. It is also refused if a
price could have either mark and nothing is proven, unless the hint `decimal` says the mark. Volumes have the mark of
the prices. If prices have no mark, a volume is a whole number, and its marks separate thousands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.arrow import Bools
from stock_pipeline.errors import FileRefused, quoted
from stock_pipeline.parse.daily.hints import Hints

_REMEDY = "give --decimal point or comma, or put the file into a folder decimal=comma/"

_SIGN = r"^[+-]?"
# In these, D is the decimal mark and T the mark of thousands.
_PROOFS = (
    _SIGN + r"[0-9]*D([0-9]{0,2}|[0-9]{4,})$",  # not three digits after it
    _SIGN + r"(0[0-9]*|[0-9]{4,})?D[0-9]{3}$",  # not a group of thousands before it
    _SIGN + r"[0-9]*D[0-9]+[eE][+-]?[0-9]+$",
    _SIGN + r"[0-9]{1,3}(T[0-9]{3})+D[0-9]*$",
    _SIGN + r"[0-9]{1,3}(T[0-9]{3}){2,}$",
    _SIGN + r"[0-9]{1,2}(T[0-9]{2})+T[0-9]{3}(D[0-9]*)?$",  # 12,34,567
)
_OPEN = _SIGN + r"[1-9][0-9]{0,2}[.,][0-9]{3}$"


class Mark(Enum):
    """The decimal mark of a column."""

    POINT = "point"
    COMMA = "comma"
    NONE = "none"  # a column of whole numbers: point and comma separate thousands


@dataclass(frozen=True)
class Evidence:
    """What the texts of some numbers prove, with an example each; None without an example.

    `point` and `comma` can only be read with that decimal mark (an example with thousands is preferred). `open_comma`
    and `open_point` have one group of three digits after a comma or a point.
    """

    point: str | None = None
    comma: str | None = None
    open_comma: str | None = None
    open_point: str | None = None

    def __or__(self, other: Evidence) -> Evidence:
        return Evidence(
            next(filter(lambda text: text and "," in text, (self.point, other.point)), self.point or other.point),
            next(filter(lambda text: text and "." in text, (self.comma, other.comma)), self.comma or other.comma),
            self.open_comma or other.open_comma,
            self.open_point or other.open_point,
        )

    @property
    def has_comma(self) -> bool:
        """Whether a number has a comma, whatever it means."""
        return bool(self.comma or self.open_comma or (self.point and "," in self.point))


NOTHING = Evidence()


def _pattern(decimal: str, thousands: str) -> str:
    alternatives = "|".join(f"(?:{proof})" for proof in _PROOFS)
    return alternatives.replace("D", rf"\{decimal}").replace("T", rf"\{thousands}")


_POINT, _COMMA = _pattern(".", ","), _pattern(",", ".")


def evidence(texts: pa.StringArray) -> Evidence:
    """What numbers prove (see `numbers.tidy`). Texts that are not numbers prove nothing."""
    marked = texts.filter(pc.match_substring_regex(texts, "[0-9][.,]|[.,][0-9]"))
    if not len(marked):
        return NOTHING
    point, comma = (_first(marked, pattern) for pattern in (_POINT, _COMMA))
    # With a point and a comma in it, a number that proves the point has thousands separated by commas.
    grouped = _first(marked.filter(pc.match_substring(marked, ",")), _POINT)
    dotted = _first(marked.filter(pc.match_substring(marked, ".")), _COMMA)
    open_comma, open_point = (_first(marked.filter(pc.match_substring(marked, mark)), _OPEN) for mark in (",", "."))
    return Evidence(grouped or point, dotted or comma, open_comma, open_point)


def _first(texts: pa.StringArray, pattern: str) -> str | None:
    found = texts.filter(pc.match_substring_regex(texts, pattern))
    return found[0].as_py() if len(found) else None


@dataclass(frozen=True)
class Marks:
    """The decimal marks of a file's prices and volumes, and the evidence: `proof`, `hint` or None."""

    prices: Mark
    volumes: Mark
    evidence: str | None = None


def decide(separator: str, prices: Evidence, volumes: Evidence, hints: Hints) -> Marks:
    """The decimal marks of a file with this column separator.

    Raises FileRefused if prices prove both marks, if a price could be read with either and nothing decides, and if the
    hint contradicts a proof.
    """
    if prices.point and prices.comma:
        raise FileRefused(
            f"prices with a decimal point ({quoted(prices.point)}) and with a decimal comma ({quoted(prices.comma)}) "
            "in one file; write them with one decimal mark"
        )
    told = Mark(hints.decimal) if hints.decimal else None
    proven = Mark.POINT if prices.point else Mark.COMMA if prices.comma else None
    if told and proven and told is not proven:
        shown = quoted(prices.point or prices.comma or "")
        raise FileRefused(f"the hint says that the decimal mark is the {told.value}, but {shown} has the other one")
    if told:
        return Marks(told, told, "hint")
    if separator == "," and prices.comma and "." not in prices.comma and prices.open_point:
        raise FileRefused(
            f"the prices have a decimal comma ({quoted(prices.comma)}), so {quoted(prices.open_point)} would be a "
            f"thousand, which no other price shows; {_REMEDY}"
        )
    if proven:
        return Marks(proven, proven, "proof" if separator != "," or prices.has_comma else None)
    unclear = prices.open_comma or (prices.open_point if separator != "," else None)
    if unclear:
        raise FileRefused(
            f"a price such as {quoted(unclear)} could be a thousand or a fraction, and no other price shows which mark "
            f"is the decimal mark; {_REMEDY}"
        )
    if separator == ",":
        return Marks(Mark.POINT, Mark.POINT)
    by_volume = Mark.POINT if volumes.point else Mark.COMMA
    proven_volume = bool(volumes.point) != bool(volumes.comma)
    return Marks(Mark.POINT, by_volume if proven_volume else Mark.NONE)


def joined(parts: Iterable[Evidence]) -> Evidence:
    """The evidence of several parts of a file."""
    all_of_them = NOTHING
    for part in parts:
        all_of_them |= part
    return all_of_them


def matches(texts: pa.StringArray, pattern: str) -> Bools:
    """Which texts have a part that matches."""
    found = pc.match_substring_regex(texts, pattern)
    bits = np.frombuffer(found.buffers()[1] or b"", np.uint8)
    flags: Bools = np.unpackbits(bits, bitorder="little")[found.offset : found.offset + len(found)].astype(bool)
    return flags
