"""What the tables must hold, computed from the input in plain Python, without any code of the package.

If a key has two values, the one stored first stays, and that depends on the workers. So the model says which values a
key may have and, given the stored one, what must be on record for every other line.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = Hashable
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Line:
    """One line of an object: its number, its text, and its key and values, or the reason that it is rejected for."""

    number: int
    text: str
    key: Key | None = None
    values: Values = ()
    reason: str | None = None


@dataclass
class Model:
    """All input of one table so far, by source object."""

    lines: dict[str, list[Line]] = field(default_factory=dict)

    def add(self, source: str, lines: list[Line]) -> None:
        self.lines[source] = lines

    @property
    def allowed(self) -> dict[Key, dict[Values, set[str]]]:
        """The values that each key may have, each with the sources that it may have come from."""
        found: dict[Key, dict[Values, set[str]]] = defaultdict(lambda: defaultdict(set))
        for source, lines in self.lines.items():
            for line in lines:
                if line.reason is None:
                    found[line.key][line.values].add(source)
        return found

    def check(self, stored: Mapping[Key, tuple[Values, str]], rejected: Counter[tuple[str, int, str, str]]) -> None:
        """Assert that a table and its rejected records hold exactly what follows from the input.

        `stored` has the values and the source of each key, `rejected` counts (source, line, reason, raw).
        """
        allowed = self.allowed
        assert stored.keys() == allowed.keys(), (
            f"{len(allowed.keys() - stored.keys())} lost, {len(stored.keys() - allowed.keys())} from nowhere"
        )
        wrong = {
            key: row for key, row in stored.items() if row[0] not in allowed[key] or row[1] not in allowed[key][row[0]]
        }
        assert not wrong, f"{len(wrong)} rows that no source holds, such as {next(iter(wrong.items()))}"
        expected: Counter[tuple[str, int, str, str]] = Counter()
        rows = duplicates = 0
        for source, lines in self.lines.items():
            for line in lines:
                rows += 1
                if line.reason is None and stored[line.key][0] == line.values:
                    duplicates += 1
                else:
                    expected[source, line.number, line.reason or "conflict", line.text] += 1
        assert rejected == expected, (
            f"on record but not rejected: {list((rejected - expected).items())[:3]}, "
            f"rejected but not on record: {list((expected - rejected).items())[:3]}"
        )
        # input = stored + exact duplicates + conflicts + rejected
        assert rows == len(stored) + (duplicates - len(stored)) + rejected.total()


def latest(ticks: Mapping[Key, tuple[Values, str]]) -> dict[str, Values]:
    """The snapshot that follows from history: of each symbol the greatest (produced_at, event_id).

    The values of a tick are (symbol, price, size, produced_at).
    """
    found: dict[str, Values] = {}
    for event_id, ((symbol, price, size, produced_at), _) in ticks.items():
        candidate = (produced_at, event_id, price, size)
        if symbol not in found or candidate[:2] > found[symbol][:2]:
            found[symbol] = candidate
    return found
