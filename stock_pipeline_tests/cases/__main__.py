"""`python -m stock_pipeline_tests.cases DIR`: a line for each case that does not hold, and how many hold."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stock_pipeline_tests.cases import FOLDER, cases
from stock_pipeline_tests.cases.judge import complaint


def main(arguments: list[str] | None = None) -> int:
    """Run the cases of a folder; the exit status is 1 when one does not hold, 2 when there is none to run."""
    parser = argparse.ArgumentParser(prog="cases", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="by default the project's own cases")
    folder = parser.parse_args(arguments).folder
    try:
        found = cases(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    if not found:
        print(f"no cases in {folder}: they are looked for in its folders daily and ticks", file=sys.stderr)
        return 2
    holding = 0
    for case in found:
        wrong = complaint(case)
        holding += wrong is None
        if wrong is not None:
            print(f"{case}: {' '.join(wrong.split())}")
    print(f"{holding} of {len(found)} cases hold")
    return int(holding < len(found))


if __name__ == "__main__":
    sys.exit(main())
