"""The command line: puts the commands together, and turns their errors into messages and exit statuses.

A command prints its result on stdout and everything else on stderr. Exit status: 0 done, 1 the work failed (the message
says what to do), 2 wrong usage, 130 stopped with Ctrl-C. A command imports what it needs only when it runs, so `--help`
answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from stock_pipeline.cli import (
    backfill,
    board,
    dev,
    env,
    ingest,
    layout,
    rebuild,
    reconcile,
    redrive,
    rejects,
    remove,
    restore,
    serve,
    sql,
    stream,
    watch,
)
from stock_pipeline.cli.console import complain, say
from stock_pipeline.cli.demo import command as demo
from stock_pipeline.cli.doctor import command as doctor
from stock_pipeline.cli.failures import told
from stock_pipeline.cli.options import Command, Group
from stock_pipeline.settings import PREFIX


class _Commands(Group):
    """Turns what a command raises into a message and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            if (stack := ctx.params.get("stack")) and "--help" not in ctx.args:
                _work_on(stack)
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except typer.Exit:
            raise
        except Exception as error:
            if ctx.params.get("debug") or _is_for_typer(error):
                raise
            complain(told(error))
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_Commands,
    name="stock-pipeline",
    help="Bring daily price files and live ticks of stocks into tables, and query them with SQL.",
    epilog="First steps: [bold]stock-pipeline demo[/], or [bold]stock-pipeline ingest FILE[/]; then docs/tutorial.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _work_on(stack: str) -> None:
    """Set this process's settings to the outputs of a stack. Raises DeployError."""
    from stock_pipeline.deploy.stack import outputs_of, settings_of

    os.environ.update(settings_of(outputs_of(stack)))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("stock-pipeline"))
        raise typer.Exit


@app.callback()
def options(
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            metavar="NAME",
            envvar=f"{PREFIX}STACK",
            help="Work on this stack in AWS (stock-pipeline-main); its outputs replace the settings.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """The options before a command's name. `_Commands` and the callbacks use them."""


app.command("dev", cls=Command)(dev.dev)
app.command("demo", cls=Command)(demo.demo)
app.command("serve", cls=Command)(serve.serve)
app.command("ingest", cls=Command)(ingest.ingest)
app.command("backfill", cls=Command)(backfill.backfill)
app.command("stream", cls=Command)(stream.stream)
app.command("board", cls=Command)(board.board)
app.command("watch", cls=Command)(watch.watch)
app.command("sql", cls=Command)(sql.sql)
app.add_typer(rejects.app, name="rejects")
app.command("reconcile", cls=Command)(reconcile.reconcile)
app.command("redrive", cls=Command)(redrive.redrive)
app.command("remove", cls=Command)(remove.remove)
app.command("rebuild", cls=Command)(rebuild.rebuild)
app.command("restore", cls=Command)(restore.restore)
app.command("env", cls=Command)(env.env)
app.command("layout", cls=Command)(layout.layout)
app.command("doctor", cls=Command)(doctor.doctor)


def main() -> None:
    """Run the command line."""
    # A script's background processes ignore SIGINT by default; then Ctrl-C or kill -INT could not stop `dev`.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, _terminated)
    try:
        app()
    except BrokenPipeError:  # the reader of our output has left: `stock-pipeline sql … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _terminated(number: int, _frame: object) -> NoReturn:
    """End in order: stop what was started for this command."""
    raise SystemExit(128 + number)


def _is_for_typer(error: Exception) -> bool:
    """Whether an error belongs to the command line's own machinery (wrong usage, an abort, a closed pipe)."""
    return type(error).__module__.startswith(("typer", "click")) or isinstance(error, BrokenPipeError)
