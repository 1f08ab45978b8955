"""`stock-pipeline demo`: runs `dev`, feeds both paths and prints the tables."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from stock_pipeline.cli.console import out, say
from stock_pipeline.cli.dev import Port, announce, serve, started
from stock_pipeline.cli.target import aws
from stock_pipeline.errors import DevError


def demo(
    exit_: Annotated[
        bool, typer.Option("--exit", help="Stop when all is shown; without it, `dev` goes on running.")
    ] = False,
    port: Port = None,
) -> None:
    """Run dev, feed the pipeline and print the tables.

    Step 1 ingests a vendor's file with some bad rows. Step 2 simulates this
    year and the year before through Dagster: one run writes the raw files of
    all sessions, and the sensor sees them and starts the runs that bring them
    into price_by_date. Step 3 streams live ticks for a while, some of them
    twice, late or broken, and shows how stream_prices_history and latest_prices
    fill. At the end it queries all tables.

    A second demo skips what is there already; only the ticks are new each time.
    If `dev` runs already, the demo uses it.

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
            session.check()  # "a process ended" says more than "it does not answer"
            raise
        out().print(f"\nDagster UI  {session.url}", style="bold", markup=False)
        if not exit_:
            serve(session)
