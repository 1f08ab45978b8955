"""A queue that gives messages at least once and in any order, and moves messages that were tried too often to dead
letters.

It stands for two queues: SQS, which calls the function of the stream with groups of messages, and Lambda's own queue of
events, which calls the function of the batch with one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from stock_pipeline_tests.faults.hub import Hub


@dataclass(eq=False)
class Message:
    id: str
    body: str
    visible: float
    tries: int = 0


@dataclass
class Queue:
    """`visibility` seconds a received message is hidden; after `most_tries` it is moved to `dead`.

    With `careful` a message is given once each time it is due, and deleting always works. Otherwise a message may be
    given to two receivers at once, and a deleted one may come back.
    """

    hub: Hub
    random: random.Random
    visibility: float
    most_tries: int
    careful: bool = False
    waiting: list[Message] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    sent: int = 0
    redelivered: int = 0

    def send(self, body: str, delay: float = 0.0) -> None:
        self.sent += 1
        self.waiting.append(Message(f"m{self.sent}", body, self.hub.now + delay))

    def receive(self, most: int) -> list[Message]:
        """Up to that many of the messages that are due, in any order."""
        for message in [m for m in self.waiting if m.visible <= self.hub.now and m.tries >= self.most_tries]:
            self.waiting.remove(message)
            self.dead.append(message)
        due = [m for m in self.waiting if m.visible <= self.hub.now]
        chosen = self.random.sample(due, min(most, len(due)))
        for message in chosen:
            message.tries += 1
            self.redelivered += message.tries > 1
            if self.careful or self.random.random() > 0.1:
                message.visible = self.hub.now + self.visibility
        return chosen

    def delete(self, message: Message) -> None:
        if message in self.waiting and (self.careful or self.random.random() > 0.1):
            self.waiting.remove(message)

    def give_back(self, message: Message) -> None:
        """The receiver says that it failed: the message is due again at once."""
        message.visible = self.hub.now

    def redrive(self) -> None:
        """Give what is in the dead letters another time."""
        for message in self.dead:
            message.tries, message.visible = 0, self.hub.now
        self.waiting += self.dead
        self.dead.clear()

    @property
    def done(self) -> bool:
        return not self.waiting
