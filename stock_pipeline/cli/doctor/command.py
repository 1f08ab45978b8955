"""`stock-pipeline doctor`: prints what works, what does not, and what to do about it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.table import Table
from rich.text import Text

from stock_pipeline.cli.console import out, say, text, working
from stock_pipeline.cli.target import aws

if TYPE_CHECKING:
    from stock_pipeline.cli.doctor.diagnosis import Diagnosis, State

_STYLES: dict[State, str] = {"broken": "bold red", "note": "yellow", "ok": "green"}
_CHECK_WIDTH = 22


def doctor() -> None:
    """Check settings, access, tables, queues and Dagster; print the remedies.

    It writes nothing: it checks the permission to write with a conditional put
    that cannot succeed. Exit status 1 if something is broken. A note is
    something that may be what you want.

    Examples:

        stock-pipeline doctor
    """
    from stock_pipeline.cli.doctor.checks import examine

    with aws() as settings, working("examining"):
        diagnoses = examine(settings)
    out().print(_listed(diagnoses))
    counts = Counter(diagnosis.state for diagnosis in diagnoses)
    say(", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state]))
    if counts["broken"]:
        raise typer.Exit(1)


def _listed(diagnoses: Sequence[Diagnosis]) -> Table:
    """One line per diagnosis, with the remedy below it. At 80 columns, a fourth column would be too narrow to read."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold", max_width=_CHECK_WIDTH if sys.stdout.isatty() else None)
    shown.add_column(overflow="fold")
    for diagnosis in diagnoses:
        shown.add_row(Text(diagnosis.state, _STYLES[diagnosis.state]), text(diagnosis.check), text(diagnosis.what))
        if diagnosis.remedy:
            shown.add_row("", "", text(f"→ {diagnosis.remedy}"))
    return shown
