"""`stock-pipeline remove`: take the rows of a wrong source out of its tables, and keep a record of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, say, table, text, working
from stock_pipeline.cli.target import aws
from stock_pipeline.errors import StockPipelineError

if TYPE_CHECKING:
    from stock_pipeline.maintenance.remove import Found

_SHOWN = 20


def remove(
    source: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help="Key of the staging object, as in the column `source`, with or without s3://bucket/.",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the rows of a wrong source out of its table.

    For example: a vendor's file with wrong prices, or the ticks of a producer
    whose clock was wrong. The rows leave the table and stay on record
    (rejected_records, reason `removed`; bars in price_revisions, too). If they
    are ticks, latest_prices is built again from what is left. The command asks first. A second time it
    removes nothing more.

    The file stays in staging, and ingesting it again brings the rows back. If
    another file has some of the same rows, ingest that file again: a table
    stores each row once, for the file that came first.

    Examples:

        stock-pipeline remove --source daily_prices/uploads/AAPL.csv
        stock-pipeline remove --source stock_stream/uploads/ticks.jsonl.gz --yes
    """
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store
        from stock_pipeline.maintenance.remove import find_source, remove_source

        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        with working("looking for its rows"):
            found = find_source(source, lake, settings)
        _tell(found)
        if found.rows and not yes:
            _ask(f"take {counted(found.rows, 'row')} out of {found.table.name}?")
        with working("taking them out"):
            removed = remove_source(found, staging, lake, settings)
    before = f"; {found.removed_before:,} had been taken out before" if found.removed_before else ""
    say(f"{counted(removed, 'row')} taken out{before}; what they were: stock-pipeline rejects list --reason removed")


def _ask(question: str) -> None:
    """Go on only after a yes. Raises StockPipelineError, also where nobody can answer."""
    try:
        answered = typer.confirm(question, err=True)
    except typer.Abort:
        raise StockPipelineError("nobody answered, so nothing was taken out; give --yes to be not asked") from None
    if not answered:
        raise StockPipelineError("nothing was taken out")


def _tell(found: Found) -> None:
    if not found.rows:
        say(f"{found.table.name} has no rows of {found.source}")
        return
    shown = table(table="left", partition="left", rows="right")
    for (name, partition), rows in list(found.partitions.items())[:_SHOWN]:
        shown.add_row(name, text(partition), f"{rows:,}")
    out().print(shown)
    if len(found.partitions) > _SHOWN:
        say(f"{_SHOWN} of {len(found.partitions):,} partitions")
