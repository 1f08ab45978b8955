"""Recomputes the snapshot `latest_prices` without SQL: a task finds the last trades in some objects of history.

The objects are listed once, and all tasks have one `now`. Tasks only read. What they find goes into the same code that
SQL's answer goes into (`maintenance.snapshot`), and its commit is the snapshot's own. So there is no journal: a second
start reads again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from stock_pipeline.heavy.executors import in_turn
from stock_pipeline.heavy.places import opened
from stock_pipeline.heavy.tasks import Executor, Task, values
from stock_pipeline.lake.contents import own_partitions
from stock_pipeline.maintenance.last_trades import Moments, last_trades, moments_of
from stock_pipeline.progress import Progress
from stock_pipeline.schemas import STREAM_PRICES_HISTORY

MOST_TASKS = 64
"""However long history is, so many results of tasks are in memory at the end."""


@dataclass(frozen=True)
class Part:
    """The argument of a task: where the lake is, some partitions of history, and the time until which ticks count."""

    lake: str
    names: Sequence[str]
    until: datetime


def moments_by_tasks(lake: str, run: Executor = in_turn, on_progress: Progress | None = None) -> Moments:
    """Finds when each symbol last traded in all of history, for `recompute`, `refresh` and `rebuild` of
    `maintenance.snapshot`. `lake` is the place of the lake (`heavy.places`).

    What it returns raises DamagedObject, StoreUnavailable and WorkersDied.
    """

    def find(until: datetime) -> dict[str, datetime]:
        names = own_partitions(opened(lake), STREAM_PRICES_HISTORY)
        size = -(-len(names) // MOST_TASKS) or 1
        parts = [Part(lake, names[at : at + size], until) for at in range(0, len(names), size)]
        tasks = [Task(f"{__name__}:find_last_trades", part, part.names[0]) for part in parts]
        return moments_of(values(run(tasks, on_progress)))

    return find


def find_last_trades(argument: Part, on_progress: Progress | None) -> pa.Table:
    """The task of some objects of history: a row for each of their symbols."""
    return last_trades(opened(argument.lake), argument.names, argument.until, on_progress)
