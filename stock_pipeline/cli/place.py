"""Where AWS is for a command: what the environment names, else the local AWS that runs, else one started for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from stock_pipeline.cli.console import working
from stock_pipeline.settings import Settings


@contextmanager
def aws() -> Iterator[Settings]:
    """The settings of the AWS that a command works on, which is reachable for the length of the block.

    If the environment names no bucket this is the local AWS: the process's environment points to it inside the block.
    One that was started for this ends with it; its objects stay. Raises SettingsError, LocalAwsError.
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
                local = stack.enter_context(local_aws(on_progress=report))
        local.activate()
        try:
            yield Settings.from_env()
        finally:
            os.environ.clear()
            os.environ.update(before)
