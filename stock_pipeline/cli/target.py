"""The AWS that a command works on: the one in the environment, else the local AWS that runs, else a new local AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from stock_pipeline.cli.console import working
from stock_pipeline.settings import Settings


def starts_one() -> bool:
    """Whether `aws` would start a local AWS now: the environment names none, and none runs."""
    from stock_pipeline.local import running

    return not Settings.from_env().names_buckets and running() is None


@contextmanager
def aws(processor: str | None = None) -> Iterator[Settings]:
    """The settings of the AWS that a command works on. It is reachable for the length of the block.

    If the environment names no bucket, it is the local AWS, and inside the block the process's environment points to
    it. If none runs, one is started for the block and ends with it; its objects stay. `processor` is who consumes
    arrivals in an AWS that is started here. Raises SettingsError, LocalAwsError.
    """
    settings = Settings.from_env()
    if settings.names_buckets:
        settings.require("staging_bucket")
        settings.require("lake_bucket")
        yield settings
        return
    from stock_pipeline.local import local_aws, running

    before = dict(os.environ)
    with ExitStack() as stack:
        if running():
            local = stack.enter_context(local_aws())
        else:
            with working("starting the local AWS") as report:
                local = stack.enter_context(local_aws(processor=processor, on_progress=report))
        local.activate()
        try:
            yield Settings.from_env()
        finally:
            os.environ.clear()
            os.environ.update(before)
