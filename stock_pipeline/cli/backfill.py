"""`stock-pipeline backfill`: simulate a range of sessions and bring them into the table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, out, progress, say, table
from stock_pipeline.cli.ingest import ingest_keys, ingest_tick_keys
from stock_pipeline.cli.options import Symbols, day, with_symbols
from stock_pipeline.cli.target import aws
from stock_pipeline.staging.keys import TICK_UPLOADS

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectStore
    from stock_pipeline.receipts import Receipt


def backfill(
    start: Annotated[date, typer.Option(help="First day.", parser=day, metavar="YYYY-MM-DD")],
    end: Annotated[
        date | None,
        typer.Option(help="Last day; by default the last closed session.", parser=day, metavar="YYYY-MM-DD"),
    ] = None,
    symbols: Symbols = None,
    ticks: Annotated[
        int | None,
        typer.Option(
            help="Also simulate N ticks for each symbol and session; they agree with the bars.", metavar="N", min=4
        ),
    ] = None,
) -> None:
    """Simulate the trading sessions of a range and ingest them.

    Writes one raw CSV object per session to staging and ingests all of them
    into price_by_date. Materializing the same partitions in the Dagster UI does
    the same. What is there already stays as it is. With --ticks, one raw object
    of ticks per session goes into stream_prices_history and latest_prices.

    Examples:

        stock-pipeline backfill --start 2022-01-01 --end 2024-12-31
        stock-pipeline backfill --start 2024-01-01 --symbols AAPL,MSFT
        stock-pipeline backfill --start 2024-12-02 --end 2024-12-06 --symbols 5000
        stock-pipeline backfill --start 2024-06-03 --end 2024-06-07 --ticks 500
    """
    from stock_pipeline.simulate.daily import default_symbols, write_raw_daily_prices

    days = _sessions(start, end)
    if not days:
        say(f"there is no session of XNYS from {start} to {end}; nothing to do")
        return
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store

        names = default_symbols(with_symbols(settings, symbols).symbols)
        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        with progress(f"simulating {len(names):,} symbols") as report:
            raw = write_raw_daily_prices(staging, days, names, settings.seed, on_progress=report)
        receipts = ingest_keys([r.key for r in raw], staging, lake, settings)
        keys = _write_ticks(staging, days, names, settings.seed, ticks) if ticks else []
        of_ticks = ingest_tick_keys(keys, staging, lake, settings) if keys else []
    show_years(receipts)
    say(f"{sum(r.written for r in raw):,} of {len(raw):,} raw objects were new or changed")
    if of_ticks:
        say(f"{sum(r.rows for r in of_ticks):,} ticks, {sum(r.inserted for r in of_ticks):,} of them new")
    if refused := [r for r in (*receipts, *of_ticks) if r.refused]:
        complain(f"{refused[0].source}: {refused[0].refused}")
        raise typer.Exit(1)


def _sessions(start: date, end: date | None) -> list[date]:
    """The closed sessions of a range. Raises typer.BadParameter if the range ends before it starts or in the future."""
    from stock_pipeline.trading_calendar.sessions import last_closed_session, sessions

    last = last_closed_session(datetime.now(UTC))
    until = end or last
    if until < start:
        raise typer.BadParameter(f"{until} is before {start}", param_hint="--end" if end else "--start")
    if until > last:
        raise typer.BadParameter(f"{until} has not closed yet; the last closed session is {last}", param_hint="--end")
    return sessions(start, until)


def _write_ticks(
    staging: ObjectStore, days: Sequence[date], symbols: Sequence[str], seed: int, of_each: int
) -> list[str]:
    """Write a raw object of simulated ticks for each session, with progress; returns their keys."""
    from stock_pipeline.simulate.ticks import simulate_ticks, to_json_lines

    keys = []
    with progress("simulating ticks") as report:
        for done, session in enumerate(days, 1):
            key = f"{TICK_UPLOADS}date={session}/ticks-{of_each}-seed-{seed}.jsonl"
            staging.put(key, b"".join(to_json_lines(simulate_ticks(symbols, session, seed, of_each))))
            keys.append(key)
            report(done, len(days))
    return keys


def show_years(receipts: Sequence[Receipt]) -> None:
    """Print the receipts of generated sessions, added up by year. A generated object has the rows of one session."""
    from stock_pipeline.lake.transforms import year_of

    shown = table(
        year="left",
        sessions="right",
        rows="right",
        new="right",
        updated="right",
        duplicates="right",
        conflicts="right",
        rejected="right",
    )
    years: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        for partition in receipt.partitions:
            years.setdefault(year_of(partition), []).append(receipt)
    for year, group in sorted(years.items()):
        sums = (
            len(group),
            sum(r.rows for r in group),
            sum(r.inserted for r in group),
            sum(r.updated for r in group),
            sum(r.duplicates for r in group),
            sum(r.conflicts for r in group),
            sum(r.rejected_rows for r in group),
        )
        shown.add_row(str(year), *(f"{n:,}" for n in sums))
    out().print(shown)
