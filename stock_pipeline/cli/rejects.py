"""`stock-pipeline rejects`: what was not stored and why, and the way back after a fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, say, table, text
from stock_pipeline.cli.ingest import ingest_keys, ingest_tick_keys, show
from stock_pipeline.cli.place import aws
from stock_pipeline.cli.sql import Format, print_rows
from stock_pipeline.errors import StockPipelineError

if TYPE_CHECKING:
    import pyarrow as pa

    from stock_pipeline.schemas import Table
    from stock_pipeline.settings import Settings

app = typer.Typer(rich_markup_mode="rich")

Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only this reason code; may be given again.")]


@app.callback(invoke_without_command=True)
def rejects(ctx: typer.Context) -> None:
    """What was not stored and why; replay after a fix.

    Without a command it lists.
    """
    if ctx.invoked_subcommand is None:
        list_()


@app.command("list")
def list_(
    source: Annotated[
        list[str] | None, typer.Option(help="Only this source: its key, or the end of it such as the file's name.")
    ] = None,
    reason: Reasons = None,
    limit: Annotated[
        int, typer.Option(min=0, help="The most rows to print after the summary; CSV and JSON print all.")
    ] = 20,
    format_: Annotated[
        Format, typer.Option("--format", help="table: a summary and rows for people; csv, json: all rows.")
    ] = Format.TABLE,
) -> None:
    """The rejected rows by source and reason, with each row as it came.

    Examples:

        stock-pipeline rejects list
        stock-pipeline rejects list --source AAPL.csv --limit 100
        stock-pipeline rejects list --reason malformed_json --format csv
    """
    with aws() as settings:
        found = _rejected(settings, source or [], reason or [])
    if format_ is not Format.TABLE:
        print_rows(found, format_)
        return
    if not found.num_rows:
        say("nothing was rejected" + (" that matches" if source or reason else ""))
        return
    _summarize(found)
    if limit:
        out().print()
        print_rows(found.select(["source", "line", "reason", "detail", "raw"]).slice(0, limit), Format.TABLE)
    if found.num_rows > limit:
        say(f"{limit:,} of {found.num_rows:,} rows; --limit shows more, --format csv all of them")


@app.command()
def replay(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Sources: their keys, or the end of them such as the file's name.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every source that has rejected rows.")] = False,
    reason: Reasons = None,
) -> None:
    """Ingest the sources of rejected rows again, after a rule was fixed.

    Sources are ingested whole; what is stored already counts as duplicate, so
    a replay is safe at any time. Rows that are still wrong are rejected again.

    Examples:

        stock-pipeline rejects replay AAPL.csv
        stock-pipeline rejects replay --all --reason bad_date
    """
    if bool(sources) == everything:
        raise typer.BadParameter("name the sources to replay, or give --all")
    with aws() as settings:
        from stock_pipeline.lake.store import S3Store
        from stock_pipeline.schemas import PRICE_BY_DATE, STREAM_PRICES_HISTORY

        found = _rejected(settings, sources or [], reason or [])
        if not found.num_rows:
            say("nothing to replay" + (": no rejected row has one of these reasons" if reason else ""))
            return
        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        receipts = ingest_keys(_sources(found, PRICE_BY_DATE), staging, lake, settings)
        receipts += ingest_tick_keys(_sources(found, STREAM_PRICES_HISTORY), staging, lake, settings)
    show(receipts)
    say(f"{counted(sum(r.inserted for r in receipts), 'row')} stored for the first time")
    if any(r.refused for r in receipts):
        raise typer.Exit(1)


def _rejected(settings: Settings, sources: Sequence[str], reasons: Sequence[str]) -> pa.Table:
    """The rejected records of all tables, narrowed to sources and reasons.

    Raises typer.BadParameter for an unknown reason and StockPipelineError for a source that has no rejected row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from stock_pipeline.lake.rejects import read_rejects
    from stock_pipeline.lake.store import S3Store
    from stock_pipeline.schemas import REJECTED_RECORDS, TABLES, Reason

    if unknown := [r for r in reasons if r not in set(Reason)]:
        raise typer.BadParameter(f"{unknown[0]!r} is no reason; there are {', '.join(Reason)}", param_hint="--reason")
    lake = S3Store(settings.require("lake_bucket"))
    found = pa.concat_tables([read_rejects(lake, t) for t in TABLES.values() if t is not REJECTED_RECORDS])
    plain = pa.schema([(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in found.schema])
    found = found.cast(plain)
    if sources:
        keys = set(found["source"].to_pylist())
        wanted = [key for source in sources for key in _keys_named(source, keys)]
        found = found.filter(pc.is_in(found["source"], pa.array(wanted, pa.string())))
    if reasons:
        found = found.filter(pc.is_in(found["reason"], pa.array(reasons, pa.string())))
    return found


def _sources(found: pa.Table, target: Table) -> list[str]:
    """The sources of a table's rejected records, each once."""
    of_table = [name == target.name for name in found["target_table"].to_pylist()]
    return list(dict.fromkeys(found.filter(of_table)["source"].to_pylist()))


def _keys_named(source: str, keys: set[str]) -> list[str]:
    """The keys that a person means: the key itself, with or without its bucket, or the end of it."""
    name = source.removeprefix("s3://").partition("/")[2] if source.startswith("s3://") else source
    found = [key for key in sorted(keys) if key == name or key.endswith(f"/{name}")]
    if not found:
        raise StockPipelineError(
            f"no rejected row comes from {source}; `stock-pipeline rejects list` shows the sources"
        )
    return found


def _summarize(found: pa.Table) -> None:
    counts = found.group_by(["source", "reason"]).aggregate([([], "count_all")])
    counts = counts.sort_by([("source", "ascending"), ("count_all", "descending")])
    shown = table(source="left", reason="left", rows="right")
    for row in counts.to_pylist():
        shown.add_row(text(row["source"]), row["reason"], f"{row['count_all']:,}")
    out().print(shown)
