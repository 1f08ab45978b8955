"""The environment, read once into a typed object. Light enough for a Lambda's cold start: standard library only.

Every setting is an environment variable that begins with STOCK_PIPELINE_. `documented` lists them with their meaning,
and a test compares that list with the reference in docs/. AWS has its own variables (AWS_ENDPOINT_URL, AWS_PROFILE,
AWS_REGION, …), which boto3 reads.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from stock_pipeline.errors import SettingsError

__all__ = [
    "DEFAULT_SYMBOLS",
    "MIB",
    "PREFIX",
    "Settings",
    "documented",
    "variable",
]

PREFIX = "STOCK_PIPELINE_"
DEFAULT_SYMBOLS = tuple("NVDA AAPL MSFT AMZN GOOGL META TSLA WMT JPM V ORCL MA XOM NFLX PG SAP".split())
MIB = 1024 * 1024
_GONE = {"tick_bucket_minutes": "the lake itself says how long its objects of history are; see `stock-pipeline layout`"}
"""Settings of former versions, and where their meaning is now. To ignore one silently would mislead."""


def _setting(meaning: str, default: Any = None, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"meaning": meaning}, repr=not secret)


@dataclass(frozen=True)
class Settings:
    """All settings of the pipeline. `Settings.from_env()` reads and checks them."""

    staging_bucket: str | None = _setting("bucket that raw files land in")
    lake_bucket: str | None = _setting("bucket of the clean Parquet tables")
    processor: Literal["dagster", "lambda"] = _setting(
        "who consumes arrivals: the Dagster sensors (dagster) or the Lambda functions (lambda)", "dagster"
    )
    symbols: tuple[str, ...] | int = _setting(
        "symbols to simulate: a comma-separated list, or a number of made-up ones", DEFAULT_SYMBOLS
    )
    seed: int = _setting("seed of the simulated market", 7)
    database: str = _setting("Glue database of the tables", "stock_market")
    athena_workgroup: str = _setting("Athena workgroup that `stock-pipeline sql` runs in", "stock-pipeline-main")
    sql_engine: Literal["athena", "duckdb"] = _setting(
        "what runs SQL: athena, or duckdb on the Parquet objects (the default if AWS_ENDPOINT_URL is set)", "athena"
    )
    sql_seconds: float = _setting("seconds after which a statement on duckdb is stopped", 600.0)
    sql_memory_mb: int = _setting(
        "memory in MiB that duckdb may use for a statement, and a result may have; 0: half of the machine's", 0
    )
    daily_queue_url: str | None = _setting("SQS queue with the notifications of new raw objects of daily prices")
    daily_dlq_url: str | None = _setting("SQS dead-letter queue: the messages of daily prices that failed at every try")
    stream_name: str | None = _setting("Kinesis stream that ticks are sent to")
    stream_queue_url: str | None = _setting("SQS queue with the notifications of new raw objects of ticks")
    stream_dlq_url: str | None = _setting("SQS dead-letter queue: the messages of ticks that failed at every try")
    lineage_queue_url: str | None = _setting("SQS queue that the Lambda functions send their receipts to")
    lineage_dlq_url: str | None = _setting("SQS dead-letter queue: the receipts that Dagster could not show")
    failed_invocations_url: str | None = _setting("SQS queue with the calls of functions that failed at every try")
    missed_schedules_url: str | None = _setting("SQS queue with the calls of schedules that did not reach a function")
    max_clock_skew_seconds: int = _setting("how far ahead of the clock a tick's time may be", 300)
    max_object_mb: int = _setting(
        "largest raw object, decompressed, in MiB; larger ones are refused. An ingest needs up to nine times that size "
        "in memory",
        1024,
    )
    rejected_warn_percent: float = _setting("share of rejected rows, in percent, above which the check warns", 1.0)
    rejected_fail_percent: float = _setting("share of rejected rows, in percent, above which the check fails", 5.0)
    price_step_percent: float = _setting(
        "move of a price, in percent, above which the check of price steps warns", 50.0
    )
    stale_sessions: int = _setting("number of sessions without a bar after which the check of stale symbols warns", 5)
    alerts_topic_arn: str | None = _setting("SNS topic that alerts are sent to; its subscribers get them by e-mail")
    alerts_slack_webhook: str | None = _setting(
        "address of a Slack webhook that alerts are sent to; a secret", secret=True
    )
    alerts_file: str | None = _setting(
        "file that alerts are appended to; `stock-pipeline dev` sets it and shows the file"
    )
    dagster_url: str | None = _setting(
        "address of the Dagster UI: for the links in alerts (without it, http://localhost:3000), and for `doctor`"
    )
    home: str | None = _setting("folder whose .local holds the local AWS and its data; default: the source tree")

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> Settings:
        """The settings of an environment; blank variables count as unset.

        Raises SettingsError, which names the variable, its value and what it accepts.
        """
        for name, why in _GONE.items():
            if env.get(variable(name), "").strip():
                raise SettingsError(f"{variable(name)} is no setting any more: {why}. Remove it from the environment")
        given: dict[str, Any] = {}
        for f in fields(cls):
            text = env.get(variable(f.name), "").strip()
            if text:
                given[f.name] = _READERS.get(f.name, _as_is)(variable(f.name), text)
        if "sql_engine" not in given and env.get("AWS_ENDPOINT_URL"):
            given["sql_engine"] = "duckdb"
        return cls(**given)

    @property
    def max_object_bytes(self) -> int:
        """`max_object_mb` in bytes: what an ingest takes as its `max_bytes`."""
        return self.max_object_mb * MIB

    @property
    def names_buckets(self) -> bool:
        """Whether the environment names a bucket. If it does not, commands use the local AWS."""
        return bool(self.staging_bucket or self.lake_bucket)

    def require(self, name: str, *, variable_name: str | None = None) -> str:
        """The value of a setting that has no default.

        Raises SettingsError, which names the environment variable, when it is not set. Give `variable_name` if the
        value comes from another variable than the setting's own.
        """
        value = getattr(self, name)
        if not value:
            meaning = next(f.metadata["meaning"] for f in fields(self) if f.name == name)
            unset = variable_name or variable(name)
            raise SettingsError(f"{unset} is not set ({meaning}); set it to the name of your stack's resource")
        return str(value)


def variable(name: str) -> str:
    """The environment variable that holds a setting: `lake_bucket` → `STOCK_PIPELINE_LAKE_BUCKET`."""
    return PREFIX + name.upper()


def documented() -> dict[str, str]:
    """Every environment variable of the pipeline with its meaning, in the order of the class."""
    return {variable(f.name): f.metadata["meaning"] for f in fields(Settings)}


def _as_is(_name: str, text: str) -> str:
    return text


def _whole(low: int) -> Any:
    def read(name: str, text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if number < low:
            raise SettingsError(f"{name} is {text!r}; it takes a whole number from {low}")
        return number

    return read


def _percent(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise SettingsError(f"{name} is {text!r}; it takes a number from 0, in percent")
    return number


def _seconds(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise SettingsError(f"{name} is {text!r}; it takes a number of seconds above 0")
    return number


def _one_of(*choices: str) -> Any:
    def read(name: str, text: str) -> str:
        if text.lower() not in choices:
            raise SettingsError(f"{name} is {text!r}; it takes {' or '.join(choices)}")
        return text.lower()

    return read


def _webhook(name: str, text: str) -> str:
    if not text.startswith(("https://", "http://127.0.0.1:")):
        raise SettingsError(f"{name} is no address that begins with https://")  # a secret, so it is not shown
    return text


def _url(name: str, text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise SettingsError(f"{name} is {text!r}; it takes an address that begins with http:// or https://")
    return text.rstrip("/")


def _symbols(name: str, text: str) -> tuple[str, ...] | int:
    if text.isdecimal():
        return int(_whole(1)(name, text))
    symbols = tuple(s.strip().upper() for s in text.split(",") if s.strip())
    if not symbols:
        raise SettingsError(f"{name} is {text!r}; it takes a comma-separated list of symbols or a number of them")
    return symbols


_READERS: dict[str, Any] = {
    "rejected_warn_percent": _percent,
    "rejected_fail_percent": _percent,
    "price_step_percent": _percent,
    "stale_sessions": _whole(1),
    "alerts_slack_webhook": _webhook,
    "dagster_url": _url,
    "processor": _one_of("dagster", "lambda"),
    "sql_engine": _one_of("athena", "duckdb"),
    "symbols": _symbols,
    "seed": _whole(0),
    "sql_seconds": _seconds,
    "sql_memory_mb": _whole(0),
    "max_clock_skew_seconds": _whole(0),
    "max_object_mb": _whole(1),
}
