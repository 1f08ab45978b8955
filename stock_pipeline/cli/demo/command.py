"""`stock-pipeline demo`: `dev`, with both paths fed and the tables printed."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from stock_pipeline.cli.console import out, say
from stock_pipeline.cli.dev import Port, announce, serve, started
from stock_pipeline.cli.target import aws
from stock_pipeline.errors import DevError


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop by itself when all is shown.")] = False,
    port: Port = None,
) -> None:
    """Run dev, feed the pipeline and print the tables.

    Ingests a vendor's file with some bad rows. Then simulates this year and
    the one before through Dagster: one run writes the raw files of all
    sessions, the sensor sees them arrive and starts the runs that bring them
    into price_by_date, so the partitions in the UI are green. Then streams
    live ticks for a while, some of them twice, late or broken, and shows
    stream_prices_history and latest_prices fill. All tables are queried.

    What is there already is not done again, but for the ticks, which are new
    each time. If `dev` runs, its Dagster is fed.

    Examples:

        stock-pipeline demo
        stock-pipeline demo --exit
    """
    from stock_pipeline.cli.demo.daily import DailyDemo
    from stock_pipeline.local.dev.dagster import Dagster
    from stock_pipeline.local.dev.session import found

    if running := found():
        with aws() as settings:
            say(f"`stock-pipeline dev` runs at {running.url}: feeding it")
            DailyDemo(Dagster(running.url), settings).run()
        return
    clock = time.monotonic()
    with started(port, None) as session:
        announce(session)
        if session.aws:
            session.aws.activate()
        steps = DailyDemo(session.dagster, session.settings, session.check)
        steps.timings["until the UI answered"] = time.monotonic() - clock
        try:
            steps.run()
        except DevError:
            session.check()  # that a process has ended says more than that it does not answer
            raise
        out().print(f"\nDagster UI  {session.url}", style="bold", markup=False)
        if not exit_:
            serve(session)
