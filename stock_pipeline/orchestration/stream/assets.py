"""The assets of the streaming path. The computations are in `ingest.ticks` and `maintenance.snapshot`.

History and the snapshot are one multi-asset, because one ingest writes both. A run takes its messages from the queue
itself: it receives them when the work begins, keeps them hidden while it works, and deletes them at the very end. So if
a run waits, fails or dies, its messages come back by themselves.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from os.path import commonprefix

import dagster as dg

from stock_pipeline.aws.s3_events import read_messages
from stock_pipeline.aws.sqs import Message, kept_hidden
from stock_pipeline.heavy.executors import in_processes
from stock_pipeline.heavy.snapshot import moments_by_tasks
from stock_pipeline.ingest.partial_failure import Ingested, ingest_each
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.lake.object_store import Named
from stock_pipeline.maintenance.snapshot import rebuild, refresh, stored_snapshot
from stock_pipeline.orchestration.partitions import DAYS, has_day
from stock_pipeline.orchestration.rejected_records import report_rejected
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import RETRIES, as_dagster_failures
from stock_pipeline.orchestration.stream.config import TicksConfig
from stock_pipeline.orchestration.stream.reports import (
    LATEST_COLUMNS,
    TICK_COLUMNS,
    comparison_report,
    day_reports,
    empty_day,
    snapshot_report,
)
from stock_pipeline.orchestration.ui.catalog import (
    OWNERS,
    RAW_TICK_COLUMNS,
    STREAM,
    described,
    description_of,
    raw_columns,
)
from stock_pipeline.orchestration.ui.metadata import noteworthy, progress
from stock_pipeline.parse.ticks.parser import parse_tick_objects
from stock_pipeline.producer.live import produce_live
from stock_pipeline.query import sql
from stock_pipeline.query.history import Span, counted, raw_keys
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import LATEST_PRICES, STREAM_PRICES_HISTORY
from stock_pipeline.staging.keys import RAW_TICKS

_RAW_COLUMNS = raw_columns(STREAM_PRICES_HISTORY, RAW_TICK_COLUMNS)
MESSAGES = 1_000
"""The most messages that one run takes; the next run takes the others."""

Results = Iterator[dg.MaterializeResult[None]]


tick_stream = dg.AssetSpec(
    "tick_stream",
    description=(
        "Ticks on their way: producers put them into a Kinesis stream, and Firehose gathers them into objects, by size "
        "or by time. One row is one message of a producer; a Kinesis record packs up to 25 KB of them. "
        "`stock-pipeline stream` produces ticks."
    ),
    group_name=STREAM,
    owners=OWNERS,
    kinds={"aws"},
    tags={"layer": "source"},
    metadata=described(_RAW_COLUMNS, produce_live),
)

raw_stream_ticks = dg.AssetSpec(
    "raw_stream_ticks",
    deps=[tick_stream],
    description=(
        "Ticks as Firehose delivers them from Kinesis: objects of JSON lines under `stock_stream/YYYY/MM/DD/HH/` (UTC "
        "time of arrival) in the staging bucket. One row is one message of a producer: a tick, possibly repeated, "
        "late or broken. S3 sends a notification of each object to the arrivals queue."
    ),
    group_name=STREAM,
    owners=OWNERS,
    kinds={"s3", "file"},
    tags={"layer": "raw"},
    metadata=described(_RAW_COLUMNS, parse_tick_objects, derived_from={"tick_stream": RAW_TICK_COLUMNS}),
)

# The exchange closes for 92.5 hours at most: from a half day before Christmas to the Monday after it. A cron does not
# know holidays and half days; the check symbols_current does, and looks at each session.
AFTER_THE_LONGEST_PAUSE = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=97), warn_window=timedelta(hours=94)
)

stream_prices_history = dg.AssetSpec(
    "stream_prices_history",
    deps=[raw_stream_ticks],
    description=description_of(
        STREAM_PRICES_HISTORY,
        "History of ticks: one row is one tick (one trade of one symbol). A tick that was delivered twice is stored "
        "once. Each Parquet object has a few minutes, by the time of the trade. Days are UTC days, weekends too. "
        "Materializing a day ingests the raw objects that arrived for it, and adds nothing twice.",
    ),
    group_name=STREAM,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "clean"},
    metadata=described(
        TICK_COLUMNS,
        ingest_ticks,
        sql,
        derived_from={"raw_stream_ticks": RAW_TICK_COLUMNS},
        table=STREAM_PRICES_HISTORY,
    ),
    partitions_def=DAYS,
    skippable=True,
    freshness_policy=AFTER_THE_LONGEST_PAUSE,
    code_version="1",
)

latest_prices = dg.AssetSpec(
    "latest_prices",
    deps=[stream_prices_history],
    description=description_of(
        LATEST_PRICES,
        "The latest prices: one row is one symbol's latest tick, by the producer's time. Each ingest of ticks updates "
        "it, and it never goes backwards. Materializing it by hand recomputes it from all of history and merges the "
        "result in. The two must be equal, and the run says whether they were.",
    ),
    group_name=STREAM,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "clean"},
    metadata=described(
        LATEST_COLUMNS,
        ingest_ticks,
        rebuild,
        sql,
        derived_from={"stream_prices_history": STREAM_PRICES_HISTORY.schema.names},
        table=LATEST_PRICES,
    ),
    skippable=True,
    freshness_policy=AFTER_THE_LONGEST_PAUSE,
    code_version="1",
)


@dg.multi_asset(
    name="stream_prices",
    specs=[stream_prices_history, latest_prices],
    can_subset=True,
    # One run for all its days: a raw object that holds ticks of several is read once.
    backfill_policy=dg.BackfillPolicy.single_run(),
    # The snapshot is one object, so only one run at a time may write it (the pools in dagster.yaml).
    pool="latest_prices",
)
def stream_prices(context: dg.AssetExecutionContext, buckets: Buckets, config: TicksConfig) -> Results:
    """Ingest ticks into history and the snapshot. If only the snapshot is materialized, recompute it from history."""
    history = stream_prices_history.key in context.selected_asset_keys
    _refuse_contradictions(config, history)
    # No retry within the run: the messages of the first try are still hidden, so it would find the queue empty.
    with as_dagster_failures(retries=0 if config.arrivals else RETRIES):
        if not history:
            yield from _recompute(context, buckets, config)
        elif config.arrivals:
            yield from _take_arrivals(context, buckets)
        else:
            yield from _converge(context, buckets, config)


def _refuse_contradictions(config: TicksConfig, history: bool) -> None:
    if config.rebuild and history:
        raise dg.Failure("rebuild is for latest_prices alone; materialize only that", allow_retries=False)
    if config.arrivals and config.sources:
        raise dg.Failure(
            "with arrivals, the queue names the objects; leave out sources or arrivals", allow_retries=False
        )
    if config.executor == "pool" and history:
        raise dg.Failure("a pool recomputes latest_prices alone; materialize only that", allow_retries=False)
    if (config.arrivals or config.sources) and not history:
        raise dg.Failure(
            "latest_prices alone is recomputed from history; to ingest, materialize stream_prices_history too",
            allow_retries=False,
        )


def _take_arrivals(context: dg.AssetExecutionContext, buckets: Buckets) -> Results:
    """Ingest the objects that waiting messages name, and acknowledge the messages that are done.

    Fails when the ingest of every object failed. Otherwise the run succeeds and logs the messages that are not done.
    They come back, and end in the dead-letter queue.
    """
    queue, bucket = buckets.tick_arrivals, buckets.staging.bucket
    received = queue.receive(MESSAGES)
    messages = read_messages({message.id: message.body for message in received}, bucket=bucket, prefix=RAW_TICKS)
    _tag(context, received, [found.key for found in messages.distinct], bucket)
    readable = [message for message in received if message.id not in messages.unreadable]
    with kept_hidden(queue, readable, context.log.warning):
        ingested = _ingest(context, buckets, messages.distinct)
        left = messages.left(ingested.not_done)
        for message in received:
            if message.id in left:
                context.log.warning(f"message {message.id} is left at try {message.tries}: {left[message.id]}")
        yield from _results(context, buckets, ingested.receipts, [])
        # At the very end: if anything before this fails, the messages come back, and a second ingest adds nothing.
        if not_deleted := queue.delete([message for message in received if message.id not in left]):
            context.log.warning(f"{not_deleted} messages were not deleted and come again, which adds nothing twice")
    if ingested.failed and not ingested.receipts:
        raise ingested.failure()


def _converge(context: dg.AssetExecutionContext, buckets: Buckets, config: TicksConfig) -> Results:
    """Ingest the raw objects that arrived for the days of the run, or the objects that the config names."""
    days = [date.fromisoformat(key) for key in context.partition_keys]
    ingested = _ingest(context, buckets, config.sources or raw_keys(days, config.later_days, buckets.staging))
    if missing := [receipt.source for receipt in ingested.gone.values()]:
        context.log.warning(f"{len(missing)} of the raw objects do not exist: {', '.join(missing[:10])}")
    yield from _results(context, buckets, ingested.receipts, days)
    if ingested.failed:
        raise ingested.failure()


def _ingest(context: dg.AssetExecutionContext, buckets: Buckets, keys: Sequence[Named]) -> Ingested:
    now, report = datetime.now(UTC), progress(context.log.info, "raw objects")

    def ingest(some: Sequence[Named]) -> list[Receipt]:
        return ingest_ticks(
            some, staging=buckets.staging, lake=buckets.lake, **options_of(buckets.settings), now=now,
            on_progress=report,
        )  # fmt: skip

    ingested = ingest_each(keys, ingest)
    for line in noteworthy(ingested.receipts):
        context.log.warning(line)
    new = sum(receipt.inserted for receipt in ingested.receipts)
    context.log.info(f"{len(ingested.receipts):,} raw objects, {new:,} new ticks")
    return ingested


def _recompute(context: dg.AssetExecutionContext, buckets: Buckets, config: TicksConfig) -> Results:
    """Recompute the snapshot from history and merge it in, or swap it in to rebuild it."""
    lake = buckets.lake
    moments = None
    if config.executor == "pool":
        report = progress(context.log.info, "parts of history")
        moments = moments_by_tasks(f"s3://{lake.bucket}", in_processes(config.processes), report)
    difference = (rebuild if config.rebuild else refresh)(buckets.settings, lake, moments=moments)
    if not difference.equal:
        context.log.warning("the snapshot and history differed; see the metadata of this materialization")
    metadata = {**snapshot_report(stored_snapshot(lake), lake, []), **comparison_report(difference)}
    yield dg.MaterializeResult(asset_key=latest_prices.key, metadata=metadata)


def _results(
    context: dg.AssetExecutionContext,
    buckets: Buckets,
    receipts: Sequence[Receipt],
    days: Sequence[date],
) -> Results:
    """Report each day that changed or that a person asked for (`days`), and the snapshot if it has new ticks.

    The days of the run are its output, if all of them changed. Other days (of late ticks) are reported by events.
    """
    lake = buckets.lake
    report_rejected(context, receipts, lake)
    reports = day_reports(lake, receipts)
    counts = counted(Span.of(days), buckets.settings) if days else {}
    own = {date.fromisoformat(key) for key in context.partition_keys}
    if not own <= {*reports, *days}:
        own = set()
    for day in sorted({*reports, *days}):
        metadata = reports.get(day) or empty_day(lake, day)
        if day in days:
            metadata = {"dagster/row_count": dg.MetadataValue.int(counts.get(day, {}).get("rows", 0)), **metadata}
        if day in own:
            context.add_asset_metadata(metadata, stream_prices_history.key, partition_key=day.isoformat())
        elif has_day(day):
            context.log_event(
                dg.AssetMaterialization(stream_prices_history.key, partition=day.isoformat(), metadata=metadata)
            )
        else:
            context.log.warning(f"ticks of {day} were stored, but Dagster has no partition for that day")
    if own:
        yield dg.MaterializeResult(asset_key=stream_prices_history.key)
    if not (reports or days):
        return
    snapshot = snapshot_report(stored_snapshot(lake), lake, receipts)
    if latest_prices.key in context.selected_asset_keys:
        yield dg.MaterializeResult(asset_key=latest_prices.key, metadata=snapshot)
    elif reports:
        context.log_event(dg.AssetMaterialization(latest_prices.key, metadata=snapshot))


def _tag(context: dg.AssetExecutionContext, messages: Sequence[Message], keys: Sequence[str], bucket: str) -> None:
    """Tag the run with its messages and objects, so that people find the run by them."""
    tags = {"stock_pipeline/messages": str(len(messages)), "stock_pipeline/objects": str(len(keys))}
    if keys:
        tags["stock_pipeline/prefix"] = f"s3://{bucket}/{commonprefix(keys)}"  # noqa: RUF071 (as in the batch sensor)
    context.instance.add_run_tags(context.run.run_id, tags)
