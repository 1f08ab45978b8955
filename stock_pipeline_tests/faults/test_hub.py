"""Turns, simulated time, pools, and the effect of a worker's death on its tasks."""

from __future__ import annotations

import gc
import random
import sys
import weakref
from collections.abc import Iterator
from functools import partial

import pytest

from stock_pipeline_tests.faults.hub import Hub, Killed, Pool, Stuck, Worker


@pytest.fixture
def hub() -> Hub:
    return Hub(random.Random(1))


def test_the_seed_decides_who_is_next_and_nothing_else_does() -> None:
    def order(seed: int) -> list[str]:
        hub, said = Hub(random.Random(seed)), list[str]()

        def speak(name: str) -> None:
            for _ in range(4):
                said.append(name)
                hub.pause()

        for name in "abc":
            hub.spawn(Worker(name), partial(speak, name))
        hub.run()
        return said

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(20)}) > 10
    assert sorted(order(1)) == list("aaaabbbbcccc")


def test_time_passes_only_when_everybody_waits(hub: Hub) -> None:
    woken: list[tuple[str, int]] = []

    def sleep(seconds: float) -> None:
        hub.pause(seconds)
        woken.append((hub.worker.name, int(hub.now)))

    hub.spawn(Worker("late"), lambda: sleep(3600))
    hub.spawn(Worker("soon"), lambda: sleep(60))
    hub.run()
    assert woken == [("soon", 60), ("late", 3600)]


def test_a_killed_worker_runs_no_further_in_any_of_its_tasks(hub: Hub) -> None:
    done: list[str] = []
    worker = Worker("w")

    def work(name: str, turns: int) -> None:
        for _ in range(turns):
            hub.pause()
        done.append(name)

    def with_threads() -> None:
        with Pool(hub, 3) as pool:
            list(pool.map(partial(work, turns=50), ["one", "two"]))

    def killer() -> None:
        hub.pause(0.2)
        worker.alive = False

    hub.spawn(worker, with_threads)
    hub.spawn(Worker("other"), lambda: work("other", 5))
    hub.spawn(Worker("killer"), killer)
    hub.run()
    assert done == ["other"]


def test_a_worker_that_dies_while_it_lets_a_generator_go_runs_no_further(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, done, ignored = Worker("w"), list[str](), list[object]()
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)

    def die(number: int) -> int:
        hub.pause(number)
        worker.alive = not number
        return number

    def numbers() -> Iterator[int]:
        with Pool(hub, 2) as pool:
            yield from pool.map(die, range(2))

    def main() -> None:
        found = numbers()
        next(found)
        del found  # waits for the other task, by which the worker dies
        hub.pause()
        done.append("survived")

    hub.spawn(worker, main)
    hub.run()
    assert (done, hub.tasks, ignored) == ([], [], [])


def test_death_is_no_exception_that_the_pipeline_could_catch(hub: Hub) -> None:
    worker, caught = Worker("w"), list[str]()

    def stubborn() -> None:
        try:
            worker.alive = False
            hub.pause()
        except Exception:
            caught.append("survived")

    hub.spawn(worker, stubborn)
    hub.run()
    assert caught == []
    assert not issubclass(Killed, Exception)


def test_a_pool_gives_results_in_order_with_so_many_at_work_and_passes_errors_on(hub: Hub) -> None:
    at_work, most, found = [0], [0], list[int]()

    def double(number: int) -> int:
        at_work[0] += 1
        most[0] = max(most[0], at_work[0])
        hub.pause()
        at_work[0] -= 1
        if number == 9:
            raise ValueError("nine")
        return 2 * number

    def main() -> None:
        with Pool(hub, 2) as pool:
            found.extend(pool.map(double, range(7)))
        with pytest.raises(ValueError, match="nine"), Pool(hub, 2) as pool:
            list(pool.map(double, [9]))

    hub.spawn(Worker("w"), main)
    hub.run()
    assert found == [0, 2, 4, 6, 8, 10, 12]
    assert most == [2]


def test_what_a_failed_task_held_is_let_go_at_once_and_not_by_some_later_collection(hub: Hub) -> None:
    held: list[weakref.ref[Worker]] = []

    def fail(_: int) -> None:
        mine = Worker("held")
        held.append(weakref.ref(mine))
        hub.pause()
        raise ValueError(mine.name)

    def main() -> None:
        try:
            with Pool(hub, 2) as pool:
                list(pool.map(fail, range(2)))
        except ValueError:
            hub.pause()

    gc.disable()
    try:
        hub.spawn(Worker("w"), main)
        hub.run()
        assert [reference() for reference in held] == [None, None]
    finally:
        gc.enable()


def test_waiting_for_each_other_and_running_for_ever_are_told(hub: Hub) -> None:
    hub.spawn(Worker("w"), lambda: hub.pause(until=lambda: False))
    with pytest.raises(Stuck, match="waits for another"):
        hub.run()
    hub.close()
    assert hub.tasks == []

    def for_ever() -> None:
        while True:
            hub.pause()

    hub.spawn(Worker("w"), for_ever)
    hub.limit = 100
    with pytest.raises(Stuck, match="after 100 turns"):
        hub.run()
    hub.close()
