"""Changes that make the emulator behave more like AWS. Each function here changes one thing."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
import zipfile
from bisect import bisect_left
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import eventbridge, kinesis, lambda_svc, s3, scheduler, sns, sqs
from ministack.services.cloudformation import provisioners

_STREAM_KEEPS = 300.0  # seconds
_EVENTS_LAST = 6 * 3600.0  # seconds; https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0  # seconds


def try_throttled_calls_again() -> None:
    """Try a call again that its function's reserved concurrency refused, where AWS does so.

    These are the events that S3 sends to a function itself (tried for six hours), and the batches of a queue (tried
    until their messages are visible again). A caller who waits for the answer is refused at once. The emulator takes
    each refusal for a failure. The pauses are shorter than AWS's, which grow to five minutes.
    """
    until: ContextVar[float] = ContextVar("until", default=0.0)
    execute, send, take = lambda_svc._execute_function, lambda_svc.invoke_async_with_retry, lambda_svc._run_sqs_batch

    def patient(*arguments: Any) -> Any:
        pause = _FIRST_PAUSE
        while True:
            result = execute(*arguments)
            if not result.get("throttle") or time.time() + pause > until.get():
                return result
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def send_for_hours(*arguments: Any) -> None:
        before = until.set(time.time() + _EVENTS_LAST)
        try:
            send(*arguments)  # starts a thread with this context
        finally:
            until.reset(before)

    def take_while_hidden(mapping: Any, function: Any, event: Any, batch: Any, url: str, name: str) -> None:
        hidden = float(sqs._queues[url]["attributes"].get("VisibilityTimeout", 30))
        before = until.set(time.time() + hidden)
        try:
            take(mapping, function, event, batch, url, name)
        finally:
            until.reset(before)

    lambda_svc._execute_function = patient
    lambda_svc.invoke_async_with_retry = send_for_hours
    lambda_svc._run_sqs_batch = take_while_hidden


def reserve_as_the_template_says() -> None:
    """Bound a function by the ReservedConcurrentExecutions of its template, or what was set since.

    The emulator leaves out the template's, and goes by what was set when an event came.
    """
    bound = lambda_svc._reserved_concurrency
    handlers = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    create, update = handlers["create"], handlers["update"]

    def reserve(name: str, properties: dict[str, Any]) -> None:
        reserved = properties.get("ReservedConcurrentExecutions")
        lambda_svc._functions[name]["concurrency"] = None if reserved is None else int(reserved)

    def created(logical: str, properties: dict[str, Any], stack: str) -> Any:
        name, attributes = create(logical, properties, stack)
        reserve(name, properties)
        return name, attributes

    def updated(physical: str, old: Any, properties: dict[str, Any], *more: Any, **named: Any) -> Any:
        answer = update(physical, old, properties, *more, **named)
        reserve(answer[0] if answer else physical, properties)
        return answer

    def bound_now(function: dict[str, Any], config: dict[str, Any]) -> Any:
        return bound(lambda_svc._functions.get(config.get("FunctionName")) or function, config)

    handlers |= {"create": created, "update": updated}
    lambda_svc._reserved_concurrency = bound_now


def lose_no_message() -> None:
    """Let one thread at a time change the messages of queues.

    The emulator puts a new list in the place of a queue's messages whenever it takes some out, or looks for those that
    were tried too often. A thread of an S3 event that adds its message to the old list meanwhile loses it.
    """
    lock = threading.RLock()
    sqs._queues_lock = lock

    def alone(change: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(change)
        def changed(*arguments: Any, **named: Any) -> Any:
            with lock:
                return change(*arguments, **named)

        return changed

    for module, names in (
        (s3, ("_deliver_event_to_sqs",)),
        (sns, ("_deliver_to_sqs",)),
        (eventbridge, ("_dispatch_to_sqs",)),
        (sqs, ("_collect_msgs", "_dlq_sweep", "_expire_retained")),
    ):
        for name in names:
            setattr(module, name, alone(getattr(module, name)))
    for action in ("SendMessage", "SendMessageBatch", "DeleteMessage", "DeleteMessageBatch", "PurgeQueue"):
        sqs._HANDLERS[action] = alone(sqs._HANDLERS[action])


def take_numbers_as_text() -> None:
    """Let a template's parameter set the concurrency of a queue's function. CloudFormation passes numbers as text."""
    concurrency = lambda_svc._sqs_esm_concurrency

    def as_number(mapping: dict[str, Any], *arguments: Any) -> Any:
        scaling = {name: int(value) for name, value in (mapping.get("ScalingConfig") or {}).items()}
        return concurrency({**mapping, "ScalingConfig": scaling}, *arguments)

    lambda_svc._sqs_esm_concurrency = as_number


def forget_old_records() -> None:
    """Keep the records of a Kinesis stream for minutes, not for a day. Firehose reads them before the sender's answer.

    The emulator keeps all records in memory and goes through all of them at each call.
    """

    def expire(stream: dict[str, Any]) -> None:
        oldest = time.time() - _STREAM_KEEPS
        for shard in stream["shards"].values():
            records = shard["records"]
            del records[: bisect_left(records, oldest, key=lambda record: record["ApproximateArrivalTimestamp"])]

    kinesis._expire_records = expire


def keep_alarms_on_expressions() -> None:
    """Let a template have alarms on metric math. The emulator stores them as alarms on the first of their metrics.

    No alarm is ever raised here: the functions' own metrics are lines in their log, which nothing evaluates.
    """
    record = provisioners._cw_metric_alarm_record

    def of_one_metric(name: str, props: dict[str, Any]) -> Any:
        plain = {key: value for key, value in props.items() if key != "Metrics"}
        for each in props.get("Metrics") or []:
            if stat := each.get("MetricStat"):
                plain |= {**stat["Metric"], "Period": stat["Period"], "Statistic": stat["Stat"]}
                break
        return record(name, plain)

    provisioners._cw_metric_alarm_record = of_one_metric


def look_at_schedules_each_second() -> None:
    """Run a schedule within a second of its time, not ten."""
    scheduler._SCHEDULE_TICK_INTERVAL = 1


def unpack_each_package_once(folder: Path) -> None:
    """Keep functions' packages unpacked in a folder, with compiled modules, for all processes that run them.

    The emulator itself unpacks a package for each process, and starts a process after each failed invocation.
    """
    unpacking = threading.Lock()

    class Package(zipfile.ZipFile):
        def extractall(self, path: Any = None, *_: Any, **__: Any) -> None:
            content = repr([(entry.filename, entry.CRC) for entry in self.infolist()])
            unpacked = folder / hashlib.sha256(content.encode()).hexdigest()[:16]
            with unpacking:
                if not unpacked.exists():
                    draft = tempfile.mkdtemp(dir=folder)
                    super().extractall(draft)
                    Path(draft).rename(unpacked)
            Path(path).rmdir()
            Path(path).symlink_to(unpacked)

    folder.mkdir(parents=True, exist_ok=True)
    lambda_runtime.zipfile = SimpleNamespace(ZipFile=Package)
