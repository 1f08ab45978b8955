"""The benefit of the layout: an analyst's queries over it, compared with the same rows by date, and in one file for
each session.
"""

from __future__ import annotations

from benchmarks.measure import Failed, Spread, Way, interleaved
from benchmarks.places import OWN, ROOT, Bench
from benchmarks.report import Table

LAYOUTS = {
    "ours": "this pipeline's: a file a year, by symbol and date",
    "unsorted": "a file a year, by date, default settings",
    "files": "a file a session, default settings",
}


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    symbols, years = bench.pick(200, 1000), 10
    made = bench.made("layouts", "layouts", symbols, years)
    ways = [
        Way(layout, [OWN, "-m", "benchmarks.ways.queries", str(made / layout)], {"PYTHONPATH": str(ROOT)})
        for layout in LAYOUTS
    ]
    runs = interleaved(ways, bench.rounds)
    how = (
        f"{years} years of {symbols:,} symbols' daily prices, queried by DuckDB on files that the system has cached; "
        "medians of 15 in each round. Every layout gave the same answers. On S3 each file is a request besides."
    )
    columns = ["query", "layout", "CPU ms", "wall ms", "CPU ÷ ours"]
    table = Table("Queries: what the layout saves", how, columns)
    for query in runs["ours"][0].said:
        if len({runs[layout][0].said[query]["digest"] for layout in LAYOUTS}) > 1:
            raise Failed(f"the layouts do not agree on {query}")
        for layout, mine in runs.items():
            cpu, wall = (Spread.of([r.said[query][what] for r in mine]) for what in ("cpu_ms", "wall_ms"))
            pairs = zip(mine, runs["ours"], strict=True)
            ratio = Spread.of([a.said[query]["cpu_ms"] / b.said[query]["cpu_ms"] for a, b in pairs])
            table.rows.append([query, LAYOUTS[layout], cpu.shown(1), wall.shown(1), ratio.shown()])
            table.figures[f"{query}, {layout}"] = {"cpu_ms": cpu.median, "wall_ms": wall.median, "ratio": ratio.median}
    for layout in LAYOUTS:
        size = sum(file.stat().st_size for file in (made / layout).rglob("*.parquet"))
        table.rows.append(["size", LAYOUTS[layout], f"{size / 1e6:,.1f} MB", "", ""])
    return [table]
