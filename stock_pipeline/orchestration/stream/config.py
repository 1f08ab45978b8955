"""The run config of an ingest of ticks, as the Launchpad shows it: the raw objects, and how to treat the snapshot."""

from typing import Literal

import dagster as dg
from pydantic import Field


class TicksConfig(dg.Config):
    """How ticks are brought into history and the snapshot."""

    arrivals: bool = Field(
        default=False,
        description="Ingest the objects that the messages in the queue STOCK_PIPELINE_STREAM_QUEUE_URL name, whatever "
        "their days, and acknowledge the messages. The sensor tick_arrivals requests this.",
    )
    sources: list[str] = Field(
        default=[],
        description="Ingest only these objects of the staging bucket (stock_stream/2024/06/03/14/…), with all their "
        "days. Empty: all raw objects that arrived on the days being materialized, and on later_days after them.",
    )
    later_days: int = Field(default=1, ge=0, description="How many days late a tick may have arrived.")
    rebuild: bool = Field(
        default=False,
        description="For latest_prices alone: also take out rows that are not in history, for example a row whose time "
        "is in the future. Without this option, an older tick never replaces a newer one.",
    )
    executor: Literal["here", "pool"] = Field(
        default="here",
        description="For latest_prices alone. here: SQL finds when each symbol last traded. pool: several processes "
        "find it in the objects of history, without SQL.",
    )
    processes: int = Field(default=2, ge=1, le=256, description="Number of processes of the pool.")
