"""Tells a channel what is new.

Each problem is a message of its own. If there are more than `MOST` about one subject within an hour, the others wait,
and one message tells of them all when the hour is over: a store that is away for a night must not send a thousand.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from stock_pipeline.aws.alert_channels import Channel, Message
from stock_pipeline.orchestration.alerts.events import Event
from stock_pipeline.orchestration.alerts.memory import Held, Memory, save

MOST, WITHIN = 5, 3600.0  # messages about a subject, seconds


@dataclass
class Delivery:
    """Messages to one channel. `ui` is the address of the UI; no message is begun after `deadline` (monotonic)."""

    instance: dg.DagsterInstance
    channel: Channel
    memory: Memory
    ui: str
    now: float
    deadline: float
    sent: int = 0

    def tell(self, events: Sequence[Event]) -> int:
        """Send what is new and return the number of messages. Raises AlertNotSent; what was sent is remembered then."""
        for event in filter(self.memory.is_new, events):
            if time.monotonic() > self.deadline:
                break  # the next look goes on here
            self._handle(event)
        for subject, held in [*self.memory.held.items()]:
            if self._may(subject) and time.monotonic() < self.deadline:
                self._send(subject, _of_several(held, self.ui))
                del self.memory.held[subject]
                self._save()
        self._save()
        return self.sent

    def _handle(self, event: Event) -> None:
        told = False
        if event.title and not self.memory.is_known(event):
            if told := self._may(event.subject):
                self._send(event.subject, Message(event.title, event.why, self.ui + event.page, event.time))
            else:
                self.memory.hold(event)
        self.memory.note(event)
        if told:
            self._save()

    def _may(self, subject: str) -> bool:
        return self.memory.recent(subject, self.now - WITHIN) < MOST

    def _send(self, subject: str, message: Message) -> None:
        self.channel.send(message)
        self.memory.said.setdefault(subject, []).append(self.now)
        self.sent += 1

    def _save(self) -> None:
        self.memory.forget(self.now - WITHIN)
        save(self.instance, self.channel.name, self.memory)


def _of_several(held: Held, ui: str) -> Message:
    since, at = (datetime.fromtimestamp(each, UTC) for each in (held.since, held.at))
    title = held.title if held.count == 1 else f"{held.title}, and {held.count - 1} more since {since:%H:%M} UTC"
    return Message(title, held.why, ui + held.page, at)
