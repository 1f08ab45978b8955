"""`dev` judges Dagster by what it does: every service that stops working is named, and none that works."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from stock_pipeline.errors import DevError
from stock_pipeline.local.dev.dagster import Signs
from stock_pipeline.local.dev.health import EVERY, Trouble, Watch

STEP = EVERY + 1


@dataclass
class World:
    """A Dagster whose parts stop working, and the clocks of its machine, in seconds."""

    now: float = 1000.0
    wall: float = 1_800_000_000.0
    answers: bool = True
    unreachable: str | None = None
    beats: bool = True
    ticks: bool = True
    beat: float = 0.0
    tick: int = 0
    sensors: tuple[str, ...] = ("daily_price_arrivals", "tick_arrivals")
    looks: int = field(default=0)

    def signs(self) -> Signs:
        if not self.answers:
            raise DevError("the Dagster UI does not answer")
        return Signs(
            self.unreachable, {"SENSOR": self.beat}, {name: ([{"tickId": self.tick}], 10.0) for name in self.sensors}
        )

    def passes(self, seconds: float = STEP) -> None:
        self.now += seconds
        self.wall += seconds
        self.beat += self.beats
        self.tick += self.ticks

    def watch(self) -> Watch:
        return Watch(self, clock=lambda: self.now, wall=lambda: self.wall)  # type: ignore[arg-type]


def trouble(world: World, watch: Watch, seconds: float) -> Trouble | None:
    """The first trouble within some seconds of looking."""
    until = world.now + seconds
    while world.now < until:
        world.passes()
        if found := watch.look():
            return found
    return None


@pytest.mark.parametrize(
    ("broken", "service", "says"),
    [
        ({"answers": False}, "webserver", "does not answer"),
        ({"unreachable": "connection refused"}, "code server", "connection refused"),
        ({"beats": False}, "daemon", "sensor thread has given no sign"),
        ({"ticks": False}, "daemon", "daily_price_arrivals has not ticked"),
    ],
)
def test_what_stops_working_is_named_within_minutes(broken: dict[str, object], service: str, says: str) -> None:
    world = World()
    watch = world.watch()
    assert trouble(world, watch, 3600) is None
    for name, value in broken.items():
        setattr(world, name, value)
    found = trouble(world, watch, 300)
    assert found is not None
    assert found.service == service
    assert says in found.reason


def test_what_recovers_in_time_is_no_trouble() -> None:
    world = World()
    watch = world.watch()
    for _ in range(20):
        for name, broken, works in [("answers", False, True), ("unreachable", "x", None), ("beats", False, True)]:
            setattr(world, name, broken)
            assert trouble(world, watch, 3 * STEP) is None
            setattr(world, name, works)
            assert trouble(world, watch, 2 * STEP) is None


@pytest.mark.parametrize("seconds", [120.0, 8 * 3600.0, 30 * 86400.0])
def test_time_in_which_the_machine_slept_does_not_count(seconds: float) -> None:
    world = World()
    watch = world.watch()
    trouble(world, watch, 60)
    for _ in range(10):
        world.beats = world.ticks = False
        world.passes(seconds)
        world.beats = world.ticks = True
        assert watch.look() is None
        assert trouble(world, watch, 3 * STEP) is None


@pytest.mark.parametrize("step", [-31.0, -3600.0, -86400.0])
def test_a_clock_that_is_set_back_is_seen_at_once(step: float) -> None:
    world = World()
    watch = world.watch()
    trouble(world, watch, 60)
    world.wall += step
    found = trouble(world, watch, STEP)
    assert found is not None
    assert (found.service, "set back" in found.reason) == ("daemon", True)
    assert trouble(world, watch, 600) is None


@pytest.mark.parametrize("step", [-5.0, 5.0, 3600.0, 86400.0])
def test_a_clock_that_is_set_forward_or_a_little_stops_nothing(step: float) -> None:
    world = World()
    watch = world.watch()
    trouble(world, watch, 60)
    world.wall += step
    assert trouble(world, watch, 600) is None


def test_a_sensor_that_is_turned_off_is_not_missed() -> None:
    world = World(ticks=False, sensors=())
    assert trouble(world, world.watch(), 3600) is None


def test_restarts_that_do_not_help_end_with_the_reason() -> None:
    world = World(unreachable="connection refused")
    watch = world.watch()
    for _ in range(3):
        found = trouble(world, watch, 300)
        assert found is not None
        watch.restarted(found)
    found = trouble(world, watch, 300)
    assert found is not None
    with pytest.raises(DevError, match="starting it again has not helped: it does not answer \\(connection refused\\)"):
        watch.restarted(found)


def test_a_restart_now_and_then_goes_on_for_ever() -> None:
    world = World()
    watch = world.watch()
    for _ in range(20):
        world.unreachable = "x"
        found = trouble(world, watch, 300)
        assert found is not None
        watch.restarted(found)
        world.unreachable = None
        assert trouble(world, watch, 1800) is None


def test_another_service_has_restarts_of_its_own() -> None:
    world = World(unreachable="x")
    watch = world.watch()
    for _ in range(3):
        watch.restarted(Trouble("code server", "x"))
    watch.restarted(Trouble("daemon", "y"))
    with pytest.raises(DevError):
        watch.restarted(replace(Trouble("code server", "x"), reason="z"))
