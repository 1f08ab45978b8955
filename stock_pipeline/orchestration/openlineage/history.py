"""What has happened in Dagster since the last look: runs that began or ended, materializations with and without a run.

Each asset and each kind of event of runs has its own place in the history, which is the number of its last record.
Processes write at the same time, so a record may appear after one with a higher number. So the last seconds are left
to the next look.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice

import dagster as dg

SETTLED = 10.0  # seconds
RUNS = (
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)

Found = tuple[str, dg.EventLogRecord]


@dataclass
class Cursor:
    """What has been told: in each part of the history, the number of its last record; nothing before `since`."""

    since: float
    told: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str | None, now: float) -> Cursor:
        """A new one begins with what happens from now on."""
        return cls(**json.loads(text)) if text else cls(now)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def waiting(instance: dg.DagsterInstance, cursor: Cursor, now: float, most: int) -> Iterator[Found]:
    """At most so many records that nobody was told of, with the part of the history that each is in, the oldest first.

    The records of a part keep the order of their numbers, whatever the clocks of those say who wrote them.
    """
    parts = [_materializations(instance, key, cursor, now, most) for key in instance.all_asset_keys()]
    parts += [_runs(instance, kind, cursor, now, most) for kind in RUNS]
    return islice(heapq.merge(*parts, key=lambda found: found[1].timestamp), most)


def _materializations(
    instance: dg.DagsterInstance, key: dg.AssetKey, cursor: Cursor, now: float, most: int
) -> Sequence[Found]:
    part = f"asset {key.to_user_string()}"
    wanted = dg.AssetRecordsFilter(
        key, after_timestamp=cursor.since, before_timestamp=now - SETTLED, after_storage_id=cursor.told.get(part)
    )
    return [(part, record) for record in instance.fetch_materializations(wanted, most, ascending=True).records]


def _runs(
    instance: dg.DagsterInstance, kind: dg.DagsterEventType, cursor: Cursor, now: float, most: int
) -> Sequence[Found]:
    wanted = dg.RunStatusChangeRecordsFilter(
        kind,  # type: ignore[arg-type]
        after_timestamp=cursor.since,
        before_timestamp=now - SETTLED,
        after_storage_id=cursor.told.get(kind.value),
    )
    return [(kind.value, each) for each in instance.fetch_run_status_changes(wanted, most, ascending=True).records]
