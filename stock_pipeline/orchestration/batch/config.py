"""The run config of an ingest of daily prices, as the Launchpad shows it: the sources and the options for them."""

from typing import Any

import dagster as dg
from pydantic import Field

from stock_pipeline.lake.object_store import Named, ObjectInfo, ObjectVersion
from stock_pipeline.parse.daily.hints import Hints


class SourcesConfig(dg.Config):
    """The options for the sources of a run. They are the options of `stock-pipeline ingest`."""

    symbol: str | None = Field(
        default=None, description="The symbol of a source that has none, neither in its rows nor in its file name."
    )
    timezone: str | None = Field(
        default=None, description="The time zone of the exchange, if the file has times in another zone: Asia/Kolkata."
    )
    dates: str | None = Field(
        default=None, description="The order of ambiguous dates such as 03-04-2024: dmy, mdy or ymd."
    )
    decimal: str | None = Field(
        default=None, description="The decimal mark of ambiguous numbers such as 1,234: point or comma."
    )
    unit: int | None = Field(
        default=None, description="Shares per unit of the volume column: 100 if it counts lots of 100 shares."
    )

    @property
    def hints(self) -> Hints:
        """Raises FileRefused for a zone, order of dates, decimal mark or unit that is not valid."""
        told: dict[str, Any] = {name: getattr(self, name) for name in ("timezone", "dates", "decimal", "unit")}
        return Hints(**told)


def as_version(info: ObjectInfo) -> str:
    """A version of a source as `IngestConfig.versions` has it."""
    return f"{info.version} {info.etag}"


class IngestConfig(SourcesConfig):
    """How a year of `price_by_date` is materialized."""

    sources: list[str] = Field(
        default=[],
        description="Ingest only these objects of the staging bucket (daily_prices/uploads/AAPL.csv, …), with all "
        "their years. Empty: all raw objects that may have rows of the years being materialized.",
    )
    versions: list[str] = Field(
        default=[],
        description="The versions of the sources, in their order: the id of each in the staging bucket, a space, and "
        "its ETag. The sensor gives them. Empty: the sources as they are now.",
    )
    replace: bool = Field(
        default=False,
        description="Restatement: the values of the named sources replace the values that are stored for the same "
        "symbol and session. The old values are kept in price_revisions.",
    )
    rebuild: bool = Field(
        default=False,
        description="Build the years again from the raw objects only, and swap each in when it is complete.",
    )

    @property
    def objects(self) -> list[Named]:
        """The sources, in the versions that the config names. Raises a failure when the two lists do not match."""
        if not self.versions:
            return list(self.sources)
        if len(self.versions) != len(self.sources):
            raise dg.Failure("versions must have an entry for each of the sources, or none", allow_retries=False)
        pairs = zip(self.sources, (text.partition(" ") for text in self.versions), strict=True)
        return [ObjectVersion(key, version, etag) for key, (version, _, etag) in pairs]
