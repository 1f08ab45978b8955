"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa


@dataclass(frozen=True)
class Finding:
    """What a check found: how many rows or bars are wrong, and the first few of them.

    `error` is set when the finding is worse, or less bad, than the check's usual severity. `said` is the finding in
    words.
    """

    wrong: int
    examples: pa.Table | None = None
    counts: Mapping[str, int | float] = field(default_factory=dict)
    error: bool | None = None
    said: str = ""
