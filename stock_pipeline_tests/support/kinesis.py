"""A Kinesis whose answers the test chooses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stock_pipeline.aws import kinesis as produce
from stock_pipeline.aws.kinesis import CALL_BYTES, CALL_RECORDS


def line(symbol: str, number: int, filler: int = 0) -> bytes:
    return f'{{"event_id":"{number}","symbol":"{symbol}","price":1.00,"pad":"{"x" * filler}"}}\n'.encode()


class Kinesis:
    """A stream whose answers are scripted: each call takes the next script, which picks what fails in it."""

    def __init__(self, *script: Any) -> None:
        self.script: Iterator[Any] = iter(script)
        self.calls: list[list[bytes]] = []
        self.stored: list[bytes] = []

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert StreamName == "ticks"
        assert len(Records) <= CALL_RECORDS
        assert sum(len(r["Data"]) + len(r["PartitionKey"]) for r in Records) <= CALL_BYTES
        self.calls.append([r["Data"] for r in Records])
        fails = next(self.script, set())
        if isinstance(fails, Exception):
            raise fails
        answers = []
        for at, record in enumerate(Records):
            if at in fails:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
            else:
                self.stored.append(record["Data"])
                answers.append({"ShardId": "0", "SequenceNumber": "1"})
        return {"Records": answers}


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes only by waiting."""
    waited: list[float] = []
    monkeypatch.setattr(produce.time, "sleep", waited.append)
    monkeypatch.setattr(produce.time, "monotonic", lambda: sum(waited))
    return waited


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutRecords")
