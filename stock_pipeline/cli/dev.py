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
    int | None, typer.Option(help="Port of the UI; by default 3000, or a free one.", metavar="N", min=1, max=65535)
]


def dev(
    processor: Annotated[
        Processor | None,
        typer.Option(
            help="Who consumes arrivals: dagster (its sensors) or lambda (the functions); by default the setting."
        ),
    ] = None,
    port: Port = None,
) -> None:
    """Run the local AWS, the Dagster UI and its sensors, until Ctrl-C.

    Prints the address of the UI when it answers. If the environment names the
    buckets of an AWS, `dev` uses that AWS and starts no local one. Other
    commands find the AWS that runs here. Only one `dev` runs at a time: a
    second one says where the first is and ends with status 1. Everything
    listens on 127.0.0.1 only. Data, logs and Dagster's history are in .local.

    Ctrl-C (or SIGTERM) ends everything with status 0.

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
    """Everything that `dev` runs, for the length of the block. Prints what it waits for."""
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
    """Keep watch until Ctrl-C or SIGTERM, the normal end. Raises DevError when `dev` cannot go on."""
    say("Ctrl-C to stop")
    try:
        session.serve(say)
    except (KeyboardInterrupt, SystemExit):
        return
