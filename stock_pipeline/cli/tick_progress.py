"""How far ticks are on their way from Kinesis into the tables.

First they are in Kinesis and Firehose, then in objects in staging with messages in the queue that name the objects, and
at last they are rows. A tick that does not arrive is at one of these places.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stock_pipeline.aws.clients import impatient
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.aws.sqs import Depth, Queue
from stock_pipeline.errors import StockPipelineError
from stock_pipeline.ingest.ticks import ingest_ticks, options_of
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import Settings
from stock_pipeline.staging.keys import RAW_TICKS

if TYPE_CHECKING:
    from stock_pipeline.aws.kinesis import Sent

_PATIENCE = 120.0  # seconds without any progress; a run of a busy Dagster takes most of a minute to start
_POLL = 0.5


@dataclass(frozen=True)
class Queues:
    """Counts of notifications of raw objects: waiting, being worked on, and failed at every try."""

    waiting: int
    hidden: int
    dead: int

    @property
    def are_done(self) -> bool:
        return not self.waiting and not self.hidden

    def __str__(self) -> str:
        return f"{self.waiting} messages wait, {self.hidden} are worked on, {self.dead} failed at every try"


def queues(settings: Settings) -> Queues:
    """How many messages the queues of the stream have. A queue that the settings do not name counts as empty."""
    sqs = impatient("sqs")
    urls = (settings.stream_queue_url, settings.stream_dlq_url)
    arrivals, dead = (Queue(url, sqs).depth() if url else Depth(0, 0, "") for url in urls)
    return Queues(arrivals.waiting, arrivals.hidden, dead.held)


class TickProgress:
    """How far the ticks are that are sent from now on."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._staging = S3Store(settings.require("staging_bucket"))
        self._before = {info.key for info in self._staging.list(RAW_TICKS)}

    def delivered(self) -> int:
        """Bytes of the raw objects that have arrived since the start."""
        return sum(info.size for info in self._staging.list(RAW_TICKS) if info.key not in self._before)

    def receipts(self) -> list[Receipt]:
        """What became of each raw object that has arrived since the start. Call it after `wait_for`.

        The objects are ingested once more, which changes nothing: their ticks are in the tables and count as
        duplicates, and everything else counts as it did before. So it does not matter who took them first.
        """
        keys = sorted({info.key for info in self._staging.list(RAW_TICKS)} - self._before)
        lake = S3Store(self._settings.require("lake_bucket"))
        return ingest_ticks(keys, staging=self._staging, lake=lake, **options_of(self._settings))

    def wait_for(self, sent: Sent) -> None:
        """Wait until what was sent has been processed. Nothing else may send ticks meanwhile.

        Raises StockPipelineError when nothing happens for two minutes; the message says where the ticks are.
        """
        seen, patient_until = None, time.monotonic() + _PATIENCE
        while True:
            delivered, held = self.delivered(), queues(self._settings)
            if delivered >= sent.bytes and held.are_done:
                break
            if (delivered, held) != seen:
                seen, patient_until = (delivered, held), time.monotonic() + _PATIENCE
            if time.monotonic() > patient_until:
                raise StockPipelineError(
                    f"sent, but not in the tables: nothing has happened for {_PATIENCE:.0f} s; staging got "
                    f"{delivered:,} of {sent.bytes:,} bytes, {held}; see .local/aws.log"
                )
            time.sleep(_POLL)
        if held.dead:
            raise StockPipelineError(f"{held.dead} objects of ticks failed at every try; see .local/aws.log for why")
