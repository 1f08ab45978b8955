"""`python -m benchmarks`: run the workloads and write the report."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import time

from benchmarks.places import RESULTS, Bench
from benchmarks.report import Table, write

SUBJECTS = ("daily", "ticks", "snapshot", "functions", "simulator", "queries", "heavy", "end_to_end", "orchestration")
SMALL = ("daily", "ticks", "snapshot", "functions", "simulator", "queries", "heavy")
"""The subjects that the small run leaves out: they need minutes of a local AWS, or a whole Dagster."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the pipeline, its peers and the floor.")
    parser.add_argument("--size", choices=("small", "full"), default="small", help="small: a smoke run of a minute")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, help="these subjects only")
    parser.add_argument("--rounds", type=int, help="rounds of each comparison (small: 1, full: 5)")
    options = parser.parse_args()
    bench = Bench(options.size, options.rounds or (1 if options.size == "small" else 5), RESULTS)
    tables: list[Table] = []
    for subject in options.only or (SMALL if options.size == "small" else SUBJECTS):
        start = time.monotonic()
        print(f"{subject} …", file=sys.stderr)
        module = importlib.import_module(f"benchmarks.workloads.{subject}")
        for table in module.run_all(bench):
            tables.append(table)
            print("\n" + table.markdown() + "\n", flush=True)
        print(f"{subject}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    shutil.rmtree(bench.work / "scratch", ignore_errors=True)
    name = options.size if not options.only else f"{options.size}-{'-'.join(options.only)}"
    text, data = write(tables, RESULTS, name, "make bench " + " ".join(sys.argv[1:]))
    print(f"written to {text} and {data}")


if __name__ == "__main__":
    main()
