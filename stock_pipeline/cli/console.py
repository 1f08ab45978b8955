"""The functions that commands print with: results to stdout, messages and progress to stderr.

Text from outside is printed without control characters. On a terminal, progress is a bar or a spinner that disappears
at the end. Elsewhere (a log, a pipe, CI) it is a plain line every few seconds, so that a log stays readable.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from stock_pipeline.board.texts import counted as counted  # commands import it from here
from stock_pipeline.progress import Progress, Say

_PLAIN_WIDTH = 240  # without a terminal there is no width: tables are then as wide as their content, up to this
_BETWEEN_LINES = 5.0  # seconds
# Control characters; what changes the direction of text (bidi), or is an invisible mark or line end.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def out() -> Console:
    """Where results go: stdout."""
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False, soft_wrap=False)


def err() -> Console:
    """Where everything else goes: stderr."""
    return Console(stderr=True, width=None if sys.stderr.isatty() else _PLAIN_WIDTH, highlight=False)


def say(message: str, style: str | None = None) -> None:
    """A message to the person, on stderr."""
    err().print(Text(harmless(message), style or ""), soft_wrap=True)


def complain(message: str) -> None:
    """An error message on stderr."""
    text = Text.assemble(("error: ", "bold red"), harmless(message))
    err().print(text, soft_wrap=True)


def harmless(text: str) -> str:
    """A text from outside, without the characters that act on a terminal: escape sequences, control, bidi."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n").replace("\r", "\n"))


def table(title: str | None = None, **columns: Literal["left", "right"]) -> Table:
    """A table with named columns. Columns of text are left-aligned and wrap; numbers are right-aligned and do not."""
    made = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for name, justify in columns.items():
        made.add_column(name.replace("_", " "), justify=justify, no_wrap=justify == "right", overflow="fold")
    return made


def text(value: object) -> Text:
    """A value as a cell of a table: no markup, no control characters."""
    return Text(harmless(str(value)))


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """A callback (done, total) that shows how far the work is."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=err(), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(what: str) -> Progress:
    started = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        late = now - last >= _BETWEEN_LINES
        if late or (done == total and last > started):
            last = now
            say(f"{what}: {done:,} of {total:,}")

    return report


@contextmanager
def live(what: str) -> Iterator[Say]:
    """Show the state of work that goes on: on a terminal one line that changes, elsewhere a line every few seconds."""
    if sys.stderr.isatty():
        with err().status(what) as status:
            yield lambda text: status.update(harmless(text))
        return
    last = time.monotonic()

    def report(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _BETWEEN_LINES:
            last = time.monotonic()
            say(text)

    yield report


@contextmanager
def working(what: str) -> Iterator[Say]:
    """Show that work of unknown length goes on; the callback changes the text."""
    if not sys.stderr.isatty():
        say(what)
        yield say
        return
    with err().status(what) as status:
        yield lambda text: status.update(harmless(text))
