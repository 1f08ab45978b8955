"""Random numbers addressed by name: the stream of a seed, a symbol and a year is the same in every call.

A counter-based generator needs no history: Philox (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11)
takes a 128-bit key, and a hash of the name is that key. Python's own hash() differs between processes.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def digest(*name: object) -> bytes:
    """16 bytes that depend on the parts of a name, their order and nothing else."""
    return blake2b("\x1f".join(map(str, name)).encode(), digest_size=16).digest()


def stream(*name: object) -> np.random.Generator:
    """The random stream of a name, e.g. `stream(7, "AAPL", 2024)`. Each call starts it from its beginning."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest(*name), "little")))
