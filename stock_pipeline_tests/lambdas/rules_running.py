"""Rules: what runs is bounded, comes in time, and is kept when it fails."""

from __future__ import annotations

from collections.abc import Iterator

from stock_pipeline_tests.lambdas.template import Template, rule, text

LATE_IS_WRONG = {"WriteRecordsToStream"}
"""Functions whose work has the time at which it is done: what a late call makes is not what was missed."""


# --- streams, queries ---------------------------------------------------------------------------------------


@rule
def streams_are_encrypted(template: Template) -> Iterator[str]:
    for name, stream in template.of_type("AWS::Kinesis::Stream").items():
        if stream.get("StreamEncryption", {}).get("EncryptionType") != "KMS":
            yield f"{name} is not encrypted"


@rule
def ticks_are_stored_as_somebody_chose(template: Template) -> Iterator[str]:
    """How large and how old an object of ticks gets, and whether it is compressed, decides on the costs of storage."""
    wanted = {
        "BufferingHints": {"IntervalInSeconds": {"Ref": "StreamBufferSeconds"}, "SizeInMBs": {"Ref": "StreamBufferMb"}},
        "CompressionFormat": {"Ref": "StreamCompression"},
    }
    for name, stream in template.of_type("AWS::KinesisFirehose::DeliveryStream").items():
        given = stream["ExtendedS3DestinationConfiguration"]
        yield from (f"{name} has a {key} of its own" for key, value in wanted.items() if given.get(key) != value)
    if set(template.parameters["StreamCompression"]["AllowedValues"]) != {"UNCOMPRESSED", "GZIP"}:
        yield "ticks may come in a form that the pipeline does not read"


@rule
def queries_are_bounded(template: Template) -> Iterator[str]:
    for name, group in template.of_type("AWS::Athena::WorkGroup").items():
        configuration = group["WorkGroupConfiguration"]
        if configuration.get("EnforceWorkGroupConfiguration") is not True:
            yield f"{name} lets queries have settings of their own"
        if "BytesScannedCutoffPerQuery" not in configuration:
            yield f"{name} lets a query scan everything"
        if not configuration["ResultConfiguration"].get("EncryptionConfiguration"):
            yield f"{name} leaves results unencrypted"


# --- functions ------------------------------------------------------------------------------------------------------


@rule
def functions_do_not_lose_what_fails(template: Template) -> Iterator[str]:
    kept = set()
    for config in template.of_type("AWS::Lambda::EventInvokeConfig").values():
        name, retries = text(config["FunctionName"]), config.get("MaximumRetryAttempts", 2)
        if name in LATE_IS_WRONG and (retries or config.get("MaximumEventAgeInSeconds", 21_600) > 60):
            yield f"{name} works for a minute that is over"
        if config.get("DestinationConfig", {}).get("OnFailure") and (retries or name in LATE_IS_WRONG):
            kept.add(name)
    yield from (f"{name} has neither a failure destination nor retries" for name in set(template.functions()) - kept)


@rule
def functions_are_bounded(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if not 0 < function.get("Timeout", 0) <= 900:
            yield f"{name} has no timeout of its own"
        if function.get("MemorySize", 0) < 1024:
            yield f"{name} has little memory"
        if not function.get("ReservedConcurrentExecutions"):
            yield f"{name} may run any number of times at once"


@rule
def functions_are_traced_and_logged(template: Template) -> Iterator[str]:
    for name, function in template.functions().items():
        if function.get("TracingConfig") != {"Mode": "Active"}:
            yield f"{name} is not traced"
        group = template.resources.get(text(function.get("LoggingConfig", {}).get("LogGroup", "")))
        if group is None:
            yield f"{name} logs into a group that keeps everything"
        elif text(group["Properties"]["LogGroupName"]) != f"/aws/lambda/{text(function['FunctionName'])}":
            yield f"{name} logs where nobody looks for it"
    for name, group in template.of_type("AWS::Logs::LogGroup").items():
        if "RetentionInDays" not in group:
            yield f"{name} keeps logs for good"


@rule
def each_function_has_a_role_of_its_own(template: Template) -> Iterator[str]:
    roles = [text(function["Role"]) for function in template.functions().values()]
    yield from (f"{role} is shared" for role in sorted({role for role in roles if roles.count(role) > 1}))


# --- schedules ------------------------------------------------------------------------------------------------------


@rule
def schedules_come_in_time_and_keep_what_they_miss(template: Template) -> Iterator[str]:
    """Without a policy, the scheduler tries for a day: a simulated minute would become one of another day."""
    for name, schedule in template.of_type("AWS::Scheduler::Schedule").items():
        target = schedule["Target"]
        retries = target.get("RetryPolicy", {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185})
        if retries["MaximumEventAgeInSeconds"] > 4 * 3600:
            yield f"{name} comes when its time is over"
        if text(target["Arn"]) in LATE_IS_WRONG and retries["MaximumRetryAttempts"]:
            yield f"{name} is called again for a minute that is over"
        if text(target.get("DeadLetterConfig", {}).get("Arn", "")) != "MissedSchedules":
            yield f"{name} forgets what it missed"


@rule
def lost_events_are_healed_without_a_dagster(template: Template) -> Iterator[str]:
    hourly = {"ScheduleExpression": "rate(1 hour)", "State": {"Fn::If": ["Reconciles", "ENABLED", "DISABLED"]}}
    schedules = template.of_type("AWS::Scheduler::Schedule").values()
    ours = [schedule for schedule in schedules if text(schedule["Target"]["Arn"]) == "ReconcileTables"]
    if not any(hourly.items() <= schedule.items() for schedule in ours):
        yield "nobody looks for what no event told of"
    if template.parameters["Reconcile"]["Default"] != "on":
        yield "nobody looks for what no event told of, unless somebody asks for it"
