"""Years built again, in a new process: `heavy.py loop|pool|idle FOLDER YEAR…`; what was done is in its last line.

loop, pool  all years, by a loop or by a pool of two processes; FOLDER has `staging` and `lake`
idle        a year without raw objects, by a process of a pool: what a task takes before its first row
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stock_pipeline.heavy.executors import in_processes, in_turn
from stock_pipeline.heavy.rebuild import Places, compare_years, rebuild_years

NOW = datetime(2025, 2, 1, tzinfo=UTC)


def main(how: str, folder: Path, years: list[int]) -> dict[str, Any]:
    places = Places(f"file:{folder / 'staging'}", f"file:{folder / 'lake'}")
    if how == "idle":
        compare_years(years, places, run=in_processes(1))
        done = []
    else:
        done = rebuild_years(years, places, now=NOW, run=in_turn if how == "loop" else in_processes(2))
    tasks = resource.getrusage(resource.RUSAGE_SELF if how == "loop" else resource.RUSAGE_CHILDREN)
    changed = sum(year.changed for year in done)
    return {"rows": sum(year.rows for year in done), "changed": changed, "task_mb": tasks.ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), [int(year) for year in sys.argv[3:]])))
