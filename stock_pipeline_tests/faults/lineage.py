"""The lineage queue: it takes every receipt that a function sends, and notes which contents of which object told of it.

What is sent must have been returned by an ingest, word by word. Whether each object has told of itself in the end is a
matter of `verdict`: a receipt is sent before its message is acknowledged, so a worker that dies in between tells later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from stock_pipeline.receipts import Receipt
from stock_pipeline_tests.faults.ledger import Ledger


class Lineage:
    """A client of SQS that knows one call. `before` runs ahead of it: others may run then, and the sender may die."""

    def __init__(self, ledger: Ledger, before: Callable[[], None]) -> None:
        self._ledger, self._before = ledger, before

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        """Take some messages whole, as boto3 names what it is given."""
        self._before()
        for entry in Entries:
            receipt = Receipt.from_json(entry["MessageBody"])
            known = self._ledger.receipts.get(receipt.id)
            if known is None or receipt != replace(known, seconds=receipt.seconds):
                self._ledger.problem(f"the lineage queue was sent a receipt that no ingest returned: {receipt}")
            self._ledger.told.add((receipt.source, receipt.etag))
        return {}
