"""The sensor over the lineage queue: it shows what the Lambda functions wrote as events of the assets.

Dagster commits the events of a tick after the tick has returned, and then the cursor. So a tick does not delete the
messages that it receives. The cursor keeps their handles, and the next tick deletes the messages that the stored cursor
names. If the daemon ends between events and cursor, the messages come again. Each event has the ids of its receipts, so
none is shown twice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from stock_pipeline.aws.receipt_queue import joined
from stock_pipeline.errors import StockPipelineError
from stock_pipeline.orchestration.batch.checks import YearsConfig, check_years
from stock_pipeline.orchestration.batch.jobs import check_prices
from stock_pipeline.orchestration.lineage.events import (
    Target,
    by_target,
    is_to_come,
    materialization,
    session_of,
    shown,
    targets_of,
    warnings_of,
)
from stock_pipeline.orchestration.lineage.messages import Memory, Received, opened
from stock_pipeline.orchestration.resources import Buckets
from stock_pipeline.orchestration.stream.sensor import UNFINISHED
from stock_pipeline.receipts import Receipt
from stock_pipeline.settings import variable

INTERVAL = 10  # seconds
MESSAGES = 500
"""The most messages that one tick takes; the next tick follows after the interval."""

REPORTING = 35.0
"""Seconds after which a tick starts no further event: it must end within 60."""


@dg.sensor(
    job=check_prices,
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Reads the receipts that the Lambda functions send, and shows what they wrote: raw objects, years of "
        "price_by_date with their checks, days of stream_prices_history and the latest prices. A message is deleted "
        "once its events are committed. A message that is not a receipt ends in the lineage dead-letter queue."
    ),
)
def lambda_receipts(context: dg.SensorEvaluationContext, buckets: Buckets) -> dg.SensorResult | dg.SkipReason:
    if not buckets.settings.lineage_queue_url:
        return dg.SkipReason(
            f"{variable('lineage_queue_url')} is not set, so the Lambda functions' work is not shown; set it to the "
            "output LineageQueueUrl of your stack"
        )
    begun, queue, memory = time.monotonic(), buckets.receipts, Memory.from_cursor(context.cursor)
    if not_deleted := queue.delete(memory.messages()):
        context.log.warning(f"{not_deleted} messages were not deleted and come again, which shows nothing twice")
    requests, unchecked = _checks(context.instance, memory.years)
    tick = TickEvents(context, buckets, begun + REPORTING)
    sessions = tick.sessions(memory.sessions)
    if not queue.waiting():
        return _result(requests, tick.events, Memory([], unchecked, sessions))
    received = opened(queue.receive(MESSAGES), targets_of)
    _log(context, received)
    tick.receipts(received.receipts)
    done, left = received.settled(tick.late | tick.failed)
    queue.extend([message for message in left if received.held[message.id] not in tick.failed], 0)
    sessions += [replace(receipt, partitions={}) for receipt in received.receipts if is_to_come(receipt)]
    years = sorted({*unchecked, *tick.years})
    return _result(requests, tick.events, Memory([message.handle for message in done], years, joined(sessions)))


@dataclass
class TickEvents:
    """The events of a tick, one for each asset or partition that its receipts changed.

    `years` need their checks; that includes years whose events were committed by a tick that left no cursor. `late` has
    the ids of receipts that there was no time for, `failed` the ids of receipts with a partition that cannot be read.
    When such a receipt comes again, only its missing events are added.
    """

    context: dg.SensorEvaluationContext
    buckets: Buckets
    until: float
    events: list[dg.AssetMaterialization] = field(default_factory=list)
    years: set[int] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)

    def receipts(self, receipts: Sequence[Receipt]) -> None:
        """Show receipts on all their targets that do not show them yet."""
        for target, touched in by_target(receipts).items():
            if self.events and time.monotonic() > self.until:
                self.late.update(receipt.id for receipt in touched)
            else:
                self._show(target, touched)

    def sessions(self, waiting: Sequence[Receipt]) -> list[Receipt]:
        """Show the raw objects of sessions that are partitions by now; returns the receipts of the others."""
        for receipt in waiting:
            if (session := session_of(receipt)) and session in targets_of(receipt):
                self._show(session, [receipt])
        return [receipt for receipt in waiting if is_to_come(receipt)]

    def _show(self, target: Target, receipts: Sequence[Receipt]) -> None:
        known = shown(self.context.instance, target, receipts)
        new = [receipt for receipt in receipts if receipt.id not in known]
        try:
            if new:
                self.events.append(materialization(target, new, self.buckets.staging, self.buckets.lake))
            self.years.update(target.years)
        except Exception as error:  # one partition that cannot be read must not stop the others
            self.failed.update(receipt.id for receipt in new)
            said = str(error) if isinstance(error, StockPipelineError) else type(error).__name__
            self.context.log.error(f"{target} cannot be shown now, its messages come again: {said}")


def _checks(instance: dg.DagsterInstance, years: Sequence[int]) -> tuple[list[dg.RunRequest], list[int]]:
    """The run that checks years whose events are committed, and the years that wait because such a run is not done.

    It takes a run: outside of runs, Dagster keeps only one result of a partition's check and fails on the second.
    """
    unfinished = dg.RunsFilter(job_name=check_prices.name, statuses=UNFINISHED)
    if not years or instance.get_runs(unfinished, limit=1):
        return [], list(years)
    config = dg.RunConfig(ops={check_years.name: YearsConfig(years=list(years))})
    return [dg.RunRequest(run_config=config, tags={"stock_pipeline/years": f"{years[0]} to {years[-1]}"})], []


def _result(
    requests: Sequence[dg.RunRequest], events: Sequence[dg.AssetMaterialization], memory: Memory
) -> dg.SensorResult:
    return dg.SensorResult(
        run_requests=requests,
        asset_events=events,
        cursor=memory.to_cursor(),
        # Dagster shows a tick without run requests as skipped. So the skip reason says what the tick did.
        skip_reason=None
        if requests
        else dg.SkipReason(
            f"{len(events)} materializations by Lambda functions" if events else "no receipts wait in the lineage queue"
        ),
    )


def _log(context: dg.SensorEvaluationContext, received: Received) -> None:
    for line in warnings_of(received.receipts):
        context.log.warning(line)
    tries: Mapping[str, int] = {message.id: message.tries for message in received.messages}
    for name, reason in received.malformed.items():
        context.log.error(f"message {name} is left at try {tries[name]}: {reason}")
