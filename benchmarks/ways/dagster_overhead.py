"""What Dagster adds: `dagster_overhead.py sensor WAITING` or `dagster_overhead.py dev`; seconds in its last line.

sensor   the sensor over daily_prices/ with WAITING objects in a bucket in a folder: the tick that hands them over
         (if there are any), then ticks with nothing new
dev      `stock-pipeline dev` from its start until the UI answers with the definitions loaded, then a run of an ingest
         with nothing to do, from the launch to its end
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.places import NO_AWS

os.environ.update(NO_AWS)


def sensor(waiting: int) -> dict[str, Any]:
    import dagster as dg

    from stock_pipeline.lake.memory_store import MemoryStore
    from stock_pipeline.orchestration import resources
    from stock_pipeline.orchestration.batch import sensor as batch_sensor
    from stock_pipeline.orchestration.batch.sensor import daily_price_arrivals

    os.environ.update({"STOCK_PIPELINE_STAGING_BUCKET": "staging", "STOCK_PIPELINE_LAKE_BUCKET": "lake"})
    with dg.DagsterInstance.ephemeral() as instance:
        staging = MemoryStore("staging")
        resources._store = lambda *_: staging  # type: ignore[assignment]
        batch_sensor._state = lambda *_: "succeeded"  # as if each requested run was done at once
        for number in range(waiting):
            year, day = 1990 + number // 250 % 30, number % 250
            key = f"daily_prices/date={year}-{1 + day // 25:02}-{1 + day % 25:02}/prices-{number}.csv"
            staging.put(key, b"symbol,date,close\nAAPL,2024-01-02,1\n")

        def tick(cursor: str | None) -> tuple[float, str, int]:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"buckets": resources.Buckets()}
            )
            start = time.perf_counter()
            result = daily_price_arrivals(context)
            seconds = time.perf_counter() - start
            assert isinstance(result, dg.SensorResult)
            return seconds, str(result.cursor), len(result.run_requests or ())

        first, cursor, requested = tick(None)
        while requested:  # it requests the runs of some years at a time
            _, cursor, requested = tick(cursor)
        rounds = []
        for _ in range(9):
            seconds, cursor, requested = tick(cursor)
            assert not requested
            rounds.append(seconds)
    return {"first_s": first, "nothing_new_s": statistics.median(rounds)}


def dev() -> dict[str, Any]:
    from stock_pipeline.local.dev.session import session
    from stock_pipeline.local.folders import CHECKOUT

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / ".local").mkdir()
        for name in ("venv", "functions"):  # installed packages are not installed again
            (root / ".local" / name).symlink_to(CHECKOUT / ".local" / name)
        os.environ["STOCK_PIPELINE_HOME"] = folder
        start = time.perf_counter()
        with session(port=None, processor="dagster", report=lambda _: None) as running:
            ui = time.perf_counter() - start
            runs = []
            for _ in range(3):
                began = time.perf_counter()
                run = running.dagster.launch("ingest_daily_prices", "2024", "2024")
                while not running.dagster.is_done(run):
                    time.sleep(0.05)
                runs.append(time.perf_counter() - began)
    return {"ui_s": ui, "empty_run_s": statistics.median(runs)}


if __name__ == "__main__":
    print(json.dumps(sensor(int(sys.argv[2])) if sys.argv[1] == "sensor" else dev()))
