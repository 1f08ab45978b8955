"""How fast the simulator makes prices and ticks, and the producer packs and sends them."""

from __future__ import annotations

from benchmarks.measure import Spread, Way, interleaved
from benchmarks.places import NO_AWS, OWN, ROOT, Bench
from benchmarks.report import Table

CASES = {
    "daily": "a year of 1,000 symbols, simulated and written as CSV",
    "ticks": "a day of 500 symbols, simulated and written as NDJSON",
    "packing": "live ticks of 500 symbols serialised and packed into records",
    "sending": "the same, given to PutRecords of a client without a network",
}


def run_all(bench: Bench) -> list[Table]:
    """All tables of the subject."""
    env = {"PYTHONPATH": str(ROOT)} | NO_AWS
    ways = [Way(case, [OWN, "-m", "benchmarks.ways.making", case], env) for case in CASES]
    runs = interleaved(ways, bench.rounds)
    table = Table("Simulator and producer", "Per second of CPU, so of one core; two CPU seconds of each in a round.",
                  ["what", "per second and core", "unit"])  # fmt: skip
    for case, mine in runs.items():
        rate = Spread.of([run.said["per_cpu_second"] for run in mine])
        table.rows.append([CASES[case], rate.shown(0), mine[0].said["unit"]])
        table.figures[case] = rate.median
    return [table]
