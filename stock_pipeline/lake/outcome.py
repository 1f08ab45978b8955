"""What becomes of one incoming row in a merge."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """What became of one incoming row."""

    INSERTED = 0
    DUPLICATE = 1
    CONFLICT = 2
    REPLACED = 3  # stored instead of a row with other values
    UPDATED = 4  # it had values that the row of its key lacked: these are stored now
