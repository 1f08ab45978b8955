"""The jobs that people start by hand: backfill, rebuild a year, restate from a file, replay rejected records, remove.

The Launchpad shows each job's run config with its meaning. The computations are in `ingest` and `maintenance`. The jobs
show the same metadata as the assets' own runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from os.path import commonprefix
from typing import Literal

import dagster as dg
from pydantic import Field

from stock_pipeline.heavy.executors import executor_of
from stock_pipeline.heavy.rebuild import Places, compare_years, rebuild_years
from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.maintenance.remove import find_source
from stock_pipeline.maintenance.remove import remove_source as remove
from stock_pipeline.maintenance.replay import replay_rejects as replay
from stock_pipeline.orchestration.batch.assets import raw_daily_prices, session_reports
from stock_pipeline.orchestration.batch.checks import evaluate_year
from stock_pipeline.orchestration.batch.config import SourcesConfig
from stock_pipeline.orchestration.lineage.events import by_target, materialization, warnings_of
from stock_pipeline.orchestration.partitions import DAILY
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.ui.metadata import progress
from stock_pipeline.receipts import Receipt
from stock_pipeline.simulate.daily import default_symbols, write_raw_daily_prices
from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions

CRASHES: Mapping[str, str] = {"dagster/max_retries": "2"}
"""Tags of the jobs: Dagster starts a run again if its process was killed, because nothing else would."""

Events = Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation]


class BackfillConfig(dg.Config):
    """Which sessions to simulate."""

    start: str = Field(default="", description="First day, as YYYY-MM-DD; from 1990 on. Empty: January 1 of last year.")
    end: str = Field(default="", description="Last day, as YYYY-MM-DD. Empty: the session that closed last.")
    symbols: list[str] = Field(
        default=[], description="Symbols to simulate (AAPL, MSFT, …). Empty: those of STOCK_PIPELINE_SYMBOLS."
    )


@dg.op(out={}, tags={"layer": "raw"})
def simulate_sessions(
    context: dg.OpExecutionContext, buckets: Buckets, config: BackfillConfig
) -> Iterator[dg.AssetMaterialization]:
    """Writes the raw object of each XNYS session in the range. Objects that are there already stay as they are."""
    days = _sessions(config)
    with as_dagster_failures():
        settings, staging = buckets.settings, buckets.staging
        symbols = default_symbols(config.symbols or settings.symbols)
        context.log.info(f"{len(days):,} sessions × {len(symbols):,} symbols into s3://{staging.bucket}/daily_prices/")
        report = progress(context.log.info, "sessions")
        written = write_raw_daily_prices(staging, days, symbols, settings.seed, on_progress=report)
        reports = session_reports(written, symbols, settings.seed, staging.bucket)
    for session, metadata in reports.items():
        if DAILY.has_partition_key(session.isoformat()):
            yield dg.AssetMaterialization(raw_daily_prices.key, partition=session.isoformat(), metadata=metadata)
    context.log.info(f"{sum(raw.written for raw in written):,} of {len(written):,} raw objects were new or changed")


@dg.job(
    tags=CRASHES,
    description=(
        "Simulate the sessions of a range of days. The sensor daily_price_arrivals or the Lambda function then brings "
        "them into price_by_date. Sessions that are there already do not change."
    ),
)
def backfill_daily_prices() -> None:
    simulate_sessions()


class RebuildConfig(dg.Config):
    """Which years to build again."""

    # A default is read once, when the code is loaded. So the current year is found by the run.
    first: int | None = Field(default=None, description="First year. Empty: the current one.")
    last: int | None = Field(default=None, description="Last year. Empty: only the first.")
    dry_run: bool = Field(default=False, description="Only log what would change; write nothing.")
    executor: Literal["here", "pool"] = Field(
        default="here", description="here: year after year, in the process of the run. pool: in several processes."
    )
    processes: int = Field(
        default=2, ge=1, le=256, description="Number of processes of the pool. Each needs the memory of a year."
    )


@dg.op(out={}, tags={"layer": "clean"})
def rebuild_from_raw(context: dg.OpExecutionContext, buckets: Buckets, config: RebuildConfig) -> Events:
    """Builds years of price_by_date again from the raw objects only, and swaps each year in when it is complete."""
    first = config.first or datetime.now(UTC).year
    years = range(first, (config.last or first) + 1)
    if not years:
        raise dg.Failure(f"{config.last} is before {first}", allow_retries=False)
    run = executor_of(config.processes if config.executor == "pool" else 1)
    with as_dagster_failures():
        report = progress(context.log.info, "years" if config.executor == "pool" else "raw objects")
        staging, lake = (f"s3://{store.bucket}" for store in (buckets.staging, buckets.lake))
        places = Places(staging, lake, buckets.settings.max_object_bytes)
        if config.dry_run:
            for found in compare_years(years, places, run=run, on_progress=report):
                added, changed = found.added.num_rows, found.changed.num_rows
                context.log.info(f"{found.year}: {added:,} rows would be added, {changed:,} changed, none lost")
            return
        done = rebuild_years(years, places, run=run, on_progress=report, say=context.log.info)
        yield from _shown(context, buckets, [receipt for year in done for receipt in year.receipts])


@dg.job(
    tags=CRASHES,
    description=(
        "Build years of price_by_date again from the raw objects in staging only, and check them. Readers see the old "
        "year until the new one is complete. The job refuses if rows would be lost, or if a source is refused. With "
        "dry_run it only logs what would change. With a pool, years are built side by side. A run that was killed goes "
        "on when it is started again."
    ),
)
def rebuild_year() -> None:
    rebuild_from_raw()


class RestateConfig(SourcesConfig):
    """Which files to restate from."""

    sources: list[str] = Field(
        description="Keys of objects in the staging bucket; a later one replaces values of an earlier one: "
        "daily_prices/uploads/AAPL.csv, …"
    )


@dg.op(out={}, tags={"layer": "clean"})
def restate_from_files(context: dg.OpExecutionContext, buckets: Buckets, config: RestateConfig) -> Events:
    """Replaces the stored values of a symbol and session with the values from files."""
    if not config.sources:
        raise dg.Failure("sources is empty; name the keys of the files there", allow_retries=False)
    with as_dagster_failures():
        receipts = ingest_daily_prices(
            config.sources, staging=buckets.staging, lake=buckets.lake, replace=True, symbol=config.symbol,
            hints=config.hints, max_bytes=buckets.settings.max_object_bytes,
            on_progress=progress(context.log.info, "sources"),
        )  # fmt: skip
        yield from _shown(context, buckets, receipts)
    _fail_where_refused(receipts)


@dg.job(
    description=(
        "Restate from files: their values replace the values that are stored for the same symbol and session, in all "
        "years of the files. A restatement keeps the values that it does not mention. The old values are kept in "
        "price_revisions."
    )
)
def restate_prices() -> None:
    restate_from_files()


class ReplayConfig(dg.Config):
    """Which rejected records to ingest again. An empty field means all."""

    tables: list[str] = Field(
        default=[], description="Only records of these tables: price_by_date, stream_prices_history."
    )
    sources: list[str] = Field(
        default=[], description="Only records of these sources: their keys, or the ends of their keys (AAPL.csv)."
    )
    reasons: list[str] = Field(default=[], description="Only records with these reason codes: bad_date, …")


@dg.op(out={}, tags={"layer": "clean"})
def replay_sources(context: dg.OpExecutionContext, buckets: Buckets, config: ReplayConfig) -> Events:
    """Ingests the whole sources of rejected records again, and shows the same events as the assets' own runs."""
    with as_dagster_failures():
        staging, lake = buckets.staging, buckets.lake
        receipts = replay(
            staging, lake, buckets.settings, tables=config.tables, sources=config.sources, reasons=config.reasons,
            on_progress=progress(context.log.info, "sources"),
        )  # fmt: skip
        yield from _shown(context, buckets, receipts)


@dg.job(
    tags=CRASHES,
    description=(
        "Ingest the sources of rejected records again, after a rule, an alias or a file was fixed. Whole sources are "
        "ingested. Rows that are stored already count as duplicates, and rows that are still wrong are rejected again, "
        "so the job is safe at any time. `stock-pipeline rejects` lists the records."
    ),
)
def replay_rejects() -> None:
    replay_sources()


class RemoveConfig(dg.Config):
    """Which source to remove."""

    source: str = Field(
        description="Key of the staging object whose rows are taken out, as in the column source: "
        "daily_prices/uploads/AAPL.csv, stock_stream/2024/06/03/14/…"
    )


@dg.op(out=dg.Out(dg.Nothing), tags={"layer": "clean"})
def take_rows_out(context: dg.OpExecutionContext, buckets: Buckets, config: RemoveConfig) -> None:
    """Takes the rows of a source out of its tables, keeps a record of each, and builds the latest prices again."""
    with as_dagster_failures():
        found = find_source(config.source, buckets.lake, buckets.settings)
        removed = remove(found, buckets.staging, buckets.lake, buckets.settings)
    context.log.info(f"{removed:,} rows of {found.source} taken out of {found.table.name}")
    tags = {"stock_pipeline/source": found.source[-200:], "stock_pipeline/removed": str(removed)}
    context.instance.add_run_tags(context.run_id, tags)


@dg.job(
    tags=CRASHES,
    description=(
        "Take out the rows of a wrong source. They stay in rejected_records, with the reason removed, and bars stay in "
        "price_revisions, too. If they are "
        "ticks, latest_prices is built again from what is left. A second run removes nothing more. The raw object "
        "stays in staging, and ingesting it again brings the rows back."
    ),
)
def remove_source() -> None:
    take_rows_out()


def _shown(context: dg.OpExecutionContext, buckets: Buckets, receipts: Sequence[Receipt]) -> Events:
    """The events of the partitions that ingests touched, with the checks of the years. Also writes log and tags."""
    for line in warnings_of(receipts):
        context.log.warning(line)
    stored = sum(receipt.inserted for receipt in receipts)
    context.log.info(f"{len(receipts):,} sources, {stored:,} new rows")
    tags = {"stock_pipeline/objects": str(len(receipts)), "stock_pipeline/stored": str(stored)}
    if receipts:
        prefix = commonprefix([receipt.source for receipt in receipts])  # noqa: RUF071 (a prefix may end within a name)
        tags["stock_pipeline/prefix"] = f"s3://{buckets.staging.bucket}/{prefix}"
    context.instance.add_run_tags(context.run_id, tags)
    targets = by_target([receipt for receipt in receipts if receipt.etag])
    for target, own in targets.items():
        yield materialization(target, own, buckets.staging, buckets.lake)
    for target in targets:
        for year in target.years:
            yield from evaluate_year(buckets.lake, context.instance, year)


def _fail_where_refused(receipts: Sequence[Receipt]) -> None:
    """Fail if a file was refused: the person who named it must notice."""
    if refused := [receipt for receipt in receipts if receipt.refused]:
        raise dg.Failure(f"{refused[0].source} was refused: {refused[0].refused}", allow_retries=False)


def _sessions(config: BackfillConfig) -> list[date]:
    """The sessions of the range. Raises a failure, which says what is wrong, if there is none."""
    last = last_closed_session(datetime.now(UTC))
    try:
        start = date.fromisoformat(config.start or f"{datetime.now(UTC).year - 1}-01-01")
        end = date.fromisoformat(config.end) if config.end else last
    except ValueError as error:
        raise dg.Failure(f"write start and end as YYYY-MM-DD: {error}", allow_retries=False) from error
    if end > last:
        raise dg.Failure(f"{end} has not closed yet; the last closed session is {last}", allow_retries=False)
    with as_dagster_failures():
        days = sessions(start, end)
    if not days:
        raise dg.Failure(f"there is no session of XNYS from {start} to {end}", allow_retries=False)
    return days
