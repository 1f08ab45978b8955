"""What a channel was told, kept in Dagster's storage: so nothing is said twice, also after a restart.

Each channel has a memory of its own. So one that does not answer gets its messages later, and the others get none
twice. It is written after each message. If the process ends between the two, the message comes a second time: better
twice than never.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

import dagster as dg

from stock_pipeline.orchestration.alerts.events import OVERLAP, Event

_FIRST = 3600.0  # seconds: a channel that is new hears of the last hour
_PREFIX = "stock_pipeline/alerts/"


@dataclass
class Held:
    """Problems of a subject that wait, because there were too many: how many, since when, and the last of them."""

    count: int
    since: float
    at: float
    title: str
    why: str
    page: str


@dataclass
class Memory:
    """What one channel was told. All times are in seconds since the epoch.

    `until` is the time of the newest event that was handled, `handled` has the events that the next look reads again.
    `lasting` has the state of each part of a subject whose problem lasts, `said` when something was said of a subject.
    """

    until: float
    handled: dict[str, float] = field(default_factory=dict)
    lasting: dict[str, str] = field(default_factory=dict)
    said: dict[str, list[float]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    @property
    def since(self) -> float:
        """From when on the next look reads events."""
        return self.until - OVERLAP

    def is_new(self, event: Event) -> bool:
        return event.id not in self.handled

    def is_known(self, event: Event) -> bool:
        """Whether an event tells of a problem that lasts and was told before."""
        return event.part is not None and self.lasting.get(_part(event), "") == event.state

    def note(self, event: Event) -> None:
        """Remember an event as handled."""
        self.handled[event.id] = event.at
        self.until = max(self.until, event.at)
        if event.part is not None:
            self.lasting[_part(event)] = event.state
            if not event.state:
                del self.lasting[_part(event)]

    def hold(self, event: Event) -> None:
        """Keep a problem for the message that tells of several."""
        before = self.held.get(event.subject)
        count, since = (before.count, before.since) if before else (0, event.at)
        self.held[event.subject] = Held(count + 1, since, event.at, event.title, event.why, event.page)

    def recent(self, subject: str, after: float) -> int:
        """How many messages about a subject were sent after a time."""
        return sum(at > after for at in self.said.get(subject, ()))

    def forget(self, before: float) -> None:
        """Forget when something was said before a time, and events that no look reads again."""
        self.handled = {event: at for event, at in self.handled.items() if at > self.since}
        kept = {subject: [at for at in times if at > before] for subject, times in self.said.items()}
        self.said = {subject: times for subject, times in kept.items() if times}


def _part(event: Event) -> str:
    return f"{event.subject}|{event.part}"


def load(instance: dg.DagsterInstance, channel: str, now: float) -> Memory:
    """The memory of a channel."""
    key = _PREFIX + channel
    text = instance.daemon_cursor_storage.get_cursor_values({key}).get(key)
    if text is None:
        return Memory(now - _FIRST)
    stored = json.loads(text)
    held = {subject: Held(**each) for subject, each in stored.pop("held").items()}
    return Memory(**stored, held=held)


def save(instance: dg.DagsterInstance, channel: str, memory: Memory) -> None:
    instance.daemon_cursor_storage.set_cursor_values({_PREFIX + channel: json.dumps(asdict(memory))})
