"""A loop and a pool do the same tasks with the same results; a pool outlives its processes and leaves none behind."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stock_pipeline import errors
from stock_pipeline.errors import ObjectNotFound, ObjectTooLarge, StockPipelineError, WorkersDied
from stock_pipeline.heavy.executors import TRIES, executor_of, in_processes, in_turn
from stock_pipeline.heavy.tasks import Executor, Task, values

HERE = "stock_pipeline_tests.heavy.some_tasks"
BOTH = pytest.mark.parametrize("run", [in_turn, in_processes(2)], ids=["loop", "pool"])


def tasks(function: str, *arguments: object) -> list[Task]:
    return [Task(f"{HERE}:{function}", argument, f"task {argument}") for argument in arguments]


@BOTH
def test_results_come_in_the_order_of_the_tasks(run: Executor) -> None:
    told: list[tuple[int, int]] = []
    assert values(run(tasks("double", 3, 1, 2), lambda *done: told.append(done))) == [6, 2, 4]
    # A task of the loop tells its own progress; a pool tells the tasks that are done.
    assert told == ([(3, 10), (1, 10), (2, 10)] if run is in_turn else [(1, 3), (2, 3), (3, 3)])
    assert run([], None) == []


@BOTH
def test_a_task_that_fails_does_not_stop_the_others(run: Executor) -> None:
    failed, done = run([*tasks("missing", "a/b"), *tasks("double", 1)], None)
    assert isinstance(failed.error, ObjectNotFound)
    assert (failed.error.key, str(failed.error), done.value) == ("a/b", "a/b is not there", 2)
    with pytest.raises(ObjectNotFound, match="a/b is not there"):
        values([done, failed])


@BOTH
def test_an_error_that_nobody_foresaw_is_raised(run: Executor) -> None:
    with pytest.raises(ZeroDivisionError):
        run(tasks("wrong", "x"), None)
    assert multiprocessing.active_children() == []


def test_a_pool_has_processes_of_one_thread_that_ctrl_c_does_not_reach() -> None:
    found = values(executor_of(2)(tasks("where", 1, 2), None))
    assert {(threads, reached) for _, threads, reached in found} == {(1, False)}
    assert os.getpid() not in {process for process, *_ in found}
    assert executor_of(1) is in_turn
    assert multiprocessing.active_children() == []


def test_a_pool_has_an_allocator_that_returns_memory_unless_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "7")
    before = dict(os.environ)
    assert values(in_processes(1)(tasks("allocator", 1), None)) == [("system", "7")]
    assert dict(os.environ) == before


def test_a_task_whose_process_was_killed_is_done_again(tmp_path: Path) -> None:
    run = in_processes(1)
    assert values(run([*tasks("double", 1), *tasks("die_until", (str(tmp_path), TRIES - 1))], None)) == [2, TRIES - 1]


def test_a_task_that_kills_every_process_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WorkersDied, match=r"1 tasks died at each try: task .*take fewer processes"):
        in_processes(1)([*tasks("double", 1), *tasks("die_until", (str(tmp_path), 99))], None)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_processes_of_a_pool_end_with_it(how: signal.Signals, tmp_path: Path) -> None:
    code = f"""
import signal
from stock_pipeline.heavy.executors import in_processes
from stock_pipeline.heavy.tasks import Task
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Dagster does when it cancels a run
if __name__ == "__main__":
    in_processes(2)([Task("{HERE}:sleep", {str(tmp_path)!r}, str(n)) for n in range(2)], None)
"""
    script = tmp_path / "job.py"
    script.write_text(code)
    where = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, str(script)], env={**os.environ, "PYTHONPATH": where}, stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + 120
    while len(found := [int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()]) < 2:
        assert time.monotonic() < until
        assert parent.poll() is None, parent.communicate()[1]
        time.sleep(0.05)
    parent.send_signal(how)
    _, said = parent.communicate(timeout=60)
    assert parent.returncode != 0
    assert said.count("Traceback") <= 1, said  # the parent's own
    while any(_lives(process) for process in found):
        assert time.monotonic() < until
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_every_error_can_be_sent_to_another_process() -> None:
    named = [kind for name in errors.__all__ if isinstance(kind := getattr(errors, name), type)]
    kinds = [kind for kind in named if not issubclass(kind, Warning)]
    given = ObjectTooLarge("k", "etag", 5, datetime(2024, 1, 2, tzinfo=UTC), "too large")
    sent = pickle.loads(pickle.dumps(given))
    assert (type(sent), str(sent), vars(sent)) == (ObjectTooLarge, "too large", vars(given))
    assert kinds
    for kind in kinds:
        assert issubclass(kind, StockPipelineError)
        assert kind.__reduce__ is StockPipelineError.__reduce__
