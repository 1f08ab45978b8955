"""The lineage queue: it takes every receipt that a function sends, and notes for which content of which object it came.

An ingest must have returned exactly the receipt that is sent. `verdict` checks whether each object has a receipt in the
end: a receipt is sent before its message is acknowledged, so a worker that dies in between sends it later.
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
