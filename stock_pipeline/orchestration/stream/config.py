"""What the Launchpad takes for an ingest of ticks: which raw objects, and whether the snapshot is built again."""

import dagster as dg
from pydantic import Field


class TicksConfig(dg.Config):
    """How ticks are brought into history and the snapshot."""

    arrivals: bool = Field(
        default=False,
        description="Take what the queue STOCK_PIPELINE_STREAM_QUEUE_URL tells of, whatever days that is for, and "
        "acknowledge it. The sensor tick_arrivals asks for this.",
    )
    sources: list[str] = Field(
        default=[],
        description="Ingest only these objects of the staging bucket (stock_stream/2024/06/03/14/…), with all the days "
        "they hold. Empty: every raw object that arrived on the days being materialized, and on later_days after them.",
    )
    later_days: int = Field(
        default=1, ge=0, description="How many days after its own a late tick of a day may have arrived."
    )
    rebuild: bool = Field(
        default=False,
        description="For latest_prices alone: also take out rows that are not in history, such as one with a "
        "wrong, too late time. Without it nothing newer ever gives way.",
    )
