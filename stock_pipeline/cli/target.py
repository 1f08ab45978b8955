"""Where AWS is for a command: what the environment names, else the local AWS that runs, else one started for it."""

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
    """The settings of the AWS that a command works on, which is reachable for the length of the block.

    If the environment names no bucket this is the local AWS: the process's environment points to it inside the block.
    One that was started for this ends with it; its objects stay. `processor` is who consumes arrivals in one that is
    started for this. Raises SettingsError, LocalAwsError.
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
