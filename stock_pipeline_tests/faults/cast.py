"""Who acts in the schedule of a seed. What they do is in `world`; when they do it is the seed's choice.

Actors are not drawn: drawn ones miss each other for long. They take turns by a sequence of low discrepancy for each
(Kronecker's: the fractional parts of the multiples of a prime's root). So in any fifty seeds in a row each actor is
there about as often as its share says, and most pairs of actors are there together.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23)


@dataclass(frozen=True)
class Cast:
    """The paths of a schedule, and the actors beside its workers."""

    daily: bool
    ticks: bool
    restates: bool  # a person who ingests a file as a restatement
    rebuilds: bool
    reconciles: bool
    restores: bool
    by_hand: bool  # the restore is a copy of an old version, and no command
    lays_out: bool  # an operator who changes the layout of history
    litters: bool
    damages: bool

    @classmethod
    def of(cls, seed: int) -> Cast:
        path, restates, rebuilds, reconciles, restores, by_hand, lays_out, litters, damages = (
            _fraction(seed, prime) for prime in PRIMES
        )
        daily, ticks = path < 0.5, path >= 0.25
        return cls(
            daily, ticks, daily and restates < 0.7, daily and rebuilds < 0.45, daily and reconciles < 0.35,
            daily and restores < 0.5, by_hand < 0.6, ticks and lays_out < 0.6, litters < 0.3, damages < 0.4,
        )  # fmt: skip


def _fraction(seed: int, prime: int) -> float:
    """The fractional part of `seed` times the root of a prime, by whole numbers: alike on every machine."""
    scale = 10**9
    return isqrt(prime * (seed * scale) ** 2) % scale / scale
