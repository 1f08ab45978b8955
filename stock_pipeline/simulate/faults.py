"""What goes wrong with ticks between a producer and the stream, on request: duplicates, late lines, malformed lines.

A fault never loses or changes the only good copy of a line: the distinct valid lines that come out are those that went
in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from stock_pipeline.errors import SimulationError
from stock_pipeline.simulate.market import Floats

DELAY = 1000.0
"""How many lines a late line or a duplicate is behind its place, on average."""


@dataclass(frozen=True)
class Faults:
    """For each fault, the share of the lines that have it, 0 to 1.

    duplicates: sent again later; late: sent later than lines produced after them; malformed: followed by a broken copy.
    """

    duplicates: float = 0.0
    late: float = 0.0
    malformed: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            share = getattr(self, field.name)
            if not 0 <= share <= 1:
                raise SimulationError(f"{field.name}={share} is not a share of the lines; take 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Faults:
        """The faults of a text such as `duplicates=0.1,late=0.1,malformed=0.01`. A fault that is not named does not
        happen.

        Raises SimulationError, a ValueError, that names the accepted kinds.
        """
        kinds = [field.name for field in fields(cls)]
        shares: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            kind, _, share = (piece.strip() for piece in part.partition("="))
            try:
                if kind not in kinds or kind in shares:
                    raise ValueError
                shares[kind] = float(share)
            except ValueError:
                raise SimulationError(
                    f"{part!r} is not a fault; take each of {', '.join(kinds)} once at most, as in {kinds[0]}=0.1"
                ) from None
        return cls(**shares)


class FaultInjector:
    """Puts faults into lines that come in pieces. Late lines come out with later pieces."""

    def __init__(self, faults: Faults, rng: np.random.Generator, delay: float = DELAY) -> None:
        self._faults, self._rng, self._delay = faults, rng, delay
        self._taken = 0
        self._held: list[bytes] = []
        self._places = np.empty(0)

    def inject(self, lines: Sequence[bytes]) -> list[bytes]:
        """The lines to send after these newline-ended lines came in: most of them, some earlier ones, some broken
        copies.
        """
        faults, rng, number = self._faults, self._rng, len(lines)
        own = np.arange(self._taken, self._taken + number, dtype=np.float64)
        self._taken += number
        late = rng.random(number) < faults.late
        places = own + np.where(late, 1 + rng.exponential(self._delay, number), 0)
        again = np.flatnonzero(rng.random(number) < faults.duplicates).tolist()
        broken = np.flatnonzero(rng.random(number) < faults.malformed).tolist()
        waiting = [
            *self._held,
            *lines,
            *(lines[n] for n in again),
            *(self._broken(lines[n]) for n in broken),
        ]
        later = places[again] + 1 + rng.exponential(self._delay, len(again))
        return self._release(waiting, np.concatenate([self._places, places, later, own[broken]]))

    def flush(self) -> list[bytes]:
        """All lines that are still held back, in their order, to be sent at the end."""
        held, self._held, self._places = self._held, [], np.empty(0)
        return held

    def _release(self, waiting: Sequence[bytes], places: Floats) -> list[bytes]:
        order = np.argsort(places, kind="stable")
        due = int(np.searchsorted(places[order], self._taken))
        self._held, self._places = [waiting[n] for n in order[due:]], places[order[due:]]
        return [waiting[n] for n in order[:due]]

    def _broken(self, line: bytes) -> bytes:
        """The line with one of the defects that real data has. No reader can take it for a tick."""
        text = line.rstrip(b"\n")
        cut = text[: int(self._rng.integers(1, max(2, len(text))))]
        broken = (
            cut,
            text.replace(b'"price":', b'"price":NaN,"was":'),
            text.replace(b'"price":', b'"price":null,"was":'),
            text.replace(b'"price":', b'"price":-'),
            text.replace(b'"symbol":"', b'"symbol":"\xff'),
            text.replace(b'"produced_at":"', b'"produced_at":"on '),
            b"Traceback (most recent call last):",
        )
        chosen = broken[int(self._rng.integers(len(broken)))]
        # a recorded line may have other fields than ours
        return (cut if chosen == text else chosen) + b"\n"
