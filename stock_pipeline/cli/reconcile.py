"""`stock-pipeline reconcile`: find raw objects that no table has seen, and ingest them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, counted, out, progress, say, table, text
from stock_pipeline.cli.ingest import show
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.maintenance.reconcile import Repaired, Unseen

DAYS, MINUTES = 3.0, 15.0  # as in `maintenance.reconcile` (a test compares them); `--help` must not import it
_SHOWN = 30


def reconcile(
    since: Annotated[float, typer.Option(min=0, metavar="DAYS", help="Only objects from the last N days.")] = DAYS,
    everything: Annotated[
        bool, typer.Option("--all", help="All objects, however old they are; takes a while.")
    ] = False,
    age: Annotated[
        float,
        typer.Option(min=0, metavar="MINUTES", help="Leave out objects of the last N minutes: they are on their way."),
    ] = MINUTES,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what no table has seen; ingest nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the receipts as JSON, one per line; with --dry-run, the objects.")
    ] = False,
) -> None:
    """Ingest the raw objects in staging that no table has seen.

    This repairs lost notifications, for Dagster and for the Lambda functions.
    It compares staging with what the tables hold, so it is safe at any time and
    adds nothing twice. The Dagster job of the same name does it every hour.

    Exit status 1 if a file was refused or could not be ingested.

    Examples:

        stock-pipeline reconcile --dry-run
        stock-pipeline reconcile
        stock-pipeline reconcile --since 14 --json > receipts.jsonl
        stock-pipeline reconcile --all --age 0
    """
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store
        from stock_pipeline.maintenance.reconcile import find_unseen, repair

        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        with progress("looking for objects in the tables") as report:
            unseen = find_unseen(
                staging=staging,
                lake=lake,
                since=None if everything else timedelta(days=since),
                age=timedelta(minutes=age),
                on_progress=report,
            )
        found = f"{len(unseen.objects):,} of {counted(unseen.looked_at, 'object')}"
        if not unseen:
            say(f"{found} unseen: there is nothing to repair")
            return
        if dry_run:
            _tell(unseen, as_json)
            say(f"{found} unseen; without --dry-run they are ingested")
            _tell_rebuilds(unseen, "is finished without --dry-run")
            return
        with progress("ingesting") as report:
            repaired = repair(unseen, staging=staging, lake=lake, settings=settings, on_progress=report)
    _tell_repaired(repaired, unseen, found, as_json)


def _tell_repaired(repaired: Repaired, unseen: Unseen, found: str, as_json: bool) -> None:
    if as_json:
        for receipt in repaired.receipts:
            typer.echo(receipt.to_json())
    else:
        show(repaired.receipts)
    new = sum(receipt.inserted for receipt in repaired.receipts)
    say(f"{found} were unseen; {counted(new, 'row')} stored for the first time")
    _tell_rebuilds(unseen, "was finished")
    for key, reason in repaired.failed.items():
        complain(f"{key}: {reason}")
    if repaired.failed or any(receipt.refused for receipt in repaired.receipts):
        raise typer.Exit(1)


def _tell_rebuilds(unseen: Unseen, what: str) -> None:
    for year in unseen.rebuilds:
        say(f"the rebuild of {year} was stopped before its end, and {what}")


def _tell(unseen: Unseen, as_json: bool) -> None:
    if as_json:
        for info in unseen.objects:
            record = {"key": info.key, "etag": info.etag, "bytes": info.size, "modified": info.modified.isoformat()}
            typer.echo(json.dumps(record, ensure_ascii=False))
        return
    shown = table(object="left", bytes="right", appeared="left")
    for info in unseen.objects[:_SHOWN]:
        shown.add_row(text(info.key), f"{info.size:,}", f"{info.modified:%Y-%m-%d %H:%M:%S} UTC")
    out().print(shown)
    if len(unseen.objects) > _SHOWN:
        say(f"{_SHOWN} of {len(unseen.objects):,} objects; --json prints all of them")
