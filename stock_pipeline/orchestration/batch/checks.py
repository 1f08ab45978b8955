"""The checks of `price_by_date`: the list, the severity of each, and their results in Dagster."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import dagster as dg
import pyarrow as pa
from pydantic import Field

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partitions
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.lake.transforms import year_of
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.evaluations import evaluation, last_written
from stock_pipeline.orchestration.partitions import YEARLY, has_year
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.retries import as_dagster_failures
from stock_pipeline.quality.daily import (
    Year,
    conflicts,
    duplicate_keys,
    inconsistent_bars,
    misplaced_rows,
    missing_sessions,
    price_steps,
    rejected_share,
    stale_symbols,
)
from stock_pipeline.quality.finding import Finding
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.settings import Settings


@dataclass(frozen=True)
class Check:
    """A check of one year's rows: its name, its severity, and the function that finds."""

    name: str
    find: Callable[[Year], Finding]
    severity: dg.AssetCheckSeverity

    @property
    def spec(self) -> dg.AssetCheckSpec:
        text = " ".join(str(self.find.__doc__).split())
        return dg.AssetCheckSpec(self.name, asset=price_by_date, description=text, partitions_def=YEARLY)


CHECKS = {
    check.name: check
    for check in (
        Check("keys_unique", duplicate_keys, dg.AssetCheckSeverity.ERROR),
        Check("ohlc_consistent", inconsistent_bars, dg.AssetCheckSeverity.ERROR),
        Check("rows_in_their_year", misplaced_rows, dg.AssetCheckSeverity.ERROR),
        Check("sessions_complete", missing_sessions, dg.AssetCheckSeverity.WARN),
        Check("price_steps", price_steps, dg.AssetCheckSeverity.WARN),
        Check("symbols_current", stale_symbols, dg.AssetCheckSeverity.WARN),
        Check("conflicts", conflicts, dg.AssetCheckSeverity.WARN),
        Check("rejected_share", rejected_share, dg.AssetCheckSeverity.WARN),
    )
}


@dg.multi_asset_check(specs=[check.spec for check in CHECKS.values()], can_subset=True)
def price_by_date_checks(
    context: dg.AssetCheckExecutionContext, buckets: Buckets
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Evaluate the selected checks for each year of the run, or for every stored year when the run names none.

    Each year gets an evaluation event of its own: an AssetCheckResult has a partition only if the run has just one.
    """
    asked = sorted(key.name for key in context.selected_asset_check_keys)
    with as_dagster_failures():
        lake = buckets.lake
        rejects = _rejects(lake)
        for year in _years(context, buckets):
            yield from evaluate_year(lake, context.instance, year, asked, rejects)
    yield from (dg.Output(None, output_name=f"{PRICE_BY_DATE.name}_{name}") for name in asked)


class YearsConfig(dg.Config):
    """Which years are checked."""

    years: list[int] = Field(default=[], description="The years to check. Empty: every stored year.")


@dg.op(out={}, description="Evaluates the checks of price_by_date for years that another process wrote.")
def check_years(
    context: dg.OpExecutionContext, buckets: Buckets, config: YearsConfig
) -> Iterator[dg.AssetCheckEvaluation]:
    with as_dagster_failures():
        lake = buckets.lake
        rejects = _rejects(lake)
        for year in config.years or _stored_years(lake):
            yield from evaluate_year(lake, context.instance, year, rejects=rejects)


def evaluate_year(
    lake: ObjectStore,
    instance: dg.DagsterInstance,
    year: int,
    names: Iterable[str] = tuple(CHECKS),
    rejects: Callable[[], pa.Table] | None = None,
) -> Iterator[dg.AssetCheckEvaluation]:
    """The results of checks for a stored year, each for the year's latest materialization.

    To evaluate many years, give the same `rejects` to each call, so that rejected records are read once.
    """
    written = last_written(instance, price_by_date.key, str(year))
    stored = Year(year, lake, Settings.from_env(), rejects or _rejects(lake))
    for name in names:
        check = CHECKS[name]
        key = dg.AssetCheckKey(price_by_date.key, name)
        yield evaluation(key, check.severity, check.find(stored), str(year), stored.rows.num_rows, written)


def _rejects(lake: ObjectStore) -> Callable[[], pa.Table]:
    return cache(lambda: read_rejects(lake, PRICE_BY_DATE))


def _years(context: dg.AssetCheckExecutionContext, buckets: Buckets) -> list[int]:
    if context.has_partition_key or context.has_partition_key_range:
        return [int(key) for key in context.partition_keys]
    return _stored_years(buckets.lake)


def _stored_years(lake: ObjectStore) -> list[int]:
    stored = (year_of(partition) for partition in partitions(lake, PRICE_BY_DATE))
    return [year for year in stored if has_year(year)]
