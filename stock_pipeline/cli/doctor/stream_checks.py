"""The checks of `doctor` on the stream of ticks and its Firehose. The queues are in `queue_checks`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stock_pipeline.aws.clients import ClientError, impatient
from stock_pipeline.cli.doctor.diagnosis import DEPLOY, Diagnosis, not_looked_at, refused, said
from stock_pipeline.cli.doctor.queue_checks import not_set
from stock_pipeline.settings import Settings, variable
from stock_pipeline.staging.keys import RAW_TICKS


def stream(settings: Settings) -> Iterator[Diagnosis]:
    """The stream of ticks, and the Firehose of the same name that writes them to staging."""
    name = settings.stream_name
    if not name:
        yield not_set("stream", "stream_name")
        return
    try:
        found = impatient("kinesis").describe_stream_summary(StreamName=name)
    except ClientError as error:
        yield (
            not_looked_at("stream", error, "kinesis:DescribeStreamSummary")
            if refused(error)
            else Diagnosis("stream", "broken", said(error, name), f"check {variable('stream_name')}, or {DEPLOY}")
        )
        yield _firehose(name, settings)
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
            return Diagnosis("Firehose", "note", said(error, name), remedy)
        if refused(error):
            return not_looked_at("Firehose", error, "firehose:DescribeDeliveryStream")
        return Diagnosis("Firehose", "broken", said(error, name), DEPLOY)
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
