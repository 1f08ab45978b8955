"""What the work of each role takes, and that of people: the actions on the resources, from what the code does.

`staging/…` and `lake/…` are objects of the buckets, `staging` and `lake` the buckets themselves.
"""

from __future__ import annotations

LISTS = "s3:ListBucket"

Needed = set[tuple[str, str]]


def _on(resource: str, *actions: str) -> Needed:
    return {(action, resource) for action in actions}


def _function(logs: str) -> Needed:
    """What every function takes: a log, traces, and to report what failed at every try."""
    return (
        _on(logs, "logs:CreateLogStream", "logs:PutLogEvents")
        | _on("*", "xray:PutTraceSegments", "xray:PutTelemetryRecords")
        | _on("FailedInvocations", "sqs:SendMessage")
    )


def _merging(*tables: str) -> Needed:
    """Compare-and-swap: the object is read with its ETag and put back; 404 and not 403 where there is none yet."""
    return _on("lake", LISTS).union(*(_on(f"lake/{table}/*", "s3:GetObject", "s3:PutObject") for table in tables))


def _reading(prefix: str) -> Needed:
    """Raw objects in the version that an event names, or as they are now; 404 and not 403 for one deleted meanwhile."""
    return _on(f"staging/{prefix}/*", "s3:GetObject", "s3:GetObjectVersion") | _on("staging", LISTS)


def _taking(queue: str) -> Needed:
    """What Lambda does with a queue in a function's name."""
    return _on(queue, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


def _schedule(function: str) -> Needed:
    """What a schedule takes: to call its function, and to keep the calls that did not reach it."""
    return _on(function, "lambda:InvokeFunction") | _on("MissedSchedules", "sqs:SendMessage")


_KEY = _on("KmsKey", "kms:Decrypt", "kms:GenerateDataKey")
_IN_REGION = "arn:${{AWS::Partition}}:{}:${{AWS::Region}}:${{AWS::AccountId}}:{}"
_DAILY_TABLES = ("price_by_date", "price_revisions", "rejected_records")
_STREAM_TABLES = ("price_by_date_stream", "trade_corrections", "latest_stream_prices", "rejected_records")

_NEEDED: dict[str, Needed] = {
    # Looks whether the session is there already, and writes it if not.
    "GenerateStockBatchDataRole": _function("GenerateStockBatchDataLogs")
    | _on("staging/daily_prices/*", "s3:GetObject", "s3:PutObject")
    | _on("staging", LISTS),
    "ProcessBatchStockDataRole": _function("ProcessBatchStockDataLogs")
    | _reading("daily_prices")
    | _merging(*_DAILY_TABLES)
    | _on("LineageReceipts", "sqs:SendMessage")
    | _taking("DailyArrivals"),
    "WriteRecordsToStreamRole": _function("WriteRecordsToStreamLogs") | _on("TickStream", "kinesis:PutRecords"),
    "ProcessStockStreamDataRole": _function("ProcessStockStreamDataLogs")
    | _reading("stock_stream")
    | _merging(*_STREAM_TABLES)
    | _on("LineageReceipts", "sqs:SendMessage")
    | _taking("StreamArrivals"),
    # Lists versions of raw objects and reads those; lists the tables and merges into each.
    "ReconcileTablesRole": _function("ReconcileTablesLogs")
    | _on("staging", "s3:ListBucketVersions")
    | _on("staging/daily_prices/*", "s3:GetObjectVersion")
    | _on("staging/stock_stream/*", "s3:GetObjectVersion")
    | _merging(*_DAILY_TABLES, *_STREAM_TABLES)
    | _on("LineageReceipts", "sqs:SendMessage"),
    # What AWS documents for a stream of ours as source and a bucket as destination.
    "TickDeliveryRole": _on(
        "TickStream", "kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"
    ).union(
        *(
            _on(f"staging/{prefix}/*", "s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject")
            for prefix in ("stock_stream", "stock_stream_errors")
        )
    )
    | _on("staging", "s3:GetBucketLocation", "s3:ListBucketMultipartUploads", LISTS)
    | _on("TickDeliveryLogs", "logs:PutLogEvents"),
    "GenerateDailyScheduleRole": _schedule("GenerateStockBatchData"),
    "ReconcileScheduleRole": _schedule("ReconcileTables"),
    "ProduceTicksScheduleRole": _schedule("WriteRecordsToStream"),
    # A key of the customer's, for everybody who reads or writes objects.
    "UseKmsKey": _KEY,
    # People. docs/operations.md has the same in words.
    "ReaderPolicy": _on("AWS::StackId", "cloudformation:DescribeStacks")
    | _on("LakeBucket", "s3:GetBucketLocation", LISTS)
    | _on("${LakeBucket.Arn}/*", "s3:GetObject")
    | _on("${LakeBucket.Arn}/athena_results/*", "s3:AbortMultipartUpload", "s3:PutObject")
    | _on(
        _IN_REGION.format("athena", "workgroup/${Workgroup}"),
        "athena:GetQueryExecution",
        "athena:GetQueryResults",
        "athena:GetWorkGroup",
        "athena:StartQueryExecution",
        "athena:StopQueryExecution",
    ).union(
        *(
            _on(
                _IN_REGION.format("glue", what),
                "glue:GetDatabase",
                "glue:GetPartitions",
                "glue:GetTable",
                "glue:GetTables",
            )
            for what in ("catalog", "database/${GlueDatabase}", "table/${GlueDatabase}/*")
        )
    )
    | _KEY,
    "DagsterPolicy": _on("StagingBucket", LISTS, "s3:ListBucketVersions")
    | _on("${StagingBucket.Arn}/*", "s3:GetObject", "s3:GetObjectVersion")
    | _on("${StagingBucket.Arn}/daily_prices/*", "s3:PutObject")
    | _on("LakeBucket", "s3:ListBucketVersions")
    | _on("${LakeBucket.Arn}/*", "s3:GetObjectVersion", "s3:PutObject").union(
        *(
            _taking(queue) | _on(queue, "sqs:ChangeMessageVisibility", "sqs:SendMessage")
            for queue in ("DailyArrivals", "StreamArrivals", "LineageReceipts")
        ),
        *(_taking(queue) for queue in ("DailyDlq", "StreamDlq", "LineageDlq", "FailedInvocations", "MissedSchedules")),
        *(
            _on(function, "lambda:InvokeFunction")
            for function in (
                "GenerateStockBatchData",
                "ProcessBatchStockData",
                "WriteRecordsToStream",
                "ProcessStockStreamData",
                "ReconcileTables",
            )
        ),
    )
    | _on("LineageDlq", "sqs:SendMessage")
    | _on("TickStream", "kinesis:PutRecords"),
    "VendorPolicy": _on(
        "${StagingBucket.Arn}/daily_prices/uploads/${VendorFolder}/*", "s3:AbortMultipartUpload", "s3:PutObject"
    )
    | _KEY,
}


def needed_by(role: str) -> Needed:
    """What a role must be allowed, and no more."""
    return _NEEDED.get(role, set())
