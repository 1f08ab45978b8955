"""The buckets, queues and settings, read from the environment when a run or a tick asks for them, never at load."""

from __future__ import annotations

import os
from functools import lru_cache

import dagster as dg

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.sqs import Queue
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.settings import Settings


class Buckets(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The buckets and queues that the settings name (STOCK_PIPELINE_STAGING_BUCKET and so on)."""

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

    @property
    def tick_arrivals(self) -> Queue:
        """The queue that tells of raw objects of ticks; raises SettingsError when it is not set."""
        return _queue(self.settings.require("stream_queue_url"), _aws())

    @property
    def dead_letters(self) -> Queue:
        """The queue of the messages that failed at every try; raises SettingsError when it is not set."""
        return _queue(self.settings.require("stream_dlq_url"), _aws())

    @property
    def receipts(self) -> Queue:
        """The queue that the Lambda functions send their receipts to; raises SettingsError when it is not set."""
        return _queue(self.settings.require("lineage_queue_url"), _aws())


def _aws() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


# A client takes a tenth of a second to make, a sensor's tick should take less.
@lru_cache(maxsize=8)
def _store(bucket: str, aws: tuple[tuple[str, str], ...]) -> ObjectStore:  # noqa: ARG001 (a change makes a new client)
    return S3Store(bucket)


@lru_cache(maxsize=8)
def _queue(url: str, aws: tuple[tuple[str, str], ...]) -> Queue:  # noqa: ARG001 (as above)
    return Queue(url)
