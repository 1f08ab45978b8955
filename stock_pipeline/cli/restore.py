"""`stock-pipeline restore`: put an old version of a table's object back, and ingest again what came since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, counted, out, say, table, text, working
from stock_pipeline.cli.ingest import show
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectInfo
    from stock_pipeline.maintenance.restore import Plan

TABLES = ("price_by_date", "stream_prices_history", "latest_prices")  # a test compares them with the real ones
_SHOWN = 20


def restore(
    table_: Annotated[str, typer.Argument(metavar="TABLE", help=f"One of {', '.join(TABLES)}.")],
    partition: Annotated[
        str,
        typer.Argument(help="2024 for price_by_date, 2024-06-03T14:30 for stream_prices_history, latest."),
    ],
    version: Annotated[
        str | None, typer.Option(metavar="ID", help="The version to put back, by its id in the lake bucket.")
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The last version written before this time (UTC): 2024-06-03T14:00."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the receipts as JSON on stdout, one per line.")
    ] = False,
) -> None:
    """Put an old version of a table's object back, and ingest what came since.

    For an object that is damaged or holds wrong rows. The lake bucket keeps
    old versions for a week. Without --version and --before, the command lists
    them. It says what it will ingest again, and asks. If it is stopped midway,
    `stock-pipeline reconcile --all` finds the rest.

    Exit status 1 if there is no such version, or if another writer was faster.

    Examples:

        stock-pipeline restore price_by_date 2024
        stock-pipeline restore price_by_date 2024 --before 2024-06-03T14:00
        stock-pipeline restore stream_prices_history 2024-06-03T14:30 --version ID
        stock-pipeline restore latest_prices latest --before 2024-06-03 --yes
    """
    if table_ not in TABLES:
        raise typer.BadParameter(f"{table_!r} is not one of {', '.join(TABLES)}", param_hint="TABLE")
    if version and before:
        raise typer.BadParameter("give --version or --before, not both")
    moment = _moment(before)
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store
        from stock_pipeline.maintenance.restore import RESTORABLE, partition_named, plan_restore, versions_of
        from stock_pipeline.maintenance.restore import restore as put_back

        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        target = RESTORABLE[table_]
        name = partition_named(target, partition)
        if not version and moment is None:
            _list(versions_of(lake, target, name))
            return
        with working("comparing the versions"):
            plan = plan_restore(target, name, staging=staging, lake=lake, version=version or "", before=moment)
        _tell(plan)
        if not yes:
            typer.confirm("put it back?", abort=True, err=True)
        with working("restoring"):
            receipts = put_back(plan, staging=staging, lake=lake, settings=settings)
    if as_json:
        for receipt in receipts:
            typer.echo(receipt.to_json())
    elif receipts:
        show(receipts)
    say(f"{table_} {name} restored; {counted(len(receipts), 'ingest')} made again")


def _moment(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is not a time; write it as 2024-06-03T14:00 (UTC)", param_hint="--before"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _list(versions: list[ObjectInfo]) -> None:
    shown = table(version="left", written="left", bytes="right")
    for info in reversed(versions[-_SHOWN:]):
        shown.add_row(text(info.version), f"{info.modified:%Y-%m-%d %H:%M:%S} UTC", f"{info.size:,}")
    out().print(shown)
    say(f"{counted(len(versions), 'version')}, the newest first; --version ID or --before TIME puts one back")


def _tell(plan: Plan) -> None:
    say(f"{plan.info.key}: the version of {plan.info.modified:%Y-%m-%d %H:%M:%S} UTC, {counted(plan.rows, 'row')}")
    if plan.again:
        shown = table(ingested_again="left", as_="left")
        for info, entry in plan.again[:_SHOWN]:
            options = ", ".join(f"{name} {value}" for name, value in entry.options)
            shown.add_row(text(info.key), text("restatement" if entry.replace else options or "it is"))
        out().print(shown)
        say(f"{counted(len(plan.again), 'ingest')} came since, and will be made again")
    else:
        say("no ingest came since" if not plan.unreadable else "")
    for entry in plan.missing:
        complain(f"{entry.source} is no longer in staging in this version, so its rows will be lost")
    if plan.unreadable:
        complain(
            f"{counted(plan.unreadable, 'newer version')} cannot be read, so some ingests may be unknown; afterwards "
            "run `stock-pipeline reconcile --all`"
        )
    for source in plan.removed:
        complain(
            f"{source} was removed since; its rows come back. Afterwards run `stock-pipeline remove --source` again"
        )
