"""Measured tables as Markdown for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import Run, Spread, ratios


@dataclass
class Table:
    """One table of the report: the description, and a row for each way or case."""

    title: str
    how: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    """The same, unrounded, by name."""

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", self.how, "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "|".join("---" if n == 0 else "---:" for n in range(len(self.columns))) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines)


def comparison(
    title: str, how: str, runs: Mapping[str, Sequence[Run]], base: str, *, per: float | None = None, unit: str = ""
) -> Table:
    """A row for each way: CPU and wall time relative to the base way in the same round, then seconds, memory and rate.

    `per` is how many things (`unit`) a run processes, for the rate of one core.
    """
    rate = [f"{unit} a second of CPU"] if per else []
    table = Table(title, how, ["way", f"CPU ÷ {base}", f"wall ÷ {base}", "CPU s", "peak MB", *rate, "rounds"])
    for name, mine in runs.items():
        cpu, wall = (ratios(mine, runs[base], what) for what in (lambda r: r.cpu, lambda r: r.wall))
        seconds = Spread.of([r.cpu for r in mine])
        peak = max(r.peak_mb for r in mine)
        shown = [f"{per / seconds.median:,.0f}"] if per else []
        table.rows.append(
            [name, cpu.shown(), wall.shown(), seconds.shown(), f"{peak:,.0f}", *shown, str(len(mine))]
        )  # fmt: skip
        table.figures[name] = {
            "cpu_ratio": asdict(cpu), "wall_ratio": asdict(wall), "cpu_s": asdict(seconds), "peak_mb": peak,
            "runs": [asdict(r) for r in mine],
        }  # fmt: skip
    return table


def write(tables: Sequence[Table], folder: Path, size: str, command: str) -> tuple[Path, Path]:
    """Write `<folder>/<size>.md` and `.json`. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = {
        "command": command,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "processor": _processor(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
    }
    head = (
        f"`{command}`, {facts['when']}; {facts['cores']} cores ({facts['processor']}), {facts['memory_gb']} GB, "
        f"Python {facts['python']}; load at the end {facts['load'][0]:.1f}"  # type: ignore[index]
    )
    text, data = folder / f"{size}.md", folder / f"{size}.json"
    text.write_text("\n\n".join([head, *(table.markdown() for table in tables)]) + "\n")
    data.write_text(json.dumps({"machine": facts, "tables": [asdict(table) for table in tables]}, indent=1) + "\n")
    return text, data


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
