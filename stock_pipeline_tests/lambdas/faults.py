"""Faults that somebody might make in the template, each a single edit, with the rule that must catch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Edit = Callable[[dict[str, Any]], None]


def properties(template: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = template["Resources"][name]["Properties"]
    return found


def without(name: str, *path: str) -> Edit:
    """Removes a property of a resource."""

    def edit(template: dict[str, Any]) -> None:
        inside = properties(template, name)
        for key in path[:-1]:
            inside = inside[key]
        del inside[path[-1]]

    return edit


def with_value(name: str, value: Any, *path: str) -> Edit:
    """Sets a property of a resource."""

    def edit(template: dict[str, Any]) -> None:
        inside = properties(template, name)
        for key in path[:-1]:
            inside = inside[key]
        inside[path[-1]] = value

    return edit


def removed(name: str) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        del template["Resources"][name]

    return edit


def statement(template: dict[str, Any], name: str, sid: str) -> dict[str, Any]:
    found = properties(template, name)
    document = found["Policies"][0]["PolicyDocument"] if "Policies" in found else found["PolicyDocument"]
    (one,) = (s for s in document["Statement"] if s["Sid"] == sid)
    found_one: dict[str, Any] = one
    return found_one


def changed(name: str, sid: str, **values: Any) -> Edit:
    """Changes parts of a statement; None removes one."""

    def edit(template: dict[str, Any]) -> None:
        one = statement(template, name, sid)
        for key, value in values.items():
            if value is None:
                del one[key]
            else:
                one[key] = value

    return edit


def forbidden(name: str, sid: str, action: str) -> Edit:
    """Takes one action out of a statement, and the statement with the last of them."""

    def edit(template: dict[str, Any]) -> None:
        one = statement(template, name, sid)
        actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
        one["Action"] = [other for other in actions if other != action]
        assert one["Action"] != actions

    return edit


def in_global(value: Any, *path: str) -> Edit:
    """Sets something for all functions, or removes it (None)."""

    def edit(template: dict[str, Any]) -> None:
        inside = template["Globals"]["Function"]
        for key in path[:-1]:
            inside = inside[key]
        if value is None:
            del inside[path[-1]]
        else:
            inside[path[-1]] = value

    return edit


def trust(name: str, **values: Any) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        (one,) = properties(template, name)["AssumeRolePolicyDocument"]["Statement"]
        one.update(values)

    return edit


def condition(name: str, sid: str, key: str) -> Edit:
    """Removes a condition of a statement."""

    def edit(template: dict[str, Any]) -> None:
        del statement(template, name, sid)["Condition"][key]

    return edit


def retained(name: str, policy: str, value: str = "Delete") -> Edit:
    def edit(template: dict[str, Any]) -> None:
        template["Resources"][name][policy] = value

    return edit


def stages(pattern: str) -> Edit:
    def edit(template: dict[str, Any]) -> None:
        template["Parameters"]["Stage"]["AllowedPattern"] = pattern

    return edit


EXACT = "each_role_may_do_what_its_work_takes_and_no_more"
EVERYTHING = {
    "Fn::Sub": "arn:${AWS::Partition}:s3:::stock-pipeline-${Stage}-lake-${AWS::AccountId}-${AWS::Region}-an/*"
}
OF_A_REGION = "bucket_names_are_of_one_account_and_region"
NO_REGION = {"Fn::Sub": "stock-pipeline-${Stage}-lake-${AWS::AccountId}"}
VERSIONED, PUBLIC = "VersioningConfiguration", "PublicAccessBlockConfiguration"

FAULTS: dict[str, tuple[Edit, str]] = {
    # permissions that are missing: nothing works, or not in the one case that matters
    "the batch function cannot read raw objects": (
        forbidden("ProcessBatchStockDataRole", "ReadRawObjects", "s3:GetObject"),
        EXACT,
    ),
    "the batch function cannot read the version that an event names": (
        forbidden("ProcessBatchStockDataRole", "ReadRawObjects", "s3:GetObjectVersion"),
        EXACT,
    ),
    "the batch function cannot write tables": (
        forbidden("ProcessBatchStockDataRole", "MergeIntoTables", "s3:PutObject"),
        EXACT,
    ),
    "a year that is not there is taken for a refusal": (
        forbidden("ProcessBatchStockDataRole", "TellMissingFromForbidden", "s3:ListBucket"),
        EXACT,
    ),
    "the stream function cannot acknowledge": (
        forbidden("ProcessStockStreamDataRole", "TakeArrivals", "sqs:DeleteMessage"),
        EXACT,
    ),
    "a function cannot report failures": (
        forbidden("ProcessStockStreamDataRole", "ReportFailures", "sqs:SendMessage"),
        EXACT,
    ),
    "a function cannot log": (forbidden("GenerateStockBatchDataRole", "WriteLogs", "logs:PutLogEvents"), EXACT),
    "the producer cannot send": (forbidden("WriteRecordsToStreamRole", "SendTicks", "kinesis:PutRecords"), EXACT),
    "Firehose cannot read": (forbidden("TickDeliveryRole", "ReadTicks", "kinesis:GetRecords"), EXACT),
    "the schedule cannot call": (
        forbidden("GenerateDailyScheduleRole", "InvokeGenerator", "lambda:InvokeFunction"),
        EXACT,
    ),
    # permissions that are too wide
    "a role may do everything with objects": (
        changed("ProcessBatchStockDataRole", "MergeIntoTables", Action="s3:*"),
        "no_action_is_a_wildcard",
    ),
    "a role may put anything": (
        changed("ProcessBatchStockDataRole", "MergeIntoTables", Action=["s3:GetObject", "s3:Put*"]),
        "no_action_is_a_wildcard",
    ),
    "a role reaches every queue": (
        changed("ProcessStockStreamDataRole", "TakeArrivals", Resource="*"),
        "no_resource_is_a_wildcard",
    ),
    "a role reaches a whole bucket": (
        changed("ProcessStockStreamDataRole", "MergeIntoTables", Resource=EVERYTHING),
        "no_resource_is_a_wildcard",
    ),
    "a role may delete": (
        changed("ProcessBatchStockDataRole", "ReadRawObjects", Action=["s3:GetObject", "s3:DeleteObject"]),
        EXACT,
    ),
    "a role has a policy of AWS": (
        with_value(
            "WriteRecordsToStreamRole", ["arn:aws:iam::aws:policy/AmazonKinesisFullAccess"], "ManagedPolicyArns"
        ),
        "roles_have_their_own_policies_only",
    ),
    "a role can be taken by anybody": (
        trust("ProcessBatchStockDataRole", Principal={"AWS": "*"}),
        "roles_are_for_one_service_of_this_account",
    ),
    "Firehose of another account can take the role": (
        trust("TickDeliveryRole", Condition={}),
        "roles_are_for_one_service_of_this_account",
    ),
    "two functions share a role": (
        with_value("GenerateStockBatchData", {"Fn::GetAtt": ["WriteRecordsToStreamRole", "Arn"]}, "Role"),
        "each_function_has_a_role_of_its_own",
    ),
    # resources that let in too many
    "anybody may send to the queue": (
        changed("StreamArrivalsPolicy", "StagingMaySend", Principal="*"),
        "nobody_is_let_in_by_a_resource",
    ),
    "any bucket may send to the queue": (
        condition("StreamArrivalsPolicy", "StagingMaySend", "ArnEquals"),
        "nobody_is_let_in_by_a_resource",
    ),
    "any account may send to the queue": (
        condition("StreamArrivalsPolicy", "StagingMaySend", "StringEquals"),
        "nobody_is_let_in_by_a_resource",
    ),
    "any account's alarms may ring": (
        condition("AlarmsPolicy", "AlarmsMayPublish", "StringEquals"),
        "nobody_is_let_in_by_a_resource",
    ),
    "any account's bucket may call a function": (
        without("StagingMayInvokeProcessing", "SourceAccount"),
        "functions_are_called_by_our_own_resources",
    ),
    "any bucket may call a function": (
        without("StagingMayInvokeStreamProcessing", "SourceArn"),
        "functions_are_called_by_our_own_resources",
    ),
    # buckets, queues, streams
    "a bucket can be made public": (
        with_value("LakeBucket", False, PUBLIC, "BlockPublicPolicy"),
        "buckets_are_private",
    ),
    "a bucket has no public access block": (without("StagingBucket", PUBLIC), "buckets_are_private"),
    "a bucket takes access control lists": (without("StagingBucket", "OwnershipControls"), "buckets_are_private"),
    "a bucket is not encrypted": (without("LakeBucket", "BucketEncryption"), "buckets_are_encrypted"),
    "staging has no versions": (without("StagingBucket", VERSIONED), "buckets_keep_old_versions"),
    "the lake's versions are suspended": (
        with_value("LakeBucket", "Suspended", VERSIONED, "Status"),
        "buckets_keep_old_versions",
    ),
    "the lake goes with the stack": (retained("LakeBucket", "DeletionPolicy"), "data_outlives_the_stack"),
    "staging goes when it is replaced": (retained("StagingBucket", "UpdateReplacePolicy"), "data_outlives_the_stack"),
    "a failed deployment leaves a bucket": (
        retained("StagingBucket", "DeletionPolicy", "Retain"),
        "a_failed_first_deployment_leaves_nothing_behind",
    ),
    "a failed deployment leaves a queue": (
        retained("StreamArrivals", "DeletionPolicy", "Retain"),
        "a_failed_first_deployment_leaves_nothing_behind",
    ),
    "a bucket's name has no region": (with_value("LakeBucket", NO_REGION, "BucketName"), OF_A_REGION),
    "a bucket's name is anybody's": (without("StagingBucket", "BucketNamespace"), OF_A_REGION),
    "a bucket's name is too long": (stages("[a-z][a-z0-9]{0,8}"), OF_A_REGION),
    "a bucket answers without TLS": (removed("StagingBucketPolicy"), "only_tls_is_answered"),
    "a queue answers without TLS": (condition("StreamDlqPolicy", "TlsOnly", "Bool"), "only_tls_is_answered"),
    "the objects of a bucket are answered without TLS": (
        changed("LakeBucketPolicy", "TlsOnly", Resource={"Fn::GetAtt": ["LakeBucket", "Arn"]}),
        "only_tls_is_answered",
    ),
    "a queue is not encrypted": (
        with_value("StreamArrivals", False, "SqsManagedSseEnabled"),
        "queues_are_encrypted_and_keep_for_a_fortnight",
    ),
    "failures are forgotten after four days": (
        without("FailedInvocations", "MessageRetentionPeriod"),
        "queues_are_encrypted_and_keep_for_a_fortnight",
    ),
    "a queue has no dead-letter queue": (
        without("StreamArrivals", "RedrivePolicy"),
        "no_message_is_lost_or_tried_for_ever",
    ),
    "a poison message is tried for ever": (
        with_value("StreamArrivals", 1000, "RedrivePolicy", "maxReceiveCount"),
        "no_message_is_lost_or_tried_for_ever",
    ),
    "the stream is not encrypted": (without("TickStream", "StreamEncryption"), "streams_are_encrypted"),
    "a query may scan everything": (
        without("Workgroup", "WorkGroupConfiguration", "BytesScannedCutoffPerQuery"),
        "queries_are_bounded",
    ),
    "query results are not encrypted": (
        without("Workgroup", "WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration"),
        "queries_are_bounded",
    ),
    # functions
    "what fails is forgotten": (in_global(None, "EventInvokeConfig"), "functions_do_not_lose_what_fails"),
    "what fails is not tried again": (
        in_global(0, "EventInvokeConfig", "MaximumRetryAttempts"),
        "functions_do_not_lose_what_fails",
    ),
    "functions have the default timeout": (in_global(None, "Timeout"), "functions_are_bounded"),
    "functions are not traced": (in_global("PassThrough", "Tracing"), "functions_are_traced_and_logged"),
    "a function has 128 MB": (without("ProcessBatchStockData", "MemorySize"), "functions_are_bounded"),
    "a function may run any number of times at once": (
        without("GenerateStockBatchData", "ReservedConcurrentExecutions"),
        "functions_are_bounded",
    ),
    "logs are kept for good": (
        without("WriteRecordsToStreamLogs", "RetentionInDays"),
        "functions_are_traced_and_logged",
    ),
    "a function logs elsewhere": (without("ProcessBatchStockData", "LoggingConfig"), "functions_are_traced_and_logged"),
    "work in progress is delivered again": (
        with_value("StreamArrivals", 120, "VisibilityTimeout"),
        "what_is_being_worked_on_is_hidden",
    ),
    "one bad message brings back all": (
        without("StreamArrivalsMapping", "FunctionResponseTypes"),
        "what_is_being_worked_on_is_hidden",
    ),
    # alarms
    "nobody hears of dead letters": (removed("StreamDlqAlarm"), "failures_ring"),
    "nobody hears of errors": (removed("ProcessStockStreamDataErrorsAlarm"), "failures_ring"),
    "nobody hears of Firehose": (removed("DeliveryFailedAlarm"), "failures_ring"),
    "nobody hears of rejected rows": (removed("DailyRejectedAlarm"), "failures_ring"),
    "nobody hears that prices stay away": (removed("DailyStaleAlarm"), "failures_ring"),
    "an alarm rings nowhere": (with_value("ThrottlesAlarm", [], "AlarmActions"), "alarms_reach_the_topic"),
    "an alarm is switched off": (with_value("FilesRefusedAlarm", False, "ActionsEnabled"), "alarms_reach_the_topic"),
}
