"""What a processing function tells of its receipts: in its log, in its metrics and to the lineage queue.

One piece for all of them; each gives it its own logger and metrics.
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
    """Tells of receipts. Without a queue (nobody watches the stack with Dagster) it logs and counts only."""

    def __init__(self, logger: Logger, metrics: Metrics, queue_url: str | None) -> None:
        self._logger, self._metrics, self._queue_url = logger, metrics, queue_url
        self._sqs = sqs_client() if queue_url else None

    def report(self, receipts: Sequence[Receipt]) -> None:
        """Log and count receipts of objects that were ingested or refused, and send them to the lineage queue.

        Never raises for the queue: what the receipts tell of is stored, and doing it again would not help. Those that
        could not be sent are logged, with what they hold, and counted as ReceiptsNotSent.
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
    """A receipt without what stands in the object: of columns and symbols the log has the number, not the names."""
    return receipt.to_record() | {
        "refused": receipt.refused and without_contents(receipt.refused),
        "unread": len(receipt.unread),
        "rescaled": len(receipt.rescaled),
        "decided": {what: without_contents(how) for what, how in receipt.decided.items()},
    }
