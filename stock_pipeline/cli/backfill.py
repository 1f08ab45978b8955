"""`stock-pipeline backfill`: simulate a range of sessions and bring them into the table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, out, progress, say, table
from stock_pipeline.cli.ingest import ingest_keys
from stock_pipeline.cli.options import Symbols, with_symbols
from stock_pipeline.cli.place import aws

if TYPE_CHECKING:
    from stock_pipeline.receipts import Receipt

_DAY = ["%Y-%m-%d"]


def backfill(
    start: Annotated[datetime, typer.Option(help="First day.", formats=_DAY)],
    end: Annotated[
        datetime | None, typer.Option(help="Last day; by default the last closed session.", formats=_DAY)
    ] = None,
    symbols: Symbols = None,
) -> None:
    """Simulate the trading sessions of a range and ingest them.

    Writes one raw CSV object a session to staging and brings them all into
    price_by_date, as materializing the same partitions in the Dagster UI does.
    What is there already stays as it is.

    Examples:

        stock-pipeline backfill --start 2022-01-01 --end 2024-12-31
        stock-pipeline backfill --start 2024-01-01 --symbols AAPL,MSFT
        stock-pipeline backfill --start 2024-01-01 --symbols 5000
    """
    from stock_pipeline.simulate.daily import default_symbols, write_raw_daily_prices
    from stock_pipeline.simulate.sessions import last_closed_session, sessions

    last = last_closed_session(datetime.now(UTC))
    first, until = start.date(), end.date() if end else last
    if until < first:
        raise typer.BadParameter(f"{until} lies before {first}", param_hint="--end")
    if until > last:
        raise typer.BadParameter(f"{until} has not closed yet; the last closed session is {last}", param_hint="--end")
    if not (days := sessions(first, until)):
        say(f"there is no session of XNYS from {first} to {until}; nothing to do")
        return
    with aws() as settings:
        from stock_pipeline.lake.store import S3Store

        names = default_symbols(with_symbols(settings, symbols).symbols)
        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        with progress(f"simulating {len(names):,} symbols") as report:
            raw = write_raw_daily_prices(staging, days, names, settings.seed, on_progress=report)
        receipts = ingest_keys([r.key for r in raw], staging, lake, settings)
    show_years(receipts)
    say(f"{sum(r.written for r in raw):,} of {len(raw):,} raw objects were new or changed")
    if refused := [r for r in receipts if r.refused]:
        complain(f"{refused[0].source}: {refused[0].refused}")
        raise typer.Exit(1)


def show_years(receipts: Sequence[Receipt]) -> None:
    """What came of generated sessions, summed up a year; a generated object holds the rows of one session."""
    shown = table(
        year="left",
        sessions="right",
        rows="right",
        new="right",
        duplicates="right",
        conflicts="right",
        rejected="right",
    )
    years: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        for partition in receipt.partitions:
            years.setdefault(partition.removeprefix("year="), []).append(receipt)
    for year, group in sorted(years.items()):
        sums = (
            len(group),
            sum(r.rows for r in group),
            sum(r.inserted for r in group),
            sum(r.duplicates for r in group),
            sum(r.conflicts for r in group),
            sum(r.rejected_rows for r in group),
        )
        shown.add_row(year, *(f"{n:,}" for n in sums))
    out().print(shown)
