"""How long Dagster keeps its history, so that a laptop, and a small PostgreSQL, bear it for years.

On SQLite, each run has a database and log files of its own, some 200 KB together, and with ticks flowing a run comes
every few seconds. So what is older than `KEPT` goes: runs with their events and logs, results of checks, events without
a run.
What a partition shows stays: the last materialization and observation of each partition with their runs, and the last
result of each check. Sensors' and schedules' ticks are purged by Dagster itself (`retention` in dagster.yaml).

This module also mends the history after a clock was ahead: Dagster lets a sensor wait for the time of its last tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.scheduler.instigation import ScheduleInstigatorData, SensorInstigatorData
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

KEPT = timedelta(days=7)
_AHEAD = 60.0  # seconds

_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# What the asset pages show of a partition.
_SHOWN = """SELECT MAX(id) FROM event_logs WHERE asset_key IS NOT NULL
  AND dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
  GROUP BY asset_key, partition, dagster_event_type"""
_RUNS_SHOWN = f"SELECT DISTINCT run_id FROM event_logs WHERE id IN ({_SHOWN})"  # noqa: S608 - constants
_OLD_EVENTS = f"DELETE FROM event_logs WHERE timestamp < :before AND run_id = '' AND id NOT IN ({_SHOWN})"  # noqa: S608
_OLD_TAGS = "DELETE FROM asset_event_tags WHERE event_id NOT IN (SELECT id FROM event_logs)"
_OLD_RESULTS = """DELETE FROM asset_check_executions WHERE create_timestamp < :before AND id NOT IN
  (SELECT MAX(id) FROM asset_check_executions GROUP BY asset_key, check_name, partition)"""


@dataclass(frozen=True)
class Purged:
    """How much went: runs, events without a run, results of checks, and log files."""

    runs: int
    events: int
    results: int
    files: int


def purge(instance: dg.DagsterInstance, now: datetime | None = None) -> Purged:
    """Delete what is older than `KEPT`. Does nothing to an instance in memory."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage) or isinstance(storage, InMemoryEventLogStorage):
        return Purged(0, 0, 0, 0)
    before = (now or datetime.now(UTC)) - KEPT
    runs = _purge_runs(instance, storage, before)
    older = {"before": before.strftime("%Y-%m-%d %H:%M:%S")}
    with storage.index_connection() as connection:
        events = connection.execute(sa.text(_OLD_EVENTS), older).rowcount
        connection.execute(sa.text(_OLD_TAGS))
        results = connection.execute(sa.text(_OLD_RESULTS), older).rowcount
    return Purged(runs, events, results, _purge_logs(instance, before))


def _purge_runs(instance: dg.DagsterInstance, storage: SqlEventLogStorage, before: datetime) -> int:
    with storage.index_connection() as connection:
        shown = {str(row[0]) for row in connection.execute(sa.text(_RUNS_SHOWN))}
    finished = instance.get_run_ids(dg.RunsFilter(statuses=_FINISHED, updated_before=before))
    old = [run_id for run_id in finished if run_id not in shown]
    for run_id in old:
        instance.delete_run(run_id)
        if isinstance(storage, SqliteEventLogStorage):
            _delete_files_of(storage, run_id)
    return len(old)


def _delete_files_of(storage: SqliteEventLogStorage, run_id: str) -> None:
    """The database of a run. Dagster empties it, but keeps the file."""
    file = Path(storage.path_for_shard(run_id))
    for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        each.unlink(missing_ok=True)


def _purge_logs(instance: dg.DagsterInstance, before: datetime) -> int:
    """Delete what runs and ticks have printed, and the folders that are empty then."""
    manager = instance.compute_log_manager
    if not isinstance(manager, LocalComputeLogManager):
        return 0
    folder = Path(manager.get_captured_local_path(["x"], "out")).parent
    purged = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.stat().st_mtime < before.timestamp():
            path.unlink(missing_ok=True)
            purged += 1
    return purged


def forget_future_ticks(instance: dg.DagsterInstance, now: float | None = None) -> list[str]:
    """Let sensors and schedules go on whose last tick lies in the future, because the clock was ahead.

    `now` is in seconds since the epoch. Returns their names.
    """
    now = datetime.now(UTC).timestamp() if now is None else now
    mended = []
    for state in instance.all_instigator_state():
        data = _not_after(state.instigator_data, now)
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=now + _AHEAD)
        for tick in ticks:
            instance.update_tick(tick._replace(tick_data=tick.tick_data._replace(timestamp=now)))
        if data is not state.instigator_data:
            instance.update_instigator_state(state.with_data(data))
        if ticks or data is not state.instigator_data:
            mended.append(state.instigator_name)
    return mended


def _not_after(data: Any, now: float) -> Any:
    """What an instigator remembers, with the times that lie in the future set to now."""
    times: dict[type, tuple[str, ...]] = {
        SensorInstigatorData: ("last_tick_timestamp", "last_tick_start_timestamp", "last_sensor_start_timestamp",
                               "last_tick_success_timestamp"),
        ScheduleInstigatorData: ("start_timestamp", "last_iteration_timestamp"),
    }  # fmt: skip
    ahead = {name: now for name in times.get(type(data), ()) if (getattr(data, name) or 0.0) > now + _AHEAD}
    return data._replace(**ahead) if ahead else data
