"""What the checks of `price_by_date` look for in a year. No Dagster here: `checks` makes results of the findings.

They read the stored partition, not what the run had in memory. A check's description in the UI is its docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.transforms import year_partition
from stock_pipeline.quality.finding import Finding
from stock_pipeline.quality.rejected_share import Share, counted_reasons
from stock_pipeline.schemas import PRICE_BY_DATE, Reason
from stock_pipeline.settings import Settings
from stock_pipeline.trading_calendar.sessions import FIRST_DAY, last_closed_session, sessions

AFTER_THE_CLOSE = timedelta(hours=8)
"""How long after a session's close its bars may come. Simulated bars come four hours after it."""

_SPLITS = {
    n / m: f"{m}:{n} split" for n, m in ((1, 2), (2, 3), (1, 3), (1, 4), (1, 5), (1, 10), (1, 20), (2, 1), (10, 1))
}
_LIKE = 0.06  # a step is like a split when it is as near to it as this
_HUNDREDFOLD = ((80.0, 125.0), (1 / 125.0, 1 / 80.0))
"""No market makes a step like this: the vendor changed from pence to pounds, or back."""


@dataclass(frozen=True)
class Year:
    """A year of `price_by_date` as it is stored, with what else checks need to know."""

    number: int
    lake: ObjectStore
    settings: Settings
    rejects: Callable[[], pa.Table]
    """The rejected records (schema REJECTED_RECORDS); read once for all years."""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @cached_property
    def rows(self) -> pa.Table:
        """All rows of the year; none when it is not stored."""
        rows = read_partition(self.lake, PRICE_BY_DATE, year_partition(self.number))
        return PRICE_BY_DATE.schema.empty_table() if rows is None else rows

    @cached_property
    def closes(self) -> pa.Table:
        """Symbol, date and closes of the year and of each symbol's last bar before it, by symbol and date."""
        names = ["symbol", "date", "close", "adj_close"]
        before = read_partition(self.lake, PRICE_BY_DATE, year_partition(self.number - 1), names)
        parts = [self.rows.select(names)]
        if before is not None:
            last = before.group_by("symbol").aggregate([("date", "max")]).rename_columns({"date_max": "date"})
            parts.append(before.join(last, ["symbol", "date"], join_type="inner").select(names))
        plain = pa.schema([("symbol", pa.string()), *((f.name, f.type) for f in parts[0].schema if f.name != "symbol")])
        return pa.concat_tables([part.cast(plain) for part in parts]).sort_by(
            [("symbol", "ascending"), ("date", "ascending")]
        )


def duplicate_keys(year: Year) -> Finding:
    """Symbol and session pairs that are stored more than once."""
    counted = year.rows.select(["symbol", "date"]).group_by(["symbol", "date"]).aggregate([([], "count_all")])
    twice = counted.filter(pc.greater(counted["count_all"], 1)).rename_columns({"count_all": "rows"})
    return Finding(twice.num_rows, twice)


def inconsistent_bars(year: Year) -> Finding:
    """Bars whose high is not the highest price, whose low is not the lowest, or that have an impossible price or
    volume.
    """
    rows = year.rows
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
    for rule in rules:  # a missing price breaks no rule
        broken |= pc.fill_null(rule, False).to_numpy()
    found = rows.filter(pa.array(broken))
    return Finding(found.num_rows, found.select(["symbol", "date", "open", "high", "low", "close", "volume"]))


def misplaced_rows(year: Year) -> Finding:
    """Rows whose date is not in the year of their partition. A query for one year would miss them."""
    found = year.rows.filter(pc.not_equal(pc.year(year.rows["date"]), year.number))
    return Finding(found.num_rows, found.select(["symbol", "date", "source"]))


def missing_sessions(year: Year) -> Finding:
    """Sessions of XNYS without a bar, for each symbol between its first and its last bar of the year.

    Bars on days without a session are counted too (`off_calendar`). The calendar begins in 1990, so earlier years are
    not checked.
    """
    calendar = np.array(_sessions_of(year.number), "datetime64[D]")
    if not len(calendar):
        return Finding(0)
    of_year = year.rows.select(["symbol", "date"]).filter(pc.equal(pc.year(year.rows["date"]), year.number))
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


def price_steps(year: Year) -> Finding:
    """Closes that moved by more than STOCK_PIPELINE_PRICE_STEP_PERCENT since the symbol's last bar, which may be of the
    year before. A fall from 150 to 100 counts as much as a rise from 100 to 150. A step that `adj_close` explains, such
    as a split, does not count. A step of about a hundredfold is a vendor's error, and fails the check.
    """
    closes = year.closes
    same = np.zeros(closes.num_rows, bool)
    same[1:] = pc.equal(closes["symbol"][1:], closes["symbol"][:-1]).to_numpy() if closes.num_rows else []
    with np.errstate(invalid="ignore", divide="ignore"):
        step, adjusted = (_steps(closes[name].to_numpy()) for name in ("close", "adj_close"))
        limit = np.log1p(year.settings.price_step_percent / 100)
        large = same & (np.abs(np.log(step)) > limit)
        unexplained = large & ~(np.abs(np.log(adjusted)) <= limit)  # no adjusted close, no explanation
    at = np.flatnonzero(unexplained)
    hundredfold = sum(_looks_like(ratio) == "×100" for ratio in step[at])
    worst = at[np.argsort(-np.abs(np.log(step[at])), kind="stable")]
    examples = closes.take(worst).select(["symbol", "date", "close"])
    for name, values in {
        "before": closes["close"].to_numpy()[worst - 1],
        "step": np.round(step[worst], 4),
        "looks_like": [_looks_like(ratio) for ratio in step[worst]],
    }.items():
        examples = examples.append_column(name, pa.array(values))
    counts = {"hundredfold": hundredfold, "explained_by_adj_close": int(large.sum()) - len(at)}
    return Finding(len(at), examples, counts, error=hundredfold > 0)


def stale_symbols(year: Year) -> Finding:
    """Symbols without a bar in the last STOCK_PIPELINE_STALE_SESSIONS sessions. In the current year these end with the
    last close, in an earlier year with its latest stored bar. Such a symbol was delisted or renamed, or its vendor left
    it out.
    """
    rows = year.rows
    calendar = _sessions_of(year.number)
    if not rows.num_rows or not calendar:
        return Finding(0)
    latest = pc.max(rows["date"]).as_py()
    if year.number == year.now.year:
        latest = max(latest, last_closed_session(year.now - AFTER_THE_CLOSE))
    past = [day for day in calendar if day <= latest]
    expected_since = past[-year.settings.stale_sessions] if len(past) >= year.settings.stale_sessions else date.min
    last = rows.group_by("symbol").aggregate([("date", "max")]).rename_columns({"date_max": "last"})
    stale = last.filter(pc.less(last["last"], pa.scalar(expected_since, pa.date32()))).sort_by("last")
    return Finding(stale.num_rows, stale, {"symbols": last.num_rows})


def rejected_share(year: Year) -> Finding:
    """The share of rejected rows among all rows of the year's sources. Conflicts and replaced values do not count. A
    share above STOCK_PIPELINE_REJECTED_WARN_PERCENT is a warning, above STOCK_PIPELINE_REJECTED_FAIL_PERCENT a failure.
    A source with rows of several years counts in each of them. A source without a stored row counts in the current
    year. A refused file is at least a warning there.
    """
    rejects = counted_reasons(year.rejects())
    mine = set(pc.unique(year.rows["source"].cast(pa.string())).to_pylist())
    if year.number == year.now.year:
        mine |= _stored_nowhere(set(rejects["source"].to_pylist()) - mine, year.lake)
    share = Share.of(rejects, mine, year.rows.num_rows)
    return share.judged(year.settings)


def conflicts(year: Year) -> Finding:
    """Bars that a source gave and the table did not take, because it holds other values for the symbol and session. The
    check names the symbols and the sources that disagree. The values stored first stay. To settle it, ingest the right
    source as a restatement (`--replace`). Conflicts that have one cause, such as a split, count once.
    """
    found = year.rejects()
    found = found.filter(pc.equal(found["reason"].cast(pa.string()), Reason.CONFLICT.value))
    found = found.filter(pc.fill_null(pc.equal(pc.year(found["date"]), year.number), False))
    if not found.num_rows:
        return Finding(0)
    plain = pa.schema([("symbol", pa.string()), ("date", pa.date32()), ("source", pa.string())])
    given = found.select(plain.names).cast(plain)
    stored = year.rows.select(plain.names).cast(plain).rename_columns(["symbol", "date", "stored_from"])
    stored = stored.filter(pc.is_in(stored["symbol"], pc.unique(given["symbol"])))
    pairs = given.join(stored, ["symbol", "date"]).group_by(["symbol", "source", "stored_from"])
    counted = pairs.aggregate([([], "count_all"), ("date", "min"), ("date", "max")])
    counted = counted.rename_columns({"count_all": "records", "date_min": "first", "date_max": "last"})
    counted = counted.sort_by([("records", "descending"), ("symbol", "ascending"), ("source", "ascending")])
    counts = {
        "symbols": pc.count_distinct(given["symbol"]).as_py(),
        "sources": pc.count_distinct(given["source"]).as_py(),
    }
    return Finding(given.num_rows, counted, counts)


def _stored_nowhere(sources: set[str], lake: ObjectStore) -> set[str]:
    """The sources among these that have no row in any year. The latest years are searched first."""
    left = set(sources)
    for name in reversed(partitions(lake, PRICE_BY_DATE)):
        if not left:
            break
        rows = read_partition(lake, PRICE_BY_DATE, name, ["source"])
        if rows is not None:
            left -= set(pc.unique(rows["source"].cast(pa.string())).to_pylist())
    return left


def _sessions_of(year: int) -> list[date]:
    """The sessions of XNYS in a year; none before 1990, where the calendar begins."""
    if year < FIRST_DAY.year:
        return []
    return sessions(max(date(year, 1, 1), FIRST_DAY), date(year, 12, 31))


def _steps(values: np.ndarray) -> np.ndarray:
    """Each value as a multiple of the one before it; the first has none."""
    steps = np.full(len(values), np.nan)
    steps[1:] = values[1:] / values[:-1]
    return steps


def _looks_like(ratio: float) -> str:
    if any(low <= ratio <= high for low, high in _HUNDREDFOLD):
        return "×100"
    near = min(_SPLITS, key=lambda split: abs(np.log(ratio / split)))
    return _SPLITS[near] if abs(np.log(ratio / near)) <= _LIKE else "move"
