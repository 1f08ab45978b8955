"""Simulates daily prices and writes them to staging, one raw CSV object per session.

The event may name a `date`, or a `start` and an `end`, in ISO form (2024-01-31). Without them, the function simulates
the session that closed last. The event may also name `symbols`: a list, a comma-separated string, or a number of
made-up symbols. An object that is there already with the same content is not written again, so a second call makes no
second arrival.

Environment: STOCK_PIPELINE_STAGING_BUCKET; optional STOCK_PIPELINE_SYMBOLS and STOCK_PIPELINE_SEED.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.errors import EventError
from stock_pipeline.settings import Settings, variable
from stock_pipeline.simulate.daily import default_symbols, write_raw_daily_prices
from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STAGING = S3Store(SETTINGS.require("staging_bucket"))

logger = Logger()
metrics = Metrics(namespace="StockPipeline")

_FIELDS = ("date", "start", "end", "symbols")


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any] | None, context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001 - Lambda gives it
    """Write the sessions that an event asks for.

    Returns {"sessions", "rows", "written": objects that were not there already, "objects": [{"key", "rows", "bytes",
    "written"}]}. Raises EventError, which says what the event takes.
    """
    event = event or {}
    if unknown := sorted(set(event) - set(_FIELDS)):
        raise EventError(f"the event has {unknown[0]!r}; it takes {', '.join(_FIELDS)}")
    days, symbols = sessions_of(event, datetime.now(UTC)), symbols_of(event)
    objects = write_raw_daily_prices(STAGING, days, symbols, SETTINGS.seed)
    written = sum(raw.written for raw in objects)
    metrics.add_metric("RawObjectsWritten", MetricUnit.Count, written)
    logger.info("generated", first=days[0].isoformat(), last=days[-1].isoformat(), sessions=len(days),
                symbols=len(symbols), written=written)  # fmt: skip
    return {
        "sessions": len(objects),
        "rows": sum(raw.rows for raw in objects),
        "written": written,
        "objects": [{"key": r.key, "rows": r.rows, "bytes": r.bytes, "written": r.written} for r in objects],
    }


def sessions_of(event: dict[str, Any], now: datetime) -> list[date]:
    """The sessions that an event asks for, at least one. Raises EventError; SimulationError outside the calendar."""
    last = last_closed_session(now)
    if "date" in event:
        if "start" in event or "end" in event:
            raise EventError("the event has a date and a range; it takes either date, or start and end")
        start = end = _day(event, "date")
    elif "start" in event:
        start, end = _day(event, "start"), _day(event, "end") if "end" in event else last
    elif "end" in event:
        raise EventError("the event has an end and no start; give both, or a date")
    else:
        start = end = last
    if end < start:
        raise EventError(f"the range ends ({end}) before it starts ({start})")
    if end > last:
        raise EventError(f"{end} has not closed yet; the last closed session is {last}")
    days = sessions(start, end)
    if not days:
        raise EventError(f"there is no trading session from {start} to {end} (a weekend, a holiday)")
    return days


def symbols_of(event: dict[str, Any]) -> tuple[str, ...]:
    """The symbols that an event asks for, or those of the settings.

    Raises EventError, SettingsError and SimulationError; each message says what can be asked for.
    """
    if "symbols" not in event:
        return default_symbols(SETTINGS.symbols)
    asked = event["symbols"]
    if isinstance(asked, int) and not isinstance(asked, bool):
        return default_symbols(asked)
    if isinstance(asked, list) and all(isinstance(symbol, str) for symbol in asked):
        asked = ",".join(asked)
    if not isinstance(asked, str) or not asked.strip():
        raise EventError("symbols is a list of symbols, a comma-separated string or a number of made-up ones")
    return default_symbols(Settings.from_env({variable("symbols"): asked}).symbols)


def _day(event: dict[str, Any], name: str) -> date:
    try:
        return date.fromisoformat(event[name])
    except (TypeError, ValueError) as error:
        raise EventError(f"{name} is {event[name]!r}; it takes a day such as 2024-01-31") from error
