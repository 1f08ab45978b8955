"""What the Launchpad takes for an ingest of daily prices: the sources, how they are taken, and what is said of them."""

from typing import Any

import dagster as dg
from pydantic import Field

from stock_pipeline.parse.daily.hints import Hints


class SourcesConfig(dg.Config):
    """What is said of the sources that a run names, as the options of `stock-pipeline ingest` say it."""

    symbol: str | None = Field(
        default=None, description="The symbol of sources that name none, neither inside nor in their file name."
    )
    timezone: str | None = Field(
        default=None, description="The exchange's zone, for times that lie in another one: Asia/Kolkata."
    )
    dates: str | None = Field(
        default=None, description="How dates are written that can be read in two ways: dmy, mdy or ymd."
    )
    decimal: str | None = Field(
        default=None, description="The decimal mark of numbers that can be read in two ways: point or comma."
    )
    unit: int | None = Field(
        default=None, description="How many shares one unit of the volume column is: 100 where it counts lots."
    )

    @property
    def hints(self) -> Hints:
        """Raises FileRefused for what is no zone, order of dates, decimal mark or unit."""
        told: dict[str, Any] = {name: getattr(self, name) for name in ("timezone", "dates", "decimal", "unit")}
        return Hints(**told)


class IngestConfig(SourcesConfig):
    """How a year of `price_by_date` is materialized."""

    sources: list[str] = Field(
        default=[],
        description="Ingest only these objects of the staging bucket (daily_prices/uploads/AAPL.csv, …), with all the "
        "years they hold. Empty: every raw object that may hold the years being materialized.",
    )
    replace: bool = Field(
        default=False,
        description="Restatement: let the values of the named sources take the place of other values stored for the "
        "same symbol and session. Those that give way are kept in rejected_records.",
    )
    rebuild: bool = Field(
        default=False,
        description="Build the years again from nothing but the raw objects, and swap each in when it is complete.",
    )
