"""The buckets and the settings, read from the environment when a run or a tick asks for them, never at load."""

from __future__ import annotations

import os
from functools import lru_cache

import dagster as dg

from stock_pipeline.lake.store import ObjectStore, S3Store
from stock_pipeline.settings import Settings


class Buckets(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The staging and the lake bucket that STOCK_PIPELINE_STAGING_BUCKET and STOCK_PIPELINE_LAKE_BUCKET name."""

    @property
    def settings(self) -> Settings:
        """All settings; raises SettingsError that names the variable when one is malformed."""
        return Settings.from_env()

    @property
    def staging(self) -> ObjectStore:
        """The bucket that raw objects land in; raises SettingsError when it is not set."""
        return _store(self.settings.require("staging_bucket"), _aws())

    @property
    def lake(self) -> ObjectStore:
        """The bucket of the tables; raises SettingsError when it is not set."""
        return _store(self.settings.require("lake_bucket"), _aws())


def _aws() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


# A client takes a tenth of a second to make, a sensor's tick should take less.
@lru_cache(maxsize=8)
def _store(bucket: str, aws: tuple[tuple[str, str], ...]) -> ObjectStore:  # noqa: ARG001 (a change makes a new client)
    return S3Store(bucket)
