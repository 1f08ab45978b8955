"""`stock-pipeline ingest`: put files into staging and process them now."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

import typer

from stock_pipeline.cli.console import complain, counted, out, progress, say, table, text
from stock_pipeline.cli.target import aws
from stock_pipeline.errors import FileRefused
from stock_pipeline.settings import MIB, Settings
from stock_pipeline.staging.keys import TICK_UPLOADS, UPLOADS

if TYPE_CHECKING:
    from stock_pipeline.lake.object_store import ObjectStore
    from stock_pipeline.receipts import Receipt


_TICKS = (".jsonl", ".ndjson", ".json")  # with or without .gz
_WIDE = 120  # columns; in a narrower terminal each reason has a line of its own
_SHOWN = 30  # receipts of tick objects that are shown one by one


def ingest(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Daily prices: .csv, .txt, .gz, .zip. Ticks: .jsonl, .ndjson, .json, or .gz of them.",
            metavar="FILES",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    symbol: Annotated[
        str | None,
        typer.Option(help="The symbol of a file that has none, neither in its rows nor in its name.", metavar="SYMBOL"),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            help="The time zone of the exchange, if the file has times in another zone: Asia/Kolkata.", metavar="ZONE"
        ),
    ] = None,
    dates: Annotated[
        str | None,
        typer.Option(help="The order of ambiguous dates such as 03-04-2024: dmy, mdy or ymd.", metavar="ORDER"),
    ] = None,
    decimal: Annotated[
        str | None,
        typer.Option(help="The decimal mark of ambiguous numbers such as 1,234: point or comma.", metavar="MARK"),
    ] = None,
    unit: Annotated[
        int | None,
        typer.Option(help="Shares per unit of the volume column: 100 if it counts lots of 100 shares.", metavar="N"),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="A restatement: its values replace those that are stored for the same day."),
    ] = False,
    stage_only: Annotated[
        bool,
        typer.Option("--stage-only", help="Only upload. The sensor or the Lambda function ingests the files later."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the receipts as JSON on stdout, one per line.")
    ] = False,
) -> None:
    """Put files into staging and bring them into the tables.

    Daily prices go to price_by_date. Files of JSON lines (by their names) are
    ticks and go to stream_prices_history and latest_prices. Each file keeps its
    name. Ingesting a file again adds nothing twice. A file of the same name
    with other content replaces the first one in staging, as an upload to S3
    does. The bucket keeps the old version, and the rows from it stay.

    Some files can be read in two ways, for example 03-04-2024 as a date. Then
    evidence in the file decides, and the receipt names it; or you decide, with
    --timezone, --dates, --decimal and --unit. A file that contradicts one of
    these options is refused. The options become folders in the file's key in
    staging (timezone=Asia-Kolkata/dates=dmy/). If you upload files yourself,
    use the same folders.

    A restatement (--replace) keeps the values that it does not mention. Exit
    status 1 if a file was refused; the others are ingested.

    Examples:

        stock-pipeline ingest AAPL.csv MSFT.csv
        stock-pipeline ingest download.csv --symbol AAPL
        stock-pipeline ingest bhavcopy.csv --timezone Asia/Kolkata --dates dmy
        stock-pipeline ingest corrected.csv --replace
        stock-pipeline ingest *.csv.gz --json > receipts.jsonl
        stock-pipeline ingest ticks.jsonl.gz
    """
    folders = _folders(symbol, timezone=timezone, dates=dates, decimal=decimal, unit=unit)
    _refuse_what_cannot_be_meant(files, folders, replace=replace, stage_only=stage_only)
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store

        staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
        keys = _staged(files, UPLOADS + folders, staging, settings)
        refused = len(keys) < len(files)
        if stage_only:
            for key in keys:
                out().print(f"s3://{staging.bucket}/{key}", markup=False, soft_wrap=True)
        else:
            prices = [key for key in keys if not key.startswith(TICK_UPLOADS)]
            receipts = ingest_keys(prices, staging, lake, settings, replace=replace)
            receipts += ingest_tick_keys([key for key in keys if key not in prices], staging, lake, settings)
            refused = refused or any(r.refused is not None for r in receipts)
            if as_json:
                for receipt in receipts:
                    typer.echo(receipt.to_json())
            else:
                show(receipts)
    if refused:
        raise typer.Exit(1)


def _refuse_what_cannot_be_meant(files: Sequence[Path], folders: str, *, replace: bool, stage_only: bool) -> None:
    names = [file.name for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise typer.BadParameter(
            f"two files are called {twice[0]}, and one would replace the other in staging; rename one of them"
        )
    if (folders or replace) and (ticks := [file for file in files if _holds_ticks(file)]):
        raise typer.BadParameter(
            f"{ticks[0].name} holds ticks; --symbol, --timezone, --dates, --decimal, --unit and --replace are for "
            "daily prices"
        )
    if replace and stage_only:
        raise typer.BadParameter("--stage-only only uploads, so --replace would do nothing; leave one of the two out")


def _folders(symbol: str | None, **hints: Any) -> str:
    """The options for files of daily prices, as folders of their keys, so that a later ingest knows them too.

    Raises typer.BadParameter for a symbol, zone, order of dates, decimal mark or unit that is not valid.
    """
    from stock_pipeline.parse.daily.hints import Hints
    from stock_pipeline.parse.symbols import given_symbol

    try:
        folder = "" if symbol is None else f"symbol={quote(given_symbol(symbol), safe='^=:')}/"
    except FileRefused as error:
        raise typer.BadParameter(str(error), param_hint="--symbol") from error
    try:
        return folder + Hints(**hints).folders
    except FileRefused as error:
        raise typer.BadParameter(str(error)) from error


def _staged(files: Sequence[Path], folder: str, staging: ObjectStore, settings: Settings) -> list[str]:
    """Upload files, with progress. Returns the keys; a file that is too large gets an error message instead."""
    keys: list[str] = []
    with progress("uploading") as report:
        for done, file in enumerate(files, 1):
            try:
                keys.append(upload(file, TICK_UPLOADS if _holds_ticks(file) else folder, staging, settings))
            except FileRefused as error:
                complain(f"{file}: {error}")
            report(done, len(files))
    return keys


def upload(file: Path, folder: str, staging: ObjectStore, settings: Settings) -> str:
    """Put a file into a folder of staging, unless it is there with the same content, and return its key.

    Raises FileRefused when the file is larger than the limit, and what the store raises.
    """
    key = folder + file.name
    if not file.is_file():  # to read a pipe waits for whoever writes to it, perhaps for ever
        raise FileRefused("is a pipe or a device; write its content to a file, and ingest that file")
    size = file.stat().st_size
    if size > settings.max_object_bytes:
        raise FileRefused(
            f"{size / MIB:,.0f} MiB is over the limit of {settings.max_object_mb:,} MiB for one object; split it by "
            "year, or set STOCK_PIPELINE_MAX_OBJECT_MB"
        )
    data = file.read_bytes()
    there = next((info for info in staging.list(key) if info.key == key), None)
    if there and there.etag == hashlib.md5(data, usedforsecurity=False).hexdigest():
        return key
    if there:
        say(f"{file.name} replaces a file of that name in staging that had other content", "yellow")
    staging.put(key, data)
    return key


def ingest_keys(
    keys: Sequence[str], staging: ObjectStore, lake: ObjectStore, settings: Settings, *, replace: bool = False
) -> list[Receipt]:
    """Ingest objects of daily prices that are in staging, with progress."""
    from stock_pipeline.ingest.daily import ingest_daily_prices

    with progress("ingesting") as report:
        return ingest_daily_prices(
            keys,
            staging=staging,
            lake=lake,
            replace=replace,
            max_bytes=settings.max_object_bytes,
            on_progress=report,
        )


def ingest_tick_keys(keys: Sequence[str], staging: ObjectStore, lake: ObjectStore, settings: Settings) -> list[Receipt]:
    """Ingest objects of ticks that are in staging, with progress."""
    from stock_pipeline.ingest.ticks import ingest_ticks, options_of

    with progress("ingesting ticks") as report:
        return ingest_ticks(
            keys,
            staging=staging,
            lake=lake,
            **options_of(settings),
            on_progress=report,
        )


_SKIPPED: dict[str, Literal["left", "right"]] = {"skipped": "right"}
"""The column of skipped messages. Only objects of ticks have it."""


def show(receipts: Sequence[Receipt]) -> None:
    """Print what became of each file, what was refused, and the command that shows the rejected rows."""
    taken = [r for r in receipts if r.refused is None]
    if len(taken) > _SHOWN:
        names = ("rows", "inserted", "updated", "duplicates", "skipped")
        rows, new, updated, duplicates, skipped = (sum(getattr(r, name) for r in taken) for name in names)
        say(
            f"{len(taken):,} objects: {rows:,} rows, {new:,} new, {updated:,} updated, {duplicates:,} duplicates, "
            f"{skipped:,} skipped"
        )
    elif taken:
        skips = ("skipped",) if any(r.skipped for r in taken) else ()
        shown = table(
            file="left",
            rows="right",
            new="right",
            updated="right",
            duplicates="right",
            conflicts="right",
            **(_SKIPPED if skips else {}),
            rejected="left",
        )
        between = "\n" if out().width < _WIDE else ", "
        for r in taken:
            reasons = between.join(f"{count:,} {reason}" for reason, count in r.rejected.items())
            cells = (r.rows, r.inserted, r.updated, r.duplicates, r.conflicts, *(getattr(r, name) for name in skips))
            shown.add_row(text(_name(r)), *(f"{n:,}" for n in cells), reasons or "0")
        out().print(shown)
    if replaced := sum(r.replaced for r in receipts):
        say(f"{counted(replaced, 'stored row')} replaced; the old values are kept in price_revisions")
    for r in receipts:
        if r.refused is not None:
            complain(f"{_name(r)}: {r.refused}")
    _show_how_read(receipts)
    left_out = sum(r.rejected_rows + r.conflicts for r in receipts)
    nulled = sum(sum(r.nulled.values()) for r in receipts)
    where = f"stock-pipeline rejects list{f' --source {_name(receipts[0])}' if len(receipts) == 1 else ''}"
    if left_out:
        say(f"{counted(left_out, 'row')} not in the table; the reasons: {where}")
    if nulled:
        say(f"{counted(nulled, 'value')} left out of rows that are in the table; the reasons: {where}")


def _show_how_read(receipts: Sequence[Receipt]) -> None:
    """Print how files were read, if that was not obvious. Files that were read alike share a line."""
    told: dict[str, list[str]] = {}
    for r in receipts:
        lines = [f"decided: {', '.join(f'{what} by {how}' for what, how in r.decided.items())}"] if r.decided else []
        if r.unread:
            lines.append(f"not read: {', '.join(r.unread)}")
        for line in (*lines, *r.rescaled):
            told.setdefault(line, []).append(_name(r))
    for line, names in told.items():
        more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
        say(f"{names[0]}{more}: {line}")


def _name(receipt: Receipt) -> str:
    return receipt.source.removeprefix(UPLOADS).removeprefix(TICK_UPLOADS)


def _holds_ticks(file: Path) -> bool:
    return file.name.lower().removesuffix(".gz").endswith(_TICKS)
