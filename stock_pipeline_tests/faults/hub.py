"""Tasks that take turns: one runs at a time, until it pauses, and a seed decides who is next. Time is simulated.

A task is a greenlet, so that unchanged code can be stopped in the middle of a call of the store. `Pool` replaces
ThreadPoolExecutor, so that the pipeline's threads take turns too. A killed worker stops: each of its tasks gets
`Killed` where it is paused, and at every later pause.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import greenlet

TURN = 0.01
"""So many simulated seconds pass with each turn."""


class Killed(BaseException):
    """The process is gone. No code of the pipeline catches this: what catches Exception must not outlive a SIGKILL."""


class Stuck(AssertionError):
    """No task can go on, or they go on for ever."""


@dataclass(eq=False)
class Worker:
    """A process: tasks that live and die together."""

    name: str
    alive: bool = True


@dataclass(eq=False)
class Task:
    worker: Worker
    greenlet: greenlet.greenlet
    wake: float = 0.0
    until: Callable[[], bool] | None = None


@dataclass
class Hub:
    """Runs tasks in turns. `limit` bounds the turns of one `run`."""

    random: random.Random
    limit: int = 20_000
    now: float = 0.0
    turns: int = 0
    current: Task | None = None
    tasks: list[Task] = field(default_factory=list)

    @property
    def worker(self) -> Worker:
        assert self.current
        return self.current.worker

    def spawn(self, worker: Worker, work: Callable[[], object]) -> Task:
        """Begin a task; it first runs when its turn comes."""

        def body() -> None:
            try:
                work()
            except Killed:
                pass
            finally:
                self.tasks.remove(task)

        task = Task(worker, greenlet.greenlet(body), self.now)
        self.tasks.append(task)
        return task

    def pause(self, seconds: float = 0.0, until: Callable[[], bool] | None = None) -> None:
        """Let others run, for at least so long, or until something is so. Raises Killed in a worker that is dead."""
        task = self.current
        assert task
        if task.worker.alive:
            task.wake, task.until = self.now + seconds, until
            task.greenlet.parent.switch()
        if not task.worker.alive:
            raise Killed

    def run(self) -> None:
        """Run until no task is left. An exception that a task does not handle comes out here."""
        until = self.turns + self.limit
        while self.tasks:
            ready = [t for t in self.tasks if not t.worker.alive or (t.until() if t.until else t.wake <= self.now)]
            if not ready:
                asleep = [t.wake for t in self.tasks if t.until is None]
                if not asleep:
                    raise Stuck("every task waits for another")
                self.now = min(asleep)
                continue
            self.turns += 1
            if self.turns > until:
                raise Stuck(f"{len(self.tasks)} tasks still run after {self.limit} turns")
            self.now += TURN
            task = ready[0] if len(ready) == 1 else self.random.choice(ready)
            self.current = task
            # A killed worker's task that never ran does not begin.
            if not task.worker.alive and not task.greenlet:
                self.tasks.remove(task)
                continue
            task.greenlet.parent = greenlet.getcurrent()
            task.greenlet.switch()
        self.current = None

    def close(self) -> None:
        """End what is left after a run that failed."""
        for task in list(self.tasks):
            task.worker.alive = False
        for task in list(self.tasks):
            self.current = task
            if task.greenlet:
                task.greenlet.parent = greenlet.getcurrent()
                task.greenlet.throw(Killed)
        self.tasks.clear()


class _Reply(Future[Any]):
    def __init__(self, hub: Hub) -> None:
        super().__init__()
        self._hub = hub

    def result(self, timeout: float | None = None) -> Any:
        while not self.done():  # a generator that is thrown away while nobody runs may wake a task too early
            self._hub.pause(until=self.done)
        try:
            return super().result(0)
        finally:
            del self  # else it and its exception hold each other, and whatever frames the exception came through


def _answer(reply: _Reply, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        if reply.set_running_or_notify_cancel():
            reply.set_result(fn(*args, **kwargs))
    except BaseException as error:
        reply.set_exception(error)
    finally:
        del reply, fn, args, kwargs  # what an exception holds would else be let go at any time, by whoever runs then


class Pool(Executor):
    """A ThreadPoolExecutor whose threads are tasks of the worker that made it."""

    def __init__(self, hub: Hub, max_workers: int | None = None) -> None:
        self._hub, self._free = hub, max_workers or 4
        self._worker = hub.worker
        self._waiting: deque[Callable[[], None]] = deque()
        self._running = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        reply = _Reply(self._hub)
        self._waiting.append(partial(_answer, reply, fn, args, kwargs))
        if self._running < self._free:
            self._running += 1
            self._hub.spawn(self._worker, self._serve)
        return reply

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if wait and self._running and self._worker.alive:  # the threads of a dead process are gone with it
            self._hub.pause(until=lambda: not self._running)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        except Killed:
            if kind is not GeneratorExit:  # a generator that is let go cannot raise: its caller dies at its next pause
                raise

    def _serve(self) -> None:
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._running -= 1
