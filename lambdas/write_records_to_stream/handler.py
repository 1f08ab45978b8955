"""Simulates ticks and sends them to the Kinesis stream as they fall due.

The event may name `seconds` (how long, default 60), `rate` (ticks per second over all symbols, default 10), `symbols`
(a list, a comma-separated string, or a number of made-up symbols), `seed`, and `faults`. Faults are shares of the
ticks: {"duplicates": 0.1, "late": 0.1, "malformed": 0.01}.

Environment: STOCK_PIPELINE_STREAM_NAME; optional STOCK_PIPELINE_SYMBOLS and STOCK_PIPELINE_SEED.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from stock_pipeline.aws.kinesis import check_sent, kinesis_client
from stock_pipeline.aws.lambda_metrics import published
from stock_pipeline.errors import EventError
from stock_pipeline.producer.live import produce_live
from stock_pipeline.settings import Settings, variable
from stock_pipeline.simulate.daily import default_symbols
from stock_pipeline.simulate.faults import Faults

# Read while the function starts, so that a missing setting is reported then and not in the middle of an event.
SETTINGS = Settings.from_env()
STREAM = SETTINGS.require("stream_name")
KINESIS = kinesis_client()

DEADLINE = 30.0
"""Seconds that the function goes on trying to send what the stream does not take at once."""

KEPT_BACK = DEADLINE + 10
"""Seconds of the function's time that are kept free: it does not produce in them."""

logger = Logger()
metrics = Metrics(namespace="StockPipeline")

_FIELDS = ("seconds", "rate", "symbols", "seed", "faults")
_TAKES = {
    "symbols": "a list of symbols, a comma-separated string or a number of made-up ones",
    "seed": "a whole number from 0",
}


@logger.inject_lambda_context
@published(metrics)
def lambda_handler(event: dict[str, Any] | None, context: LambdaContext) -> dict[str, Any]:
    """Produce the ticks that an event asks for; returns the counts of `stock_pipeline.aws.kinesis.Sent`.

    Raises EventError, which says what the event takes; SimulationError for what cannot be simulated; and NotSent when
    the stream did not take all ticks.
    """
    event = event or {}
    if unknown := sorted(set(event) - set(_FIELDS)):
        raise EventError(f"the event has {unknown[0]!r}; it takes {', '.join(_FIELDS)}")
    seconds, rate = _number(event, "seconds", 60), _number(event, "rate", 10)
    most = context.get_remaining_time_in_millis() / 1000 - KEPT_BACK
    if seconds > most:
        raise EventError(f"seconds is {seconds:g}; this function has time for {max(most, 0):.0f}")
    settings = settings_of(event)
    symbols = default_symbols(settings.symbols)
    sent = produce_live(
        KINESIS, STREAM, symbols, seed=settings.seed, rate=rate, seconds=seconds, faults=faults_of(event),
        deadline=DEADLINE,
    )  # fmt: skip
    metrics.add_metric("TicksSent", MetricUnit.Count, sent.lines)
    metrics.add_metric("TicksNotSent", MetricUnit.Count, sent.failed)
    logger.info("produced", symbols=len(symbols), **asdict(sent))
    check_sent(sent)
    return asdict(sent)


def settings_of(event: dict[str, Any]) -> Settings:
    """The settings with the symbols and the seed that an event asks for. Raises EventError, SettingsError."""
    given = {"symbols": SETTINGS.symbols, "seed": SETTINGS.seed} | {n: event[n] for n in _TAKES if n in event}
    return Settings.from_env({variable(name): _text(name, value) for name, value in given.items()})


def faults_of(event: dict[str, Any]) -> Faults | None:
    """The faults that an event asks for: an object of shares, or the text that the command line takes."""
    faults = event.get("faults")
    if isinstance(faults, dict):
        faults = ",".join(f"{kind}={share}" for kind, share in faults.items())
    if faults is not None and not isinstance(faults, str):
        raise EventError('faults is an object of shares, such as {"duplicates": 0.1}')
    return Faults.parse(faults) if faults else None


def _number(event: dict[str, Any], name: str, default: float) -> float:
    value = event.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EventError(f"{name} is {value!r}; it takes a number")
    return float(value)


def _text(name: str, value: Any) -> str:
    """A value as the text of an environment variable, which `Settings` then checks."""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ",".join(value) or ","
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise EventError(f"{name} is {value!r}; it takes {_TAKES[name]}")
    return str(value)
