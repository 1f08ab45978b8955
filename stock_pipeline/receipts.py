"""What one ingest of one source object did, as data and as one line of JSON.

`rows = inserted + duplicates + conflicts + sum(rejected) + skipped` holds for every receipt; `Receipt` refuses to exist
otherwise, so a count that does not add up is found where it is made.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Receipt:
    """What became of the rows of one source object.

    `inserted` counts the rows that are now in the table because of this ingest, and `replaced` how many of those took
    the place of other values (only a restatement does that). `partitions` counts the rows of this source by the
    partition they belong to, whether they were inserted, duplicates or conflicts. `refused` is the reason, in words,
    when the whole object was refused; every count is then 0.
    """

    source: str
    etag: str
    table: str
    rows: int = 0
    inserted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    replaced: int = 0
    refused: str | None = None
    partitions: dict[str, int] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0

    def __post_init__(self) -> None:
        explained = self.inserted + self.duplicates + self.conflicts + sum(self.rejected.values()) + self.skipped
        if explained != self.rows:
            raise ValueError(f"receipt of {self.source} does not add up: {self.rows} rows, {explained} explained")
        if self.refused is not None and self.rows:
            raise ValueError(f"receipt of {self.source}: a refused file has no rows, this one has {self.rows}")

    @property
    def rejected_rows(self) -> int:
        return sum(self.rejected.values())

    def to_json(self) -> str:
        """One line of JSON; `started_at` in ISO 8601 with its offset, `seconds` rounded to milliseconds."""
        record = asdict(self) | {"started_at": self.started_at.isoformat(), "seconds": round(self.seconds, 3)}
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """The receipt that `to_json` wrote.

        Raises ValueError when the text is not a receipt or its counts do not add up.
        """
        try:
            record: dict[str, Any] = json.loads(text)
            return cls(**record | {"started_at": datetime.fromisoformat(record["started_at"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not a receipt: {error}") from error
