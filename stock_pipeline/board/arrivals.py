"""The panels on what arrives: rejected rows by reason and source, and how far the tables are behind."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stock_pipeline.board import figures
from stock_pipeline.board.bars import Floats
from stock_pipeline.board.questions import Question, fact
from stock_pipeline.board.texts import age, counted, seconds_text
from stock_pipeline.query import latest_prices
from stock_pipeline.schemas import REASONS
from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions

_SOURCES = 50  # rows of the table
_MEDIAN = {"athena": "approx_percentile", "duckdb": "approx_quantile"}

_REJECTED = (
    "SELECT target_table, reason, source, count(*) AS n, count(CASE WHEN stored THEN 1 END) AS stored, "
    "max(etl_loading_ts) AS latest, min(detail) AS detail FROM rejected_records GROUP BY target_table, reason, source"
)

# The row without a minute is that of the whole day. Both engines know these functions.
_LAGS = (
    "SELECT minute, count(*) AS n, {median}(lag, 0.5) AS median, max(lag) AS longest, "
    "count(CASE WHEN lag < 0 THEN 1 END) AS ahead FROM (SELECT date_trunc('minute', produced_at) AS minute, "
    "date_diff('millisecond', produced_at, etl_loading_ts) AS lag FROM stream_prices_history "
    'WHERE "year" = ? AND "month" = ? AND "day" = ?) AS t GROUP BY GROUPING SETS ((minute), ()) ORDER BY minute'
)


def rejected(question: Question) -> dict[str, Any]:
    """The records of `rejected_records` by reason, and the sources that have most of them."""
    rows = question.sql(_REJECTED)
    if not rows.num_rows:
        return {"empty": {"text": "Nothing was rejected.", "commands": []}}
    total, kept = pc.sum(rows["n"]).as_py(), pc.sum(rows["stored"]).as_py()
    by_reason = rows.group_by("reason").aggregate([("n", "sum")])
    by_reason = by_reason.sort_by([("n_sum", "descending"), ("reason", "ascending")])  # the same on both engines
    reasons: list[str] = by_reason["reason"].cast(pa.string()).to_pylist()
    counts = {table: _of_table(rows, table, reasons) for table in sorted(pc.unique(rows["target_table"]).to_pylist())}
    ordered = rows.sort_by(
        [("n", "descending"), *((name, "ascending") for name in ("source", "reason", "target_table"))]
    )
    sources = pc.count_distinct(rows["source"]).as_py()
    said = f"{counted(total, 'record')} of {counted(sources, 'source')}."
    if rows.num_rows > _SOURCES:
        said += f" The table has the {_SOURCES} pairs of source and reason with the most of {rows.num_rows:,}."
    facts = [
        fact("records", f"{total:,}", f"{kept:,} are of rows that are stored, without a bad value" if kept else ""),
        fact("latest", f"{pc.max(rows['latest']).as_py():%Y-%m-%d %H:%M}", "UTC"),
    ]
    meanings = {reason.value: text for reason, text in REASONS.items()}
    table = {
        "columns": ["records", "reason", "source", "table", "for example"],
        "rows": [
            [f"{row['n']:,}", *(row[name] for name in ("reason", "source", "target_table")),
             row["detail"] or meanings.get(row["reason"], "")]
            for row in ordered.slice(0, _SOURCES).to_pylist()
        ],
    }  # fmt: skip
    return {"figure": figures.rejected(reasons, counts), "caption": said, "facts": facts, "table": table,
            "commands": [f"{question.command} rejects list", f"{question.command} rejects replay --all"]}  # fmt: skip


def lag(question: Question) -> dict[str, Any]:
    """How far daily prices and ticks are behind; for the ticks of a UTC `day`, from the trade to the table."""
    trades = latest_prices(columns=["symbol", "produced_at"], settings=question.settings, arrow=True)
    newest: datetime | None = pc.max(trades["produced_at"]).as_py()
    facts = [_of_sessions(question), _of_trades(question, newest)]
    day = question.day("day") or (newest or question.now).date()
    statement = _LAGS.format(median=_MEDIAN[question.settings.sql_engine])
    rows = question.sql(statement, day.year, day.month, day.day)
    whole = rows.filter(pc.is_null(rows["minute"]))
    if not whole.num_rows or not whole["n"][0].as_py():
        return {"day": day, "facts": facts, "caption": f"No ticks on {day} (UTC)."}
    minutes = rows.filter(pc.is_valid(rows["minute"]))
    ticks, ahead = whole["n"][0].as_py(), whole["ahead"][0].as_py()
    median, longest = (float(whole[name][0].as_py()) / 1e3 for name in ("median", "longest"))
    facts.append(fact("median lag", seconds_text(max(median, 0)), f"longest {seconds_text(max(longest, 0))}"))
    said = f"{day} (UTC), {counted(ticks, 'tick')} of all symbols, by the minute: from the trade to the table."
    if ahead:
        said += f" Ahead of the clock: {counted(ahead, 'tick')}."
    values = (np.maximum(_floats(minutes[name]) / 1e3, 1e-3) for name in ("median", "longest"))
    figure = figures.lags(minutes["minute"].to_numpy().astype("datetime64[us]"), *values)
    return {"day": day, "figure": figure, "caption": said, "facts": facts}


def _floats(column: pa.ChunkedArray) -> Floats:
    floats: Floats = column.cast(pa.float64()).to_numpy()
    return floats


def _of_table(rows: pa.Table, table: str, reasons: list[str]) -> list[int]:
    mine = rows.filter(pc.equal(rows["target_table"], table)).group_by("reason").aggregate([("n", "sum")])
    counted = dict(zip(mine["reason"].to_pylist(), mine["n_sum"].to_pylist(), strict=True))
    return [counted.get(reason, 0) for reason in reasons]


def _of_sessions(question: Question) -> dict[str, str]:
    closed = last_closed_session(question.now)
    stored: date | None = question.of_recent_years('SELECT max("date")')[0][0].as_py()
    if stored is None:
        return fact("daily prices", "none", f"the last session that has closed is {closed}")
    behind = len(sessions(stored, closed)) - 1 if stored < closed else 0
    note = f"{counted(behind, 'session')} behind {closed}" if behind else "the last session that has closed"
    return fact("daily prices to", f"{stored}", note)


def _of_trades(question: Question, newest: datetime | None) -> dict[str, str]:
    if newest is None:
        return fact("latest trade", "none", f"`{question.command} stream` sends some")
    return fact("latest trade", f"{age(question.now - newest)} ago", f"{newest:%Y-%m-%d %H:%M:%S} UTC")
