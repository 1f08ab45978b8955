"""Changes that make the emulator behave more like AWS. Each function here changes one thing."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
import zipfile
from bisect import bisect_left
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import kinesis, lambda_svc, scheduler
from ministack.services.cloudformation import provisioners

_STREAM_KEEPS = 300.0  # seconds


def queue_invocations(at_once: int) -> None:
    """Run at most `at_once` functions at the same time and let the others wait, as AWS does with asynchronous calls.

    The emulator itself starts a process for each of a thousand S3 events, and counts those over its limit as failed
    after three tries. AWS keeps them for six hours and then drops them; here they wait as long as it takes.
    """
    slots = threading.BoundedSemaphore(at_once)
    dispatch = lambda_svc._execute_function_dispatch

    def wait_and_dispatch(*arguments: Any) -> Any:
        with slots:
            return dispatch(*arguments)

    lambda_svc._execute_function_dispatch = wait_and_dispatch


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
