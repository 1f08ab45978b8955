"""Plans the runs for new objects in staging. No Dagster here: the sensor turns these requests into runs.

New objects are grouped by year, so that one run ingests all new objects of a year. An object stays in its batch until
the run of that batch has succeeded, or a person has cancelled it. If the run fails or is gone, the batch is requested
again, up to `ATTEMPTS` times in all, with longer and longer waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Literal

import numpy as np
import pyarrow.compute as pc

from stock_pipeline.clean.daily import clean_daily_prices
from stock_pipeline.errors import StoreUnavailable
from stock_pipeline.lake.object_store import ObjectInfo, ObjectStore
from stock_pipeline.orchestration.batch.cursor import Batch, Cursor, identity
from stock_pipeline.orchestration.partitions import has_year
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.settings import MIB
from stock_pipeline.staging.keys import session_of

ATTEMPTS = 5
FIRST_WAIT = 30.0  # seconds before the second attempt, doubled before each further one
REQUESTED_AT_ONCE = 2_000  # objects in runs that are not done; the others wait in staging
PEEK_BYTES = 16 * MIB
PEEK_SECONDS = 15.0  # a tick must end within 60


RunState = Literal["running", "succeeded", "failed", "cancelled", "gone"]
Years = tuple[int, int]


@dataclass(frozen=True)
class Request:
    """A run to request: these versions of objects, for these years."""

    batch: Batch
    objects: tuple[ObjectInfo, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(info.key for info in self.objects)


def plan_runs(
    cursor: Cursor,
    listed: Sequence[ObjectInfo],
    staging: ObjectStore,
    state_of: Callable[[str], RunState],
    now: float,
    log: Callable[[str], object],
) -> list[Request]:
    """The runs to request now. Also records them in the cursor.

    `listed` is every version of everything in staging, `state_of` gives the state of the run with a run key, `now` is
    in seconds since the epoch. Raises StoreUnavailable when an upload cannot be read to find its years.
    """
    new = cursor.new(listed)
    requests = _settle(cursor, listed, state_of, now, log)
    room = REQUESTED_AT_ONCE - sum(len(batch.objects) for batch in cursor.batches)
    objects = _with_years(new[: max(room, 0)], staging, datetime.fromtimestamp(now, UTC).date())
    for years, group in _grouped(objects):
        requests.append(_request(cursor, years, group, attempt=1))
    cursor.remember(listed, new[len(objects) :])
    return requests


def _settle(
    cursor: Cursor,
    listed: Sequence[ObjectInfo],
    state_of: Callable[[str], RunState],
    now: float,
    log: Callable[[str], object],
) -> list[Request]:
    """Forget the batches that are done, and request those again whose run failed, once they are due."""
    batches, cursor.batches = cursor.batches, []
    there = {identity(info): info for info in listed} if batches else {}
    requests = []
    for batch in batches:
        state = state_of(batch.run_key)
        if state == "running":
            cursor.batches.append(batch)
        if state in {"running", "succeeded"}:
            continue
        if state == "cancelled":
            there_still = sum(number in there for number in batch.objects)
            log(f"a person cancelled the run with the run key {batch.run_key}; {there_still} of its objects are still "
                f"in staging and are not requested again, nor taken by the job reconcile; materialize {batch.first} to "
                f"{batch.last} to ingest them, or launch reconcile with cancelled: true")  # fmt: skip
            continue
        due = batch.due or (now if state == "gone" else now + FIRST_WAIT * 2 ** (batch.attempt - 1))
        objects = [there[number] for number in batch.objects if number in there]
        if batch.attempt >= ATTEMPTS:
            log(f"{len(objects)} objects were given up after {ATTEMPTS} failed runs, the last with the run key "
                f"{batch.run_key}; once its cause is gone, materialize {batch.first} to {batch.last}")  # fmt: skip
        elif due > now:
            cursor.batches.append(replace(batch, due=due))
        elif objects:  # objects that were deleted or rewritten meanwhile no longer belong to this batch
            requests.append(_request(cursor, (batch.first, batch.last), objects, batch.attempt + 1))
    return requests


def _request(cursor: Cursor, years: Years, objects: Sequence[ObjectInfo], attempt: int) -> Request:
    numbers = tuple(identity(info) for info in objects)
    first, last = years
    run_key = f"{first}-{last}/{cursor.born}/{sum(numbers) % 2**64:016x}/{attempt}"
    batch = Batch(run_key, first, last, attempt, numbers)
    cursor.batches.append(batch)
    return Request(batch, tuple(objects))


def _with_years(objects: Iterable[ObjectInfo], staging: ObjectStore, today: date) -> list[tuple[Years, ObjectInfo]]:
    """The new objects with their years, as many as there is time to read."""
    until = time.monotonic() + PEEK_SECONDS
    found: list[tuple[Years, ObjectInfo]] = []
    for info in objects:
        if found and time.monotonic() > until:
            break
        found.append((_block(_years(info, staging, today), today.year), info))
    return found


def _years(info: ObjectInfo, staging: ObjectStore, today: date) -> list[int]:
    """The years of an object, from its key or its rows; none if only the run can find them.

    They decide which years the run is shown for, not what it stores. So no error of the parser may stop the sensor: the
    run parses the same file, and its receipt says what is wrong with it.
    """
    if session := session_of(info.key):
        return [int(session[:4])]
    if info.size > PEEK_BYTES:
        return []
    try:
        rows = parse_daily_prices(
            staging.get(info.key, max_bytes=PEEK_BYTES, version=info.version).data, info.key, max_bytes=4 * PEEK_BYTES
        )
        return sorted(pc.unique(pc.year(clean_daily_prices(rows, today).good["date"])).to_pylist())
    except StoreUnavailable:
        raise
    except Exception:
        return []


def _block(years: Sequence[int], current: int) -> Years:
    """The latest unbroken range of the years that are partitions; the current year if there is none.

    Dagster can only request a run for an unbroken range. The run itself reports what it stores in other years.
    """
    known = np.array([year for year in years if has_year(year)] or [current])
    block = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)[-1]
    return int(block[0]), int(block[-1])


def _grouped(objects: Iterable[tuple[Years, ObjectInfo]]) -> list[tuple[Years, list[ObjectInfo]]]:
    """The objects grouped by their years. Ranges that overlap become one, so no year is in two groups."""
    groups: list[tuple[Years, list[ObjectInfo]]] = []
    for (first, last), info in sorted(objects, key=lambda found: found[0]):
        if groups and first <= groups[-1][0][1]:
            (start, end), group = groups[-1]
            groups[-1] = (start, max(end, last)), [*group, info]
        else:
            groups.append(((first, last), [info]))
    return groups
