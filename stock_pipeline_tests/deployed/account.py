"""A deployed stack and what its roles may do, and the observations by which the tests tell whether a path works.

Each observation drives one thing that a role is for and returns whether it happened. One that is to come true without
anybody waiting for it (a trigger, a delivery) is looked for until `within` seconds have passed.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote_plus

import boto3
from botocore.config import Config

from stock_pipeline.deploy.sam import stack_of
from stock_pipeline.deploy.template import load_template
from stock_pipeline.ingest.corrections import session_partition
from stock_pipeline.lake.partitions import partitions, read_partition
from stock_pipeline.lake.rejected_records import read_rejects
from stock_pipeline.local import LocalFolders
from stock_pipeline.local.stack import REGION
from stock_pipeline.schemas import (
    LATEST_PRICES,
    PRICE_BY_DATE,
    PRICE_REVISIONS,
    STREAM_PRICES_HISTORY,
    TRADE_CORRECTIONS,
    Table,
)
from stock_pipeline_tests.support.local_aws import Stack, eventually, nobody_told

STAGE = "main"

Observation = Callable[["Account", float], bool]

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Permission:
    """One action on one resource (by its place in the statement) that a role of the template allows."""

    role: str
    sid: str
    action: str
    resource: int

    def __str__(self) -> str:
        return f"{self.role}-{self.sid}-{self.action}-{self.resource}"


def permissions() -> list[Permission]:
    """Every permission of every role in the template."""
    return [
        Permission(name, statement["Sid"], action, at)
        for name, resource in load_template()["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
        for policy in resource["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        for action in _listed(statement["Action"])
        for at in range(len(_listed(statement["Resource"])))
    ]


def without(document: dict[str, Any], permission: Permission) -> dict[str, Any]:
    """A policy document that allows all that it did but for one action on one resource."""
    changed = copy.deepcopy(document)
    (statement,) = (s for s in changed["Statement"] if s["Sid"] == permission.sid)
    changed["Statement"].remove(statement)
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    others = [action for action in actions if action != permission.action]
    elsewhere = [resource for at, resource in enumerate(resources) if at != permission.resource]
    for sid, which, where in (("Others", others, resources), ("Elsewhere", [permission.action], elsewhere)):
        if which and where:
            changed["Statement"].append(statement | {"Sid": sid, "Action": which, "Resource": where})
    return changed


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


class Account(Stack):
    """A deployed stack with its roles."""

    @cached_property
    def _roles(self) -> dict[str, str]:
        """The names of the roles by their names in the template."""
        found = self.client("cloudformation").describe_stack_resources(StackName=stack_of(self.aws.stage))
        return {
            r["LogicalResourceId"]: r["PhysicalResourceId"]
            for r in found["StackResources"]
            if r["ResourceType"] == "AWS::IAM::Role"
        }

    @cached_property
    def _functions(self) -> Any:
        """A client of Lambda that waits for as long as a function may take, and never calls it twice.

        A second call that works beside the first could do what a test takes a permission away for.
        """
        config = Config(proxies={}, read_timeout=320, retries={"total_max_attempts": 1})
        key = self.aws.key
        return boto3.Session(key, key, region_name=REGION).client(
            "lambda", endpoint_url=self.aws.endpoint, config=config
        )

    @contextmanager
    def lacking(self, permission: Permission) -> Iterator[None]:
        """The account for the length of a block without one permission."""
        iam, role = self.client("iam"), self._roles[permission.role]
        (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]

        def put(policy: dict[str, Any]) -> None:
            if policy["Statement"]:
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))
            else:
                iam.delete_role_policy(RoleName=role, PolicyName=name)

        put(without(document, permission))
        try:
            yield
        finally:
            put(document)

    def refusals(self) -> int:
        """How often anything was refused for want of a permission, as the emulator and the functions have printed."""
        log = LocalFolders(self.aws.root).log.read_text(errors="replace")
        return len(re.findall(r"is not allowed to |access denied|AccessDenied", log))

    def invoke(self, output: str, event: object) -> dict[str, Any]:
        """What a function (by the output with its name) answers to an event; a failure is an answer too.

        While its queue keeps it as busy as it may be, it refuses the call.
        """
        function, body = self.outputs[output], json.dumps(event)

        def reply() -> Any:
            with suppress(self._functions.exceptions.TooManyRequestsException):
                return self._functions.invoke(FunctionName=function, Payload=body)

        found = eventually(reply, within=120)
        assert found, f"{function} was busy for two minutes"
        answer: dict[str, Any] = json.load(found["Payload"]) or {}
        return answer

    def messages(self, output: str) -> list[dict[str, Any]]:
        """The messages that wait in a queue (by the output with its URL), taken out of it."""
        sqs, url = self.client("sqs"), self.outputs[output]
        found: list[dict[str, Any]] = []
        while taken := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in taken:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return found

    def arrival(self, key: str, version: str = "") -> dict[str, Any]:
        """The event by which S3 tells of an object in staging, of one of its versions, or without naming one."""
        what = {"key": quote_plus(key, safe="/")} | ({"versionId": version} if version else {})
        where = {"bucket": {"name": self.staging.bucket}, "object": what}
        return {"Records": [{"eventName": "ObjectCreated:Put", "s3": where}]}

    def newest(self, key: str) -> str:
        """The id of the newest version of an object in staging."""
        return next(info.version for info in reversed(list(self.staging.versions(key))) if info.key == key)


def new_daily_file() -> tuple[str, str, bytes]:
    """A key, its symbol, and a file with one row that can be stored and one that cannot."""
    symbol = f"A{next(_numbers)}"
    rows = f"symbol,date,open,high,low,close,volume\n{symbol},2024-01-03,10,12,9,11,5\n{symbol},2024-01-04,1,1,1,-1,5\n"
    return f"daily_prices/uploads/{symbol}.csv", symbol, rows.encode()


def earlier_file(symbol: str) -> tuple[str, bytes]:
    """A file with the same bar that does not know its volume: the other file completes what it stored."""
    rows = f"symbol,date,open,high,low,close\n{symbol},2024-01-03,10,12,9,11\n"
    return f"daily_prices/uploads/{symbol}-earlier.csv", rows.encode()


def new_tick_object() -> tuple[str, str, bytes]:
    """A key, its symbol, and an object with a good tick, a bad one and the cancel of another trade."""
    symbol = f"T{next(_numbers)}"
    tick = {"event_id": symbol, "symbol": symbol, "price": 10.5, "size": 1, "produced_at": "2024-06-03T14:30:01Z"}
    cancel = {"T": "x", "S": symbol, "i": 101, "x": "D", "p": 10.4, "s": 1, "z": "A", "t": "2024-06-03T14:30:00Z"}
    lines = [tick, tick | {"event_id": f"{symbol}-x", "price": -1}, cancel]
    return f"stock_stream/2024/06/03/14/{symbol}", symbol, b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def ingests_daily_prices(account: Account, _within: float) -> bool:
    """Whether a bar is stored, and completed by another file, with its former version and a bad row on record."""
    key, symbol, data = new_daily_file()
    earlier, its_data = earlier_file(symbol)
    answers = []
    for name, body in ((earlier, its_data), (key, data)):
        with nobody_told(account):
            account.staging.put(name, body)
        answers.append(account.invoke("ProcessBatchStockDataFunction", account.arrival(name)))
    return all("receipts" in answer for answer in answers) and daily_prices_are_stored(account, symbol, key)


def ingests_the_version_named(account: Account, _within: float) -> bool:
    key, symbol, data = new_daily_file()
    with nobody_told(account):
        account.staging.put(key, data)
        version = account.newest(key)
        account.staging.put(key, b"another version, which is no file of prices")
    answer = account.invoke("ProcessBatchStockDataFunction", account.arrival(key, version))
    return "receipts" in answer and symbol in symbols_of(account, PRICE_BY_DATE)


def symbols_of(account: Account, table: Table) -> set[str]:
    """The symbols with a row of 2024 in a table of years."""
    rows = read_partition(account.lake, table, "year=2024")
    return set() if rows is None else set(rows["symbol"].to_pylist())


def daily_prices_are_stored(account: Account, symbol: str, key: str) -> bool:
    rejected = read_rejects(account.lake, PRICE_BY_DATE, key).to_pylist()
    return (
        symbol in symbols_of(account, PRICE_BY_DATE) & symbols_of(account, PRICE_REVISIONS)
        and [r["reason"] for r in rejected] == ["non_positive_price"]
    )  # fmt: skip


def is_triggered_by_a_daily_file(account: Account, within: float) -> bool:
    key, symbol, data = new_daily_file()
    account.staging.put(key, data)

    return eventually(lambda: symbol in symbols_of(account, PRICE_BY_DATE), within=within)


def tells_a_missing_daily_file(account: Account, _within: float) -> bool:
    answer = account.invoke("ProcessBatchStockDataFunction", account.arrival("daily_prices/uploads/gone.csv"))
    return bool(answer.get("errorMessage", "").endswith("does not exist"))


def ingests_ticks(account: Account, _within: float) -> bool:
    key, symbol, data = new_tick_object()
    with nobody_told(account):
        account.staging.put(key, data)
    answer = account.invoke("ProcessStockStreamDataFunction", account.arrival(key))
    return "receipts" in answer and ticks_are_stored(account, symbol, key)


def ingests_the_version_of_ticks_named(account: Account, _within: float) -> bool:
    key, symbol, data = new_tick_object()
    with nobody_told(account):
        account.staging.put(key, data)
        version = account.newest(key)
        account.staging.put(key, b"another version, which is no tick")
    answer = account.invoke("ProcessStockStreamDataFunction", account.arrival(key, version))
    return "receipts" in answer and tick_is_stored(account, symbol)


def ticks_are_stored(account: Account, symbol: str, key: str) -> bool:
    latest = read_partition(account.lake, LATEST_PRICES, "latest")
    known = set() if latest is None else set(latest["symbol"].to_pylist())
    cancels = read_partition(account.lake, TRADE_CORRECTIONS, session_partition(date(2024, 6, 3)))
    cancelled = set() if cancels is None else set(cancels["symbol"].to_pylist())
    rejected = read_rejects(account.lake, STREAM_PRICES_HISTORY, key).to_pylist()
    return (
        tick_is_stored(account, symbol) and symbol in known and symbol in cancelled
        and [r["reason"] for r in rejected] == ["non_positive_price"]
    )  # fmt: skip


def heals_lost_events(account: Account, _within: float) -> bool:
    """Whether a file and ticks that no event told of are stored, in all tables, after the function looked for them."""
    key, symbol, data = new_daily_file()
    earlier, its_data = earlier_file(symbol)
    ticks, tick, tick_data = new_tick_object()
    with nobody_told(account):
        account.staging.put(earlier, its_data)
    account.invoke("ProcessBatchStockDataFunction", account.arrival(earlier))  # so that the lost file changes a bar
    with nobody_told(account):
        account.staging.put(key, data)
        account.staging.put(ticks, tick_data)
    answer = account.invoke("ReconcileTablesFunction", {"all": True, "age": 0})
    return (
        "unseen" in answer
        and daily_prices_are_stored(account, symbol, key)
        and ticks_are_stored(account, tick, ticks)
    )  # fmt: skip


def sends_receipts_of_what_it_healed(account: Account, within: float) -> bool:
    key, _, data = new_daily_file()
    with nobody_told(account):
        account.staging.put(key, data)
    account.invoke("ReconcileTablesFunction", {"all": True, "age": 0})
    return receipt_arrives(account, key, within)


def runs_reconcile_on_schedule(account: Account, within: float) -> bool:
    key, symbol, data = new_daily_file()
    with nobody_told(account):
        account.staging.put(key, data)
    _run_now(account, "reconcile", {"age": 0})
    return eventually(lambda: symbol in symbols_of(account, PRICE_BY_DATE), within=within)


def tick_is_stored(account: Account, event_id: str) -> bool:
    for partition in partitions(account.lake, STREAM_PRICES_HISTORY):
        rows = read_partition(account.lake, STREAM_PRICES_HISTORY, partition, ["event_id"])
        if rows is not None and event_id in rows["event_id"].to_pylist():
            return True
    return False


def is_called_by_the_queue(account: Account, within: float) -> bool:
    key, symbol, data = new_tick_object()
    account.staging.put(key, data)
    return eventually(lambda: tick_is_stored(account, symbol), within=within)


def tells_a_missing_tick_object(account: Account, _within: float) -> bool:
    answer = account.invoke("ProcessStockStreamDataFunction", account.arrival("stock_stream/2024/gone"))
    return bool(answer.get("errorMessage", "").endswith("does not exist"))


def generates_a_session(account: Account, _within: float) -> bool:
    """Whether a session is written where there is none, and in the place of something else of the same size."""
    prefix = "daily_prices/date=2022-01-03/"
    _delete(account, prefix)
    for _ in range(2):
        if account.invoke("GenerateStockBatchDataFunction", {"date": "2022-01-03"}).get("written") != 1:
            return False
        (written,) = account.staging.list(prefix)
        account.staging.put(written.key, b"?" * written.size)
    return True


def produces_ticks(account: Account, _within: float) -> bool:
    answer = account.invoke("WriteRecordsToStreamFunction", {"seconds": 0.2, "rate": 50})
    return bool(answer.get("lines")) and answer["failed"] == 0


def delivers_from_the_stream(account: Account, within: float) -> bool:
    _, symbol, data = new_tick_object()
    account.client("kinesis").put_record(StreamName=account.outputs["StreamName"], Data=data, PartitionKey="a")

    def landed() -> bool:
        found = account.staging.list(f"stock_stream/{datetime.now(UTC):%Y}/")
        return any(f'"{symbol}"'.encode() in account.staging.get(info.key).data for info in found)

    return eventually(landed, within=within)


def runs_generator_on_schedule(account: Account, within: float) -> bool:
    prefix = "daily_prices/date=2022-01-04/"
    _delete(account, prefix)
    _run_now(account, "generate-daily", {"date": "2022-01-04"})
    return eventually(lambda: bool(list(account.staging.list(prefix))), within=within)


def runs_producer_on_schedule(account: Account, within: float) -> bool:
    kinesis, stream = account.client("kinesis"), account.outputs["StreamName"]
    start = datetime.now(UTC)
    _run_now(account, "produce-ticks", {"seconds": 0.2, "rate": 50})

    def sent() -> bool:
        shards = kinesis.list_shards(StreamName=stream)["Shards"]
        ats = [
            kinesis.get_shard_iterator(
                StreamName=stream, ShardId=s["ShardId"], ShardIteratorType="AT_TIMESTAMP", Timestamp=start
            )["ShardIterator"]
            for s in shards
        ]
        return any(kinesis.get_records(ShardIterator=at)["Records"] for at in ats)

    return eventually(sent, within=within)


def writes_logs(output: str) -> Observation:
    """Whether what a function logs is in its log group."""

    def observe(account: Account, within: float) -> bool:
        group = f"/aws/lambda/{account.outputs[output]}"
        pages = account.client("logs").get_paginator("describe_log_streams")

        def events() -> int:
            """A process of the function has a stream of its own for each invocation here."""
            return sum(len(page["logStreams"]) for page in pages.paginate(logGroupName=group))

        before = events()
        account.invoke(output, {"neither": "nor"})
        return eventually(lambda: events() > before, within=within)

    return observe


def reports_failures(output: str) -> Observation:
    """Whether an event that a function fails on at every try ends in the queue of such events."""

    def observe(account: Account, within: float) -> bool:
        mark = f"mark-{next(_numbers)}"
        account.client("lambda").invoke(
            FunctionName=account.outputs[output], InvocationType="Event", Payload=json.dumps({"neither": mark})
        )
        kept: list[dict[str, Any]] = []

        def arrived() -> bool:
            kept.extend(account.messages("FailedInvocationsUrl"))
            return any(message["requestPayload"] == {"neither": mark} for message in kept)

        return eventually(arrived, within=within)

    return observe


def sends_receipts(output: str, new_object: Callable[[], tuple[str, str, bytes]]) -> Observation:
    """Whether the receipt of what a function stored comes to the lineage queue."""

    def observe(account: Account, within: float) -> bool:
        key, _, data = new_object()
        account.staging.put(key, data)
        account.invoke(output, account.arrival(key))
        return receipt_arrives(account, key, within)

    return observe


def receipt_arrives(account: Account, key: str, within: float) -> bool:
    kept: list[dict[str, Any]] = []

    def arrived() -> bool:
        kept.extend(account.messages("LineageQueueUrl"))
        return any(receipt["source"] == key for receipt in kept)

    return eventually(arrived, within=within)


def _run_now(account: Account, schedule: str, event: dict[str, Any]) -> None:
    """Let a schedule with the target and the role of one of the stack's fall due now."""
    scheduler = account.client("scheduler")
    found = scheduler.get_schedule(Name=f"{stack_of(account.aws.stage)}-{schedule}")
    at = datetime.now(UTC) + timedelta(seconds=1)
    scheduler.create_schedule(
        Name=f"{found['Name']}-{next(_numbers)}",
        ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        State="ENABLED",
        Target=found["Target"] | {"Input": json.dumps(event)},
    )


def _delete(account: Account, prefix: str) -> None:
    for info in list(account.staging.list(prefix)):
        account.s3.delete_object(Bucket=account.staging.bucket, Key=info.key)
