"""`stock-pipeline doctor`: what works, what does not, and what to do about it."""

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
    from stock_pipeline.cli.doctor.finding import Finding, State

_STYLES: dict[State, str] = {"broken": "bold red", "note": "yellow", "ok": "green"}
_CHECK_WIDTH = 22


def doctor() -> None:
    """Check settings, access, tables, queues and Dagster, each with its remedy.

    Writes nothing: permission to write is asked for with a conditional put
    that cannot succeed. Exit status 1 if something is broken; notes are things
    that may be as you want them.

    Examples:

        stock-pipeline doctor
    """
    from stock_pipeline.cli.doctor.checks import examine

    with aws() as settings, working("examining"):
        findings = examine(settings)
    out().print(_listed(findings))
    counts = Counter(finding.state for finding in findings)
    say(", ".join(f"{counts[state]} {state}" for state in _STYLES if counts[state]))
    if counts["broken"]:
        raise typer.Exit(1)


def _listed(findings: Sequence[Finding]) -> Table:
    """A line a finding, with the remedy below it: legible at 80 columns, where four columns side by side are not."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold", max_width=_CHECK_WIDTH if sys.stdout.isatty() else None)
    shown.add_column(overflow="fold")
    for finding in findings:
        shown.add_row(Text(finding.state, _STYLES[finding.state]), text(finding.check), text(finding.what))
        if finding.remedy:
            shown.add_row("", "", text(f"→ {finding.remedy}"))
    return shown
