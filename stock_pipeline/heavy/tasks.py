"""A task: a function by its name, and a small argument. Both can be sent to another process.

The function takes the argument and where to report progress. It returns something small that can be pickled. It may be
called several times for one task, also after it has committed: an executor tries a task again when its process died.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from stock_pipeline.errors import StockPipelineError
from stock_pipeline.progress import Progress


@dataclass(frozen=True)
class Task:
    """One task. `function` is `module:name`, and `name` is what people read: `2024`."""

    function: str
    argument: Any
    name: str


@dataclass(frozen=True)
class Result:
    """What became of a task: what its function returned, or the error of this package that it raised."""

    value: Any = None
    error: StockPipelineError | None = None


Executor = Callable[[Sequence[Task], Progress | None], list[Result]]
"""Does tasks, and returns their results in the order of the tasks. It does all of them, also when one fails."""


def work(task: Task, on_progress: Progress | None = None) -> Result:
    """Do a task in this process. An error that this package does not raise on purpose is raised."""
    module, _, name = task.function.partition(":")
    function = getattr(import_module(module), name)
    try:
        return Result(function(task.argument, on_progress))
    except StockPipelineError as error:
        return Result(error=error)


def values(results: Sequence[Result]) -> list[Any]:
    """What the tasks returned. Raises the error of the first task that has one."""
    for result in results:
        if result.error:
            raise result.error
    return [result.value for result in results]
