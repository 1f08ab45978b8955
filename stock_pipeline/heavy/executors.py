"""What does the tasks of a list: a loop in this process, or a pool of processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import pyarrow as pa

from stock_pipeline.errors import WorkersDied
from stock_pipeline.heavy.tasks import Executor, Result, Task, work
from stock_pipeline.progress import Progress

TRIES = 3
"""So many times the last task is begun whose process dies: killed, or out of memory."""

_ALLOCATOR = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "1048576",
}
"""Environment variables of a pool's processes. With them a year takes a fifth less memory and no more time."""


def executor_of(processes: int) -> Executor:
    """The loop for one process, and a pool for more."""
    return in_turn if processes < 2 else in_processes(processes)


def in_turn(tasks: Sequence[Task], on_progress: Progress | None = None) -> list[Result]:
    """Do the tasks in this process, one after another. Each task reports its own progress."""
    return [work(task, on_progress) for task in tasks]


def in_processes(processes: int) -> Executor:
    """An executor with so many processes, each with one thread for computing.

    The processes are started anew (spawn), with the environment of this one. They end with it, also when it is killed,
    and on Ctrl-C. Progress is (tasks done, number of tasks). When a process dies, what was not done is begun again.
    Raises WorkersDied when each task that is left has had its turn, the last one `TRIES` times.
    """

    def run(tasks: Sequence[Task], on_progress: Progress | None = None) -> list[Result]:
        results: dict[int, Result] = {}
        deaths = 0
        while left := [number for number in range(len(tasks)) if number not in results]:
            if deaths == TRIES + len(left) - 1:
                raise _died([tasks[number].name for number in left])
            first = deaths % len(left)  # a task that kills its process must not stay ahead of all others
            try:
                with _pool(min(processes, len(left))) as pool:
                    with _held_ctrl_c(), _sparing():
                        futures = {pool.submit(work, tasks[number]): number for number in left[first:] + left[:first]}
                    _gather(futures, results, len(tasks), on_progress)
            except BrokenProcessPool:
                deaths = deaths + 1 if len(left) == len(tasks) - len(results) else 1
        return [results[number] for number in range(len(tasks))]

    return run


def _died(names: Sequence[str]) -> WorkersDied:
    return WorkersDied(
        f"the processes of {len(names)} tasks died at each try: {', '.join(names[:10])}. They may have had "
        "too little memory: take fewer processes. What others did stays, and a second start goes on"
    )


def _gather(
    futures: dict[Future[Result], int], results: dict[int, Result], total: int, on_progress: Progress | None
) -> None:
    for future in as_completed(futures):
        results[futures[future]] = future.result()
        if on_progress:
            on_progress(len(results), total)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are gone at the end of the block, whatever ends it."""
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        children = set(multiprocessing.active_children()) - others
        for child in children:
            child.terminate()
        for child in children:
            child.join()
        raise
    pool.shutdown()


@contextmanager
def _sparing() -> Iterator[None]:
    """Give the processes that are started here an allocator that returns memory. What the environment says is kept."""
    mine = {name: value for name, value in _ALLOCATOR.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del os.environ[name]


@contextmanager
def _held_ctrl_c() -> Iterator[None]:
    """Hold back Ctrl-C in this thread. Processes that are started here never get it: only their parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """What a process of the pool does first: compute with one thread, and end when its parent ends or says so."""
    # A main module that is imported here may have set a handler, and a worker lives on after any exception.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pa.set_cpu_count(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)
