"""Reports the receipts of a processing function: to its log, its metrics and the lineage queue.

All processing functions share it; each has its own logger and metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from stock_pipeline.aws.receipt_queue import send, sqs_client
from stock_pipeline.errors import without_contents
from stock_pipeline.receipts import Receipt
from stock_pipeline.schemas import Reason

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics


class Reporter:
    """Reports receipts. Without a queue (no Dagster watches the stack) it only logs and counts."""

    def __init__(self, logger: Logger, metrics: Metrics, queue_url: str | None) -> None:
        self._logger, self._metrics, self._queue_url = logger, metrics, queue_url
        self._sqs = sqs_client() if queue_url else None

    def report(self, receipts: Sequence[Receipt]) -> None:
        """Log and count receipts of objects that were ingested or refused, and send them to the lineage queue.

        Errors of the queue raise nothing: the rows are stored, and another ingest would not help. Receipts that could
        not be sent are logged with their content, and counted as ReceiptsNotSent.
        """
        for receipt in receipts:
            if receipt.refused is None:
                self._logger.info("ingested", receipt=_for_a_log(receipt))
            else:
                self._logger.warning("refused", key=receipt.source, reason=without_contents(receipt.refused))
            self._count(receipt)
        if self._sqs is None or not self._queue_url or not receipts:
            return
        not_sent = send(receipts, self._sqs, self._queue_url)
        for receipt, reason in not_sent:
            self._logger.error("the receipt was not sent", receipt=_for_a_log(receipt), reason=reason)
        self._metrics.add_metric("ReceiptsNotSent", MetricUnit.Count, len(not_sent))

    def _count(self, receipt: Receipt) -> None:
        for name, count in (
            ("RowsInserted", receipt.inserted),
            ("RowsDuplicate", receipt.duplicates),
            ("RowsUpdated", receipt.updated),
            ("RowsConflicting", receipt.conflicts),
            ("RowsRejected", receipt.rejected_rows),
            ("RowsSkipped", receipt.skipped),
            ("UnknownMessages", receipt.rejected.get(Reason.UNKNOWN_MESSAGE, 0)),
            ("ValuesNulled", sum(receipt.nulled.values())),
            ("FilesRefused", int(receipt.refused is not None)),
        ):
            self._metrics.add_metric(name, MetricUnit.Count, count)


def _for_a_log(receipt: Receipt) -> dict[str, Any]:
    """A receipt without contents of the object: the log has the number of columns and symbols, not their names."""
    return receipt.to_record() | {
        "refused": receipt.refused and without_contents(receipt.refused),
        "unread": len(receipt.unread),
        "rescaled": len(receipt.rescaled),
        "decided": {what: without_contents(how) for what, how in receipt.decided.items()},
    }
