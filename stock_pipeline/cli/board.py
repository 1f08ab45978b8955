"""`stock-pipeline board`: a local page of prices, ticks, completeness, rejected rows and lags."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
import warnings
from typing import Annotated

import typer

from stock_pipeline.cli.console import out, say
from stock_pipeline.cli.failures import told
from stock_pipeline.cli.target import aws


def board(
    ctx: typer.Context,
    port: Annotated[
        int | None,
        typer.Option(help="Port of the page; by default 8050, or a free one.", metavar="N", min=1, max=65535),
    ] = None,
) -> None:
    """Serve a page to look at the tables, on this machine only, until Ctrl-C.

    Prices of a symbol with volume, ticks and bars of a day, the latest prices
    live, the sessions that each symbol has, rejected rows by reason and source,
    and how far the tables are behind. The page only reads, loads nothing from
    another host, and prints well. Open the address that the command prints: it
    has a key that is new at each start. `stock-pipeline --stack NAME board`
    shows the tables of an account; Athena then answers, and bills, most panels.
    It needs the extra `board`.

    Examples:

        stock-pipeline board
        stock-pipeline board --port 8060
    """
    from stock_pipeline.extras import require

    require("board", "`stock-pipeline board`")
    from stock_pipeline.board.app import Board
    from stock_pipeline.board.place import Place
    from stock_pipeline.board.server import HOST, Server, listening

    warnings.filterwarnings("ignore", ".* has no row of .* in what was asked for")  # a panel says so itself
    key, stack = secrets.token_urlsafe(32), ctx.find_root().params.get("stack")
    command = f"stock-pipeline --stack {shlex.quote(stack)}" if stack else "stock-pipeline"
    with listening(port) as socket:
        page = Board(lambda: place.settings(), key, told, command)
        server = Server(page.app, page.give_up)
        place = Place(aws, server.end)
        out().print(f"Board  http://{HOST}:{socket.getsockname()[1]}/#{key}", style="bold", soft_wrap=True)
        say("Ctrl-C to stop")
        try:
            server.serve_on(socket)
        except (KeyboardInterrupt, SystemExit):
            say("stopped")
    unanswered = page.stop()
    place.leave()
    if unanswered:
        # Python would wait for the answer, up to the limit of a statement. Nothing is lost: the board only reads.
        sys.stdout.flush()
        os._exit(0)
