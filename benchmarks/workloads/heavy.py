"""Heavy work: years built again by a pool of two processes and by a loop; what memory a task takes."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.inputs import SESSIONS, YEAR
from benchmarks.measure import Failed, Spread, Way, interleaved, ratios
from benchmarks.places import OWN, ROOT, Bench
from benchmarks.report import Table

PYTHONPATH = {"PYTHONPATH": str(ROOT)}
LOOP, POOL, IDLE = "loop", "pool", "idle"


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    years, symbols = bench.pick(3, 12), bench.pick(100, 1000)
    made = bench.made("mended", "mended_years", years, symbols)
    names = [str(year) for year in range(YEAR - years + 1, YEAR + 1)]
    ways = [_way(bench, how, made, names) for how in (LOOP, POOL)]
    loads = [os.getloadavg()[0]]
    runs = interleaved([*ways, _way(bench, IDLE, made, ["1900"])], bench.rounds)
    loads.append(os.getloadavg()[0])
    found = {(run.said["rows"], run.said["changed"]) for how in (LOOP, POOL) for run in runs[how]}
    if len(found) > 1 or _tables(bench.scratch(LOOP)) != _tables(bench.scratch(POOL)):
        raise Failed(f"the loop and the pool do not agree: {found}")
    rows = next(iter(found))[0]
    how = (
        f"{rows:,} daily rows of {symbols:,} symbols in {years} years, a file a session; one close in a "
        "hundred is wrong in the lake, and a rebuild mends it. Both ways leave the same objects, byte by byte. Memory: "
        "the peak of the process that does the tasks, less that of one whose year has no rows, by the rows of a year. "
        f"Load at the start and at the end: {loads[0]:.1f}, {loads[1]:.1f}."
    )
    columns = ["way", "wall ÷ loop", "wall s", "CPU ÷ loop", "CPU s", "peak MB of a task's process", "bytes a row"]
    table = Table(f"Heavy work: {years} years built again", how, columns)
    idle = min(run.said["task_mb"] for run in runs[IDLE])
    for name in (LOOP, POOL):
        mine = runs[name]
        wall, cpu = ratios(mine, runs[LOOP], lambda run: run.wall), ratios(mine, runs[LOOP], lambda run: run.cpu)
        walls, cpus = Spread.of([run.wall for run in mine]), Spread.of([run.cpu for run in mine])
        peak = max(run.said["task_mb"] for run in mine)
        each = (peak - idle) * 2**20 / (symbols * SESSIONS)
        table.rows.append(
            [name, wall.shown(), walls.shown(), cpu.shown(), cpus.shown(), f"{peak:,.0f}", f"{each:,.0f}"]
        )
        table.figures[name] = {"wall_ratio": wall.median, "cpu_ratio": cpu.median, "peak_mb": peak, "bytes_a_row": each}
    table.figures[IDLE] = {"peak_mb": idle}
    return [table]


def _way(bench: Bench, how: str, made: Path, years: list[str]) -> Way:
    folder = bench.scratch(how)
    return Way(how, [OWN, "-m", "benchmarks.ways.heavy", how, str(folder), *years], PYTHONPATH, bench.fresh(how, made))


def _tables(folder: Path) -> dict[str, bytes]:
    """The objects of the tables in a way's lake, by their names."""
    found = sorted((folder / "lake").rglob("*.parquet"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
