"""What has happened in a Dagster instance that a person may have to know, in the order in which it happened.

An event with a `title` is a problem. One without ends a problem: a check that passes, a tick that succeeds.

A process writes an event a moment after the time that the event bears, and another may write an earlier one meanwhile.
So each look reads `OVERLAP` again, and the memory knows which of these events it has handled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.freshness import FreshnessState
from dagster._core.event_api import EventRecordsFilter
from dagster._core.events import JobFailureData
from dagster._core.scheduler.instigation import InstigatorState, InstigatorTick, InstigatorType, TickStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Checks
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._serdes import deserialize_value
from dagster._utils.error import SerializableErrorInfo  # type: ignore[attr-defined]

from stock_pipeline.errors import without_contents

LOCATION = "stock_pipeline"
OVERLAP = 600.0  # seconds

_DONE = [TickStatus.SUCCESS, TickStatus.SKIPPED, TickStatus.FAILURE]
_TICKS = 2_000  # of one sensor; of older ones, only those that failed are read
_RUNS = 10_000


@dataclass(frozen=True)
class Event:
    """One event. `at` is in seconds since the epoch, and `page` the path of its page in the UI.

    `subject` is what it is about: a job, a check, a sensor or an asset. With a `part` (a partition of the check, or ""
    for the whole), its problem lasts: it is the same one, named by `state`, until an event of that part has another
    state. Without one, each event is a problem of its own.
    """

    id: str
    at: float
    subject: str
    page: str
    title: str = ""
    why: str = ""
    part: str | None = None
    state: str = ""

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


def events_since(instance: dg.DagsterInstance, since: float) -> list[Event]:
    """The events after a time, the oldest first."""
    found = [*_runs(instance, since), *_checks(instance, since), *_freshness(instance, since), *_ticks(instance, since)]
    return sorted(found, key=lambda event: event.at)


def _runs(instance: dg.DagsterInstance, since: float) -> Iterator[Event]:
    """Failed runs, but those that Dagster itself starts again."""
    wanted = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_timestamp=since)
    for record in instance.fetch_run_status_changes(wanted, limit=_RUNS, ascending=True).records:
        entry = record.event_log_entry
        run = instance.get_run_by_id(entry.run_id)
        if run is None or run.tags.get(WILL_RETRY_TAG) == "true":
            continue
        partition = run.tags.get("dagster/partition")
        yield Event(
            id=f"run {entry.run_id}",
            at=record.timestamp,
            subject=f"job {run.job_name}",
            page=f"/runs/{entry.run_id}",
            title=f"A run of {run.job_name} failed" + (f" (partition {partition})" if partition else ""),
            why=_why_failed(entry.get_dagster_event()),
        )


def _why_failed(event: dg.DagsterEvent) -> str:
    data = event.event_specific_data
    if not isinstance(data, JobFailureData):  # the daemon has found that the run's process is gone
        return event.message or _said(None)
    step = data.first_step_failure_event
    error = step.step_failure_data.error if step else data.error
    return _said(error) if error else event.message or _said(None)


def _checks(instance: dg.DagsterInstance, since: float) -> Iterator[Event]:
    """Results of checks. One that failed with a lower severity than error is no problem."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)  # all storages of Dagster that keep something
    after = datetime.fromtimestamp(since, UTC).replace(tzinfo=None)
    wanted = (
        sa.select(Checks.c.id, Checks.c.asset_key, Checks.c.check_name, Checks.c.partition, Checks.c.execution_status,
                  Checks.c.evaluation_event, Checks.c.evaluation_event_timestamp)
        .where(Checks.c.evaluation_event_timestamp > after, Checks.c.execution_status.in_(["SUCCEEDED", "FAILED"]))
    )  # fmt: skip
    with storage.index_connection() as connection:
        rows = connection.execute(wanted).all()
    for row in rows:
        asset = dg.AssetKey.from_db_string(row.asset_key)
        assert asset
        name = f"{asset.to_user_string()}:{row.check_name}"
        whole = f"{name} (partition {row.partition})" if row.partition else name
        failed = _failed(row.evaluation_event) if row.execution_status == "FAILED" else None
        yield Event(
            id=f"check {row.id}",
            at=row.evaluation_event_timestamp.replace(tzinfo=UTC).timestamp(),
            subject=f"check {name}",
            page=f"/assets/{'/'.join(asset.path)}?view=checks&checkDetail={row.check_name}",
            title=f"The check {whole} failed" if failed else "",
            why=(failed.description or "see its page for what was found") if failed else "",
            part=row.partition or "",
            state="failed" if failed else "",
        )


def _failed(stored: str) -> dg.AssetCheckEvaluation | None:
    """The evaluation of a stored event, if it failed with the severity error."""
    evaluation = deserialize_value(stored, dg.EventLogEntry).asset_check_evaluation
    return evaluation if evaluation and evaluation.severity is dg.AssetCheckSeverity.ERROR else None


def _freshness(instance: dg.DagsterInstance, since: float) -> Iterator[Event]:
    """Changes of assets from fresh to late and back."""
    wanted = EventRecordsFilter(dg.DagsterEventType.FRESHNESS_STATE_CHANGE, after_timestamp=since)
    for record in instance.event_log_storage.get_event_records(wanted, ascending=True):
        change = record.event_log_entry.get_dagster_event().asset_freshness_state_change_data
        asset = change.key.to_user_string()
        late = change.new_state is FreshnessState.FAIL
        yield Event(
            id=f"freshness {record.storage_id}",
            at=record.timestamp,
            subject=f"freshness of {asset}",
            page=f"/assets/{'/'.join(change.key.path)}",
            title=f"{asset} is late" if late else "",
            why="nothing new came in the time that its freshness policy gives it" if late else "",
            part="",
            state="late" if late else "",
        )


def _ticks(instance: dg.DagsterInstance, since: float) -> Iterator[Event]:
    """The ticks of sensors and schedules. Those of one with the same kind of error are one problem, until one works."""
    for state in instance.all_instigator_state():
        which = (state.instigator_origin_id, state.selector_id)
        ticks = [*instance.get_ticks(*which, after=since, limit=_TICKS, statuses=_DONE)]  # the newest first
        if len(ticks) == _TICKS:
            ticks += instance.get_ticks(*which, before=ticks[-1].timestamp, after=since, statuses=[TickStatus.FAILURE])
        yield from (_tick(state, tick) for tick in ticks)


def _tick(state: InstigatorState, tick: InstigatorTick) -> Event:
    kind = "schedule" if state.instigator_type is InstigatorType.SCHEDULE else "sensor"
    failed, error = tick.status is TickStatus.FAILURE, tick.error
    return Event(
        id=f"tick {tick.tick_id}",
        at=tick.timestamp,
        subject=f"{kind} {state.instigator_name}",
        page=f"/locations/{LOCATION}/{kind}s/{state.instigator_name}",
        title=f"The {kind} {state.instigator_name} failed" if failed else "",
        why=_said(error) if failed else "",
        part="",
        state=(error and _root(error).cls_name) or "an error" if failed else "",
    )


def _root(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """The error that caused the others."""
    while error.cause:
        error = error.cause
    return error


def _said(error: SerializableErrorInfo | None) -> str:
    """What an error of a run or a tick says, in one line and without contents of files."""
    if error is None:
        return "Dagster gives no reason"
    root = error if "Failure" in (error.cls_name or "") else _root(error)
    text = root.message.strip()
    _, colon, rest = text.partition(": ")
    if colon and root.cls_name and text.startswith((root.cls_name, "dagster.", "stock_pipeline.")):
        text = rest
    return without_contents(" ".join(text.split())) or root.cls_name or "an error without a message"
