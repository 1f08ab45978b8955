"""`stock-pipeline rejects`: list the rows that were not stored, with the reasons, and ingest them again after a fix."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, progress, say, table, text
from stock_pipeline.cli.ingest import show
from stock_pipeline.cli.options import Command, Group
from stock_pipeline.cli.sql import Format, print_rows
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    import pyarrow as pa

app = typer.Typer(cls=Group, rich_markup_mode="rich")

NEWEST = 1000
"""The table shows the records of so many sources, those that were written last."""

Reasons = Annotated[
    list[str] | None, typer.Option("--reason", help="Only this reason code; repeat for more.", metavar="REASON")
]
Tables = Annotated[
    list[str] | None,
    typer.Option("--table", help="Only rows for this table: price_by_date, …; repeat for more.", metavar="TABLE"),
]


@app.callback(invoke_without_command=True)
def rejects(ctx: typer.Context) -> None:
    """List the rows that were not stored, with reasons; replay after a fix.

    Without a command, it lists them.

    Examples:

        stock-pipeline rejects
        stock-pipeline rejects list --source AAPL.csv
        stock-pipeline rejects replay AAPL.csv
    """
    if ctx.invoked_subcommand is None:
        list_()


@app.command("list", cls=Command)
def list_(
    source: Annotated[
        list[str] | None,
        typer.Option(help="Only this source: its key, or the end of its key (AAPL.csv).", metavar="KEY"),
    ] = None,
    reason: Reasons = None,
    table_: Tables = None,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="At most N rows after the summary; CSV and JSON print all.")
    ] = 20,
    format_: Annotated[
        Format, typer.Option("--format", help="table: a summary and rows for people; csv, json: all rows.")
    ] = Format.TABLE,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only records written on this day (UTC) or later.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help=f"Read all records, not only those of the last {NEWEST:,} sources.")
    ] = False,
) -> None:
    """List rejected rows by source and reason, and each row as it came.

    As a table it shows the 1,000 sources whose records were written last, and
    says how many it did not read. CSV and JSON have all.

    Examples:

        stock-pipeline rejects list
        stock-pipeline rejects list --source AAPL.csv --limit 100
        stock-pipeline rejects list --reason malformed_json --format csv
        stock-pipeline rejects list --table stream_prices_history --limit 0
        stock-pipeline rejects list --since 2024-06-03
    """
    _known(table_ or [], reason or [])
    from stock_pipeline.aws.s3 import S3Store
    from stock_pipeline.maintenance.replay import newest_records

    most = NEWEST if format_ is Format.TABLE and not everything else None
    with aws() as settings:
        listed = newest_records(
            S3Store(settings.require("lake_bucket")),
            S3Store(settings.require("staging_bucket")),
            tables=table_ or [],
            sources=source or [],
            reasons=reason or [],
            since=since and since.replace(tzinfo=UTC),
            most=most,
        )
    found = listed.rows
    if listed.unread:
        left = counted(listed.unread, "older source")
        say(f"left unread: the records of {left}; --all reads them, --since DAY some")
    if format_ is not Format.TABLE:
        print_rows(found, format_)
        return
    if not found.num_rows:
        say("nothing was rejected" + (" that matches" if source or reason or table_ else ""))
        return
    _summarize(found)
    if limit:
        out().print()
        print_rows(found.select(["source", "line", "place", "reason", "detail", "raw"]).slice(0, limit), Format.TABLE)
    if found.num_rows > limit:
        say(f"{limit:,} of {found.num_rows:,} rows; --limit shows more, --format csv all of them")


@app.command(cls=Command)
def replay(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Sources: their keys, or the ends of their keys (AAPL.csv).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every source that has rejected rows.")] = False,
    reason: Reasons = None,
    table_: Tables = None,
) -> None:
    """Ingest the sources of rejected rows again, after a rule was fixed.

    Whole sources are ingested. Rows that are stored already count as
    duplicates, so a replay is safe at any time. Rows that are still wrong are
    rejected again. Values that a restatement replaced are not replayed.

    Examples:

        stock-pipeline rejects replay AAPL.csv
        stock-pipeline rejects replay --all --reason bad_date
    """
    if bool(sources) == everything:
        raise typer.BadParameter("name the sources to replay, or give --all")
    _known(table_ or [], reason or [])
    from stock_pipeline.aws.s3 import S3Store
    from stock_pipeline.maintenance.replay import replay_rejects

    with aws() as settings, progress("replaying") as report:
        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        receipts = replay_rejects(
            staging,
            lake,
            settings,
            tables=table_ or [],
            sources=sources or [],
            reasons=reason or [],
            on_progress=report,
        )
    if not receipts:
        say("nothing to replay" + (": no rejected row matches" if sources or reason or table_ else ""))
        return
    show(receipts)
    say(f"{counted(sum(r.inserted for r in receipts), 'row')} stored for the first time")
    if any(r.refused for r in receipts):
        raise typer.Exit(1)


def _known(tables: list[str], reasons: list[str]) -> None:
    """Refuse an unknown table or reason, as wrong usage."""
    from stock_pipeline.maintenance.replay import TARGETS
    from stock_pipeline.schemas import Reason

    if unknown := [t for t in tables if t not in TARGETS]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(TARGETS)}", param_hint="--table")
    if unknown := [r for r in reasons if r not in set(Reason)]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(Reason)}", param_hint="--reason")


def _summarize(found: pa.Table) -> None:
    from stock_pipeline.maintenance.replay import counts

    shown = table(table="left", source="left", reason="left", rows="right")
    for row in counts(found).to_pylist():
        reason = f"{row['reason']} (stored without it)" if row["stored"] else row["reason"]
        shown.add_row(row["target_table"], text(row["source"]), reason, f"{row['rows']:,}")
    out().print(shown)
