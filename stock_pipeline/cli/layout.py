"""`stock-pipeline layout`: how the ticks of history are laid out in objects, and from which day on that changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import counted, out, say, table
from stock_pipeline.cli.options import day
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.lake.layout import Layout, Section
    from stock_pipeline.lake.object_store import ObjectStore


def layout(
    minutes: Annotated[
        int | None,
        typer.Option(min=1, metavar="MINUTES", help="Event time in one object of history; it must divide a day."),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="SHARDS", help="Number of objects that share the symbols of that time."),
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="UTC day from which this holds; it must lie ahead."),
    ] = None,
) -> None:
    """Show how history is laid out in objects, or change it from a day on.

    History has one object for so many minutes of event time and, with more than
    one shard, for one part of the symbols. The lake itself holds this layout,
    so all writers agree. A change holds from a UTC day that lies ahead; the
    ticks of earlier days stay where they are.

    Take an hour for few ticks, and fewer minutes or more shards for many:
    an object should have no more than a million ticks. What is not given stays
    as it is.

    Examples:

        stock-pipeline layout
        stock-pipeline layout --minutes 5 --from 2030-01-01
        stock-pipeline layout --minutes 60 --shards 4 --from 2030-02-01
    """
    starting = day(first) if first else None
    wanted = minutes is not None or shards is not None
    if starting and not wanted:
        raise typer.BadParameter("say what changes: --minutes, --shards or both", param_hint="--from")
    with aws() as settings:
        from stock_pipeline.aws.s3 import S3Store

        lake = S3Store(settings.require("lake_bucket"))
        if wanted:
            _change(lake, minutes, shards, starting)
        _show(lake)


def _change(lake: ObjectStore, minutes: int | None, shards: int | None, starting: date | None) -> None:
    from stock_pipeline.lake.layout import Section
    from stock_pipeline.lake.layout_object import change_layout, declare_layout, layout_to_read
    from stock_pipeline.lake.recognized_layout import MINUTES, SHARDS

    if starting is None:
        declare_layout(lake, Section(date.min, minutes or MINUTES, shards or SHARDS))
        return
    before = layout_to_read(lake, date.max).section(starting)
    change_layout(lake, Section(starting, minutes or before.minutes, shards or before.shards))


def _show(lake: ObjectStore) -> None:
    from stock_pipeline.lake.layout_object import stored_layout
    from stock_pipeline.lake.recognized_layout import recognized

    stored, _ = stored_layout(lake)
    found = stored or recognized(lake)
    shown = table(from_day="left", minutes="right", shards="right", objects_a_day="right", state="left")
    today = datetime.now(UTC).date()
    for section in found.sections:
        begins = "the beginning" if section.first == date.min else str(section.first)
        number = 24 * 60 // section.minutes * section.shards
        shown.add_row(begins, str(section.minutes), str(section.shards), f"{number:,}", _state(section, found, today))
    out().print(shown)
    if stored is None:
        say("the lake has no layout object yet; whoever stores the first tick writes this one")
    elif stored.settled_before > date.min:
        say(f"ticks of days before {stored.settled_before} (UTC) have their place; later days can be changed")


def _state(section: Section, found: Layout, today: date) -> str:
    if section == found.section(today):
        return "in force"
    return "ahead, in " + counted((section.first - today).days, "day") if section.first > today else "past"
