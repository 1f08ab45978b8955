"""The buckets, queues and settings. A run or a sensor tick reads them from the environment; loading does not.

The fields of the resource show in the UI which variables are needed. They have the type Any, so that Dagster does not
read them. If a field had the type str, Dagster would read its variable, and one missing variable would fail every run
and every tick, even those that do not need it, with a message that has no remedy.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache
from typing import Any

import dagster as dg
from pydantic import Field

from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.sqs import Queue
from stock_pipeline.lake.object_store import ObjectStore
from stock_pipeline.settings import Settings, documented, variable


def _from_environment(name: str) -> Any:
    """The field of a setting. Its value is that of its variable, unless the definitions give a text or an EnvVar."""
    return Field(default=dg.EnvVar(variable(name)), description=documented()[variable(name)])


class Buckets(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The buckets and queues of the pipeline, and its other settings. A field is a text or a `dg.EnvVar`."""

    staging_bucket: Any = _from_environment("staging_bucket")
    lake_bucket: Any = _from_environment("lake_bucket")
    stream_queue_url: Any = _from_environment("stream_queue_url")
    stream_dlq_url: Any = _from_environment("stream_dlq_url")
    lineage_queue_url: Any = _from_environment("lineage_queue_url")

    @property
    def settings(self) -> Settings:
        """All settings. Raises SettingsError, which names the variable, when one is malformed."""
        given: dict[str, Any] = {name: _value(getattr(self, name)) for name in type(self).model_fields}
        return replace(Settings.from_env(), **given)

    def _require(self, name: str) -> str:
        return self.settings.require(name, variable_name=_variable(getattr(self, name)))

    @property
    def staging(self) -> ObjectStore:
        """The bucket that raw objects land in; raises SettingsError when it is not set."""
        return _store(self._require("staging_bucket"), _aws())

    @property
    def lake(self) -> ObjectStore:
        """The bucket of the tables; raises SettingsError when it is not set."""
        return _store(self._require("lake_bucket"), _aws())

    @property
    def tick_arrivals(self) -> Queue:
        """The queue with notifications of raw objects of ticks; raises SettingsError when it is not set."""
        return _queue(self._require("stream_queue_url"), _aws())

    @property
    def dead_letters(self) -> Queue:
        """The queue of the messages that failed at every try; raises SettingsError when it is not set."""
        return _queue(self._require("stream_dlq_url"), _aws())

    @property
    def receipts(self) -> Queue:
        """The queue that the Lambda functions send their receipts to; raises SettingsError when it is not set."""
        return _queue(self._require("lineage_queue_url"), _aws())


def _variable(field: Any) -> str | None:
    """The variable that a field names, as the definitions have it or as Dagster passes it on; None for a text."""
    if isinstance(field, dict):
        return str(field["env"])
    return str(field.env_var_name) if isinstance(field, dg.EnvVar) else None


def _value(field: Any) -> str | None:
    name = _variable(field)
    text = os.environ.get(name, "") if name else str(field)
    return text.strip() or None


def _aws() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


# Cached: a client takes a tenth of a second to make, and a sensor's tick should take less.
@lru_cache(maxsize=8)
def _store(bucket: str, aws: tuple[tuple[str, str], ...]) -> ObjectStore:  # noqa: ARG001 (a change makes a new client)
    return S3Store(bucket)


@lru_cache(maxsize=8)
def _queue(url: str, aws: tuple[tuple[str, str], ...]) -> Queue:  # noqa: ARG001 (as above)
    return Queue(url)
