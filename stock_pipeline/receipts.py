"""What one ingest of one source object did, as data and as one line of JSON.

`rows = inserted + duplicates + updated + conflicts + sum(rejected) + skipped` holds for every receipt. Otherwise
`Receipt` raises ValueError, so a wrong count is found where it is made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

__all__ = [
    "Receipt",
]

_TIMES = ("started_at", "loaded_at")
_COUNTS = ("bytes", "rows", "inserted", "duplicates", "updated", "conflicts", "skipped", "replaced")
_BY_NAME = ("rejected", "nulled", "partitions")  # fields that hold counts by name
_LISTS = ("unread", "rescaled")


@dataclass(frozen=True)
class Receipt:
    """What became of the rows of one source object.

    `inserted` counts the rows that are now in the table because of this ingest, and `replaced` how many of those took
    the place of other values (only a restatement does that). `updated` counts the rows that completed a stored row with
    values that it lacked; old receipts do not have this field. `partitions` counts the rows of this source in each
    partition, whatever the merge did with them. `refused` is the reason, in words, when the whole object was refused;
    every count is then 0. `bytes` is the size of the stored object. `loaded_at` is the `etl_loading_ts` of the rows
    that this ingest stored or completed: a query for it and the source finds them.

    `etag` and `version` say which version of the object was read; `version` is its id in a bucket that keeps versions.
    An object that does not exist has no `etag`, unless an event named it.

    The last fields say how the object was understood. `nulled` counts optional values that were left out of rows, by
    reason; these rows are in the other counts as well. `unread` names the columns that nobody reads. `decided` names
    the evidence or hint where something could be read in several ways (`{"dates": "spacing"}`). `rescaled` has a line
    for each symbol whose conflicts have one cause, such as a split.
    """

    source: str
    etag: str
    table: str
    version: str = ""
    bytes: int = 0
    rows: int = 0
    inserted: int = 0
    duplicates: int = 0
    updated: int = 0
    conflicts: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    replaced: int = 0
    refused: str | None = None
    nulled: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    decided: dict[str, str] = field(default_factory=dict)
    rescaled: tuple[str, ...] = ()
    partitions: dict[str, int] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    loaded_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0

    def __post_init__(self) -> None:
        stored = self.inserted + self.duplicates + self.updated
        explained = stored + self.conflicts + self.rejected_rows + self.skipped
        if explained != self.rows:
            raise ValueError(f"receipt of {self.source} does not add up: {self.rows} rows, {explained} explained")
        if self.refused is not None and self.rows:
            raise ValueError(f"receipt of {self.source}: a refused file has no rows, this one has {self.rows}")

    @property
    def rejected_rows(self) -> int:
        return sum(self.rejected.values())

    @property
    def id(self) -> str:
        """An id of this ingest, in 16 characters. A copy of the receipt has the same id."""
        version = (self.version,) if self.version else ()  # earlier receipts have none, and keep their id
        ingest = (self.table, self.source, self.etag, self.started_at.isoformat(), *version)
        return blake2b("\n".join(ingest).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def to_record(self) -> dict[str, Any]:
        """The receipt as plain data: times in ISO 8601 with their offset, `seconds` rounded to milliseconds."""
        times = {name: getattr(self, name).isoformat() for name in _TIMES}
        named = {name: dict(getattr(self, name)) for name in (*_BY_NAME, "decided")}
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return vars(self) | times | named | lists | {"seconds": round(self.seconds, 3)}

    def to_json(self) -> str:
        """`to_record` as one line of JSON."""
        return json.dumps(self.to_record(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Receipt:
        """The receipt that `to_json` wrote, in this version or an earlier one with fewer fields.

        Raises ValueError when the text is not a receipt or its counts do not add up.
        """
        try:
            record: dict[str, Any] = json.loads(text)
            _check_types(record)
            times = {name: datetime.fromisoformat(record[name]) for name in _TIMES}
            if naive := [name for name, at in times.items() if at.tzinfo is None]:
                raise TypeError(f"{naive[0]} has no offset from UTC")
            return cls(**record | times | {name: tuple(record[name]) for name in _LISTS if name in record})
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a receipt: {error}") from error


def _check_types(record: dict[str, Any]) -> None:
    """Raise TypeError for a value that no receipt can have. Otherwise the readers of receipts would fail much later."""
    kinds: dict[str, tuple[type, ...]] = dict.fromkeys(_COUNTS, (int,))
    kinds |= dict.fromkeys(("source", "etag", "table", *_TIMES), (str,))
    kinds |= dict.fromkeys((*_BY_NAME, "decided"), (dict,)) | dict.fromkeys(_LISTS, (list,))
    kinds |= {"refused": (str, type(None)), "seconds": (int, float)}
    for name, value in record.items():
        if name in kinds and (isinstance(value, bool) or not isinstance(value, kinds[name])):
            raise TypeError(f"{name} is of the wrong kind")
    for name in _BY_NAME:
        if any(type(count) is not int for count in record.get(name, {}).values()):
            raise TypeError(f"{name} holds a value that is not a count")
    for texts in (record.get("decided", {}).values(), *(record.get(name, []) for name in _LISTS)):
        if not all(isinstance(value, str) for value in texts):
            raise TypeError("a field of a receipt that must be text is not text")
