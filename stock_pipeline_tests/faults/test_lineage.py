"""The lineage queue of the simulator recognizes receipts that an ingest returned."""

from __future__ import annotations

from dataclasses import replace

from stock_pipeline.aws.receipt_queue import send
from stock_pipeline.receipts import Receipt
from stock_pipeline_tests.faults.ledger import Ledger
from stock_pipeline_tests.faults.lineage import Lineage
from stock_pipeline_tests.support.memory_store import MemoryStore


def test_what_is_told_is_noted_and_what_no_ingest_returned_is_a_violation() -> None:
    ledger, begun = Ledger(MemoryStore(), MemoryStore()), list[bool]()
    lineage = Lineage(ledger, lambda: begun.append(True))
    true = Receipt("a.csv", "etag", "price_by_date", rows=2, inserted=1, duplicates=1, seconds=0.1234567)
    ledger.receipts[true.id] = true
    assert send([true], lineage, "url") == []  # type: ignore[arg-type]
    assert (ledger.told, ledger.problems, begun) == ({("a.csv", "etag")}, [], [True])
    for lie in (replace(true, inserted=2, duplicates=0), replace(true, source="b.csv")):
        ledger.problems.clear()
        send([lie], lineage, "url")  # type: ignore[arg-type]
        assert [problem.partition(": ")[0] for problem in ledger.problems] == [
            "the lineage queue was sent a receipt that no ingest returned"
        ]
