"""The checks of `doctor` along the way of a tick: the stream, Firehose, the arrivals queue, the dead-letter queues."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stock_pipeline.aws.clients import ClientError, impatient
from stock_pipeline.aws.sqs import Depth, depth
from stock_pipeline.cli.console import counted
from stock_pipeline.cli.doctor.diagnosis import DEPLOY, Diagnosis, is_local
from stock_pipeline.settings import Settings, variable
from stock_pipeline.staging.keys import RAW_TICKS


def stream(settings: Settings) -> Iterator[Diagnosis]:
    """The stream of ticks, and the Firehose of the same name that writes them to staging."""
    name = settings.stream_name
    if not name:
        yield _not_set("stream", "stream_name", "StreamName")
        return
    try:
        found = impatient("kinesis").describe_stream_summary(StreamName=name)
    except ClientError as error:
        yield Diagnosis("stream", "broken", _said(error, name), f"check {variable('stream_name')}, or {DEPLOY}")
        return
    summary = found["StreamDescriptionSummary"]
    status, shards = summary["StreamStatus"], summary["OpenShardCount"]
    works = status in {"ACTIVE", "UPDATING"}
    yield Diagnosis(
        "stream", "ok" if works else "broken", f"{name}: {status}, shards: {shards}",
        "" if works else "wait until it is ACTIVE; if it stays so, " + DEPLOY,
    )  # fmt: skip
    yield _firehose(name, settings)


def _firehose(name: str, settings: Settings) -> Diagnosis:
    try:
        reply: Any = impatient("firehose").describe_delivery_stream(DeliveryStreamName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            remedy = f"{DEPLOY}; if your Firehose has another name, make sure that it reads {name}"
            return Diagnosis("Firehose", "note", _said(error, name), remedy)
        remedy = "check the permission firehose:DescribeDeliveryStream"
        return Diagnosis("Firehose", "broken", _said(error, name), remedy)
    found = reply["DeliveryStreamDescription"]
    status, target = found["DeliveryStreamStatus"], found["Destinations"][0]["ExtendedS3DestinationDescription"]
    bucket, prefix = target["BucketARN"].rpartition(":")[2], target.get("Prefix", "")
    interval = target.get("BufferingHints", {}).get("IntervalInSeconds")
    where = f"{name}: {status}, writes to s3://{bucket}/{prefix} every {interval} s"
    if status != "ACTIVE":
        return Diagnosis(
            "Firehose", "broken", where, f"see Amazon Data Firehose in the AWS console for why, or {DEPLOY}"
        )
    if bucket != settings.staging_bucket or not prefix.startswith(RAW_TICKS):
        wanted = f"s3://{settings.staging_bucket}/{RAW_TICKS}"
        return Diagnosis("Firehose", "broken", where, f"the pipeline looks for ticks under {wanted}; {DEPLOY}")
    return Diagnosis("Firehose", "ok", where)


def lineage(settings: Settings) -> Iterator[Diagnosis]:
    """Receipts of the functions that wait to be shown in Dagster, and messages that could not be read as receipts."""
    if settings.processor == "dagster" and not settings.lineage_queue_url:
        return
    sqs: Any = impatient("sqs")
    for check, setting, output in (
        ("receipts", "lineage_queue_url", "LineageQueueUrl"),
        ("dead letters of receipts", "lineage_dlq_url", "LineageDlqUrl"),
    ):
        found = _depth(sqs, check, setting, output, settings)
        if isinstance(found, Diagnosis):
            yield found
            continue
        if setting == "lineage_queue_url":
            waiting = found.waiting
            what = f"{counted(waiting, 'receipt')} to be shown in Dagster, {found.hidden:,} being worked on"
            remedy = "the sensor lambda_receipts shows them: stock-pipeline dev"
            yield Diagnosis(check, "note" if waiting else "ok", what, remedy if waiting else "")
        elif found.held:
            what = f"{counted(found.held, 'message')} could not be shown; the rows that they report are stored"
            remedy = f"see the ticks of lambda_receipts for why; redrive or purge {found.arn}"
            yield Diagnosis(check, "broken", what, remedy)
        else:
            yield Diagnosis(check, "ok", "nothing failed")


def queues(settings: Settings) -> Iterator[Diagnosis]:
    """Messages that wait to be processed, and messages that failed at every try."""
    sqs: Any = impatient("sqs")
    for check, setting, output in (
        ("arrivals of ticks", "stream_queue_url", "StreamQueueUrl"),
        ("dead letters of ticks", "stream_dlq_url", "StreamDlqUrl"),
    ):
        found = _depth(sqs, check, setting, output, settings)
        if isinstance(found, Diagnosis):
            yield found
        elif setting == "stream_queue_url":
            yield _arrivals(check, found, settings)
        else:
            yield _dead_letters(check, found, settings)


def _depth(sqs: Any, check: str, setting: str, output: str, settings: Settings) -> Depth | Diagnosis:
    """How many messages the queue of a setting has, or a diagnosis if it cannot be read."""
    url = getattr(settings, setting)
    if not url:
        return _not_set(check, setting, output)
    try:
        return depth(sqs, url)
    except ClientError as error:
        return Diagnosis(check, "broken", _said(error, url), f"check {variable(setting)}, or {DEPLOY}")


def _arrivals(check: str, found: Depth, settings: Settings) -> Diagnosis:
    what = f"{counted(found.waiting, 'message')} to be taken, {found.hidden:,} being worked on"
    if not found.waiting:
        return Diagnosis(check, "ok", what)
    consumer = (
        "the sensor tick_arrivals takes them: stock-pipeline dev"
        if settings.processor == "dagster"
        else "the function process_stock_stream_data takes them; if their number grows, see its log"
    )
    return Diagnosis(check, "note", what, consumer)


def _dead_letters(check: str, found: Depth, settings: Settings) -> Diagnosis:
    if not found.held:
        return Diagnosis(check, "ok", "nothing failed")
    remedy = (
        "see .local/aws.log or the failed runs for why, then materialize their days of stream_prices_history in the "
        "Dagster UI: it reads all raw objects of a day"
        if is_local(settings)
        else f"mend the cause, then redrive them: aws sqs start-message-move-task --source-arn {found.arn}"
    )
    return Diagnosis(check, "broken", f"{counted(found.held, 'message')} failed at every try", remedy)


def _not_set(check: str, setting: str, output: str) -> Diagnosis:
    work = "what the functions did" if setting.startswith("lineage") else "ticks"
    return Diagnosis(
        check, "note", f"{variable(setting)} is not set", f"set it to your stack's output {output}, to work with {work}"
    )


def _said(error: ClientError, name: str) -> str:
    return f"{name}: {error.response['Error'].get('Message') or error}"
