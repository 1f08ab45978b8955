"""`stock-pipeline dev`: the local AWS, the Dagster UI, sensors and schedules, until Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import out, say, working

if TYPE_CHECKING:
    from stock_pipeline.local.dev.session import Session


class Processor(StrEnum):
    """Who consumes arrivals in staging."""

    DAGSTER = "dagster"
    LAMBDA = "lambda"


Port = Annotated[
    int | None, typer.Option(help="Port of the UI; by default 3000 if it is free, else any.", min=1, max=65535)
]


def dev(
    processor: Annotated[
        Processor | None,
        typer.Option(
            help="Who consumes arrivals: dagster (its sensors) or lambda (the triggers); by default the setting."
        ),
    ] = None,
    port: Port = None,
) -> None:
    """Run the local AWS, the Dagster UI and its sensors, until Ctrl-C.

    Prints the address of the UI when it answers. If the environment names the
    buckets of an AWS, that one is used and no local one is started. Other
    commands find what runs here. One `dev` runs at a time: a second one says
    where the first is and ends with status 1. Everything listens on 127.0.0.1
    only; data, logs and Dagster's history are in .local.

    Ctrl-C (or SIGTERM) ends all of it; the status is then 0.

    Examples:

        stock-pipeline dev
        stock-pipeline dev --processor lambda
        stock-pipeline dev --port 3100
    """
    with started(port, processor.value if processor else None) as session:
        announce(session)
        serve(session)


@contextmanager
def started(port: int | None, processor: str | None) -> Iterator[Session]:
    """Everything that `dev` runs, for the length of the block; says what is being waited for."""
    from stock_pipeline.local.dev.session import session

    with ExitStack() as stack:
        with working("starting") as report:
            made = stack.enter_context(session(port=port, processor=processor, report=report))
        stack.callback(say, "stopped")
        yield made
        say("stopping")


def announce(session: Session) -> None:
    """Print where things are."""
    out().print(f"Dagster UI  {session.url}", style="bold", markup=False)
    if session.aws:
        say(f"local AWS   {session.aws.endpoint}   objects and logs are in {session.root / '.local'}")
    staging, processor = session.settings.staging_bucket, session.settings.processor
    say(f"arrivals    s3://{staging}/daily_prices/ and stock_stream/, consumed by {processor}")
    if session.settings.stream_name:
        say(f"ticks       {session.settings.stream_name}   `stock-pipeline stream` sends some, `watch` shows them")


def serve(session: Session) -> None:
    """Keep watch until Ctrl-C or SIGTERM, which are how it is meant to end; raises DevError when a process ends."""
    say("Ctrl-C to stop")
    try:
        session.serve()
    except (KeyboardInterrupt, SystemExit):
        return
