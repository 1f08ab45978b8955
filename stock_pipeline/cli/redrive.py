"""`stock-pipeline redrive`: bring back what failed at every try."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from stock_pipeline.cli.console import complain, counted, say, working
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.aws.redrive import Redriven
    from stock_pipeline.settings import Settings

_SHOWN = 10


class Dead(StrEnum):
    """A queue with what failed at every try."""

    PRICES = "prices"
    TICKS = "ticks"
    RECEIPTS = "receipts"
    EVENTS = "events"


def redrive(
    what: Annotated[
        Dead,
        typer.Argument(
            help="prices: messages of new files of daily prices; ticks: messages of new objects of ticks; "
            "receipts: receipts that Dagster could not show; events: calls of functions that failed.",
            metavar="prices|ticks|receipts|events",
        ),
    ],
) -> None:
    """Bring back what failed at every try, once its cause is gone.

    Messages go back to their queue, and failed events to their function. A
    message is deleted only after that; so nothing is lost if the command is
    stopped, and nothing is stored twice. What fails again stays where it is,
    and the command ends with status 1.

    Examples:

        stock-pipeline redrive prices
        stock-pipeline --stack stock-pipeline-main redrive events
    """
    with aws() as settings, working(f"bringing back {what.value}"):
        found = _bring_back(what, settings)
    say(f"{counted(found.done, 'message')} brought back")
    for reason in found.failed[:_SHOWN]:
        complain(reason)
    if found.failed:
        say(f"{counted(len(found.failed), 'message')} failed again and stay in the queue")
        raise typer.Exit(1)


def _bring_back(what: Dead, settings: Settings) -> Redriven:
    from stock_pipeline.aws.redrive import invoke_again, send_back
    from stock_pipeline.aws.sqs import Queue

    if what is Dead.EVENTS:
        return invoke_again(Queue(settings.require("failed_invocations_url")))
    dead, queue = {
        Dead.PRICES: ("daily_dlq_url", "daily_queue_url"),
        Dead.TICKS: ("stream_dlq_url", "stream_queue_url"),
        Dead.RECEIPTS: ("lineage_dlq_url", "lineage_queue_url"),
    }[what]
    return send_back(Queue(settings.require(dead)), Queue(settings.require(queue)))
