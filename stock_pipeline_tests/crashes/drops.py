"""What was dropped into staging, and whether the tables hold exactly that."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stock_pipeline.aws.sqs import depth
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.transforms import SNAPSHOT
from stock_pipeline.schemas import LATEST_PRICES, PRICE_BY_DATE, STREAM_PRICES_HISTORY
from stock_pipeline_tests.support.local_aws import Stack

OPEN = datetime(2024, 6, 3, 13, 30, tzinfo=UTC)


class Drops:
    """Files of daily prices and objects of ticks, each with rows of its own."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sqs = stack.client("sqs")
        self.bars: dict[tuple[str, date], float] = {}
        self.ticks: dict[str, tuple[str, float, datetime]] = {}

    def file(self, year: int, rows: int = 20) -> None:
        number = len(self.bars)
        bars = {(f"S{n:03}", date(year, 3, 1)): 10.0 + n for n in range(number, number + rows)}
        text = "symbol,date,close\n" + "".join(f"{s},{d},{close}\n" for (s, d), close in bars.items())
        self.stack.staging.put(f"daily_prices/uploads/{number} ü.csv", text.encode())
        self.bars |= bars

    def object(self, rows: int = 20) -> None:
        number = len(self.ticks)
        made = {
            f"e{n}": (f"S{n % 7}", 1.0 + n, OPEN + timedelta(seconds=97 * n % 900))
            for n in range(number, number + rows)
        }
        lines = [
            json.dumps({"event_id": e, "symbol": s, "price": p, "produced_at": f"{t:%F %T}"})
            for e, (s, p, t) in made.items()
        ]
        self.stack.staging.put(f"stock_stream/2024/06/03/13/{number} ü", "\n".join(lines).encode())
        self.ticks |= made

    def stored_bars(self) -> dict[tuple[str, date], float]:
        rows = self._rows(PRICE_BY_DATE)
        # Not what the schedule simulate_after_close makes, should the test run at that time.
        return {(r["symbol"], r["date"]): r["close"] for r in rows if r["source"].startswith("daily_prices/uploads/")}

    def stored_ticks(self) -> dict[str, tuple[str, float, datetime]]:
        rows = self._rows(STREAM_PRICES_HISTORY)
        assert len({row["event_id"] for row in rows}) == len(rows), "a tick is stored twice"
        return {row["event_id"]: (row["symbol"], row["price"], row["produced_at"]) for row in rows}

    def snapshot(self) -> dict[str, str]:
        found = read_partition(self.stack.lake, LATEST_PRICES, SNAPSHOT)
        return {} if found is None else {row["symbol"]: row["event_id"] for row in found.to_pylist()}

    def latest(self) -> dict[str, str]:
        """The snapshot that must come of the ticks."""
        order = sorted(self.ticks.items(), key=lambda tick: (tick[1][2], tick[0]))
        return {symbol: event_id for event_id, (symbol, _, _) in order}

    def held(self, output: str) -> int:
        return depth(self.sqs, self.stack.outputs[output]).held

    def _rows(self, table: Any) -> list[dict[str, Any]]:
        parts = (read_partition(self.stack.lake, table, name) for name in partitions(self.stack.lake, table))
        return [row for part in parts if part is not None for row in part.to_pylist()]
