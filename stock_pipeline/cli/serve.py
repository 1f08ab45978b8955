"""`stock-pipeline serve`: a Dagster that stays, on the AWS that the environment names."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stock_pipeline.cli.console import say
from stock_pipeline.errors import SettingsError
from stock_pipeline.settings import Settings, variable


class Part(StrEnum):
    """What to run."""

    CODE = "code"
    WEBSERVER = "webserver"
    DAEMON = "daemon"
    ALL = "all"


def serve(
    part: Annotated[Part, typer.Argument(help="code, webserver or daemon; all: the three as children of this one.")],
    port: Annotated[int, typer.Option(help="Port of the UI.", metavar="N", min=1, max=65535)] = 3000,
    code_port: Annotated[int, typer.Option(help="Port of the code server.", metavar="N", min=1, max=65535)] = 4000,
) -> None:
    """Run a part of a Dagster that stays, or all of it.

    It works on the AWS that the environment names, and keeps its files in
    DAGSTER_HOME. Its storage, its logs and where runs start are set by the
    variables DAGSTER_POSTGRES_…, DAGSTER_LOGS_BUCKET and DAGSTER_ECS_…; without
    them, all is in DAGSTER_HOME and on this machine. Everything listens on
    127.0.0.1 only. systemd or ECS starts a part again when it ends. Run the
    daemon once only.

    Examples:

        stock-pipeline serve all
        stock-pipeline serve daemon
    """
    from stock_pipeline.local.dev.serve import become, run_all

    home = os.environ.get("DAGSTER_HOME", "").strip()
    if not home:
        raise SettingsError("DAGSTER_HOME is not set; set it to a folder that Dagster's files may be in")
    if not Settings.from_env().names_buckets:
        raise SettingsError(
            f"{variable('lake_bucket')} is not set; `serve` works on a stack: `stock-pipeline --stack NAME serve …`"
        )
    place = (Path(home).resolve(), dict(os.environ), port, code_port)
    if part is not Part.ALL:
        become(part.value, *place)
    try:
        run_all(*place)
    except (KeyboardInterrupt, SystemExit):
        say("stopped")
