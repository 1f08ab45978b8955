"""Checks of `price_by_date`. They read the stored partition, not what the run had in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.store import ObjectStore
from stock_pipeline.orchestration.batch.assets import price_by_date
from stock_pipeline.orchestration.evaluations import Written, last_written
from stock_pipeline.orchestration.failures import told
from stock_pipeline.orchestration.metadata import records
from stock_pipeline.orchestration.partitions import YEARLY, has_year
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.schemas import PRICE_BY_DATE
from stock_pipeline.simulate.sessions import FIRST_DAY, sessions

EXAMPLES = 10


@dataclass(frozen=True)
class Finding:
    """What a check found in one year: how many rows or bars are wrong, and the first few of them."""

    wrong: int
    examples: pa.Table | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


def duplicate_keys(rows: pa.Table, _year: int) -> Finding:
    """Symbol and session pairs that are stored more than once."""
    counted = rows.select(["symbol", "date"]).group_by(["symbol", "date"]).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).rename_columns({"count_all": "rows"})
    return Finding(twice.num_rows, twice)


def inconsistent_bars(rows: pa.Table, _year: int) -> Finding:
    """Bars whose high is not the highest or low not the lowest price, or with a price or volume that cannot be."""
    open_, high, low, close = (rows[name] for name in ("open", "high", "low", "close"))
    rules = [
        *(pc.less_equal(price, 0) for price in (open_, high, low, close)),
        *(pc.less(high, price) for price in (open_, low, close)),
        *(pc.greater(low, price) for price in (open_, close)),
        pc.less(rows["volume"], 0),
        pc.is_null(close),
        pc.invert(pc.is_finite(close)),
    ]
    broken = np.zeros(rows.num_rows, bool)
    for rule in rules:  # a price that is not there breaks no rule
        broken |= pc.fill_null(rule, False).to_numpy()
    found = rows.filter(pa.array(broken))
    return Finding(found.num_rows, found.select(["symbol", "date", "open", "high", "low", "close", "volume"]))


def misplaced_rows(rows: pa.Table, year: int) -> Finding:
    """Rows of another year than their partition's: a query that reads only the year it asks for would miss them."""
    found = rows.filter(pc.not_equal(pc.year(rows["date"]), year))
    return Finding(found.num_rows, found.select(["symbol", "date", "source"]))


def missing_sessions(rows: pa.Table, year: int) -> Finding:
    """Sessions of XNYS without a bar, for each symbol between its first and its last bar of the year.

    Bars on days that are no session are counted too (`off_calendar`). Years before 1990 have no calendar to hold them
    against.
    """
    first_day = max(date(year, 1, 1), FIRST_DAY)
    calendar = np.array(sessions(first_day, date(year, 12, 31)) if year >= FIRST_DAY.year else [], "datetime64[D]")
    if not len(calendar):
        return Finding(0)
    of_year = rows.select(["symbol", "date"]).filter(pc.equal(pc.year(rows["date"]), year))
    on_calendar = np.isin(of_year["date"].to_numpy().astype("datetime64[D]"), calendar)
    bars = of_year.filter(pa.array(on_calendar))
    spans = bars.group_by("symbol").aggregate([("date", "min"), ("date", "max"), ("date", "count_distinct")])
    first, last = (
        np.searchsorted(calendar, spans[f"date_{end}"].to_numpy().astype("datetime64[D]")) for end in ("min", "max")
    )
    missing = last - first + 1 - spans["date_count_distinct"].to_numpy()
    found = spans.append_column("missing", pa.array(missing)).filter(pa.array(missing > 0))
    found = found.sort_by([("missing", "descending")]).rename_columns(
        {"date_min": "first", "date_max": "last", "date_count_distinct": "sessions"}
    )
    off_calendar = int((~on_calendar).sum())
    counts = {"symbols_with_gaps": found.num_rows, "off_calendar": off_calendar}
    return Finding(int(missing.sum()) + off_calendar, found, counts)


@dataclass(frozen=True)
class Check:
    """A check of one year's rows: what it looks for, how bad a finding is, and how to find it."""

    name: str
    find: Callable[[pa.Table, int], Finding]
    severity: dg.AssetCheckSeverity

    @property
    def spec(self) -> dg.AssetCheckSpec:
        return dg.AssetCheckSpec(self.name, asset=price_by_date, description=self.find.__doc__, partitions_def=YEARLY)


CHECKS = {
    check.name: check
    for check in (
        Check("keys_unique", duplicate_keys, dg.AssetCheckSeverity.ERROR),
        Check("ohlc_consistent", inconsistent_bars, dg.AssetCheckSeverity.ERROR),
        Check("rows_in_their_year", misplaced_rows, dg.AssetCheckSeverity.ERROR),
        Check("sessions_complete", missing_sessions, dg.AssetCheckSeverity.WARN),
    )
}


@dg.multi_asset_check(specs=[check.spec for check in CHECKS.values()], can_subset=True)
def price_by_date_checks(
    context: dg.AssetCheckExecutionContext, buckets: Buckets
) -> Iterator[dg.AssetCheckEvaluation | dg.Output[None]]:
    """Evaluate the selected checks for each year of the run, or for every stored year when the run names none.

    Evaluations are written out one a year: an AssetCheckResult names its partition only when the run has a single one.
    """
    asked = sorted(key.name for key in context.selected_asset_check_keys)
    with told():
        lake = buckets.lake
        for year in _years(context, buckets):
            yield from evaluate_year(lake, context.instance, year, asked)
    yield from (dg.Output(None, output_name=f"{PRICE_BY_DATE.name}_{name}") for name in asked)


class YearsConfig(dg.Config):
    """Which years are checked."""

    years: list[int] = Field(default=[], description="The years to check. Empty: every stored year.")


@dg.op(out={}, description="Evaluates the checks of price_by_date for years that somebody else wrote.")
def check_years(
    context: dg.OpExecutionContext, buckets: Buckets, config: YearsConfig
) -> Iterator[dg.AssetCheckEvaluation]:
    with told():
        lake = buckets.lake
        for year in config.years or _stored_years(lake):
            yield from evaluate_year(lake, context.instance, year)


def evaluate_year(
    lake: ObjectStore, instance: dg.DagsterInstance, year: int, names: Iterable[str] = tuple(CHECKS)
) -> Iterator[dg.AssetCheckEvaluation]:
    """The results of checks for a stored year, each for the year's latest materialization."""
    written = last_written(instance, price_by_date.key, str(year))
    rows = read_partition(lake, PRICE_BY_DATE, f"year={year:04d}")
    if rows is None:
        rows = PRICE_BY_DATE.schema.empty_table()
    for name in names:
        yield _evaluation(CHECKS[name], year, rows, written)


def _years(context: dg.AssetCheckExecutionContext, buckets: Buckets) -> list[int]:
    if context.has_partition_key or context.has_partition_key_range:
        return [int(key) for key in context.partition_keys]
    return _stored_years(buckets.lake)


def _stored_years(lake: ObjectStore) -> list[int]:
    stored = (int(partition.removeprefix("year=")) for partition in partitions(lake, PRICE_BY_DATE))
    return [year for year in stored if has_year(year)]


def _evaluation(check: Check, year: int, rows: pa.Table, written: Written | None) -> dg.AssetCheckEvaluation:
    finding = check.find(rows, year)
    metadata: dict[str, dg.MetadataValue[Any]] = {
        "rows": dg.MetadataValue.int(rows.num_rows),
        "found": dg.MetadataValue.int(finding.wrong),
        **{name: dg.MetadataValue.int(count) for name, count in finding.counts.items()},
    }
    if finding.wrong and finding.examples is not None:
        metadata["examples"] = records(finding.examples.slice(0, EXAMPLES))
    return dg.AssetCheckEvaluation(
        asset_key=price_by_date.key,
        check_name=check.name,
        passed=not finding.wrong,
        severity=check.severity,
        description=f"{year}: {finding.wrong:,} found in {rows.num_rows:,} rows" if finding.wrong else None,
        metadata=metadata,
        partition=str(year),
        target_materialization_data=written,
    )
