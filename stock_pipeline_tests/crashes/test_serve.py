"""A Dagster as it stays in AWS starts soon, is small, and loses nothing whatever dies."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stock_pipeline_tests.crashes.drops import Drops
from stock_pipeline_tests.support.amounts import Amounts
from stock_pipeline_tests.support.deployed import PARTS, PATIENCE, everything
from stock_pipeline_tests.support.local_aws import NewStack, eventually

pytestmark = [pytest.mark.crash, pytest.mark.timeout(2400)]

HIDDEN = 5  # seconds
MOST = 1024 * 2**20  # bytes that webserver, daemon and code server may take together
FIRST_TICK = 60.0  # seconds of CPU until the first tick: so many seconds on a single core with nothing else to do


def test_it_starts_soon_fits_a_gigabyte_and_starts_runs_as_tasks(new_stack: NewStack, tmp_path: Path) -> None:
    with everything(new_stack("dagster"), tmp_path) as place:
        begun = time.monotonic()
        place.deployed.start(*PARTS)
        assert eventually(lambda: "daily_price_arrivals" in place.ticks(), within=PATIENCE), place.deployed.tail()
        waited, cpu = time.monotonic() - begun, place.deployed.cpu
        assert place.brings_in("AAA"), place.deployed.tail()
        memory = place.deployed.memory
        print(
            f"first tick after {waited:.0f} s, {cpu:.0f} s of CPU;",
            {part: f"{each / 2**20:.0f} MiB" for part, each in memory.items()},
        )
        assert sum(memory.values()) <= MOST
        assert cpu <= FIRST_TICK
        (task, *_) = place.ecs.tasks.values()
        assert task.request["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"] == "DISABLED"
        assert set(place.ecs.calls) <= {"DescribeTaskDefinition", "RunTask", "DescribeTasks", "StopTask"}
        assert eventually(lambda: any(key.endswith((".out", ".err")) for key in place.logged()), within=60)


def test_both_paths_end_with_the_same_tables_whatever_dies_at_any_time(
    new_stack: NewStack, tmp_path: Path, amounts: Amounts, capsys: pytest.CaptureFixture[str]
) -> None:
    """The daemon, the code server, a run and the database, once each, in an order and at times that the seed says."""
    chance = random.Random(amounts.seed)
    with everything(new_stack("dagster", hidden=HIDDEN), tmp_path) as place:
        place.deployed.start(*PARTS)
        assert eventually(lambda: "daily_price_arrivals" in place.ticks(), within=PATIENCE), place.deployed.tail()
        drops = Drops(place.stack)
        deaths: dict[str, Callable[[], None]] = {
            "daemon": lambda: place.deployed.kill("daemon"),
            "code server": lambda: place.deployed.kill("code"),
            "run": place.kill_a_run,
            "database": lambda: place.without_history(chance.uniform(0, 10)),
        }
        order = chance.sample([*deaths], len(deaths))
        with place.deployed.kept():
            for victim in order:
                drops.file(2024)
                drops.object()
                time.sleep(chance.uniform(0, 20))
                deaths[victim]()
                drops.file(2023)
                drops.object()
            assert eventually(lambda: is_exact(drops), within=PATIENCE), place.deployed.tail()
        assert drops.held("StreamDlqUrl") == 0
        with capsys.disabled():
            print(
                f"\nkilled: {', '.join(order)} (seed {amounts.seed}); {len(place.ecs.tasks)} runs, started again: "
                f"{place.deployed.starts_again}; {len(drops.bars)} bars and {len(drops.ticks)} ticks are exact"
            )


def is_exact(drops: Drops) -> bool:
    """Whether all tables hold what was dropped, and the queue is empty."""
    return (
        drops.stored_bars() == drops.bars
        and drops.stored_ticks() == drops.ticks
        and drops.snapshot() == drops.latest()
        and not drops.held("StreamQueueUrl")
    )
