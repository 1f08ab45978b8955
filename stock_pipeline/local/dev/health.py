"""Whether Dagster works, judged by what it does, not by which processes live.

After a closed lid, a clock that was set, or a machine that had no time, a process may be there and do nothing. So `dev`
asks for signs of work: the code server plans a run, each daemon sends heartbeats, each running sensor ticks. Only time
in which `dev` itself was awake counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stock_pipeline.errors import DevError
from stock_pipeline.local.dev.dagster import Dagster, Signs
from stock_pipeline.local.dev.services import CODE_SERVER, DAEMON, WEBSERVER

EVERY = 10.0  # seconds between two looks
_ANSWERS_WITHIN = 60.0
_PLANS_WITHIN = 60.0
BEATS_WITHIN = 180.0  # seconds: a daemon's heartbeat is due every 30 s
_TICKS_WITHIN = 180.0  # and a sensor's tick takes up to 60 s
_CLOCK_MOVED = 30.0
_RESTARTS, _OVER = 3, 1800.0  # at most so many restarts of a service in so many seconds


@dataclass(frozen=True)
class Trouble:
    """A service that does not work, and what shows it."""

    service: str
    reason: str


@dataclass
class Watch:
    """Looks at Dagster from time to time. `clock` and `wall` are the seconds that passed, and those of the calendar."""

    dagster: Dagster
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    _awake: float = 0.0
    _last: float | None = None
    _offset: float | None = None
    _since: dict[str, tuple[object, float]] = field(default_factory=dict)
    _restarted: list[tuple[str, float]] = field(default_factory=list)

    def due(self) -> bool:
        """Whether it is time for the next look."""
        return self._last is None or self.clock() - self._last >= EVERY

    def look(self) -> Trouble | None:
        """The service that has not worked for too long, if one has not."""
        now = self.clock()
        self._awake += min(now - self._last, 2 * EVERY) if self._last is not None else 0.0
        self._last = now
        if self._clock_went_back(now):
            return Trouble(DAEMON, "the clock was set back, and sensors wait for the time that they have seen")
        try:
            signs = self.dagster.signs()
        except DevError as error:
            return self._lasting("answers", _ANSWERS_WITHIN, WEBSERVER, str(error))
        self._since.pop("answers", None)
        return self._judged(signs)

    def restarted(self, trouble: Trouble) -> None:
        """Note that a service was started again. Raises DevError when that has not helped several times."""
        self._restarted = [(name, at) for name, at in self._restarted if at > self._awake - _OVER]
        if sum(name == trouble.service for name, _ in self._restarted) >= _RESTARTS:
            raise DevError(
                f"the {trouble.service} does not work, and starting it again has not helped: {trouble.reason}"
            )
        self._restarted.append((trouble.service, self._awake))
        self._since.clear()

    def _judged(self, signs: Signs) -> Trouble | None:
        if signs.unreachable:
            return self._lasting("plans", _PLANS_WITHIN, CODE_SERVER, f"it does not answer ({signs.unreachable})")
        self._since.pop("plans", None)
        for daemon, beat in signs.heartbeats.items():
            if self._unchanged(f"daemon {daemon}", beat) > BEATS_WITHIN:
                return Trouble(DAEMON, f"its {daemon.lower()} thread has given no sign for {BEATS_WITHIN:.0f} s")
        for sensor, (tick, interval) in signs.ticks.items():
            patience = _TICKS_WITHIN + 2 * interval
            if self._unchanged(f"sensor {sensor}", tick) > patience:
                return Trouble(DAEMON, f"the sensor {sensor} has not ticked for {patience:.0f} s")
        return None

    def _lasting(self, what: str, limit: float, service: str, reason: str) -> Trouble | None:
        return Trouble(service, reason) if self._unchanged(what, True) > limit else None

    def _unchanged(self, what: str, value: object) -> float:
        """For how many seconds awake a value has been the same."""
        seen = self._since.get(what)
        if seen is None or seen[0] != value:
            self._since[what] = seen = (value, self._awake)
        return self._awake - seen[1]

    def _clock_went_back(self, now: float) -> bool:
        offset, before = self.wall() - now, self._offset
        self._offset = offset
        return before is not None and offset < before - _CLOCK_MOVED
