"""The checks of `doctor` on queues: what waits to be worked on, and what failed at every try.

A setting is a queue if its meaning begins with "SQS". One whose name ends in `_queue_url` holds work, each other one
holds what failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from stock_pipeline.aws.clients import ClientError, impatient
from stock_pipeline.aws.sqs import Depth, depth
from stock_pipeline.cli.console import counted
from stock_pipeline.cli.doctor.diagnosis import DEPLOY, Diagnosis, is_local, not_looked_at, refused, said
from stock_pipeline.settings import Settings, variable

_WORK, _END = "_queue_url", "_url"


class _Told(NamedTuple):
    """How a queue is called, what to do if there is something in it, and where the reason is, if not in the logs."""

    check: str
    remedy: str
    reason: str = ""


_QUEUES: Mapping[str, _Told] = {
    "stream_queue_url": _Told("arrivals of ticks", ""),
    "stream_dlq_url": _Told("dead letters of ticks", "stock-pipeline redrive ticks"),
    "daily_queue_url": _Told("arrivals of daily prices", ""),
    "daily_dlq_url": _Told("dead letters of daily prices", "stock-pipeline redrive prices"),
    "lineage_queue_url": _Told("receipts", "the sensor lambda_receipts shows them: stock-pipeline dev"),
    "lineage_dlq_url": _Told("dead letters of receipts", "stock-pipeline redrive receipts"),
    "failed_invocations_url": _Told("failed invocations", "stock-pipeline redrive events"),
    "missed_schedules_url": _Told(
        "missed schedules",
        "call the function by hand if its work is missing, and purge the queue",
        "the messages' attributes (aws sqs receive-message --message-attribute-names All)",
    ),
}


def queue_settings() -> list[str]:
    """The names of the settings that are queues."""
    return [field.name for field in fields(Settings) if field.metadata["meaning"].startswith("SQS ")]


def queues(settings: Settings) -> Iterator[Diagnosis]:
    """How many messages each queue holds."""
    sqs: Any = impatient("sqs")
    for setting in queue_settings():
        told = _QUEUES.get(setting, _Told(setting.removesuffix(_END).replace("_", " "), ""))
        url = getattr(settings, setting)
        if not url:
            if setting.startswith("lineage") and settings.processor == "dagster":
                continue  # what the Dagster sensors do is in Dagster already
            yield not_set(told.check, setting)
            continue
        try:
            found = depth(sqs, url)
        except ClientError as error:
            yield _unreadable(told.check, setting, error, url)
            continue
        yield _work(told, found, settings) if setting.endswith(_WORK) else _failed(told, found, settings)


def _work(told: _Told, found: Depth, settings: Settings) -> Diagnosis:
    what = f"{counted(found.waiting, 'message')} to be taken, {found.hidden:,} being worked on"
    if not found.waiting:
        return Diagnosis(told.check, "ok", what)
    consumer = (
        "a sensor takes them: stock-pipeline dev"
        if settings.processor == "dagster"
        else "a function takes them; if their number grows, see its log"
    )
    return Diagnosis(told.check, "note", what, told.remedy or consumer)


def _failed(told: _Told, found: Depth, settings: Settings) -> Diagnosis:
    if not found.held:
        return Diagnosis(told.check, "ok", "nothing failed")
    log = told.reason or (".local/aws.log" if is_local(settings) else "the functions' logs and Dagster's runs")
    bring_back = told.remedy or f"aws sqs start-message-move-task --source-arn {found.arn}"
    what = f"{counted(found.held, 'message')} failed at every try, in {found.arn.rpartition(':')[2]}"
    return Diagnosis(told.check, "broken", what, f"see {log} for why, mend that, then {bring_back}")


def not_set(check: str, setting: str) -> Diagnosis:
    """What is said of a setting that is not set: which output of the stack has its value."""
    output = "".join(part.title() for part in setting.split("_"))
    return Diagnosis(check, "note", f"{variable(setting)} is not set", f"set it to your stack's output {output}")


def _unreadable(check: str, setting: str, error: ClientError, url: str) -> Diagnosis:
    if refused(error):
        return not_looked_at(check, error, "sqs:GetQueueAttributes")
    return Diagnosis(check, "broken", said(error, url), f"check {variable(setting)}, or {DEPLOY}")
