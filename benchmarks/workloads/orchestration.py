"""What Dagster adds: a run with nothing to do, the sensor's tick, and the time until the UI of `dev` answers."""

from __future__ import annotations

from benchmarks.measure import Spread, Way, interleaved
from benchmarks.places import OWN, ROOT, Bench
from benchmarks.report import Table

WAITING = (0, 100, 10_000)


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    env = {"PYTHONPATH": str(ROOT)}
    module = [OWN, "-m", "benchmarks.ways.dagster_overhead"]
    sensors = [Way(f"{n:,} objects", [*module, "sensor", str(n)], env) for n in WAITING]
    runs = interleaved(sensors, min(bench.rounds, 3))
    (started,) = interleaved([Way("dev", [*module, "dev"], env)], min(bench.rounds, 2)).values()
    how = (
        "Wall seconds. The sensor's bucket is in memory; on S3 each 1,000 objects are one listing request besides. The "
        "run is launched through the UI's API and runs in a process of its own, as every run does."
    )
    table = Table("Dagster: what it adds", how, ["what", "seconds"])
    for name, mine in runs.items():
        first, nothing = (Spread.of([r.said[what] for r in mine]) for what in ("first_s", "nothing_new_s"))
        table.rows.append([f"sensor tick, {name} that are new", first.shown(3)])
        table.rows.append([f"sensor tick, {name} and nothing new", nothing.shown(3)])
        table.figures[name] = {"first_s": first.median, "nothing_new_s": nothing.median}
    for what, title in (("ui_s", "`dev` until the UI answers"), ("empty_run_s", "an ingest of nothing, launch to end")):
        seconds = Spread.of([r.said[what] for r in started])
        table.rows.append([title, seconds.shown(1)])
        table.figures[what] = seconds.median
    return [table]
