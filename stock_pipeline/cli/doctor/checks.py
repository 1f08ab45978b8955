"""The checks of `doctor`. Each gives diagnoses: ok, note (it may be what you want) or broken, with the remedy.

The checks change nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from stock_pipeline.aws.clients import BotoCoreError, ClientError, impatient
from stock_pipeline.aws.s3 import S3Store
from stock_pipeline.cli.console import counted
from stock_pipeline.cli.doctor import dagster_checks, lake_checks, queue_checks, service_checks, stream_checks
from stock_pipeline.cli.doctor.diagnosis import DEPLOY, Diagnosis, State, is_local, not_looked_at, refused
from stock_pipeline.credentials import remedy_of
from stock_pipeline.errors import ObjectNotFound, PreconditionFailed, QueryError, StockPipelineError, StoreError
from stock_pipeline.local import LocalFolders, default_root, running
from stock_pipeline.maintenance.reconcile import SINCE, find_unseen
from stock_pipeline.query import sql
from stock_pipeline.schemas import PRICE_BY_DATE, REJECTED_RECORDS, STREAM_PRICES_HISTORY, TABLES
from stock_pipeline.settings import Settings, variable
from stock_pipeline.staging.keys import RAW_DAILY_PRICES

# Where a role for Dagster may write; a person who only reads may write nowhere.
_PROBES = {
    "staging_bucket": f"{RAW_DAILY_PRICES}.doctor/never-written",
    "lake_bucket": f"{PRICE_BY_DATE.prefix}.doctor/never-written",
}
_OTHERS_DO = "the functions read and write it; if you are to do so as well, ask for the permissions"
_NO_ETAG = "0" * 32
_LITTLE_DISK, _NO_DISK = 1 << 30, 100 << 20  # bytes

_ASK_AWS = "check the connection to AWS and your permissions: AWS_PROFILE, AWS_REGION, AWS_ENDPOINT_URL"
_REMEDIES = {  # for errors that a check does not expect; expected errors have their remedy in the check
    "tables": "check the permissions s3:GetObject on the lake bucket, glue:GetTable and, for Athena, on the workgroup",
    "layout of history": "check the permissions s3:ListBucket and s3:GetObject on the lake bucket",
    "objects of the lake": "check the permissions s3:ListBucket and s3:GetObject on the lake bucket",
    "clocks": "check the permission s3:GetObject on the lake bucket",
    "stream": "check the permissions kinesis:DescribeStreamSummary and firehose:DescribeDeliveryStream",
    "queues": "check the connection to SQS; locally, see .local/aws.log, or start `stock-pipeline dev` again",
    "Dagster in AWS": "check the permissions ecs:DescribeServices and autoscaling:DescribeAutoScalingGroups",
    "Dagster": "see its logs (of `stock-pipeline dev`: .local/logs), and start it again",
}

Check = Callable[[Settings], Iterator[Diagnosis]]


def examine(settings: Settings) -> list[Diagnosis]:
    """Run all checks. If AWS does not answer, the checks that need it are left out."""
    diagnoses: list[Diagnosis] = []
    for name, check in _CHECKS.items():
        try:
            diagnoses += check(settings)
        except (StockPipelineError, ClientError, BotoCoreError) as error:
            diagnoses.append(Diagnosis(name, "broken", str(error), _REMEDIES.get(name, _ASK_AWS)))
        if name == "access" and diagnoses[-1].state == "broken":
            diagnoses += _disk(settings)
            break
    return diagnoses


def _settings(settings: Settings) -> Iterator[Diagnosis]:
    local = running()
    where = f"the local AWS at {local.endpoint}" if local and is_local(settings) else "the AWS of the environment"
    yield Diagnosis(
        "settings", "ok", f"{where}; arrivals are consumed by {settings.processor}, SQL runs in {settings.sql_engine}"
    )


def _access(settings: Settings) -> Iterator[Diagnosis]:  # noqa: ARG001
    try:
        who = impatient("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        yield Diagnosis(
            "access",
            "broken",
            str(error),
            remedy_of(error),
        )
        return
    yield Diagnosis("access", "ok", f"account {who['Account']} as {who['Arn']}")


def _buckets(settings: Settings) -> Iterator[Diagnosis]:
    client = impatient("s3")
    for name in ("staging_bucket", "lake_bucket"):
        bucket = settings.require(name)
        store = S3Store(bucket, client)
        may = "listed"
        try:
            next(iter(store.list("")), None)
            may = "written"
            _try_to_write(store, _PROBES[name])
        except StockPipelineError as error:
            if refused(error) and (name == "staging_bucket" or may == "written"):
                yield Diagnosis(bucket, "note", f"may not be {may} by this role: {error}", _OTHERS_DO)
                continue
            yield Diagnosis(
                bucket,
                "broken",
                str(error),
                f"check {variable(name)} and the permissions s3:ListBucket, s3:GetObject, s3:PutObject",
            )
            continue
        yield Diagnosis(bucket, "ok", "can be listed and written")


def _try_to_write(store: S3Store, key: str) -> None:
    """Try a write that S3 must refuse, because its condition is false. S3 checks the permission before that."""
    try:
        store.put(key, b"", if_match=_NO_ETAG)
    except (ObjectNotFound, PreconditionFailed):
        return


def _tables(settings: Settings) -> Iterator[Diagnosis]:
    """The tables in Glue, and how many rows they have. Athena needs Glue, DuckDB does not."""
    glue = impatient("glue")
    athena = settings.sql_engine == "athena"
    for name in TABLES:
        try:
            glue.get_table(DatabaseName=settings.database, Name=name)
        except ClientError as error:
            why = error.response["Error"].get("Message", str(error))
            yield Diagnosis(f"{name} in Glue", "broken" if athena else "note", why, DEPLOY)
            if athena:
                continue
        try:
            yield _judged(name, settings)
        except QueryError as error:  # the other tables may answer
            yield Diagnosis(name, "broken", str(error), "the message says what to do")


def _judged(name: str, settings: Settings) -> Diagnosis:
    if name == STREAM_PRICES_HISTORY.name:
        return _history(settings)
    left_out = " WHERE coalesce(stored, FALSE) = FALSE" if name == REJECTED_RECORDS.name else ""
    rows = int(sql(f"SELECT count(*) AS n FROM {name}{left_out}", settings=settings)["n"][0].as_py())  # noqa: S608
    if name == REJECTED_RECORDS.name and rows:
        return Diagnosis(name, "note", f"{rows:,} rows were not stored", "stock-pipeline rejects list")
    if name == PRICE_BY_DATE.name and not rows:
        remedy = "stock-pipeline ingest FILE, or stock-pipeline backfill --start 2024-01-01"
        return Diagnosis(name, "note", "no rows yet", remedy)
    return Diagnosis(name, "ok", f"{rows:,} rows")


def _history(settings: Settings) -> Diagnosis:
    """Counts ticks since yesterday only: history may be many objects, and new ticks show that the stream runs."""
    name, today = STREAM_PRICES_HISTORY.name, datetime.now(UTC).date()
    of_day = f"SELECT count(*) AS n FROM {name} WHERE year = ? AND month = ? AND day = ?"  # noqa: S608
    days = [[day.year, day.month, day.day] for day in (today - timedelta(1), today)]
    ticks = sum(int(sql(of_day, day, settings=settings)["n"][0].as_py()) for day in days)
    if not ticks:
        return Diagnosis(name, "note", "no ticks since yesterday (UTC)", "stock-pipeline stream --seconds 60")
    return Diagnosis(name, "ok", f"{counted(ticks, 'tick')} since yesterday (UTC)")


def _workgroup(settings: Settings) -> Iterator[Diagnosis]:
    if settings.sql_engine != "athena":
        return
    try:
        group = impatient("athena").get_work_group(WorkGroup=settings.athena_workgroup)["WorkGroup"]
    except ClientError as error:
        yield Diagnosis("Athena", "broken", str(error), f"check {variable('athena_workgroup')}, or {DEPLOY}")
        return
    state = group.get("State", "")
    yield Diagnosis(
        "Athena",
        "ok" if state == "ENABLED" else "broken",
        f"workgroup {settings.athena_workgroup} is {state}",
        "" if state == "ENABLED" else "enable it in the Athena console",
    )


def _unseen(settings: Settings) -> Iterator[Diagnosis]:
    """Raw objects of the last days that no table has seen: their notifications were lost, or wait for a consumer."""
    staging, lake = S3Store(settings.require("staging_bucket")), S3Store(settings.require("lake_bucket"))
    try:
        unseen = find_unseen(staging=staging, lake=lake)
    except StoreError as error:
        if not refused(error):
            raise
        yield not_looked_at("raw objects", error, "s3:ListBucket and s3:ListBucketVersions on the staging bucket")
        return
    what = f"{len(unseen.objects):,} of {counted(unseen.looked_at, 'object')} of the last {SINCE.days} days unseen"
    if not unseen.objects:
        yield Diagnosis("raw objects", "ok", what)
        return
    first = unseen.objects[0]
    yield Diagnosis("raw objects", "note", f"{what}, such as {first.key}", "stock-pipeline reconcile")


def _disk(settings: Settings) -> Iterator[Diagnosis]:  # noqa: ARG001
    home = LocalFolders(default_root()).home
    free = shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.exists())).free
    state: State = "ok" if free > _LITTLE_DISK else "note" if free > _NO_DISK else "broken"
    yield Diagnosis(
        "disk",
        state,
        f"{free / (1 << 30):,.1f} GiB free for {home}",
        "" if state == "ok" else "free some space, or set STOCK_PIPELINE_HOME to another disk",
    )


_CHECKS: dict[str, Check] = {
    "settings": _settings,
    "access": _access,
    "buckets": _buckets,
    "tables": _tables,
    "layout of history": lake_checks.layout,
    "objects of the lake": lake_checks.objects,
    "clocks": lake_checks.clock,
    "Athena": _workgroup,
    "years of ticks": lake_checks.years,
    "stream": stream_checks.stream,
    "queues": queue_checks.queues,
    "raw objects": _unseen,
    "Dagster in AWS": service_checks.service,
    "Dagster": dagster_checks.dagster,
    "disk": _disk,
}
