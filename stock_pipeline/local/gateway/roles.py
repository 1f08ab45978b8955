"""Checks of the roles that the services of AWS act with.

With AUTH=true, the emulator checks each call of a function against the policies of its role. But it does not check what
a service does with a role: reading a queue for a function, writing to S3 for a delivery stream, starting a schedule's
target. This module adds these checks: each service needs the permissions that its documentation lists, and does
nothing without them.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ministack import app
from ministack.app import AUTH
from ministack.core import iam_actions, lambda_runtime
from ministack.core.iam_actions import access_denied_response
from ministack.core.iam_evaluator import EvalContext, _gather_role_policies, caller_arn, evaluate, pin_request_origin
from ministack.services import eventbridge, firehose, lambda_svc, sts
from ministack.services import s3 as s3_service

Need = tuple[str, str]
"""An action and the resource that it is for."""

log = logging.getLogger("gateway")


def lacking(role: str, needs: Sequence[Need]) -> list[Need]:
    """The needs that the policies of a role do not allow. `role` is the ARN of the role or of its session."""
    _, _, _, _, account, path = role.split(":", 5)
    name = path.split("/")[1] if path.startswith("assumed-role/") else path.rpartition("/")[2]
    policies = _gather_role_policies(name, account)

    def allowed(action: str, resource: str) -> bool:
        asked = EvalContext(
            principal_arn=f"arn:aws:sts::{account}:assumed-role/{name}/service",
            principal_type="AssumedRole",
            principal_account=account,
            action=action,
            resource_arn=resource,
            region="",
        )
        return bool(evaluate(asked, policies).decision == "Allow")

    return [need for need in needs if not allowed(*need)]


_issued: set[str] = set()


def issued(access_key: str) -> bool:
    """Whether an access key is of a session that this emulator has begun for a function or by AssumeRole."""
    return access_key in _issued or (AUTH and access_key.startswith("ASIA") and access_key in sts._sessions)


def give_functions_a_key() -> None:
    """Let functions sign with a key of this start. The emulator's own are account numbers, which anybody can guess.

    With AUTH=true, a function has the session of its role, whose keys the emulator derives from names.
    """
    credentials = lambda_runtime.execution_credentials
    own = os.environ["AWS_ACCESS_KEY_ID"]
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]

    def of_this_start(config: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = credentials(config)
        if not AUTH:
            return {"AWS_ACCESS_KEY_ID": own, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": ""}
        session = sts._sessions.pop(found["AWS_ACCESS_KEY_ID"])
        mixed = hashlib.sha256(f"{secret} {found['AWS_ACCESS_KEY_ID']}".encode()).hexdigest()
        key, of_session = f"ASIA{mixed[:16].upper()}", mixed[16:]
        sts.register_session(key, {**session, "SecretAccessKey": of_session})
        _issued.add(key)
        return {**found, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": of_session}

    lambda_runtime.execution_credentials = lambda_svc.execution_credentials = of_this_start


def enforce() -> None:
    """Make the services check their roles, and treat connections of this machine as encrypted.

    The policies of the buckets and queues refuse requests without TLS. Requests here have none, as they do not leave
    the machine.
    """
    app.pin_request_origin = lambda address, _secure: pin_request_origin(address, True)
    _name_batches_as_iam_does()
    _tell_policies_what_a_write_replaces()
    _tell_nothing_missing_to_who_may_not_list()
    _ask_before_reading_queues()
    _ask_before_reporting_failures()
    _ask_before_writing_logs()
    _ask_before_delivering()
    _ask_before_running_schedules()


def _name_batches_as_iam_does() -> None:
    """A batch of messages needs the permission of the single call: IAM has no action `sqs:SendMessageBatch`."""
    named = iam_actions.extract_iam_action

    def without_batch(*request: Any) -> str | None:
        action: str | None = named(*request)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = without_batch


def _tell_policies_what_a_write_replaces() -> None:
    """A bucket policy can demand conditions of a write. The emulator itself does not know the condition keys for them.

    A multipart upload creates its object when it is completed; its beginning and its parts create none.
    """
    known = iam_actions._s3_object_context

    def with_conditions(action: str, query: Mapping[str, Any], path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        context: dict[str, Any] = known(action, query, path, headers)
        if action == "s3:PutObject":
            given = {name: headers[name] for name in ("if-match", "if-none-match") if headers.get(name)}
            context |= {f"s3:{name}": value for name, value in given.items()}
            context["s3:ObjectCreationOperation"] = "false" if {"uploads", "partNumber"} & set(query) else "true"
        return context

    iam_actions._s3_object_context = with_conditions


def _tell_nothing_missing_to_who_may_not_list() -> None:
    """If an object does not exist and the role may not list the bucket, S3 answers 403, not 404."""
    handle = s3_service.handle_request

    async def asked(method: str, path: str, headers: dict[str, str], *rest: Any, **named: Any) -> Any:
        answer = await handle(method, path, headers, *rest, **named)
        bucket, _, key = path.lstrip("/").partition("/")
        role = caller_arn()
        if answer[0] != 404 or method not in {"GET", "HEAD"} or not key or ":assumed-role/" not in role:
            return answer
        if not _refused(role, [("s3:ListBucket", f"arn:aws:s3:::{bucket}")]):
            return answer
        return access_denied_response("s3", "s3:ListBucket", role, "", headers=headers)

    s3_service.handle_request = asked


def _ask_before_reading_queues() -> None:
    concurrency = lambda_svc._sqs_esm_concurrency

    def asked(mapping: dict[str, Any], function: dict[str, Any], config: dict[str, Any], *rest: Any) -> Any:
        actions = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
        queue = mapping["EventSourceArn"]
        # Without the permission the queue is not read, and no invocation starts.
        return 0 if _refused(config["Role"], [(a, queue) for a in actions]) else concurrency(
            mapping, function, config, *rest
        )  # fmt: skip

    lambda_svc._sqs_esm_concurrency = asked


def _ask_before_reporting_failures() -> None:
    route = lambda_svc._route_async_failure

    def asked(target: str, name: str, *rest: Any) -> None:
        if not _refused(lambda_svc._functions[name]["config"]["Role"], [("sqs:SendMessage", target)]):
            route(target, name, *rest)

    lambda_svc._route_async_failure = asked


def _ask_before_writing_logs() -> None:
    emit = lambda_svc._emit_lambda_logs

    def asked(function: dict[str, Any], *rest: Any, **named: Any) -> None:
        config = function.get("config") or function
        _, _, _, region, account, _ = config["FunctionArn"].split(":", 5)
        group = f"arn:aws:logs:{region}:{account}:log-group:{config['LoggingConfig']['LogGroup']}"
        needs = [("logs:CreateLogStream", f"{group}:log-stream:any"), ("logs:PutLogEvents", f"{group}:log-stream:any")]
        if not _refused(config["Role"], needs):
            emit(function, *rest, **named)

    lambda_svc._emit_lambda_logs = asked


def _ask_before_delivering() -> None:
    ingest = firehose.ingest_from_kinesis_source

    def asked(source: str, records: Any) -> None:
        for stream in list(firehose._streams.values()):
            if (stream.get("kinesis_source") or {}).get("KinesisStreamARN") == source and _delivery_refused(stream):
                return
        ingest(source, records)

    firehose.ingest_from_kinesis_source = asked


def _delivery_refused(stream: Mapping[str, Any]) -> bool:
    origin, config = stream["kinesis_source"], stream["destinations"][0]["config"]
    reads = ("kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards")
    of_bucket = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads")
    of_object = ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
    bucket = config["BucketARN"]
    prefixes = [config[name].split("!{")[0] for name in ("Prefix", "ErrorOutputPrefix")]
    needs = [(action, bucket) for action in of_bucket]
    needs += [(action, f"{bucket}/{prefix}object") for action in of_object for prefix in prefixes]
    options = config.get("CloudWatchLoggingOptions") or {}
    if options.get("Enabled"):
        _, _, _, region, account, _ = stream["arn"].split(":", 5)
        group = f"arn:aws:logs:{region}:{account}:log-group:{options['LogGroupName']}"
        needs.append(("logs:PutLogEvents", f"{group}:log-stream:{options['LogStreamName']}"))
    read = _refused(origin["RoleARN"], [(action, origin["KinesisStreamARN"]) for action in reads])
    return _refused(config["RoleARN"], needs) or read


def _ask_before_running_schedules() -> None:
    invoke = eventbridge._invoke_target

    def asked(target: dict[str, Any], *rest: Any) -> Any:
        role = target.get("RoleArn")
        if role and _refused(role, [("lambda:InvokeFunction", target["Arn"])]):
            return None
        return invoke(target, *rest)

    eventbridge._invoke_target = asked


def _refused(role: str, needs: Sequence[Need]) -> bool:
    missing = lacking(role, needs)
    for action, resource in missing:
        log.error("%s is not allowed to %s on %s", role, action, resource)
    return bool(missing)
