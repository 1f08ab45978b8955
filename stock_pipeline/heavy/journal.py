"""The journal of heavy work in the lake: what was planned, and what each task has done.

It is `_heavy/<job>/` under the table's prefix; query engines ignore such names. `plan.json` says when the job began.
That time is the `now` of all its tasks, so that a task which is done again writes the same. Each task has an object of
its own, which only counts with the plan that it names. Before its commit a task notes what it will commit; after that,
that it is done. A plan that is finished counts no more, and the next start plans anew.

Two processes that do the same job at the same time follow one plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from stock_pipeline.errors import ObjectNotFound
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import attempts, swap


@dataclass(frozen=True)
class Journal:
    """The journal of one job. `begun` (UTC) is its `now`, and `resumed` says that an earlier start began it."""

    folder: str
    plan: str
    begun: datetime
    resumed: bool = False

    @classmethod
    def begin(
        cls, lake: ObjectStore, prefix: str, job: str, wanted: Sequence[Any], *, now: datetime | None, anew: bool
    ) -> Journal:
        """Go on with the unfinished plan for the same `wanted`, or begin one. With `anew`, always begin one."""
        digest = hashlib.sha256(json.dumps([job, *wanted]).encode()).hexdigest()[:16]
        folder = f"{prefix}_heavy/{job}-{digest}/"
        for _ in attempts(folder):  # pragma: no branch - it ends by raising
            told, etag = _read(lake, f"{folder}plan.json")
            if told.get("begun") and not anew:
                return cls(folder, told["plan"], datetime.fromisoformat(told["begun"]), resumed=True)
            plan, begun = uuid4().hex, now or datetime.now(UTC)
            told = {"plan": plan, "begun": begun.isoformat(), "job": job, "wanted": list(wanted)}
            if swap(lake, f"{folder}plan.json", _json(told), etag):
                return cls(folder, plan, begun)
        raise AssertionError("attempts() ends by raising")  # pragma: no cover - as it says

    def entry(self, lake: ObjectStore, task: str) -> dict[str, Any]:
        """What a task has noted under this plan; empty when it has noted nothing."""
        told = _read(lake, self._key(task))[0]
        return told if told.get("plan") == self.plan else {}

    def note(self, lake: ObjectStore, task: str, told: Mapping[str, Any]) -> None:
        """Note what a task will commit, or has done. The last note counts."""
        for _ in attempts(self._key(task)):  # pragma: no branch - it ends by raising
            _, etag = _read(lake, self._key(task))
            if swap(lake, self._key(task), _json({"plan": self.plan, **told}), etag):
                return

    def finish(self, lake: ObjectStore) -> None:
        """Note that nothing is left to do."""
        told, etag = _read(lake, f"{self.folder}plan.json")
        if told.get("plan") == self.plan:
            swap(lake, f"{self.folder}plan.json", _json({"finished": self.plan}), etag)

    def _key(self, task: str) -> str:
        return f"{self.folder}{task}.json"


def _read(lake: ObjectStore, key: str) -> tuple[dict[str, Any], str | None]:
    try:
        found = lake.get(key)
    except ObjectNotFound:
        return {}, None
    told: dict[str, Any] = json.loads(found.data)
    return told, found.info.etag


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False).encode()
