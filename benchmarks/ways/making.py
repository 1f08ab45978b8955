"""The simulator and the producer, in one process: `making.py daily|ticks|packing|sending`; a rate in its last line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from stock_pipeline.aws.kinesis import pack, send
from stock_pipeline.simulate.daily import default_symbols, simulate_daily_prices, to_csv
from stock_pipeline.simulate.ticks import live_ticks, simulate_ticks, to_json_lines

SECONDS = 2.0
"""Each is repeated for this much CPU time."""


def daily() -> tuple[str, float]:
    names = default_symbols(1000)
    rows = simulate_daily_prices(names, date(2024, 1, 1), date(2024, 12, 31), 7).num_rows  # also fills the caches
    return "rows", _rate(
        lambda n: len(to_csv(simulate_daily_prices(names, date(2024, 1, 1), date(2024, 12, 31), n))), rows
    )


def ticks() -> tuple[str, float]:
    names = default_symbols(500)
    simulate_ticks(names, date(2024, 6, 3), 7, 200)
    return "ticks", _rate(lambda n: len(to_json_lines(simulate_ticks(names, date(2024, 6, 3), n, 200))), 100_000)


def packing() -> tuple[str, float]:
    table = next(live_ticks(default_symbols(500), 7, 100_000, datetime(2024, 6, 3, 14, 30, tzinfo=UTC), batch=_SECOND))
    return "ticks", _rate(lambda _: len(pack(to_json_lines(table))), table.num_rows)


def sending() -> tuple[str, float]:
    """Packed and given to PutRecords of a boto3 client that is answered here: everything except the network."""
    from stock_pipeline.aws.kinesis import kinesis_client

    client: Any = kinesis_client()

    def answer(request: Any, **_: object) -> Any:
        from botocore.awsrequest import AWSResponse

        records = json.loads(request.body)["Records"] if request.body else []
        entries = [{"SequenceNumber": "1", "ShardId": "shardId-0"} for _ in records]
        response = AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, None)
        response._content = json.dumps({"FailedRecordCount": 0, "Records": entries}).encode()
        return response

    client.meta.events.register("before-send.kinesis.PutRecords", answer)
    table = next(live_ticks(default_symbols(500), 7, 100_000, datetime(2024, 6, 3, 14, 30, tzinfo=UTC), batch=_SECOND))
    return "ticks", _rate(lambda _: send(client, "stream", pack(to_json_lines(table))).lines, table.num_rows)


_SECOND = timedelta(seconds=1)


def _rate(work: Callable[[int], int], each: int) -> float:
    work(0)
    start, done = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        done += 1
        assert work(done) > 0
    return each * done / (time.process_time() - start)


if __name__ == "__main__":
    unit, rate = {"daily": daily, "ticks": ticks, "packing": packing, "sending": sending}[sys.argv[1]]()
    print(json.dumps({"unit": unit, "per_cpu_second": rate}))
