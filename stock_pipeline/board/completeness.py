"""Which sessions of a year each symbol has: the calendar of XNYS beside the bars that are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

OUTSIDE, BAR, MISSING = 0, 1, 2


@dataclass(frozen=True)
class Completeness:
    """A row of states for each symbol, a column for each session; and how many bars are on no session."""

    symbols: list[str]
    states: NDArray[np.int8]
    off_calendar: int

    @property
    def missing(self) -> NDArray[np.int64]:
        """The number of missing sessions of each symbol."""
        counts: NDArray[np.int64] = (self.states == MISSING).sum(axis=1)
        return counts

    def worst(self, most: int, first: str) -> Completeness:
        """The symbol that is named and those that miss most, in the order of that."""
        order = np.lexsort((np.arange(len(self.symbols)), -self.missing))
        named = [at for at in order if self.symbols[at] == first]
        chosen = [*named, *(at for at in order if self.symbols[at] != first)][:most]
        return Completeness([self.symbols[at] for at in chosen], self.states[chosen], self.off_calendar)


def completeness(rows: pa.Table, sessions: Sequence[date]) -> Completeness:
    """The states of the sessions for each symbol of some bars (`symbol`, `date`).

    A session without a bar is missing if it lies between the first and the last bar of its symbol in these rows. This
    is also the rule of the check `sessions_complete`.
    """
    encoded = rows["symbol"].cast(pa.string()).combine_chunks().dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy().astype(np.int64)
    calendar = np.array(sessions, "datetime64[D]")
    days = rows["date"].to_numpy().astype("datetime64[D]")
    at = np.searchsorted(calendar, days)
    known = np.isin(days, calendar)
    has = np.zeros((len(names), len(calendar)), bool)
    has[codes[known], at[known]] = True
    begun = np.maximum.accumulate(has, axis=1)
    not_over = np.maximum.accumulate(has[:, ::-1], axis=1)[:, ::-1]
    states = np.where(has, BAR, np.where(begun & not_over, MISSING, OUTSIDE)).astype(np.int8)
    order = np.argsort(np.array(names, object), kind="stable") if names else np.zeros(0, np.int64)
    return Completeness([names[n] for n in order], states[order], int((~known).sum()))
