"""The assets of the batch path. The computations are in `simulate` and `ingest`."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.ingest.daily import ingest_daily_prices
from stock_pipeline.ingest.partial_failure import Ingested, ingest_each
from stock_pipeline.lake.object_store import Named, ObjectStore
from stock_pipeline.lake.partitions import partition_key, read_partition
from stock_pipeline.lake.transforms import year_of, year_partition
from stock_pipeline.maintenance.rebuild import rebuild_year
from stock_pipeline.orchestration.batch.config import IngestConfig
from stock_pipeline.orchestration.batch.price_revisions import report_revised
from stock_pipeline.orchestration.partitions import DAILY, EXCHANGE_TIME, SESSIONS_OF_YEAR, YEARLY, has_year
from stock_pipeline.orchestration.rejected_records import report_rejected
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.orchestration.ui import charts
from stock_pipeline.orchestration.ui.catalog import (
    BATCH,
    OWNERS,
    RAW_BAR_COLUMNS,
    described,
    description_of,
    raw_columns,
)
from stock_pipeline.orchestration.ui.metadata import (
    PREVIEW_ROWS,
    Metadata,
    chart,
    column_schema,
    noteworthy,
    preview,
    progress,
    receipts_metadata,
    records,
    seconds_of,
    stored_by,
)
from stock_pipeline.parse.daily.hints import Hints
from stock_pipeline.parse.daily.parser import parse_daily_prices
from stock_pipeline.query import sql
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.simulate.daily import (
    SCHEMA,
    RawObject,
    default_symbols,
    simulate_daily_prices,
    write_raw_daily_prices,
)
from stock_pipeline.staging.keys import raw_keys_of_year

CHARTED_SESSIONS = 25
# A cron does not know holidays. On the nine or so weekdays per year without a session, the policy fails until the
# prices of the next session are there. The check symbols_current knows the holidays.
AFTER_THE_CLOSE = dg.FreshnessPolicy.cron(
    deadline_cron="0 22 * * 1-5", lower_bound_delta=timedelta(hours=6), timezone=EXCHANGE_TIME
)
"""The prices of each session must be there by 22:00 of the exchange's time, six hours after the close."""

RAW_COLUMNS = raw_columns(PRICE_BY_DATE, SCHEMA.names)
PRICE_COLUMNS = column_schema(PRICE_BY_DATE)


@dg.asset(
    partitions_def=DAILY,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name=BATCH,
    owners=OWNERS,
    kinds={"s3", "csv"},
    tags={"layer": "raw"},
    metadata=described(RAW_COLUMNS, simulate_daily_prices),
    freshness_policy=AFTER_THE_CLOSE,
    code_version="1",
)
def raw_daily_prices(context: dg.AssetExecutionContext, buckets: Buckets) -> None:
    """Simulated OHLCV bars as a vendor would deliver them: one CSV object per session, one row per symbol.

    The same symbol and session always give the same bar. An object that is there with the same content does not change.
    """
    sessions = [date.fromisoformat(key) for key in context.partition_keys]
    with as_dagster_failures():
        settings, staging = buckets.settings, buckets.staging
        symbols = default_symbols(settings.symbols)
        context.log.info(
            f"{len(sessions):,} sessions × {len(symbols):,} symbols into s3://{staging.bucket}/daily_prices/"
        )
        written = write_raw_daily_prices(
            staging, sessions, symbols, settings.seed, on_progress=progress(context.log.info, "sessions")
        )
    for session, metadata in session_reports(written, symbols, settings.seed, staging.bucket).items():
        context.add_asset_metadata(metadata, partition_key=session.isoformat())


def session_reports(
    written: Sequence[RawObject], symbols: Sequence[str], seed: int, bucket: str
) -> dict[date, Metadata]:
    """The metadata of each raw object that was written to a bucket.

    A chart needs a second simulation of its session. So in a long backfill only the last sessions have one.
    """
    drawn = [raw.session for raw in written[-CHARTED_SESSIONS:]]
    bars = simulate_daily_prices(symbols, min(drawn), max(drawn), seed) if drawn else None
    return {
        raw.session: {
            **(_moves(bars.filter(pc.equal(bars["date"], raw.session))) if bars and raw.session in drawn else {}),
            "dagster/row_count": dg.MetadataValue.int(raw.rows),
            "dagster/uri": dg.MetadataValue.text(f"s3://{bucket}/{raw.key}"),
            "bytes": dg.MetadataValue.int(raw.bytes),
            "written": dg.MetadataValue.bool(raw.written),
        }
        for raw in written
    }


def _moves(bars: pa.Table) -> Metadata:
    """A chart of how the symbols moved in a session, and a few of its bars."""
    changes = pc.subtract(pc.divide(bars["close"], bars["open"]), 1.0).to_numpy()
    return {
        **chart("chart_moves", charts.moves, bars["symbol"].to_pylist(), changes),
        "preview": records(bars.slice(0, PREVIEW_ROWS), RAW_COLUMNS),
    }


daily_price_uploads = dg.AssetSpec(
    "daily_price_uploads",
    description=(
        "Files of daily prices that people and vendors upload to `daily_prices/uploads/` in the staging bucket, in any "
        "supported layout, for any years. One row is one symbol's bar of one session. The sensor "
        "`daily_price_arrivals` sees them and starts the ingest."
    ),
    group_name=BATCH,
    owners=OWNERS,
    kinds={"s3", "csv"},
    tags={"layer": "raw"},
    metadata=described(raw_columns(PRICE_BY_DATE, RAW_BAR_COLUMNS), parse_daily_prices),
)


@dg.asset(
    partitions_def=YEARLY,
    deps=[dg.AssetDep(raw_daily_prices, partition_mapping=SESSIONS_OF_YEAR), daily_price_uploads],
    # One run for all its years: an upload that covers fifteen years is read and parsed once.
    backfill_policy=dg.BackfillPolicy.single_run(),
    description=description_of(
        PRICE_BY_DATE,
        "Clean daily prices: one row is one symbol's OHLCV bar of one trading session, one Parquet object per year. "
        "Materializing a year ingests all raw objects that have rows of it. Rows that are stored already count as "
        "duplicates, so it is safe at any time. Rows that break a rule are in rejected_records with their "
        "reason.",
    ),
    group_name=BATCH,
    owners=OWNERS,
    kinds={"s3", "parquet", "athena"},
    tags={"layer": "clean"},
    metadata=described(
        PRICE_COLUMNS,
        ingest_daily_prices,
        sql,
        derived_from={"raw_daily_prices": SCHEMA.names, "daily_price_uploads": RAW_BAR_COLUMNS},
        table=PRICE_BY_DATE,
    ),
    freshness_policy=AFTER_THE_CLOSE,
    code_version="1",
)
def price_by_date(context: dg.AssetExecutionContext, buckets: Buckets, config: IngestConfig) -> None:
    """Ingest the raw objects of the run's years, or those in the config, and report each year that they changed."""
    years = [int(key) for key in context.partition_keys]
    with as_dagster_failures():
        ingested = _ingest(context, buckets, config, years)
        receipts = [*ingested.receipts, *ingested.gone.values()]
        report_rejected(context, receipts, buckets.lake)
        report_revised(context, receipts, buckets.lake)
        touched = sorted({year_of(name) for receipt in receipts for name in receipt.partitions})
        for year in sorted({*years, *touched}):
            metadata = year_metadata(buckets.lake, year, receipts)
            if year in years and not ingested.failed:  # a run that fails has no output; it reports its years by events
                context.add_asset_metadata(metadata, partition_key=str(year))
            elif has_year(year):
                context.log_event(dg.AssetMaterialization(context.asset_key, partition=str(year), metadata=metadata))
            else:
                context.log.warning(
                    f"{year} was stored, but Dagster has no partition for it: {metadata['inserted'].value} new rows"
                )
        if ingested.failed:
            raise ingested.failure()


def _ingest(
    context: dg.AssetExecutionContext, buckets: Buckets, config: IngestConfig, years: Sequence[int]
) -> Ingested:
    """Do what the config asks for, and log each source that was refused or has rejected rows.

    If one source fails, only that one fails. But in a restatement or a rebuild, where the order of the sources matters,
    one failed source stops the others.
    """
    hints = config.hints
    if config.rebuild and (config.sources or config.replace or config.symbol or hints != Hints()):
        raise dg.Failure(
            "rebuild takes all raw objects of the year with their own options; leave out rebuild, or leave out "
            "sources, replace, symbol and hints",
            allow_retries=False,
        )
    if config.replace and not config.sources:
        raise dg.Failure("replace needs the files to restate from; name their keys in sources", allow_retries=False)
    staging, lake, report = buckets.staging, buckets.lake, progress(context.log.info, "raw objects")
    limit = buckets.settings.max_object_bytes

    def ingest(keys: Sequence[Named]) -> list[Receipt]:
        return ingest_daily_prices(
            keys, staging=staging, lake=lake, replace=config.replace, symbol=config.symbol, hints=hints,
            max_bytes=limit, on_progress=report,
        )  # fmt: skip

    def rebuild(year: int) -> list[Receipt]:
        return rebuild_year(year, staging=staging, lake=lake, max_bytes=limit, on_progress=report)

    if config.rebuild:
        ingested = Ingested([receipt for year in years for receipt in rebuild(year)])
    elif config.replace:
        ingested = Ingested(ingest(config.objects))
    else:
        keys: Sequence[Named] = config.objects or list(
            dict.fromkeys(k for year in years for k in raw_keys_of_year(staging, year))
        )
        ingested = ingest_each(keys, ingest)
    receipts = [*ingested.receipts, *ingested.gone.values()]
    for line in noteworthy(receipts):
        context.log.warning(line)
    context.log.info(f"{len(receipts):,} raw objects, {sum(r.inserted for r in receipts):,} new rows")
    return ingested


def year_metadata(lake: ObjectStore, year: int, receipts: Sequence[Receipt]) -> Metadata:
    """What ingests (of Dagster or Lambda) did to a year, and how the year looks now.

    A refused file has no year, so each year that is asked for shows it.
    """
    partition = year_partition(year)
    own = [receipt for receipt in receipts if partition in receipt.partitions or not receipt.partitions]
    rows = read_partition(lake, PRICE_BY_DATE, partition)
    if rows is None:
        rows = PRICE_BY_DATE.schema.empty_table()
    new = stored_by(own, rows)
    return {
        **chart("chart_prices", charts.prices, rows, "date", "close", new),
        "dagster/row_count": dg.MetadataValue.int(rows.num_rows),
        "inserted": dg.MetadataValue.int(new.num_rows),
        **receipts_metadata(own),
        "symbols": dg.MetadataValue.int(pc.count_distinct(rows["symbol"].cast(pa.string())).as_py()),
        **_freshness(rows, year),
        "preview": preview(rows, PRICE_COLUMNS),
        "dagster/column_schema": dg.MetadataValue.table_schema(PRICE_COLUMNS),
        "dagster/uri": dg.MetadataValue.text(f"s3://{lake.bucket}/{partition_key(PRICE_BY_DATE, partition)}"),
        "seconds": seconds_of(own),
    }


def _freshness(rows: pa.Table, year: int) -> Metadata:
    """For the current year, how many days ago its latest session was."""
    today = datetime.now(UTC).date()
    if year != today.year or not rows.num_rows:
        return {}
    return {"freshness_lag_days": dg.MetadataValue.int((today - pc.max(rows["date"]).as_py()).days)}
