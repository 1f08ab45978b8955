"""`stock-pipeline doctor`: what works, what does not, and what to do about it."""

from __future__ import annotations

import typer

from stock_pipeline.cli.console import out, table, text, working
from stock_pipeline.cli.place import aws

_STYLES = {"ok": "green", "note": "yellow", "broken": "bold red"}


def doctor() -> None:
    """Check settings, access, tables, queues and Dagster, each with its remedy.

    Writes nothing: permission to write is asked for with a conditional put
    that cannot succeed. Exit status 1 if something is broken; notes are things
    that may be as you want them.

    Examples:

        stock-pipeline doctor
    """
    from stock_pipeline.cli.examination import examine

    with aws() as settings, working("examining"):
        findings = examine(settings)
    shown = table(check="left", state="left", what="left", remedy="left")
    for finding in findings:
        shown.add_row(
            finding.check, f"[{_STYLES[finding.state]}]{finding.state}[/]", text(finding.what), text(finding.remedy)
        )
    out().print(shown)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
