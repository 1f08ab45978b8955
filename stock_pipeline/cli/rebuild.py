"""`stock-pipeline rebuild`: build years of price_by_date again from their raw objects, and say first what changes."""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, progress, say, table, text
from stock_pipeline.cli.ingest import show
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.heavy.rebuild import YearDone
    from stock_pipeline.heavy.tasks import Executor
    from stock_pipeline.maintenance.rebuild import Rebuilt
    from stock_pipeline.progress import Progress

_SHOWN = 20
_YEARS = re.compile(r"(\d{4})(?:-(\d{4}))?", re.ASCII)
_FIRST, _LAST = 1900, 2100


def rebuild(
    years: Annotated[
        list[str], typer.Argument(metavar="YEAR...", help="Years of price_by_date: 2024, or from 2005-2024.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, and do not show each row.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: the changed rows with --dry-run, else the receipts, one per line."),
    ] = False,
    processes: Annotated[
        int, typer.Option(min=1, max=256, metavar="N", help="Number of processes that share the years.")
    ] = 1,
    anew: Annotated[
        bool, typer.Option("--anew", help="Do all years, also those that a stopped rebuild has done.")
    ] = False,
) -> None:
    """Build years of price_by_date again from their raw objects.

    Use it after a rule or a column name was fixed. All ingests that made a
    year are made again, in their order, with former versions of files, symbols,
    hints and restatements. The command shows which rows would change, and asks.
    It refuses, with examples, if a stored row would be lost or a file is
    refused. Readers see the old year until the new one is complete. Rows of
    other years do not change.

    With several processes, years are built side by side, with the same result.
    A process needs some 600 bytes of memory a row of its year. If the command is
    stopped, call it again with the same years: it goes on.

    Exit status 1 if the rebuild of a year was refused; the other years are done.

    Examples:

        stock-pipeline rebuild 2024 --dry-run
        stock-pipeline rebuild 2024
        stock-pipeline rebuild 2005-2024 --processes 8 --yes
        stock-pipeline rebuild 2024 --yes --json > receipts.jsonl
    """
    wanted = _years(years)
    told = str(wanted[0]) if len(wanted) == 1 else counted(len(wanted), "year")
    with aws() as settings:
        from stock_pipeline.heavy.executors import executor_of
        from stock_pipeline.heavy.rebuild import Places, compare_years, rebuild_years

        run = executor_of(min(processes, len(wanted)))
        staging, lake = (f"s3://{settings.require(name)}" for name in ("staging_bucket", "lake_bucket"))
        places = Places(staging, lake, settings.max_object_bytes)
        if dry_run or not yes:
            with _reading(run) as report:
                compared = compare_years(wanted, places, run=run, on_progress=report)
            for rebuilt in compared:
                _as_json(rebuilt) if dry_run and as_json else _tell(rebuilt)
            if dry_run:
                return
            if any(rebuilt.differs for rebuilt in compared):
                typer.confirm(f"swap the new {told} in?", abort=True, err=True)
        with _reading(run) as report:
            done = rebuild_years(wanted, places, anew=anew, run=run, on_progress=report, say=say)
    _tell_done(done, told, as_json=as_json)


def _tell_done(done: list[YearDone], told: str, *, as_json: bool) -> None:
    receipts = [receipt for year in done for receipt in year.receipts]
    if as_json:
        for receipt in receipts:
            typer.echo(receipt.to_json())
    else:
        show([receipt for receipt in receipts if receipt.refused is None])
    for year in done:
        say(_counts(year.year, year.added, year.changed, year.rows))
    say(f"{told}: what {counted(len(receipts), 'ingest')} make of it")


def _years(given: list[str]) -> list[int]:
    """The years that a person names, each once, in order."""
    found: set[int] = set()
    for named_by in given:
        named = _YEARS.fullmatch(named_by)
        first, last = (int(named[1]), int(named[2] or named[1])) if named else (0, 0)
        if not _FIRST <= first <= last <= _LAST:
            raise typer.BadParameter(
                f"{named_by!r} is no year from {_FIRST} to {_LAST}, and no range such as 2005-2024", param_hint="YEAR"
            )
        found.update(range(first, last + 1))
    return sorted(found)


def _reading(run: Executor) -> AbstractContextManager[Progress]:
    from stock_pipeline.heavy.executors import in_turn

    return progress("reading raw objects" if run is in_turn else "building years")


def _as_json(rebuilt: Rebuilt) -> None:
    for row in rebuilt.added.to_pylist():
        typer.echo(json.dumps({"change": "added", "row": row}, default=str, ensure_ascii=False))
    for row, before in zip(rebuilt.changed.to_pylist(), rebuilt.stored.to_pylist(), strict=True):
        typer.echo(json.dumps({"change": "changed", "row": row, "stored": before}, default=str, ensure_ascii=False))


def _tell(rebuilt: Rebuilt) -> None:
    shown = table(change="left", symbol="left", date="left", close="right", stored="right", source="left")
    added, changed = rebuilt.added.slice(0, _SHOWN).to_pylist(), rebuilt.changed.slice(0, _SHOWN).to_pylist()
    for row in added:
        shown.add_row("added", text(row["symbol"]), str(row["date"]), f"{row['close']:g}", "", text(row["source"]))
    for row, before in zip(changed, rebuilt.stored.slice(0, _SHOWN).to_pylist(), strict=True):
        closes = f"{row['close']:g}", f"{before['close']:g}"
        shown.add_row("changed", text(row["symbol"]), str(row["date"]), *closes, text(row["source"]))
    if rebuilt.differs:
        out().print(shown)
    say(_counts(rebuilt.year, rebuilt.added.num_rows, rebuilt.changed.num_rows, rebuilt.rows))


def _counts(year: int, added: int, changed: int, rows: int) -> str:
    return f"{year}: {counted(added, 'row')} added, {changed:,} changed, 0 lost, {counted(rows, 'row')} in all"
