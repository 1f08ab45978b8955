"""Faults in what runs: queues, functions, schedules and alarms."""

from __future__ import annotations

from stock_pipeline_tests.lambdas.edits import (
    Edit,
    in_global,
    parameter,
    removed,
    with_value,
    without,
    without_metric,
    without_section,
)

ENCRYPTED = "queues_are_encrypted"
OUTLIVE, FROM_THEIRS = "dead_letters_outlive_their_queue", "dead_letter_queues_take_from_their_queues_only"
NOT_LOST, HIDDEN = "no_message_is_lost_or_tried_for_ever", "what_is_being_worked_on_is_hidden"
FREE, COMES_BACK = "a_queue_calls_no_more_functions_than_are_free", "only_what_failed_comes_back"
IN_TIME = "schedules_come_in_time_and_keep_what_they_miss"
KEPT, BOUNDED, LOGGED = "functions_do_not_lose_what_fails", "functions_are_bounded", "functions_are_traced_and_logged"
FAILURES, ON_THE_WAY = "failures_ring", "what_is_lost_on_the_way_rings"
REFUSED, WAITS, SILENT = (
    "what_is_refused_rings",
    "what_waits_or_stays_away_rings",
    "alarms_are_silent_while_nothing_is_wrong",
)
REACH = "alarms_reach_the_topic"
CHOSEN, TO_S3 = "ticks_are_stored_as_somebody_chose", "ExtendedS3DestinationConfiguration"
FORTNIGHT, WEEK = 1_209_600, 604_800

RUNNING: dict[str, tuple[Edit, str]] = {
    # queues
    "a queue is not encrypted": (with_value("StreamArrivals", False, "SqsManagedSseEnabled"), ENCRYPTED),
    "a dead-letter queue is not encrypted": (without("DailyDlq", "SqsManagedSseEnabled"), ENCRYPTED),
    "a dead letter is gone on the day on which it comes": (
        with_value("StreamArrivals", FORTNIGHT, "MessageRetentionPeriod"),
        OUTLIVE,
    ),
    "a dead-letter queue keeps no longer than its queue": (
        with_value("DailyDlq", WEEK, "MessageRetentionPeriod"),
        OUTLIVE,
    ),
    "messages of daily prices do not outlast a weekend": (
        with_value("DailyArrivals", 86_400, "MessageRetentionPeriod"),
        OUTLIVE,
    ),
    "failures are forgotten after four days": (without("FailedInvocations", "MessageRetentionPeriod"), OUTLIVE),
    "receipts leave their dead-letter queue no time": (
        with_value("LineageReceipts", FORTNIGHT, "MessageRetentionPeriod"),
        OUTLIVE,
    ),
    "any queue may send to a dead-letter queue": (without("StreamDlq", "RedriveAllowPolicy"), FROM_THEIRS),
    "a dead-letter queue refuses its own queue": (
        with_value("DailyDlq", {"redrivePermission": "denyAll"}, "RedriveAllowPolicy"),
        FROM_THEIRS,
    ),
    "a queue may send to the failed invocations": (without("FailedInvocations", "RedriveAllowPolicy"), FROM_THEIRS),
    "a queue has no dead-letter queue": (without("StreamArrivals", "RedrivePolicy"), NOT_LOST),
    "daily prices are tried once": (with_value("DailyArrivals", 1, "RedrivePolicy", "maxReceiveCount"), NOT_LOST),
    "a poison message is tried for ever": (
        with_value("StreamArrivals", 1000, "RedrivePolicy", "maxReceiveCount"),
        NOT_LOST,
    ),
    "work in progress is delivered again": (with_value("StreamArrivals", 120, "VisibilityTimeout"), HIDDEN),
    "daily prices in progress are delivered again": (parameter("DailyVisibilitySeconds", "Default", 300), HIDDEN),
    "a parameter allows what AWS refuses": (parameter("DailyVisibilitySeconds", "MinValue", 1), HIDDEN),
    "one bad message brings back all": (without("StreamArrivalsMapping", "FunctionResponseTypes"), COMES_BACK),
    "one bad file brings back all": (with_value("DailyArrivalsMapping", [], "FunctionResponseTypes"), COMES_BACK),
    "AWS refuses a group without a window": (
        without("DailyArrivalsMapping", "MaximumBatchingWindowInSeconds"),
        COMES_BACK,
    ),
    "a queue calls any number of functions": (without("DailyArrivalsMapping", "ScalingConfig"), FREE),
    "a queue calls more functions than are free": (
        with_value("StreamArrivalsMapping", {"Ref": "ProcessingConcurrency"}, "ScalingConfig", "MaximumConcurrency"),
        FREE,
    ),
    "AWS refuses a queue with one function": (without_section("Rules"), FREE),
    # functions
    "what fails is forgotten": (in_global(None, "EventInvokeConfig"), KEPT),
    "what fails is not tried again": (in_global(0, "EventInvokeConfig", "MaximumRetryAttempts"), KEPT),
    "a minute of ticks is tried again hours later": (without("WriteRecordsToStream", "EventInvokeConfig"), KEPT),
    "functions have the default timeout": (in_global(None, "Timeout"), BOUNDED),
    "a function has 128 MB": (without("ProcessBatchStockData", "MemorySize"), BOUNDED),
    "a function may run any number of times at once": (
        without("GenerateStockBatchData", "ReservedConcurrentExecutions"),
        BOUNDED,
    ),
    "functions are not traced": (in_global("PassThrough", "Tracing"), LOGGED),
    "logs are kept for good": (without("WriteRecordsToStreamLogs", "RetentionInDays"), LOGGED),
    "a function logs elsewhere": (without("ProcessBatchStockData", "LoggingConfig"), LOGGED),
    # Firehose
    "ticks are never compressed": (without("TickDelivery", TO_S3, "CompressionFormat"), CHOSEN),
    "ticks come in many small objects": (
        with_value("TickDelivery", 60, TO_S3, "BufferingHints", "IntervalInSeconds"),
        CHOSEN,
    ),
    "ticks come in a form that nobody reads": (
        parameter("StreamCompression", "AllowedValues", ["UNCOMPRESSED", "GZIP", "Snappy"]),
        CHOSEN,
    ),
    # schedules
    "a schedule tries for a day": (without("GenerateDailySchedule", "Target", "RetryPolicy"), IN_TIME),
    "a missed minute of ticks is produced later": (
        with_value(
            "ProduceTicksSchedule",
            {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 3600},
            "Target",
            "RetryPolicy",
        ),
        IN_TIME,
    ),
    "a schedule forgets what it missed": (without("ReconcileSchedule", "Target", "DeadLetterConfig"), IN_TIME),
    "nobody looks for lost events": (removed("ReconcileSchedule"), "lost_events_are_healed_without_a_dagster"),
    "lost events are looked for once a year": (
        with_value("ReconcileSchedule", "rate(365 days)", "ScheduleExpression"),
        "lost_events_are_healed_without_a_dagster",
    ),
    "lost events are looked for if somebody thinks of it": (
        parameter("Reconcile", "Default", "off"),
        "lost_events_are_healed_without_a_dagster",
    ),
    # alarms
    "nobody hears of dead letters": (removed("StreamDlqAlarm"), FAILURES),
    "nobody hears of dead letters of daily prices": (removed("DailyDlqAlarm"), FAILURES),
    "nobody hears of schedules that were missed": (removed("MissedSchedulesAlarm"), FAILURES),
    "nobody hears of errors": (removed("ProcessStockStreamDataErrorsAlarm"), FAILURES),
    "nobody hears of a healer that fails": (removed("ReconcileTablesErrorsAlarm"), FAILURES),
    "nobody hears of what cannot be healed": (removed("NotRepairedAlarm"), FAILURES),
    "nobody hears of messages that fail": (removed("MessagesFailedAlarm"), FAILURES),
    "nobody hears that a function is throttled": (without_metric("ThrottlesAlarm", "reconcile"), FAILURES),
    "nobody hears of events that Lambda gives up": (removed("EventsDroppedAlarm"), ON_THE_WAY),
    "nobody hears of one function's failures that were not kept": (
        without_metric("FailuresNotKeptAlarm", "process"),
        ON_THE_WAY,
    ),
    "nobody hears of receipts that were not sent": (removed("ReceiptsNotSentAlarm"), ON_THE_WAY),
    "nobody hears that ticks are refused by the stream": (removed("StreamThrottledAlarm"), ON_THE_WAY),
    "nobody hears of Firehose": (removed("DeliveryFailedAlarm"), ON_THE_WAY),
    "nobody hears that Firehose falls behind": (removed("DeliveryBehindAlarm"), ON_THE_WAY),
    "nobody hears of rejected rows": (removed("DailyRejectedAlarm"), REFUSED),
    "nobody hears of unknown messages": (removed("UnknownMessagesAlarm"), REFUSED),
    "nobody hears that prices stay away": (removed("DailyStaleAlarm"), WAITS),
    "nobody hears that ticks stay away": (removed("NoTicksAlarm"), WAITS),
    "nobody hears that files are not taken": (removed("DailyArrivalsWaitAlarm"), WAITS),
    "an alarm rings when there is nothing to tell": (
        with_value("StreamThrottledAlarm", "breaching", "TreatMissingData"),
        SILENT,
    ),
    "an alarm is blind while one path is idle": (
        with_value(
            "MessagesFailedAlarm",
            [
                {"Id": "all", "Expression": "daily + ticks"},
                *(
                    {
                        "Id": name,
                        "ReturnData": False,
                        "MetricStat": {
                            "Stat": "Sum",
                            "Period": 900,
                            "Metric": {
                                "Namespace": "StockPipeline",
                                "MetricName": "MessagesFailed",
                                "Dimensions": [{"Name": "service", "Value": name}],
                            },
                        },
                    }
                    for name in ("daily", "ticks")
                ),
            ],
            "Metrics",
        ),
        SILENT,
    ),
    "an alarm rings nowhere": (with_value("ThrottlesAlarm", [], "AlarmActions"), REACH),
    "an alarm is switched off": (with_value("FilesRefusedAlarm", False, "ActionsEnabled"), REACH),
    "an alarm has a name that may not publish": (with_value("DailyDlqAlarm", "daily-dlq", "AlarmName"), REACH),
}
