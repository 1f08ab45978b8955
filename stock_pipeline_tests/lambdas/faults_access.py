"""Faults in who may do what: roles, policies, what a resource lets in."""

from __future__ import annotations

from stock_pipeline_tests.lambdas.edits import (
    Edit,
    changed,
    condition,
    forbidden,
    lacking,
    trust,
    with_value,
    without,
)

EXACT = "each_role_may_do_what_its_work_takes_and_no_more"
PEOPLE = "people_may_do_what_is_documented_and_no_more"
LET_IN = "nobody_is_let_in_by_a_resource"
EVERYTHING = {
    "Fn::Sub": "arn:${AWS::Partition}:s3:::stock-pipeline-${Stage}-lake-${AWS::AccountId}-${AWS::Region}-an/*"
}

ACCESS: dict[str, tuple[Edit, str]] = {
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
    "the batch function cannot take messages": (
        forbidden("ProcessBatchStockDataRole", "TakeArrivals", "sqs:ReceiveMessage"),
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
    "a schedule cannot call": (
        forbidden("GenerateDailyScheduleRole", "InvokeGenerator", "lambda:InvokeFunction"),
        EXACT,
    ),
    "a schedule cannot keep what it missed": (
        forbidden("ReconcileScheduleRole", "KeepMissed", "sqs:SendMessage"),
        EXACT,
    ),
    "lost versions are not found": (forbidden("ReconcileTablesRole", "FindVersions", "s3:ListBucketVersions"), EXACT),
    "lost cancels of trades are not healed": (
        lacking("ReconcileTablesRole", "MergeIntoTables", "trade_corrections"),
        EXACT,
    ),
    "a receipt of what was healed is not sent": (
        forbidden("ReconcileTablesRole", "SendReceipts", "sqs:SendMessage"),
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
    "a reader may do everything in Athena": (
        changed("ReaderPolicy", "Query", Action="athena:*"),
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
    "the function that heals may delete": (
        changed("ReconcileTablesRole", "MergeIntoTables", Action=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
        EXACT,
    ),
    "a role has a policy of AWS": (
        with_value(
            "WriteRecordsToStreamRole", ["arn:aws:iam::aws:policy/AmazonKinesisFullAccess"], "ManagedPolicyArns"
        ),
        "roles_have_their_own_policies_only",
    ),
    "a role has no key to what it reads": (
        with_value("UseKmsKey", [{"Ref": "TickDeliveryRole"}], "Roles"),
        "roles_have_their_own_policies_only",
    ),
    "a role with the key may manage it": (
        changed("UseKmsKey", "UseKey", Action=["kms:Decrypt", "kms:GenerateDataKey", "kms:PutKeyPolicy"]),
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
    "a role is outside of the boundary": (
        without("ReconcileTablesRole", "PermissionsBoundary"),
        "every_role_can_be_bounded",
    ),
    # people
    "a reader cannot read results": (forbidden("ReaderPolicy", "Query", "athena:GetQueryResults"), PEOPLE),
    "a reader may write tables": (
        changed("ReaderPolicy", "WriteResults", Resource={"Fn::Sub": "${LakeBucket.Arn}/*"}),
        PEOPLE,
    ),
    "a reader has no key": (forbidden("ReaderPolicy", "UseKey", "kms:Decrypt"), PEOPLE),
    "a Dagster cannot redrive": (forbidden("DagsterPolicy", "TakeMessages", "sqs:SendMessage"), PEOPLE),
    "a Dagster may delete objects": (
        changed("DagsterPolicy", "MergeIntoTables", Action=["s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"]),
        PEOPLE,
    ),
    "a vendor sees what others upload": (
        changed("VendorPolicy", "Upload", Action=["s3:AbortMultipartUpload", "s3:PutObject", "s3:GetObject"]),
        PEOPLE,
    ),
    "a vendor writes into others' folders": (
        changed("VendorPolicy", "Upload", Resource={"Fn::Sub": "${StagingBucket.Arn}/daily_prices/uploads/*"}),
        PEOPLE,
    ),
    "a policy is attached to everybody in a group": (with_value("ReaderPolicy", ["everybody"], "Groups"), PEOPLE),
    # resources that let in too many
    "anybody may send to the queue": (changed("StreamArrivalsPolicy", "StagingMaySend", Principal="*"), LET_IN),
    "any bucket may send to the queue": (condition("StreamArrivalsPolicy", "StagingMaySend", "ArnEquals"), LET_IN),
    "any account may send to the queue of daily prices": (
        condition("DailyArrivalsPolicy", "StagingMaySend", "StringEquals"),
        LET_IN,
    ),
    "any account's alarms may ring": (condition("AlarmsPolicy", "AlarmsMayPublish", "StringEquals"), LET_IN),
    "any account's bucket may call a function": (
        without("StagingMayInvokeProcessing", "SourceAccount"),
        "functions_are_called_by_our_own_resources",
    ),
    "any bucket may call a function": (
        without("StagingMayInvokeStreamProcessing", "SourceArn"),
        "functions_are_called_by_our_own_resources",
    ),
}
