"""What persons have cancelled: objects that no other job is to ingest in the place of the cancelled run."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg

from stock_pipeline.lake.object_store import ObjectInfo, ObjectVersion, named
from stock_pipeline.maintenance.reconcile import Unseen
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.batch.config import IngestConfig
from stock_pipeline.orchestration.batch.jobs import ingest_daily_prices
from stock_pipeline.orchestration.cancellation import CANCELLED
from stock_pipeline.orchestration.stream.jobs import ingest_ticks


def without_cancelled(unseen: Unseen, instance: dg.DagsterInstance) -> Unseen:
    """What no table has seen, without what a person has cancelled: files whose last run was cancelled, and all ticks
    while the last run of `ingest_ticks` is a cancelled one.
    """
    gone = _cancelled_files(instance) if unseen.prices else set()
    prices = tuple(info for info in unseen.prices if not gone & {ObjectVersion(info.key), _version(info)})
    return replace(unseen, prices=prices, ticks=() if unseen.ticks and _ticks_cancelled(instance) else unseen.ticks)


def _cancelled_files(instance: dg.DagsterInstance) -> set[ObjectVersion]:
    """The versions of files (without an ETag: any version) of which the last run was cancelled."""
    of_job = dg.RunsFilter(job_name=ingest_daily_prices.name, statuses=list(CANCELLED))
    cancelled = instance.get_run_records(of_job, ascending=True)
    if not cancelled:
        return set()
    since = dg.RunsFilter(job_name=ingest_daily_prices.name, created_after=cancelled[0].create_timestamp)
    later = [record.dagster_run for record in instance.get_run_records(since, ascending=True)]
    last: dict[ObjectVersion, dg.DagsterRunStatus] = {}
    for run in (cancelled[0].dagster_run, *later):
        last |= dict.fromkeys(_objects_of(run), run.status)
    return {version for version, status in last.items() if status in CANCELLED}


def _objects_of(run: dg.DagsterRun) -> Iterator[ObjectVersion]:
    config: Any = run.run_config
    told = config.get("ops", {}).get(price_by_date.op.name, {}).get("config", {})
    for version in map(named, IngestConfig(**told).objects):
        yield ObjectVersion(version.key, etag=version.etag)


def _version(info: ObjectInfo) -> ObjectVersion:
    return ObjectVersion(info.key, etag=info.etag)


def _ticks_cancelled(instance: dg.DagsterInstance) -> bool:
    last = instance.get_runs(dg.RunsFilter(job_name=ingest_ticks.name), limit=1)
    return bool(last) and last[0].status in CANCELLED
