"""`stock-pipeline rebuild`: build a year of price_by_date again from its raw objects, and say first what changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, progress, say, table, text
from stock_pipeline.cli.ingest import show
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.maintenance.rebuild import Rebuilt

_SHOWN = 20


def rebuild(
    year: Annotated[int, typer.Argument(min=1900, max=2100, help="The year of price_by_date: 2024.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print JSON: the changed rows with --dry-run, else the receipts, one per line."),
    ] = False,
) -> None:
    """Build a year of price_by_date again from its raw objects.

    Use it after a rule or a column name was fixed. All ingests that made the
    year are made again, in their order, with former versions of files, symbols,
    hints and restatements. The command shows which rows would change, and asks.
    It refuses, with examples, if a stored row would be lost or a file is
    refused. Readers see the old year until the new one is complete. Rows of
    other years do not change.

    Exit status 1 if the rebuild was refused.

    Examples:

        stock-pipeline rebuild 2024 --dry-run
        stock-pipeline rebuild 2024
        stock-pipeline rebuild 2024 --yes --json > receipts.jsonl
    """
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store
        from stock_pipeline.maintenance.rebuild import compare_year, rebuild_year, swap_in

        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        limit = settings.max_object_bytes
        with progress("reading raw objects") as report:
            rebuilt = compare_year(year, staging=staging, lake=lake, max_bytes=limit, on_progress=report)
        if dry_run and as_json:
            _as_json(rebuilt)
        else:
            _tell(rebuilt)
        if dry_run:
            return
        if rebuilt.differs and not yes:
            typer.confirm(f"swap the new {year} in?", abort=True, err=True)
        receipts = rebuilt.receipts
        if not swap_in(rebuilt, staging=staging, lake=lake, max_bytes=limit):
            say("another writer has changed the year meanwhile; building it again")
            receipts = rebuild_year(year, staging=staging, lake=lake, max_bytes=limit)
    if as_json:
        for receipt in receipts:
            typer.echo(receipt.to_json())
    else:
        show([receipt for receipt in receipts if receipt.refused is None])
    say(f"{year} is what its {counted(len(receipts), 'ingest')} make of it")


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
    added_rows, all_rows = (counted(number, "row") for number in (rebuilt.added.num_rows, rebuilt.rows))
    say(f"{rebuilt.year}: {added_rows} added, {rebuilt.changed.num_rows:,} changed, 0 lost, {all_rows} in all")
