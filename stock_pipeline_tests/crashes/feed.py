"""Seeded input of both paths, dropped into staging: most of it good, some repeated, contradicting, late or broken."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from stock_pipeline_tests.crashes.model import Line, Model, Values
from stock_pipeline_tests.support.local_aws import Stack
from stock_pipeline_tests.support.stream import event_of

OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)
SPAN = timedelta(minutes=20)
SYMBOLS = ["AAPL", "BRK.B", "MSFT", "NVDA", "SAP", "V"]
FIRST_DAY = date(2023, 12, 1)
DAYS = 60  # so that two years are written
REPEATED, CONTRADICTING, BROKEN, TWICE = 0.15, 0.01, 0.02, 0.2
TICKS_AN_OBJECT, BARS_AN_OBJECT = 12, 12


@dataclass
class Feed:
    """Drops objects into the staging of a stack and tells the queues; the models know what was dropped.

    S3 itself tells the queue of ticks. Daily prices get a queue of the same make, as real workers need one to share.
    """

    stack: Stack
    bars_queue: str
    chance: random.Random
    twice: float = TWICE
    ticks: Model = field(default_factory=Model)
    bars: Model = field(default_factory=Model)
    told: int = 0
    _known: dict[str, Values] = field(default_factory=dict)
    _bars: dict[tuple[str, date], Values] = field(default_factory=dict)

    def drop_ticks(self) -> None:
        key = f"stock_stream/2024/06/03/14/ticks {len(self.ticks.lines):05} ü"
        lines = [self._tick(number) for number in range(1, TICKS_AN_OBJECT + 1)]
        self.ticks.add(key, lines)
        self._drop(key, lines, "", self.stack.outputs["StreamQueueUrl"], told_by_s3=True)

    def drop_bars(self) -> None:
        key = f"daily_prices/uploads/bars {len(self.bars.lines):05}+.csv"
        lines = [self._bar(number) for number in range(2, BARS_AN_OBJECT + 2)]
        self.bars.add(key, lines)
        self._drop(key, lines, "symbol,date,close,volume", self.bars_queue, told_by_s3=False)

    def _drop(self, key: str, lines: list[Line], header: str, queue: str, *, told_by_s3: bool) -> None:
        text = "\n".join([*([header] if header else []), *(line.text for line in lines)]) + "\n"
        self.stack.staging.put(key, text.encode())
        again = self.chance.random() < self.twice
        for _ in range(again + (not told_by_s3)):
            self.sqs.send_message(QueueUrl=queue, MessageBody=event_of(key, bucket=self.stack.staging.bucket))
        self.told += 1 + again

    @cached_property
    def sqs(self) -> Any:
        return self.stack.client("sqs")

    def _tick(self, number: int) -> Line:
        dice = self.chance.random()
        event_id, values = f"e{len(self._known)}", self._new_tick()
        if dice < BROKEN:
            text = self.chance.choice(
                ['{"symbol": "AAPL", "price":', as_tick(event_id, (values[0], -1.0, *values[2:]))]
            )
            return Line(number, text, reason="malformed_json" if text.endswith(":") else "non_positive_price")
        if dice < BROKEN + REPEATED + CONTRADICTING and self._known:
            event_id = self.chance.choice(list(self._known)[-200:])
            values = self._known[event_id]
            if dice < BROKEN + CONTRADICTING:
                values = (values[0], values[1] + 1, *values[2:])
        else:
            self._known[event_id] = values
        return Line(number, as_tick(event_id, values), event_id, values)

    def _new_tick(self) -> Values:
        price, size = round(self.chance.uniform(1, 900), 2), float(self.chance.randrange(1, 500))
        # Uniform in time, whatever came before: half of all ticks are later than the one they are sent after.
        at = OPEN + timedelta(microseconds=self.chance.randrange(int(SPAN / timedelta(microseconds=1))))
        return self.chance.choice(SYMBOLS), price, size, at

    def _bar(self, number: int) -> Line:
        dice = self.chance.random()
        key = (f"S{self.chance.randrange(400):03}", FIRST_DAY + timedelta(days=self.chance.randrange(DAYS)))
        if dice < BROKEN:
            return Line(number, f"{key[0]},{key[1]},0.0,1", reason="non_positive_price")
        values = self._bars.setdefault(key, (round(self.chance.uniform(1, 900), 2), self.chance.randrange(1, 10**6)))
        if dice < BROKEN + CONTRADICTING:
            values = (values[0] + 1, values[1])
        return Line(number, f"{key[0]},{key[1]},{values[0]},{values[1]}", key, values)


def as_tick(event_id: str, values: Values) -> str:
    symbol, price, size, at = values
    tick = {"event_id": event_id, "symbol": symbol, "price": price, "size": size}
    return json.dumps(tick | {"produced_at": at.strftime("%Y-%m-%d %H:%M:%S.%f")})
