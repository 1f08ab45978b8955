"""The latest prices: an update beside a growing history, against rewriting the snapshot; and all of it recomputed."""

from __future__ import annotations

from benchmarks.measure import Run, Spread, Way, interleaved, ratios
from benchmarks.places import OWN, ROOT, Bench
from benchmarks.report import Table

PYTHONPATH = {"PYTHONPATH": str(ROOT)}
SYMBOLS = 5000


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    millions = [1, bench.pick(2, 10), bench.pick(3, 50)]
    made = {n: bench.made("history", "history", SYMBOLS, n) for n in millions}
    updates = [
        Way(str(n), [OWN, "-m", "benchmarks.ways.snapshot", "update", str(bench.scratch(f"history-{n}"))], PYTHONPATH,
            bench.fresh(f"history-{n}", made[n]))
        for n in millions
    ]  # fmt: skip
    runs = interleaved(updates, bench.rounds)
    return [_updates(runs), *(_recomputed(bench, n) for n in millions[1:])]


def _updates(runs: dict[str, list[Run]]) -> Table:
    how = (
        f"A snapshot of {SYMBOLS:,} symbols. Ingest: an object of 1,000 ticks into history and snapshot, from bytes "
        "to both commits. Update: 1,000 new latest ticks merged into the snapshot alone. Rewrite: it is read and "
        "written. CPU in a running process, medians of 40 in each of the rounds."
    )
    columns = ["history", "ingest, ms", "÷ the smallest history", "update, ms", "rewrite, ms", "update ÷ rewrite"]
    table = Table("Snapshot: an update", how, columns)
    base = next(iter(runs.values()))
    for name, mine in runs.items():
        figures = {key: Spread.of([run.said[key] for run in mine]) for key in mine[0].said}
        relative = ratios(mine, base, lambda run: float(run.said["ingest_ms"]))
        table.rows.append([
            f"{name} M ticks", figures["ingest_ms"].shown(1), relative.shown(), figures["update_ms"].shown(1),
            figures["rewrite_ms"].shown(1), figures["update_to_rewrite"].shown(),
        ])  # fmt: skip
        table.figures[name] = {key: spread.median for key, spread in figures.items()} | {"relative": relative.median}
    return table


def _recomputed(bench: Bench, millions: int) -> Table:
    made = bench.made("history", "history", SYMBOLS, millions)
    ways = [
        Way(what, [OWN, "-m", "benchmarks.ways.snapshot", what, str(made)], PYTHONPATH)
        for what in ("scan", "recompute")
    ]
    runs = interleaved(ways, bench.rounds)
    how = (
        f"{millions} M ticks of {SYMBOLS:,} symbols in an object an hour. Scan: symbol and time of all of them read; "
        "recompute: the snapshot out of history, as the weekly job and the check do it. CPU without the "
        "interpreter's start."
    )
    table = Table(f"Snapshot: recomputed from {millions} M ticks", how, ["way", "CPU ÷ scan", "CPU s", "peak MB"])
    for name, mine in runs.items():
        relative = ratios(mine, runs["scan"], lambda run: float(run.said["cpu_s"]))
        seconds = Spread.of([run.said["cpu_s"] for run in mine])
        table.rows.append([name, relative.shown(), seconds.shown(), f"{max(run.peak_mb for run in mine):,.0f}"])
        table.figures[name] = {"ratio": relative.median, "cpu_s": seconds.median}
    return table
