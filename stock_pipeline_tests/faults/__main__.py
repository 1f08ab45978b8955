"""The command behind `make faults`: schedules by seed, the pairs of the matrix, and the planted bugs.

python -m stock_pipeline_tests.faults --schedules 10000 --seed 1     seeds 1 to 10000
python -m stock_pipeline_tests.faults --replay 4711                  one seed, call by call
python -m stock_pipeline_tests.faults --pairs --mutants              the rest of `make faults`
"""

from __future__ import annotations

import argparse
import sys

from stock_pipeline_tests.faults import matrix, mutants
from stock_pipeline_tests.faults.campaign import PROCESSES, one_cpu, replay, run_schedules


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stock_pipeline_tests.faults", description=__doc__.partition("\n")[0])
    parser.add_argument("--schedules", type=int, default=0, help="how many schedules to run")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one schedule and print its calls")
    parser.add_argument("--pairs", action="store_true", help="every pair of faults in every ingest")
    parser.add_argument("--mutants", action="store_true", help="plant each known bug and expect it to be found")
    chosen = parser.parse_args(arguments)
    one_cpu()
    bad = 0
    if chosen.replay is not None:
        bad += replay(chosen.replay)
    if chosen.schedules:
        bad += run_schedules(chosen.seed, chosen.schedules, chosen.processes)
    if chosen.pairs:
        bad += matrix.run_pairs(chosen.processes)
    if chosen.mutants:
        bad += mutants.run_all(chosen.processes)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
