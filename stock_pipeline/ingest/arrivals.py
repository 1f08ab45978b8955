"""Takes the arrivals that a processing function is called with, from a queue or from S3 itself, and answers for them.

All processing functions share it; each gives the prefix that it reads and the ingest of its table. What does not belong
here: how objects are ingested, and which errors fail one object and which fail all (`ingest.partial_failure`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.metrics import MetricUnit

from stock_pipeline.aws.lambda_reporter import Reporter
from stock_pipeline.aws.s3_events import read_messages, read_notification
from stock_pipeline.ingest.partial_failure import Ingested, ingest_each
from stock_pipeline.lake.object_store import Named, named
from stock_pipeline.receipts import Receipt

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics
    from aws_lambda_powertools.utilities.typing import LambdaContext

GoOn = Callable[[], bool]
"""Whether there is time for another group of objects."""

KEPT_BACK = 30_000  # milliseconds
"""A function starts no further group of objects with less time left than this: a group may take that long."""


def time_left(context: LambdaContext) -> GoOn:
    """Whether an invocation has time for another group of objects."""
    return lambda: context.get_remaining_time_in_millis() > KEPT_BACK


@dataclass(frozen=True)
class Arrivals:
    """The arrivals under a prefix of the staging bucket, and what ingests them.

    `ingest` returns a receipt for each object in their order, or for the first ones when `go_on` says that time is up.
    """

    bucket: str
    prefix: str
    ingest: Callable[[Sequence[Named], GoOn], list[Receipt]]
    logger: Logger
    metrics: Metrics
    reporter: Reporter

    def answer(self, event: dict[str, Any], go_on: GoOn) -> dict[str, Any]:
        """Ingest the objects that an event names.

        Returns {"batchItemFailures": [{"itemIdentifier": message id}]} to SQS, {"receipts": [one for each object]} to
        S3. Raises EventError when the event is from neither, or is of another bucket; what `ingest_each` raises; and,
        for an event from S3, ObjectsFailed when an object failed or is gone.
        """
        records = event.get("Records")
        if isinstance(records, list) and records and all(_is_message(record) for record in records):
            return {"batchItemFailures": [{"itemIdentifier": name} for name in self.messages(records, go_on)]}
        notification = read_notification(event, bucket=self.bucket, prefix=self.prefix)
        self._log_passed_over(notification.passed_over)
        ingested = self._process(notification.objects, go_on)
        for failed, reason in ingested.not_done.items():
            self.logger.error("the object failed", key=named(failed).key, reason=reason)
        if ingested.not_done:
            raise ingested.failure()
        return {"receipts": [receipt.to_record() for receipt in ingested.receipts]}

    def messages(self, records: Iterable[dict[str, Any]], go_on: GoOn) -> list[str]:
        """Ingest the objects that SQS messages name; returns the ids of the messages that failed, in their order."""
        bodies = {record["messageId"]: record["body"] for record in records}
        messages = read_messages(bodies, bucket=self.bucket, prefix=self.prefix)
        self._log_passed_over(messages.passed_over)
        left = messages.left(self._process(messages.distinct, go_on).not_done)
        for name, reason in left.items():
            keys = [found.key for found in messages.objects[name]]
            self.logger.error("the message failed", message_id=name, keys=keys, reason=reason)
        self.metrics.add_metric("MessagesFailed", MetricUnit.Count, len(left))
        return list(left)

    def _process(self, keys: Sequence[Named], go_on: GoOn) -> Ingested:
        """Ingest objects together and report what is done. If one object fails, only that one fails."""
        ingested = ingest_each(keys, lambda some: self.ingest(some, go_on), go_on)
        self.reporter.report(ingested.receipts)
        return ingested

    def _log_passed_over(self, passed_over: Iterable[tuple[str, str]]) -> None:
        for key, reason in passed_over:
            self.logger.info("passed over", key=key, reason=reason)


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and record.get("eventSource") == "aws:sqs"
