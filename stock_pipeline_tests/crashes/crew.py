"""Workers that are killed at random points and replaced, until a number of kills is done."""

from __future__ import annotations

import multiprocessing
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from stock_pipeline_tests.crashes.worker import PHASES, STARTING, Post, work

LONGEST_LIFE = 120
"""A worker is killed after so many steps at most from its first message on; a group of messages takes about 40. Not
seconds: on a busy machine few workers would then get anything done, and on an idle one few would be killed in time."""


def forkserver() -> ForkServerContext:
    """Processes that are forked from one that has imported everything and done nothing."""
    context = multiprocessing.get_context("forkserver")
    modules = ("worker", "watchers", "test_commits")
    context.set_forkserver_preload(["pytest", *(f"stock_pipeline_tests.crashes.{name}" for name in modules)])
    return context


@dataclass
class Crew:
    """A number of workers; `kills` counts the kills by what the worker was doing."""

    env: Mapping[str, str]
    bars_queue: str
    chance: random.Random
    size: int
    most: int
    log: Path
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._context = forkserver()
        self._phase, self._steps, self._busy, self._done = (self._context.RawArray(k, self.size) for k in "bqdq")
        self._stop = self._context.Event()
        self._workers: list[Any] = [None] * self.size
        self._life = [0] * self.size

    def __enter__(self) -> Crew:
        for at in range(self.size):
            self._hire(at)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join(20)
            worker.kill()
            worker.join()

    def _hire(self, at: int) -> None:
        self._phase[at], self._steps[at], self._busy[at], self._done[at] = STARTING, 0, 0.0, 0
        self._life[at] = self.chance.randrange(LONGEST_LIFE)
        post = Post(self._phase, self._steps, self._busy, self._done, at)
        self._workers[at] = self._context.Process(
            target=work, args=(dict(self.env), self.bars_queue, post, self._stop, self.most, str(self.log))
        )
        self._workers[at].start()

    def kill_who_is_due(self) -> None:
        """SIGKILL the workers that have come as far as they were given, and hire others."""
        for at in range(self.size):
            if self._busy[at] and self._steps[at] >= self._life[at]:
                self.kill(at)

    def kill(self, at: int = 0) -> None:
        """SIGKILL one worker, and hire another."""
        phase, worker = PHASES[self._phase[at]], self._workers[at]
        worker.kill()
        worker.join()
        assert worker.exitcode == -9, f"a worker ended by itself: {worker.exitcode}; see {self.log}"
        self.kills[phase] += 1
        self._hire(at)

    def check(self) -> None:
        ended = [worker.exitcode for worker in self._workers if worker.exitcode is not None]
        assert not ended, f"workers ended by themselves: {ended}\n{self.log.read_text()[-3000:]}"
